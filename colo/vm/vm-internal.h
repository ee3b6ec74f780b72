/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of colo/vm/ share; nobody else includes this. */
#ifndef COLO_VM_INTERNAL_H
#define COLO_VM_INTERNAL_H

#include "colo/vm/vm-clock.h"
#include "colo/vm/vm-vmstate.h"
#include "colo/vm/vm.h"
#include "colo/common/qmp-wire.h"
#include "colo/qmp-client.h"

/*
 * How our descriptors, nodes and jobs are told from others' in QEMU.  Names
 * are short where time counts: QEMU reads its monitor by the byte.
 */
#define COLO_VM_FD_CAPTURE  "colo-capture"
#define COLO_VM_FD_VMSTATE  "colo-vmstate"
#define COLO_VM_NODE_PREFIX "colo-vmstate"
#define COLO_VM_FILE_PREFIX "colo-vmfile"
#define COLO_VM_JOB         "colo"

/* The guest's RAM backend, in QEMU and mapped here. */
typedef struct ColoVmRam {
    char *backend; /* QOM path, "/objects/ram" */
    guint64 addr;  /* in QEMU */
    gsize bytes;
    int fd;        /* its file, -1: none yet */
    guint64 offset;/* where in the file it begins */
    guint8 *map;
    gsize map_bytes;
} ColoVmRam;

/* A memfd that QEMU holds in one of its fdsets. */
typedef struct ColoVmFdset {
    int fd;         /* ours, read and write; -1: not made yet */
    int shared;     /* write-only description shared with QEMU, or -1 */
    gint64 id;
    char path[40];  /* "/dev/fdset/ID" */
} ColoVmFdset;

struct ColoVm {
    ColoQmpClient *qmp;
    char *qmp_path;
    gint64 timeout_us;
    ColoVmPatienceFunc patience;
    gpointer patience_data;
    gint64 asked_us; /* when the present wait began */
    ColoVmEventFunc on_event;
    gpointer user_data;
    ColoVmHookFunc hook;
    gpointer hook_data;

    pid_t pid;
    gboolean patient; /* its main thread; colo_vm_patient() */
    guint64 start_time;
    char *version;
    char *machine;
    gboolean kvm; /* the accelerator */
    char *description;
    ColoVmRam ram;

    /*
     * The run state as the monitor's stream tells it.  The order of replies
     * and events in the stream is the order of execution: a STOP before the
     * reply to our stop is our own doing, a RESUME before the reply to our
     * cont as well; any other is somebody else's.
     *
     * QEMU says nothing of a stop that finds the guest stopped already.  So
     * a stop by somebody else while a capture holds the guest, or while our
     * stop is on its way (well below a millisecond, but for an overloaded
     * host), cannot be told from our own and is undone by our cont.
     */
    gboolean running;
    gint64 resumed_us;          /* the last RESUME, monotonic; 0: none yet */
    guint64 own_stop, own_cont; /* ids, until their replies */
    guint64 own_save;           /* likewise */
    gboolean loading;           /* from sending snapshot-load to its end */
    gboolean inner_stop;        /* a save or load has stopped the guest */
    gboolean disturbed;         /* a foreign stop or cont since it was reset */
    gboolean foreign_stopped;   /* the last of these was a stop */
    gboolean job_concluded;
    gboolean job_failed;        /* it went through "aborting" */
    char *shutdown_reason;      /* SHUTDOWN's, once seen */

    /* capture */
    gboolean capturing;
    gint64 capture_start;
    gint64 stop_time;           /* of the last STOP, QEMU's real time */
    guint64 save_id;            /* reply not waited for yet, or 0 */
    char *reads;                /* of the disks, as the capture began */
    ColoVmFdset capture;
    GByteArray *state;

    /* restore */
    ColoVmFdset image;
    char *image_node, *image_file;
    gsize image_offset;         /* of the stream in it */
    gboolean prepared;
    GByteArray *blob;           /* the stream last loaded */
    ColoVmClock clock;
    gboolean clock_said;        /* that it cannot be moved */
};

/* --- vm.c: calls to QEMU --- */

/* The deadline for something that starts now. */
gint64 colo_vm_deadline(ColoVm *vm);

/* Turn the QMP client's error (consumed) into ours. */
void colo_vm_take_error(ColoVm *vm, GError *qmp_error, const char *what,
                        GError **error);

/* Wait for a reply within the QMP timeout; what: for the message. */
JsonNode *colo_vm_wait(ColoVm *vm, guint64 id, const char *what,
                       GError **error);
gboolean colo_vm_do(ColoVm *vm, const char *command, JsonObject *args,
                    GError **error);

/* Fails with COLO_VM_ERROR_UNPROTECTABLE; always FALSE. */
gboolean colo_vm_refuse(GError **error, const char *fmt, ...)
    G_GNUC_PRINTF(2, 3);

