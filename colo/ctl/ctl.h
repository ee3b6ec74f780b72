/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the commands of coloctl share. */
#ifndef COLO_CTL_H
#define COLO_CTL_H

#include "colo/qmp-client.h"

enum {
    CTL_OK = 0,
    CTL_FAILED = 1,
    CTL_USAGE = 2,
    CTL_UNREACHABLE = 3,
};

/* Something that the server said of its own accord, or (name NULL) the
 * reply to our command: the queue keeps them in the order of the stream. */
typedef struct CtlEvent {
    char *name;
    JsonObject *data;       /* never NULL */
    gint64 time_us;         /* UNIX epoch */
} CtlEvent;

void ctl_event_free(CtlEvent *ev);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(CtlEvent, ctl_event_free)

typedef struct Ctl {
    ColoQmpClient *client;
    const char *path;       /* of the control socket */
    char **words;           /* after the command; ends with NULL */
    gboolean json, follow, wait;
    char *folder;           /* of a disk's store; NULL: beside the image */
    gboolean newest;        /* merge what is not loaded, too */
    gint64 timeout_us;      /* for an answer */
    gint64 wait_us;         /* for what --wait waits for */
    GQueue events;          /* CtlEvent */
} Ctl;

/* Complain on stderr, as "coloctl: ...". */
void ctl_complain(const char *fmt, ...) G_GNUC_PRINTF(1, 2);

/*
 * One command; args: transfer full.  NULL: it failed, which was said on
 * stderr.
 */
JsonNode *ctl_call(Ctl *c, const char *command, JsonObject *args);

/*
 * The next event; waits until deadline_us (monotonic, -1: for ever).  NULL
 * with COLO_QMP_ERROR_TIMEOUT or _CLOSED, or another error.
 */
CtlEvent *ctl_next_event(Ctl *c, gint64 deadline_us, GError **error);

/* Members of an answer; "", 0 or FALSE if missing or of another type. */
const char *ctl_str(JsonObject *o, const char *name);
double ctl_num(JsonObject *o, const char *name);
gboolean ctl_flag(JsonObject *o, const char *name);
JsonObject *ctl_obj(JsonObject *o, const char *name); /* or NULL */

/* What came from elsewhere must not move the terminal's cursor. */
char *ctl_plain(const char *text);

/* A label and what belongs to it; a line. */
void ctl_row(const char *label, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

/* "5.1 KiB" or "8.6 MiB"; g_free(). */
char *ctl_size(double bytes);

/* "LABEL [###...] AFTER" on a terminal, again and again at the same place. */
void ctl_draw_bar(const char *label, double percent, const char *after);
void ctl_clear_bar(void);

/* One line of compact JSON on stdout. */
void ctl_print_json(JsonNode *node);

/* The answer as an object, or NULL with a complaint. */
JsonObject *ctl_object_of(JsonNode *answer);

/* "3 timer, 1 request": what is not 0; g_free(). */
char *ctl_counts(JsonObject *o);

/* What the proxy that colod speaks of answers to its query, or NULL. */
JsonNode *ctl_proxy_stats(Ctl *c);
void ctl_print_proxy(JsonObject *o);

/* The commands; each returns an exit status. */
int ctl_status(Ctl *c);
int ctl_stats(Ctl *c);
int ctl_events(Ctl *c);
int ctl_checkpoint(Ctl *c);
int ctl_failover(Ctl *c);
int ctl_set(Ctl *c);
int ctl_quit(Ctl *c);
int ctl_disk(Ctl *c);
char *ctl_disk_wrong(char **words);

#endif
