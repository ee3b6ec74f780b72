/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A running QEMU, reached over QMP: what it is, its RAM, how to take its
 * state and how to give it another one's.
 *
 * Everything here is synchronous with deadlines (the --qmp-timeout of the
 * options) and belongs to one thread, the engine's.  Nothing of the guest
 * is changed by opening it.
 */
#ifndef COLO_VM_H
#define COLO_VM_H

#include <glib.h>
#include <json-glib/json-glib.h>
#include <sys/types.h>

#define COLO_VM_ERROR (colo_vm_error_quark())
GQuark colo_vm_error_quark(void);
typedef enum {
    COLO_VM_ERROR_GONE,         /* QEMU closed its monitor or died */
    COLO_VM_ERROR_HUNG,         /* QMP silent for the timeout */
    COLO_VM_ERROR_DISTURBED,    /* somebody else's stop or cont came between */
    COLO_VM_ERROR_UNPROTECTABLE,/* the message names the option to change */
    COLO_VM_ERROR_MISMATCH,     /* the two sides are not the same machine */
    COLO_VM_ERROR_FAILED,       /* QEMU refused a command */
} ColoVmErrorCode;

typedef enum {
    COLO_VM_EVENT_STOPPED,      /* somebody else stopped the guest */
    COLO_VM_EVENT_RESUMED,      /* somebody else resumed it */
    COLO_VM_EVENT_RESET,
    COLO_VM_EVENT_SHUTDOWN,     /* by the guest, or QEMU told to quit */
    COLO_VM_EVENT_PANICKED,
} ColoVmEvent;

/* Called from inside colo_vm_*() on the engine's thread; must not call back. */
typedef void (*ColoVmEventFunc)(ColoVmEvent event, const char *detail,
                                gpointer user_data);

typedef struct ColoVmOptions {
    const char *qmp_path;
    gint64 qmp_timeout_us;
    pid_t qemu_pid;             /* 0: from SO_PEERCRED */
    ColoVmEventFunc on_event;
    gpointer user_data;
} ColoVmOptions;

typedef struct ColoVm ColoVm;

/*
 * Connect and find out everything: QEMU's version, pid, machine type, CPUs,
 * devices, the RAM's mapping; map the RAM here too.  A guest that cannot be
 * protected is refused (COLO_VM_ERROR_UNPROTECTABLE).
 */
ColoVm *colo_vm_open(const ColoVmOptions *options, GError **error);
void colo_vm_free(ColoVm *vm);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ColoVm, colo_vm_free)

/* From now on: --qmp-timeout, where it was opened with less patience. */
void colo_vm_set_timeout(ColoVm *vm, gint64 timeout_us);

/*
 * Can the guest still be protected?  Others may plug memory and devices into a
 * QEMU that runs.  Both fail with COLO_VM_ERROR_UNPROTECTABLE if it cannot, and
 * the message says what to do; else as colo_vm_call().  Not in a capture.
 *
 * again: all of colo_vm_open()'s checks that can have changed, and the machine
 * is described anew: what colo_vm_description() returned before is freed.  If it
 * fails that stays as it was.  Some fifteen round trips, and two for each
 * device.
 * quick: only whether memory was plugged in; one round trip.
 */
gboolean colo_vm_check_again(ColoVm *vm, GError **error);
gboolean colo_vm_check_quick(ColoVm *vm, GError **error);

pid_t colo_vm_pid(const ColoVm *vm);
guint64 colo_vm_ram_addr(const ColoVm *vm);   /* in QEMU's address space */
guint8 *colo_vm_ram(const ColoVm *vm);        /* our mapping, read and write */
gsize colo_vm_ram_bytes(const ColoVm *vm);

/*
 * The next part of the RAM at or after byte from that was never written: a
 * hole of its file, all zero, [*start, *end).  FALSE: none, or not known.
 */
gboolean colo_vm_ram_hole(const ColoVm *vm, gsize from, gsize *start,
                          gsize *end);

/*
 * How many bytes from from on are of such a hole; 0: from is not in one, or
 * that is not known.  A single lseek(2), and quick where there is data.
 */