/* A human monitor command's text. */
char *colo_vm_hmp(ColoVm *vm, const char *line, GError **error);

/* A property of a QOM object, NULL with error when there is none. */
JsonNode *colo_vm_qom_get(ColoVm *vm, const char *path, const char *property,
                          GError **error);
char *colo_vm_qom_string(ColoVm *vm, const char *path, const char *property,
                         GError **error);

/* Queue stop or cont as our own act; returns the id to wait for. */
guint64 colo_vm_send_stop(ColoVm *vm);
guint64 colo_vm_send_cont(ColoVm *vm);

/*
 * A save or load is over: a stop in it that it did not undo was somebody
 * else's.
 */
void colo_vm_inner_done(ColoVm *vm);

/* An object of strings: name, value, ..., NULL. */
JsonObject *colo_vm_strings(const char *name, ...) G_GNUC_NULL_TERMINATED;

/* The object in a reply, or element i of an array; NULL if it is none. */
JsonObject *colo_vm_node_object(JsonNode *node);
JsonArray *colo_vm_node_array(JsonNode *node);
JsonObject *colo_vm_element(JsonArray *a, guint i);

/* --- vm-fdset.c --- */

/* Remove the sets a predecessor left under this name. */
gboolean colo_vm_fdset_sweep(ColoVm *vm, const char *name, GError **error);

/*
 * Make a memfd and give QEMU descriptors of it in a fdset of its own.
 * readable: one for reading and one for both; else a write-only one whose
 * description (file offset) is shared with set->shared.
 */
gboolean colo_vm_fdset_make(ColoVm *vm, ColoVmFdset *set, const char *name,
                            gboolean readable, GError **error);
void colo_vm_fdset_close(ColoVmFdset *set);

/* Take it from QEMU, too, as far as it listens. */
void colo_vm_fdset_drop(ColoVm *vm, ColoVmFdset *set);

/* --- the steps of colo_vm_open() --- */
gboolean colo_vm_ram_find(ColoVm *vm, GError **error);        /* vm-ram.c */
gboolean colo_vm_ram_map(ColoVm *vm, pid_t pid, GError **error);
void colo_vm_ram_unmap(ColoVm *vm);
/* Later: is that still all of the guest's memory? */
gboolean colo_vm_ram_check(ColoVm *vm, GError **error);
/* A run of adjacent mappings of one file in /proc/PID/maps. */
typedef struct ColoVmMapping {
    guint64 start, end, offset;
    guint64 first_end; /* of the first of them, as map_files names it */
    unsigned major, minor;
    guint64 inode;
} ColoVmMapping;

/*
 * Find the shared, writable mapping of at least bytes that starts at addr.
 * It may be in pieces: the kernel splits it where QEMU advised parts of it
 * differently.
 */
gboolean colo_vm_parse_maps(const char *text, guint64 addr, gsize bytes,
                            ColoVmMapping *m);

/*
 * A descriptor of the mapping's file out of those that the process has open,
 * for reading and writing; -1: none of them is.  Never another file's: inode
 * numbers are unique only on one device.  (On btrfs a mapping has another
 * device than its file, which is not found then.)
 */
int colo_vm_open_by_fd(pid_t pid, const ColoVmMapping *m);

/*
 * Is all that the guest can write in the backend with the QOM path ram?
 * blocks and mtree: what QEMU prints for "info ramblock", "info mtree -f".
 */
gboolean colo_vm_check_blocks(const char *ram, const char *blocks,
                              const char *mtree, GError **error);

/* vm-blocks.c: over QMP, and once the pid is known */
gboolean colo_vm_check_protectable(ColoVm *vm, GError **error);
gboolean colo_vm_check_no_vhost_fd(pid_t pid, GError **error);
gboolean colo_vm_describe(ColoVm *vm, GError **error); /* vm-describe.c */

/* --- vm-describe.c: what colo_vm_check_same() does --- */
gboolean colo_vm_check_same_text(const char *ours, const char *theirs,
                                 GError **error);

/*
 * --- vm-capture.c: the device state of a guest that is stopped anyway; as
 * colo_vm_capture_state().
 */
gboolean colo_vm_save_stopped(ColoVm *vm, const guint8 **state, gsize *len,
                              GError **error);

/* --- vm-disk-reads.c: colo_vm_disk_reads() in two steps --- */
guint64 colo_vm_send_disk_reads(ColoVm *vm);
char *colo_vm_wait_disk_reads(ColoVm *vm, guint64 id);

/* --- vm-sched.c --- */
void colo_vm_sched_sweep(pid_t pid);

/* --- vm-load.c --- */
void colo_vm_restore_close(ColoVm *vm);
/* A guest that was loaded is about to be resumed; it was, by a cont sent then. */
void colo_vm_restore_wait(ColoVm *vm);
void colo_vm_restore_ran(ColoVm *vm, gint64 sent_us);

#endif
