/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A log file: appending records at places the caller reserves, and reading
 * their data back.  No locks in here: the fields belong to the layer.
 */
#ifndef COLO_STORE_LOG_H
#define COLO_STORE_LOG_H

#include "blockrep/store/index.h"

typedef struct StoreLog {
    int fd;
    guint64 number, id;
    guint64 end;          /* the next record goes here */
    guint64 allocated;    /* blocks up to here, wherever the file ends */
    guint64 records, sum; /* those that are whole */
    guint64 synced;       /* so many of them, and the header, are on the disk */
} StoreLog;

/* The name of a log in its folder; free with g_free(). */
char *store_log_name(guint64 number);
/* The number of the log that a name is of; 0: another file. */
guint64 store_log_number(const char *name);

/* A new, empty one; -errno. */
int store_log_create(int folder, guint64 number, StoreLog **log);
/* Use the file again, keeping at most keep bytes of its blocks.  -errno */
int store_log_recycle(StoreLog *log, guint64 keep);
/* Blocks ahead of what is written: that halves what a write costs. */
void store_log_allocate(StoreLog *log, guint64 from, guint64 to);
/* How far they should go now */
guint64 store_log_wants(const StoreLog *log);
/* NULL: error says why.  Nothing is read yet but the header. */
StoreLog *store_log_open(int folder, guint64 number, guint64 id,
                         gboolean writable, GError **error);
void store_log_close(StoreLog *log);

/*
 * Write r, whose pos was reserved (store_record_size() bytes of it), with data;
 * r->data_sum and r->sum are set.  0 or -errno; then it does not count.
 */
int store_log_write(StoreLog *log, StoreRecord *r, const void *data);

/* The bytes of a data run.  0 or -errno */
int store_log_read(const StoreLog *log, const StoreRun *run, void *buf);

/*
 * Go through the log as far as end, or to the end of the file: whole records
 * in the log's order.  What is no whole record is skipped, to wherever the next
 * one begins: writers do not wait for each other, so a crash may leave a gap
 * with good records behind it.  record returns FALSE to stop.  0 or -errno.
 */
typedef gboolean (*StoreReplayFunc)(const StoreRecord *r, gpointer user);
typedef struct StoreReplay {
    guint64 records, sum;
    guint64 end;     /* behind the last whole record */
    guint64 skipped; /* bytes before that which are in none */
} StoreReplay;
int store_log_replay(int fd, guint64 id, guint64 end, guint64 disk_size,
                     StoreReplayFunc record, gpointer user, StoreReplay *out);

#endif