gsize colo_vm_ram_zeros(const ColoVm *vm, gsize from);
const char *colo_vm_qemu_version(const ColoVm *vm);  /* "7.2.22" */
const char *colo_vm_machine(const ColoVm *vm);       /* "pc-i440fx-7.2" */

/* When QEMU was started (clock ticks, /proc/PID/stat): tells a pid reused. */
guint64 colo_vm_start_time(const ColoVm *vm);

/*
 * Why QEMU or the guest was shut down ("guest-shutdown", "host-qmp-quit",
 * ...), NULL if it was not.  QEMU gone (COLO_VM_ERROR_GONE) with a reason
 * ended in order, without one it was killed or crashed.
 */
const char *colo_vm_shutdown_reason(const ColoVm *vm);

/*
 * Ask QEMU for a sign of life and wait for it, --qmp-timeout at most: fails
 * with COLO_VM_ERROR_HUNG or _GONE.
 */
gboolean colo_vm_check_alive(ColoVm *vm, GError **error);

/*
 * For how long QEMU may be silent in all, in us; --qmp-timeout at least.  Asked
 * for each command, and again whenever that time is over (waited_us: for how
 * long it has been silent): more may depend on the answer by then.  NULL:
 * --qmp-timeout.  Called from inside colo_vm_*(); must not call back.
 */
typedef gint64 (*ColoVmPatienceFunc)(gint64 waited_us, gpointer user_data);
void colo_vm_set_patience(ColoVm *vm, ColoVmPatienceFunc patience,
                          gpointer user_data);

/* Is the guest running, as far as the events read so far say? */
gboolean colo_vm_running(const ColoVm *vm);

/*
 * When it was last resumed and its clocks began to go (monotonic clock), by
 * whomever; 0: not since vm was opened.
 */
gint64 colo_vm_resumed_us(const ColoVm *vm);

/*
 * The machine as canonical JSON (QEMU version, machine, RAM, CPUs, PCI and
 * other devices); owned by vm, until colo_vm_check_again() succeeds.
 * colo_vm_check_same() compares the other side's with ours and names the
 * first difference (COLO_VM_ERROR_MISMATCH).  theirs comes from the peer: not
 * trusted.
 */
const char *colo_vm_description(const ColoVm *vm);
gboolean colo_vm_check_same(ColoVm *vm, const char *theirs, GError **error);

/* For poll(2), and what to call when readable: delivers events. */
int colo_vm_fd(const ColoVm *vm);
gboolean colo_vm_dispatch(ColoVm *vm, GError **error);

/*
 * --- Others' commands ---------------------------------------------------
 * For parts of colod that have something of their own in this QEMU; the
 * connection is the only one.  Not for stop, cont, nor anything else that
 * this file does.
 *
 * call: one command and its answer, within --qmp-timeout.  args: transfer
 * full, or NULL.  Returns the value of "return" (transfer full) or NULL:
 * COLO_VM_ERROR_FAILED with QEMU's words, _HUNG or _GONE.  Not in a capture:
 * the answer would come behind the device state's.
 *
 * The hook sees each event as QEMU sent it (data may be NULL), besides
 * on_event and under the same rules.  There is one; NULL takes it away.
 */
JsonNode *colo_vm_call(ColoVm *vm, const char *command, JsonObject *args,
                       GError **error);

typedef void (*ColoVmHookFunc)(const char *event, JsonObject *data,
                               gpointer user_data);
void colo_vm_set_hook(ColoVm *vm, ColoVmHookFunc hook, gpointer user_data);

