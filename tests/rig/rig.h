/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A rig for tests and benches: two hosts as network namespaces, on each a
 * real QEMU with scripts/mkguest's Linux and a colod.
 *
 *   net: bridges repl and hb        switches, so that a host that vanishes
 *   pri: repl0 10.77.1.1, hb0 10.77.2.1     takes no carrier from the other
 *   sec: repl0 10.77.1.2, hb0 10.77.2.2
 *
 * With RigOptions.net there is a third bridge, lan, as in tests/hosts.sh: each
 * host has its port lan0 and the guest's tap0 on br0 (10.77.3.1, 10.77.3.2;
 * the secondary's tap is on no bridge), clients are in cli (10.77.3.9), the
 * guest is RIG_GUEST and RIG_GUEST6, and a colo-proxy runs beside each colod.
 * The proxies speak over hb, so that their link can be cut alone.
 *
 * With RigOptions.disk_mib the guest has a disk with ext4, an image on the
 * primary; the secondary's is served by its colod, which is started before its
 * QEMU.  After rig_swap() the survivor's colod serves its guest's disk as a
 * primary.
 *
 * The namespaces have no names: they are gone with the program, and so are
 * its processes, however it ends.  What cannot be set up or is not there in
 * time ends the program with the logs' last lines (rig_die()).
 */
#ifndef COLO_TESTS_RIG_H
#define COLO_TESTS_RIG_H

#include "colo/qmp-client.h"

#define RIG_TIMEOUT_MS 500 /* of the heartbeat, colod's default */

#define RIG_NBD_PORT "8889" /* colod's default */

#define RIG_GUEST   "10.77.3.100"
#define RIG_GUEST6  "fd77:3::100"
#define RIG_CLIENT  "10.77.3.9"
#define RIG_CLIENT6 "fd77:3::9"

typedef struct RigEvent {
    char *name;
    JsonObject *data; /* may be NULL */
    gint64 time_us;   /* the sender's clock, UNIX epoch */
} RigEvent;

typedef struct RigSide RigSide;

/* A QMP connection that remembers every event. */
typedef struct RigQmp {
    ColoQmpClient *client; /* NULL: not connected, or broken */
    GPtrArray *events;     /* RigEvent */
} RigQmp;

typedef struct Rig Rig;

/* One host with what runs on it. */
struct RigSide {
    Rig *rig;
    const char *name; /* pri, sec */
    int number;       /* last byte of its addresses */
    gboolean primary;
    gboolean survivor; /* the primary's guest came here by a takeover */
    int ns;            /* network namespace; -1: without power */
    pid_t qemu, colod, proxy; /* 0: not there */
    char *dir, *qmp, *monitor, *serial, *console, *control, *log, *pid_file;
    char *disk;    /* image */
    char *proxy_control, *proxy_log;
    RigQmp ctl; /* to colod */
    RigQmp px;  /* to colo-proxy */
    RigQmp mon; /* to QEMU: the operator's own monitor */
};

typedef struct RigOptions {
    const char *machine;  /* pc */
    guint smp;            /* 1 */
    gboolean linux_guest; /* not the tiny guest, which has one CPU */
    guint ram_mib;        /* 64, or 96 with Linux */
    const char *append;   /* to the guest's command line; NULL */
    const char *qemu;     /* more options for both QEMUs, by spaces; NULL */
    gboolean plain;       /* not through colo-qemu */
    gboolean private_ram; /* RAM that colod must refuse */
    gboolean periodic;
    guint delay_ms;       /* 20000 */
    const char *tracker;  /* auto */
    const char *compress; /* none */
    gboolean failover;    /* --on-heartbeat-loss failover, with a fence that
                             kills the primary's QEMU by its pid */
    const char *colod;    /* more options for both colods; NULL */
    gboolean net;         /* a lan and proxies; linux_guest with it */
    gboolean no_flood;    /* the lan takes only to the place where it was seen
                             what is for an address, even if that is lost */
    guint disk_mib;       /* of the guest's disk; linux_guest with it */
    const char *disk;     /* its name: vda */
    const char *disk_folder; /* --disk-folder of who serves it; NULL */
    /* QEMU's options for it in place of rig_add_disk()'s; NULL */
    void (*add_disk)(const RigSide *s, GPtrArray *argv);
    /* The secondary's colod is "colod --secondary --nbd :8889", the rest of
       its options is in the VM's configuration file */
    gboolean configured;
    const char *proxy;    /* more options for both proxies; NULL */
    gboolean fail_closed; /* of the primary's colod and proxy */
} RigOptions;

