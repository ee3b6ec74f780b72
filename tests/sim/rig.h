/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A pair of hosts on this one: on each side a sim-qemu, the real colod and,
 * if asked for, a sim-proxy; and between the colods a link that can be cut
 * (relay.h).
 */
#ifndef TESTS_SIM_RIG_H
#define TESTS_SIM_RIG_H

#include "tests/sim/proc.h"
#include "tests/sim/relay.h"
#include "tests/sim/sim-log.h"
#include "tests/sim/watch.h"

/*
 * For what has to happen: a machine that is busy with other tests, too, took
 * 5 s for one checkpoint.
 */
enum { SOON_MS = 30000 };

typedef struct RigOptions {
    gboolean periodic;
    gboolean failover;                 /* else --on-heartbeat-loss wait */
    const char *tracker;               /* NULL: auto */
    gboolean proxy;                    /* sim-proxies, given to the colods */
    gboolean preload;                  /* libcolotrack.so in the sim-qemus */
    guint disks;                       /* vda, vdb, vdc */
    int delay_ms;                      /* 0: 20 */
    int heartbeat_timeout_ms;          /* 0: 300 */
    int qmp_timeout_ms;                /* 0: 10000 */
    const char *sim_pri, *sim_sec;     /* more options of sim-qemu */
    const char *colod_pri, *colod_sec; /* and of colod */
} RigOptions;

typedef struct Side {
    const char *name; /* "pri", "sec" */
    char *qmp, *foreign, *control, *state_dir;
    char *guest_log; /* what sim-qemu writes */
    char *proxy_path, *proxy_log;
    char *output;    /* stderr of all */
    Proc *qemu, *colod, *proxy;
    Watch *watch;
    guint starts; /* of its QEMU */
} Side;

typedef struct Rig {
    char *dir;
    RigOptions o;
    guint16 ft_port, hb_port; /* where the secondary listens */
    Relay *link;
    guint16 nbd_port; /* of the secondary's nbdkit */
    Relay *nbd_link;  /* what the primary has of that; NULL: no disks */
    Side pri, sec;
    gboolean swapped; /* colods started from now on: sec is the primary */
    gboolean keep;    /* the folder, to be looked at */
    gboolean strayed; /* on purpose: only the last load counts */
} Rig;

/* Nothing is running yet but the link and the watches. */
Rig *rig_new(const RigOptions *o);
/* Ends everything. */
void rig_free(Rig *r);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(Rig, rig_free)

/* Its image, on this side; free with g_free. */
char *rig_disk_path(Rig *r, Side *s, guint i);

/* The pid of the secondary's nbdkit; 0: there is none now. */
int rig_nbdkit(Rig *r);
/* While it is held none can start. */
void rig_hold_nbdkit(Rig *r, gboolean hold);

void rig_start_qemu(Rig *r, Side *s);
/* QEMU and colod at once, as when the host loses its power. */
void rig_kill_host(Side *s);
void rig_start_colod(Rig *r, Side *s);
void rig_start_proxy(Rig *r, Side *s);
/* All of them. */
void rig_start(Rig *r);

/* Wait until both sides are protected. */
gboolean rig_wait_active(Rig *r, int ms);

/* A command on colod's control socket, or on QEMU's second monitor. */
JsonNode *rig_colod(Side *s, const char *command, JsonObject *args,
                    GError **error);
JsonNode *rig_qemu(Side *s, const char *command, JsonObject *args,
                   GError **error);

/* The same on the sim-proxy's socket; must succeed. */
void rig_proxy(Side *s, const char *command, JsonObject *args);

/* Its next command of this name (without colo-proxy-) is not taken well. */
void rig_arm_proxy(Side *s, const char *what, const char *act, gint64 ms);

/* x-sim-inject; must succeed. */
void rig_inject(Side *s, const char *when, const char *what, const char *act,
                gint64 ms);

/* Lines of its QEMU's log with this word. */
guint rig_log_count(Side *s, const char *word);

/* Steps of the guest go on: a new line of its chain within ms. */
gboolean rig_guest_runs(Side *s, int ms);

/* Does colod's output hold this text?  Waits for it for at most ms. */
gboolean rig_output_has(Side *s, const char *text, int ms);

/* How often the primary's colod began to copy all of the guest's RAM. */
guint rig_full_copies(Rig *r);

/* The end of all outputs and logs, and what everybody does, as comments. */
void rig_dump(Rig *r);

/* While it is held a fence command that was started does not go on. */
void rig_hold_fence(Rig *r, gboolean hold);
/* How many were started so far. */
guint rig_fences(Rig *r);

/*
 * main() of a program that uses rigs starts with this: a fence command is
 * the program itself.  TRUE: it was one, and *status is its exit code.
 */
gboolean rig_fence_main(int argc, char **argv, int *status);

/* And goes on with this: a network of our own, so that all ports are free. */
void rig_set_up(void);

#endif
