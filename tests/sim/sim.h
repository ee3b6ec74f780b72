/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * sim-qemu: a process that is to colod what QEMU 7.2 is, with a guest that
 * is quick to start and notices when its state is not exactly one moment's.
 *
 * Everything runs on the main thread as in QEMU, except the guest's vCPU
 * (sim-guest.c).
 */
#ifndef SIM_H
#define SIM_H

#include <json-glib/json-glib.h>
#include <stdint.h>
#include <sys/types.h>

typedef struct SimOptions {
    char **qmp; /* sockets, one client at a time each, as QEMU's */
    int ram_mib;
    int spare_mib;    /* of it, which the guest never looks at */
    int step_us;      /* from one step of the guest to the next */
    gint64 seed;      /* what the guest finds in its RAM at boot */
    gint64 salt;      /* its input: guests of other salts go other ways */
    int device_bytes; /* size of the device state */
    int extra_devices;
    gint64 plugged_bytes; /* of pc-dimm devices */
    gboolean stopped; /* -S */
    gboolean no_shutdown;
    char *log;
    char *pages; /* folder for the hashes of pages, or NULL */
    char *machine;
    char *version;
    char **disks; /* NAME=FILE or NAME=URI of NBD */
} SimOptions;

extern SimOptions sim_options;

/* --- sim-guest.c: RAM, the vCPU and its run state --- */

void sim_guest_start(void);
gboolean sim_guest_running(void);
const char *sim_guest_status(void); /* QEMU's run state */
void *sim_guest_ram(void);
pid_t sim_guest_thread(void);

/* Between two steps; events STOP and RESUME are the caller's. */
void sim_guest_stop(const char *status);
void sim_guest_cont(void);

/* The guest must be stopped. */
void sim_guest_boot(void);
void sim_guest_scribble(void);    /* as a reset writes to RAM */
GByteArray *sim_guest_save(void); /* the CPU's and devices' section */
gboolean sim_guest_load(const guint8 *data, gsize len, const char **why);

/* Give all of --spare back, as a balloon does. */
void sim_guest_discard(void);

/* While it is held the vCPU is between two steps. */
void sim_guest_lock(void);
void sim_guest_unlock(void);

/* All of RAM and disks is looked at before its next step. */
void sim_guest_check(void);

/* One line of the log: time, word, the chain's step and hash. */
void sim_log(const char *word, const char *detail);

/* --- sim-monitor.c --- */

void sim_monitor_listen(const char *path);
void sim_monitor_run(void); /* until sim_monitor_quit() */
void sim_monitor_quit(void);
/* Close all connections, as the kernel does for a process that dies. */
void sim_monitor_hang_up(void);
int sim_monitor_take_fd(void); /* the last one received, or -1 */
/* data: JSON text or NULL */
void sim_event(const char *name, const char *data);
/* From any thread; it is sent before anything that happens later. */
void sim_post_event(const char *name, const char *data);
/* Run after the replies so far are on their way. */
void sim_later(void (*func)(void *), void *arg);

/* --- sim-run.c: run state changes as QEMU makes them --- */

void sim_stop(const char *status);
void sim_cont(void);
void sim_reset(gboolean by_guest);
void sim_shutdown(gboolean by_guest, const char *reason);
void sim_panic(gboolean pause);

/* Do what was arranged to happen at this point; TRUE: fail the command. */
gboolean sim_point(const char *when, const char *what);
char *sim_cmd_inject(JsonObject *args, GError **error);

/* --- sim-commands.c, sim-block.c: JSON text of "return", or an error --- */

typedef char *(*SimHandler)(JsonObject *args, GError **error);
typedef struct SimCommand {
    const char *name;
    SimHandler handler;
} SimCommand;

extern const SimCommand sim_query_commands[], sim_block_commands[],
    sim_mirror_commands[];

/* --- sim-mirror.c: the NBD part of block nodes --- */

char *sim_nbd_add(JsonObject *args, GError **error);
char *sim_nbd_del(const char *name, GError **error);
void sim_disk_nodes(GString *list);

/* The name in QMP's string arguments, "" when there is none. */
const char *sim_arg(JsonObject *args, const char *name);
char *sim_fail(GError **error, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

/* --- sim-fdset.c --- */

char *sim_cmd_add_fd(JsonObject *args, GError **error);
char *sim_cmd_remove_fd(JsonObject *args, GError **error);
char *sim_cmd_query_fdsets(JsonObject *args, GError **error);
/* A duplicate of the set's descriptor with this access mode, or -1. */
int sim_fdset_open(const char *path, int mode);
/* As QEMU does when the last monitor disconnects. */
void sim_fdset_cleanup(void);

/* --- sim-image.c: qcow2 and migration streams --- */

GByteArray *sim_image_load(int fd, const char *tag, const char **why);
/* As xen-save-devices-state writes it; takes section. */
GByteArray *sim_stream_wrap(GByteArray *section);
gboolean sim_stream_load(GByteArray *stream, const char **why);

#endif