struct Rig {
    RigOptions o;
    char *dir, *kernel, *initrd, *append, *tiny;
    int net;     /* the switches' namespace */
    int net_ctl; /* a socket in it, for ioctls */
    int cli;     /* the clients' namespace; -1: there is no lan */
    RigSide pri, sec;
};

/* --- rig.c -------------------------------------------------------------- */

void rig_die(const char *fmt, ...) G_GNUC_PRINTF(1, 2) G_GNUC_NORETURN;

/* g_test_init(), and the whole program skipped where it cannot run. */
void rig_test_init(int *argc, char ***argv);
gboolean rig_long_tests(void); /* COLO_LONG=1: what takes minutes, too */

/* Why this machine cannot run a rig (no root, no QEMU, ...), or NULL. */
const char *rig_missing(void);

/* Hosts only; nothing runs yet. */
Rig *rig_new(const RigOptions *o);
void rig_free(Rig *r);

/* Both QEMUs run: proxies, if any, both colods, the first checkpoint. */
void rig_protect(Rig *r);
/* Both guests, the primary's booted; protected. */
Rig *rig_new_protected(const RigOptions *o);

/*
 * The survivor's colod is started again as the primary's, and a fresh QEMU
 * with a secondary's colod at the other side.  Roles swap.
 */
void rig_swap(Rig *r);

/* For what is quick unless it is broken: the machine may be busy. */
#define RIG_PATIENCE_S 60

/* --- hosts.c ------------------------------------------------------------ */

/* A namespace that lives as long as the descriptor or a process in it. */
int rig_new_ns(void);
/* Lines for ip(8), all of which must succeed. */
void rig_ip(int ns, const char *batch);
void rig_lay_out(Rig *r);
void rig_power_on(RigSide *s);
/* No frame leaves it any more, then its processes are gone. */
void rig_power_cut(RigSide *s);
/* repl, hb or lan: frames vanish in the switch, carriers stay. */
void rig_link(Rig *r, const char *link, gboolean up);
char *rig_address(const RigSide *s, const char *link);
/* A fresh tap0, on the bridge if the side is the primary's. */
void rig_plug_tap(RigSide *s);

/* --- spawn.c ------------------------------------------------------------ */