/*
 * --- Primary: capture -------------------------------------------------
 * begin: sends stop and xen-save-devices-state in one write and returns as
 * soon as the guest is stopped; QEMU goes on saving while the caller
 * collects and copies pages (saving devices does not write RAM: QEMU's own
 * migration saves RAM first).
 * state: waits for the device state.  *state stays valid until the next
 * begin and is owned by vm; it is in the form that colo_vm_load() takes.
 * end: to be called when all was copied; resumes the guest.  Afterwards
 * paused_us says for how long it was stopped, from QEMU's STOP event until
 * the reply to our cont was read.
 *
 * A guest that somebody else stopped is not captured, and one that somebody
 * else resumed in between makes state or end fail, both with
 * COLO_VM_ERROR_DISTURBED: the capture must be thrown away.  After begin
 * succeeded, end must be called whatever happened in between; it leaves
 * the guest running unless somebody else had stopped it.  Not seen is a
 * stop by somebody else while the capture holds the guest: QEMU tells
 * nobody of it, and end resumes the guest all the same.
 *
 * After COLO_VM_ERROR_HUNG or _GONE the stop may still be carried out: the
 * guest is stopped or not when vm is opened again; colo_vm_cont() then.
 *
 * reads: colo_vm_disk_reads() when the guest had stopped and QEMU had waited
 * for all that was under way; owned by vm, valid until the next begin.  NULL
 * if not known, or if begin was not told to count.
 */
gboolean colo_vm_capture_begin(ColoVm *vm, gboolean count_reads,
                               GError **error);
const char *colo_vm_capture_reads(const ColoVm *vm);
gboolean colo_vm_capture_state(ColoVm *vm, const guint8 **state, gsize *len,
                               GError **error);
gboolean colo_vm_capture_end(ColoVm *vm, gint64 *paused_us, GError **error);

/*
 * --- Secondary: restore -----------------------------------------------
 * prepare: once, with the guest stopped: gives QEMU a small image in memory
 * to load states from, takes away what an earlier colod left, and loads the
 * guest's own state once as a trial.  The image is taken away by
 * colo_vm_free().  state_room is the largest device state that can be loaded.
 * load: the guest must be stopped (colo_vm_stop); the caller has put the
 * pages into RAM.  Resets and loads devices; the reset writes to RAM, so
 * the caller restores what the tracker then reports.  After a failure the
 * guest must not run before a load succeeded.
 *
 * load_following: the same of a guest that runs on since since_us (monotonic
 * clock; 0: it does not, or nobody knows).  The loaded guest's clocks are moved
 * forward by the time from then to the colo_vm_cont() that follows, which may
 * wait a few ms for it, so that both guests' clocks agree from there on.
 * *moved_us: by how much; 0 if they show what the state shows: with KVM, if
 * QEMU's clock is not the state's first section (vm-timer.h), for the first
 * state of that guest, and where since_us cannot be right.
 * forget_clock: the states that follow are another guest's.
 */
gboolean colo_vm_restore_prepare(ColoVm *vm, GError **error);
gsize colo_vm_state_room(const ColoVm *vm);
gboolean colo_vm_load(ColoVm *vm, const guint8 *state, gsize len,
                      GError **error);
gboolean colo_vm_load_following(ColoVm *vm, const guint8 *state, gsize len,
                                gint64 since_us, gint64 *moved_us,
                                GError **error);
void colo_vm_forget_clock(ColoVm *vm);

/*
 * How often each of the guest's disks has been read so far, as a text to
 * compare (transfer full); NULL if not known.  Not in a capture.
 */
char *colo_vm_disk_reads(ColoVm *vm);

/*
 * QEMU's main thread before all that is not urgent: on a host full of busy
 * guests it would wait for a processor with each command while the guest
 * stands still.  Undone by colo_vm_open(), too, where a predecessor did not.
 * Needs CAP_SYS_NICE; without it nothing changes.  A thread that somebody
 * gave a policy of its own is left alone.
 */
void colo_vm_hurry(ColoVm *vm, gboolean on);

/*
 * QEMU's main thread does not preempt its vCPUs, nor others (SCHED_BATCH).  In
 * lockstep each packet wakes several processes on each host, and what a vCPU
 * loses by each is more than what the packet costs; what waits for it a moment
 * is done together.  With a free processor nothing waits.  Undone and left
 * alone as with colo_vm_hurry(), and by colo_vm_free().
 */
void colo_vm_patient(ColoVm *vm, gboolean on);

/* Stop and resume as our own act (no ColoVmEvent). Idempotent. */
gboolean colo_vm_stop(ColoVm *vm, GError **error);
gboolean colo_vm_cont(ColoVm *vm, GError **error);

#endif