/* A program of this build, or of PATH; output is appended to log. */
pid_t rig_spawn(int ns, const char *log, char **argv);
/* Runs to its end; TRUE if that was exit 0.  output: stdout, or NULL. */
gboolean rig_run(int ns, char **argv, char **output);
/* Signal, reap, and set to 0; dies if it has not ended within 10 s. */
void rig_end(pid_t *pid, int sig);
/* Ended by itself within the time?  Its exit status, or -1. */
int rig_wait_exit(pid_t *pid, int seconds);
/* "a b c" appended to a vector; words are split at spaces. */
void rig_add(GPtrArray *argv, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

/* --- guest.c ------------------------------------------------------------ */

void rig_start_qemu(RigSide *s);
void rig_kill_qemu(RigSide *s);
void rig_wait_boot(RigSide *s);
/* A command of the operator, typed at QEMU's own monitor. */
void rig_operator(RigSide *s, const char *command, const char *args);
/* Type a command; wait for a line that begins with answer, unless NULL. */
void rig_type(RigSide *s, const char *command, const char *answer, int seconds);
gsize rig_console_size(const RigSide *s);
/* Until a line from offset on begins with prefix. */
void rig_wait_console(RigSide *s, gsize offset, const char *prefix,
                      int seconds);
guint64 rig_step(const RigSide *s); /* the last whole step, 0: none */
/* The first whole step printed beyond this offset of the console's log. */
guint64 rig_first_step(const RigSide *s, gsize offset);
void rig_wait_steps(RigSide *s, guint steps, int seconds);
gboolean rig_stands_still(RigSide *s, guint ms);
gboolean rig_guest_runs(RigSide *s); /* as QEMU says */
/*
 * chain-check over the console's log from offset on; says on stderr what is
 * wrong.  options: of chain-check; RIG_SEAMS for a guest that was loaded.
 */
#define RIG_SEAMS "--seams any --back any"
gboolean rig_chain_ok(const RigSide *s, gsize offset, const char *options);

/* --- qmp.c -------------------------------------------------------------- */

void rig_qmp_connect(RigQmp *q, const char *path, int seconds);
void rig_qmp_close(RigQmp *q);
/* Take in events for so long; FALSE: the connection broke. */
gboolean rig_qmp_pump(RigQmp *q, int ms);
/* args: JSON text or NULL.  NULL with error set if the command failed. */
JsonNode *rig_qmp_try(RigQmp *q, const char *command, const char *args,
                      GError **error);
/* Must succeed. */
JsonNode *rig_qmp(RigQmp *q, const char *command, const char *args);
/*
 * The first event from index `from` on with this name and, unless key is
 * NULL, this string in its data; its index + 1 goes to *next if not NULL.
 */
RigEvent *rig_qmp_find(RigQmp *q, guint from, const char *name, const char *key,
                       const char *value, guint *next);
RigEvent *rig_qmp_wait(RigQmp *q, guint from, const char *name, const char *key,
                       const char *value, int seconds);

/* --- colod.c ------------------------------------------------------------ */

void rig_start_colod(RigSide *s);
/* Only the process; rig_connect_colod() waits for its control socket. */
void rig_spawn_colod(RigSide *s);
void rig_connect_colod(RigSide *s);
void rig_kill_colod(RigSide *s, int sig);
char *rig_state(RigSide *s); /* query-colo-status's state */
void rig_wait_state(RigSide *s, const char *state, int seconds);
/* So many checkpoints more, counted by COLO_CHECKPOINT. */
void rig_wait_checkpoints(RigSide *s, guint n, int seconds);
/* Epoch of the last COLO_CHECKPOINT seen, 0: none. */
gint64 rig_epoch(RigSide *s);
/* The sentence for the operator. */
char *rig_detail(RigSide *s);
gint64 rig_int(RigSide *s, const char *query, const char *member);
double rig_event_number(const RigEvent *ev, const char *member);

/* --- disk.c ------------------------------------------------------------- */

/* A line for sh(1). */
gboolean rig_sh(int ns, char **output, const char *fmt, ...)
    G_GNUC_PRINTF(3, 4);
void rig_make_disks(Rig *r);
void rig_add_disk(const RigSide *s, GPtrArray *argv);
void rig_wait_disk_served(RigSide *s);
/* Neither the guest's program nor its kernel has found anything wrong. */
gboolean rig_disk_ok(const RigSide *s, gsize offset);
/* Clean, as e2fsck -fn sees it; says what is not. */
gboolean rig_fsck(const char *image);
void rig_copy_export(const RigSide *s, const char *name, const char *path);
/* Whole records of so many sessions, in an image that no guest uses. */
guint64 rig_count_records(const char *image, guint sessions);

/* --- proxy.c ------------------------------------------------------------ */

void rig_start_proxy(RigSide *s);
void rig_kill_proxy(RigSide *s, int sig);
/* A number of query-colo-proxy-stats; members of objects as "a.b". */
gint64 rig_proxy_int(RigSide *s, const char *path);

/* --- client.c ----------------------------------------------------------- */

/* net-client in the clients' namespace. */
typedef struct RigClient {
    pid_t pid;
    char *out; /* its JSON lines */
    guint seen; /* lines read */
} RigClient;

RigClient *rig_client_spawn(Rig *r, const char *options);
/* Returns when its sessions are open. */
RigClient *rig_client_start(Rig *r, const char *options);
/*
 * Waits until every session has been answered a request made after this call;
 * returns the figures since the last mark.
 */
JsonObject *rig_client_mark(RigClient *c, int seconds);
/* Ends it and returns the figures of the whole run. */
JsonObject *rig_client_stop(RigClient *c);
/* For one that ends by itself. */
JsonObject *rig_client_wait(RigClient *c, int seconds);
void rig_client_free(RigClient *c);
/* One run of net-client to its end. */
JsonObject *rig_client_run(Rig *r, const char *options, int seconds);

#endif
