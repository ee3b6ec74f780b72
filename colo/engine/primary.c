/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The primary's engine: its loop, the VM, and when to do what. */
#include "colo/engine/primary.h"
#include "colo/log.h"

#include <fcntl.h>
#include <poll.h>
#include <string.h>
#include <unistd.h>

#define SMALL_PAGES   512   /* so few are copied within the pause */
#define CALM_PAGES    1024  /* after so few, no round ahead is worth it */
#define MAX_ROUNDS    4
#define COPY_ROUNDS   30
#define AHEAD_MIN_US  (100 * 1000)
#define AHEAD_LONG_US (400 * 1000) /* the same, with long delays */
#define AHEAD_MAX_US  (1000 * 1000)
#define AHEAD_ROUNDS  50    /* in a delay, within these bounds */
#define AHEAD_PAGES   256   /* fewer wait for the checkpoint */
#define REOPEN_US     (1000 * 1000)
#define CHECK_US      (1000 * 1000) /* whether it can still be protected */
#define MAX_NACKS     3
#define MAX_FAILURES  3
#define FAILED_US     (100 * 1000)  /* between captures that failed */
#define GIVE_UP_US    (5 * 1000 * 1000) /* and after so many in a row */

/* The pool: a part of what may be used besides the guest's own RAM. */
static gsize pool_bytes(gsize ram_bytes)
{
    return (16u << 20) + ram_bytes / 16;
}

/* --- The VM ------------------------------------------------------------ */

/* Shut down by the guest or by QEMU's quit: no failure. */
static void guest_shut_down(Primary *p)
{
    ColoEngine *e = p->e;

    primary_end_session(p, FT_CANCEL_GUEST_SHUTDOWN, e->shutdown_reason);
    colo_engine_step(e, COLO_ON_SHUTDOWN,
                     "the guest shut down (%s): protection has ended",
                     e->shutdown_reason);
    primary_output_pass(p, TRUE);
}

static void forget_hung(Primary *p)
{
    if (p->hung >= 0) {
        close(p->hung);
        p->hung = -1;
    }
}

/* It was killed, as whatever does not answer is in the end. */
static void watch_hung(Primary *p)
{
    struct pollfd died = {.fd = p->hung, .events = POLLIN};

    if (poll(&died, 1, 0) > 0) {
        forget_hung(p);
        colo_engine_emit_exit(p->e, "error");
        colo_engine_step(p->e, COLO_ON_FAILURE,
                         "QEMU died, after it had not answered");
    }
}

/* The monitor's connection broke: death, or silence? */
static void lose_vm(Primary *p, const GError *error)
{
    ColoEngine *e = p->e;
    gboolean died;

    if (p->yielded) {
        colo_engine_close_vm(e); /* nobody misses it */
        return;
    }
    died = colo_engine_vm_died(e, error);
    if (e->saw_shutdown) {
        if (e->state != COLO_STATE_ENDED) {
            guest_shut_down(p);
        }
        colo_engine_close_vm(e);
        p->reopen_at = g_get_monotonic_time() + REOPEN_US;
        return;
    }
    if (died) {
        /* What it sent last, the secondary's guest did not. */
        if (p->session && p->epoch && colo_proxy_holds(e->proxy)) {
            colo_proxy_block(e->proxy);
        }
        /* By heartbeat and by stream: the first to arrive counts. */
        colo_heartbeat_say(e->heartbeat, COLO_STATE_FAILED, TRUE);
        primary_end_session(p, FT_CANCEL_VM_DIED, "the primary's QEMU died");
        colo_engine_close_vm(e);
        colo_engine_emit_exit(e, "error");
        colo_engine_step(e, COLO_ON_FAILURE, "QEMU died: %s", error->message);
        p->reopen_at = g_get_monotonic_time() + REOPEN_US;
        return;
    }
    primary_end_session(p, FT_CANCEL_FAILED,
                        "the primary's QEMU does not answer");
    forget_hung(p);
    p->hung = fcntl(e->pidfd, F_DUPFD_CLOEXEC, 0);
    colo_engine_close_vm(e);
    if (e->state != COLO_STATE_ALONE && e->state != COLO_STATE_ENDED &&
        e->state != COLO_STATE_FAILED) {
        colo_engine_step(e, COLO_ON_PEER_LOST,
                         "%s; trying to reach QEMU again", error->message);
    }
    primary_output_pass(p, FALSE);
    p->reopen_at = g_get_monotonic_time() + REOPEN_US;
}

static void vm_opened(Primary *p)
{
    gsize n = colo_vm_ram_bytes(p->e->vm) / COLO_PAGE_SIZE;

    if (p->dirty && p->dirty->n_bits != n) {
        g_clear_pointer(&p->dirty, colo_bitmap_free);
        g_clear_pointer(&p->pool, ft_pool_free);
    }
    if (!p->dirty) {
        p->dirty = colo_bitmap_new(n);
        p->pool = ft_pool_new(pool_bytes(n * COLO_PAGE_SIZE),
                              colo_mailbox_fd(p->e->mailbox));
    }
    primary_connect(p);
}

static gboolean open_vm(Primary *p, GError **error)
{
    if (!colo_engine_open_vm(p->e, REOPEN_US, error)) {
        return FALSE;
    }
    if (!primary_open_disks(p, error)) {
        colo_engine_close_vm(p->e);
        return FALSE;
    }
    return TRUE;
}

/* It was not there when it had to be stopped (I3). */
static void stop_yielded(Primary *p, GError **error)
{
    if (colo_engine_open_vm(p->e, REOPEN_US, error) &&
        colo_vm_stop(p->e->vm, error)) {
        p->stop_owed = FALSE;
        p->reopen_at = 0;
        colo_engine_note(p->e, "the secondary has taken over: this guest is "
                               "stopped now and must not run again");
    }
    colo_engine_close_vm(p->e);
}

static void reopen_vm(Primary *p)
{
    g_autoptr(GError) error = NULL;

    p->reopen_at = g_get_monotonic_time() + REOPEN_US;
    if (p->yielded) {
        stop_yielded(p, &error);
    } else if (open_vm(p, &error)) {
        p->reopen_at = 0;
        forget_hung(p);
        if (p->e->state == COLO_STATE_FAILED ||
            p->e->state == COLO_STATE_ENDED) {
            colo_engine_step(p->e, COLO_ON_START,
                             "QEMU is there again: waiting for the secondary");
        }
        if (p->e->state != COLO_STATE_ALONE) {
            vm_opened(p);
        }
    }
    colo_engine_note_reopen(p->e, error);
    watch_hung(p);
}

/* Only a yielded guest's stop is left to do, if that. */
static gboolean wants_vm(const Primary *p)
{
    return p->reopen_at && (!p->yielded || p->stop_owed);
}

void primary_ask_checkpoint(Primary *p, const char *kind, const char *why)
{
    p->due = TRUE;
    if (!p->request) {
        p->request = g_strdup(why);
        p->request_kind = kind;
    }
}

/* The one under way came to nothing. */
static void ask_again(Primary *p)
{
    primary_ask_checkpoint(p, p->reason_kind, p->reason);
}

static void take_vm_events(Primary *p)
{
    ColoEngine *e = p->e;

    if (e->saw_shutdown && e->state != COLO_STATE_ENDED &&
        e->state != COLO_STATE_FAILED) {
        guest_shut_down(p);
    }
    if (e->saw_resume && e->state == COLO_STATE_ENDED && e->vm) {
        /* QEMU was told not to end with it (-no-shutdown). */
        e->saw_shutdown = FALSE;
        colo_engine_step(e, COLO_ON_START,
                         "the guest runs again: waiting for the secondary");
        primary_connect(p);
    }
    if (e->saw_reset) {
        primary_ask_checkpoint(p, "reset", "reset");
    }
    if (e->saw_resume) {
        primary_ask_checkpoint(p, "resume", "resume");
    }
    e->saw_reset = e->saw_resume = e->saw_stop = FALSE;
}

/* --- Checkpoints ------------------------------------------------------- */

static void show_copy(Primary *p, gsize left)
{
    ColoStatus *s = p->e->status;

    if (p->e->state == COLO_STATE_SYNCING) {
        colo_status_lock(s);
        s->copy_done = s->copy_total - left * COLO_PAGE_SIZE;
        colo_status_unlock(s);
    }
}

/* QEMU is well but its state cannot be had: not to be tried all the time. */
static void cannot_capture(Primary *p, const GError *error)
{
    ColoEngine *e = p->e;

    p->failures = 0;
    primary_end_session(p, FT_CANCEL_FAILED,
                        "the primary cannot make checkpoints");
    colo_engine_close_vm(e);
    colo_engine_step(e, COLO_ON_PEER_LOST,
                     "no checkpoint can be made, the guest goes on "
                     "unprotected; trying again in %d s: %s",
                     GIVE_UP_US / 1000000, error->message);
    primary_output_pass(p, FALSE);
    p->reopen_at = g_get_monotonic_time() + GIVE_UP_US;
}

/*
 * The disks were not sealed: once more, some time later.  held: the output was,
 * before the capture.
 */
static void not_cut(Primary *p, gboolean held, const GError *error)
{
    if (!primary_cut_failed(p, error)) {
        g_clear_pointer(&p->session, g_free); /* a full copy heals all */
        primary_lose_link(p, error->message);
        return;
    }
    if (!held && colo_proxy_holds(p->e->proxy)) {
        colo_proxy_pass(p->e->proxy); /* it waited for nothing */
    }
    ask_again(p);
    p->phase = PHASE_IDLE;
    p->not_before = g_get_monotonic_time() + primary_cut_pause(p);
    p->next_checkpoint = g_get_monotonic_time() + p->delay_us;
}

/* What direct I/O makes the tracker look at, now and not in the pause. */
static void settle_ahead(Primary *p)
{
    if (colo_tracker_wants_reads(p->e->tracker)) {
        g_autofree char *reads = colo_vm_disk_reads(p->e->vm);

        colo_tracker_settle(p->e->tracker, reads, p->dirty);
    }
}

static void capture(Primary *p)
{
    ColoEngine *e = p->e;
    gboolean held = colo_proxy_holds(e->proxy);
    g_autoptr(GError) error = NULL;

    if (!colo_vm_running(e->vm)) {
        colo_engine_note(e, "the guest is stopped: the checkpoint waits until "
                            "it runs");
        ask_again(p);
        p->phase = PHASE_IDLE;
        return;
    }
    if (!primary_disks_are_ready(p)) {
        primary_wait_for_disks(p);
        ask_again(p);
        p->phase = PHASE_IDLE;
        return;
    }
    settle_ahead(p);
    if (primary_capture(p, &error)) {
        p->phase = PHASE_COMMITTING;
        return;
    }
    colo_status_lock(e->status);
    e->status->cancelled++;
    colo_status_unlock(e->status);
    if (colo_engine_vm_lost(error)) {
        lose_vm(p, error);
    } else if (error->domain == COLO_VM_ERROR) {
        if (error->code != COLO_VM_ERROR_DISTURBED) {
            if (++p->failures >= MAX_FAILURES) {
                cannot_capture(p, error);
                return;
            }
            p->not_before = g_get_monotonic_time() + FAILED_US;
        }
        colo_log_warn("%s", error->message);
        /* Once more, when the guest runs; the pages sent stay sent. */
        ask_again(p);
        p->phase = PHASE_IDLE;
        p->next_checkpoint = g_get_monotonic_time() + p->delay_us;
    } else if (error->domain == COLO_DISK_ERROR) {
        not_cut(p, held, error);
    } else if (g_error_matches(error, G_IO_ERROR, G_IO_ERROR_TIMED_OUT)) {
        primary_lose_link(p, error->message);
    } else {
        lose_vm(p, error); /* the tracker broke: begin anew */
    }
}

/* Send ahead until what is left is small, then capture. */
static void close_transaction(Primary *p)
{
    ColoEngine *e = p->e;
    gboolean full = e->state == COLO_STATE_SYNCING;
    int max = full ? COPY_ROUNDS : MAX_ROUNDS;
    g_autoptr(GError) error = NULL;

    while (p->phase == PHASE_CLOSING) {
        gsize left;

        if (!full && p->rounds == 0 && !p->open &&
            p->last_pages < CALM_PAGES) {
            capture(p);
            return;
        }
        if (!primary_send_ahead(p)) {
            show_copy(p, colo_bitmap_count(p->dirty));
            return; /* a buffer that comes back wakes us */
        }
        if (!colo_tracker_collect(e->tracker, p->dirty, FALSE, &error)) {
            lose_vm(p, error);
            return;
        }
        left = colo_bitmap_count(p->dirty);
        show_copy(p, left);
        p->rounds++;
        if (left <= SMALL_PAGES || p->rounds >= max ||
            left > p->last_round / 4 * 3) {
            capture(p);
            return;
        }
        p->last_round = left;
    }
}

static void begin_closing(Primary *p)
{
    g_free(p->reason);
    p->grid = p->due ? g_get_monotonic_time() : p->next_checkpoint;
    p->reason_kind = p->due ? p->request_kind : "timer";
    p->reason = p->due ? g_steal_pointer(&p->request) : g_strdup("timer");
    g_clear_pointer(&p->request, g_free);
    p->due = FALSE;
    p->phase = PHASE_CLOSING;
    p->rounds = 0;
    p->last_round = G_MAXSIZE;
}

/*
 * Each round costs the guest a fault for every page that it writes after it,
 * and what it writes again was sent in vain: with long delays there are fewer.
 */
static gint64 ahead_least(const Primary *p)
{
    return CLAMP(p->delay_us / AHEAD_ROUNDS, AHEAD_MIN_US, AHEAD_LONG_US);
}

/* Between checkpoints: send what piles up. */
static void send_some_ahead(Primary *p, gint64 now)
{
    g_autoptr(GError) error = NULL;
    gsize n;

    if (!colo_tracker_collect(p->e->tracker, p->dirty, FALSE, &error)) {
        lose_vm(p, error);
        return;
    }
    n = colo_bitmap_count(p->dirty);
    if (n >= AHEAD_PAGES) {
        primary_send_ahead(p);
        p->ahead_interval = ahead_least(p);
    } else {
        p->ahead_interval = MIN(p->ahead_interval * 2, AHEAD_MAX_US);
    }
    p->next_ahead = now + p->ahead_interval;
}

static void cannot_protect(Primary *p, const GError *error)
{
    if (colo_engine_vm_lost(error)) {
        lose_vm(p, error);
    } else {
        cannot_capture(p, error);
    }
}

static gboolean wants_check(const Primary *p)
{
    return p->e->vm && p->e->state < COLO_STATE_TAKEOVER &&
           (p->phase == PHASE_IDLE || p->phase == PHASE_OFFLINE);
}

/*
 * Memory that was plugged in is in no checkpoint, and a device that was is in
 * no secondary: the first ends a session, with the second none can begin.
 */
static void check_vm(Primary *p, gint64 now)
{
    ColoVm *vm = p->e->vm;
    g_autofree char *before = NULL;
    g_autoptr(GError) error = NULL;

    p->next_check = now + CHECK_US;
    if (p->phase == PHASE_IDLE) {
        if (!colo_vm_check_quick(vm, &error)) {
            cannot_protect(p, error);
        }
        return;
    }
    before = g_strdup(colo_vm_description(vm));
    if (!colo_vm_check_again(vm, &error)) {
        cannot_protect(p, error);
    } else if (strcmp(before, colo_vm_description(vm))) {
        colo_log_info("the guest's devices have changed");
        primary_connect(p);
    }
}

static void work(Primary *p)
{
    gint64 now = g_get_monotonic_time();

    if (wants_vm(p) && now >= p->reopen_at) {
        reopen_vm(p);
    }
    if (wants_check(p) && now >= p->next_check) {
        check_vm(p, now);
    }
    if (!p->e->vm) {
        return;
    }
    if (p->phase == PHASE_IDLE && colo_vm_running(p->e->vm)) {
        if (now >= p->not_before && primary_disks_are_ready(p) &&
            (p->due || now >= p->next_checkpoint)) {
            begin_closing(p);
        } else if (now >= p->next_ahead) {
            send_some_ahead(p, now);
        }
    }
    if (p->phase == PHASE_CLOSING) {
        close_transaction(p);
    }
}

/* --- Messages ---------------------------------------------------------- */

static void acknowledged(Primary *p, guint64 epoch)
{
    gint64 now = g_get_monotonic_time();

    if (p->phase != PHASE_COMMITTING || epoch != p->epoch + 1) {
        return;
    }
    primary_committed(p, epoch);
    p->phase = PHASE_IDLE;
    /* On a grid: how long a checkpoint takes does not shift the next. */
    p->next_checkpoint = MAX(p->grid + p->delay_us, now);
    p->next_ahead = p->delay_us > 2 * AHEAD_MIN_US ? now + p->ahead_interval
                                                   : G_MAXINT64;
}

static void refused(Primary *p, const ColoMsg *m)
{
    ColoStatus *s = p->e->status;

    colo_status_lock(s);
    s->failed++;
    colo_status_unlock(s);
    colo_log_warn("the secondary refused a transaction: %s", m->text);
    colo_proxy_cancel(p->e->proxy);
    ft_log_lost(p->log, m->ft.note.n_good, p->dirty);
    ft_log_reset(p->log);
    p->open = FALSE;
    if (++p->nacks >= MAX_NACKS) {
        g_clear_pointer(&p->session, g_free); /* a full copy heals all */
        primary_lose_link(
            p, "the secondary refused several transactions in a row");
        return;
    }
    if (p->phase == PHASE_COMMITTING) {
        p->phase = PHASE_CLOSING;
        p->rounds = 0;
        p->last_round = G_MAXSIZE;
    }
}

static void ft_event(Primary *p, const ColoMsg *m)
{
    if (m->number != p->generation || !p->sender) {
        return;
    }
    switch (m->ft.type) {
    case FT_EVENT_ACK:
        acknowledged(p, m->ft.epoch);
        break;
    case FT_EVENT_NACK:
        if (m->ft.id == p->id) { /* else of one given up meanwhile */
            refused(p, m);
        }
        break;
    case FT_EVENT_CANCEL:
        primary_peer_left(p, m);
        break;
    case FT_EVENT_LOST:
        primary_lose_link(p, m->text);
        break;
    }
}

static void take(Primary *p, ColoMsg *m)
{
    switch (m->type) {
    case COLO_MSG_LINK_UP:
        primary_link_up(p, m->data);
        colo_link_up_free(m->data);
        break;
    case COLO_MSG_LINK_FAILED:
        primary_link_failed(p, (guint32)m->number, m->text);
        break;
    case COLO_MSG_FT_EVENT:
        ft_event(p, m);
        break;
    case COLO_MSG_CHECKPOINT:
        primary_ask_checkpoint(p, "request", m->text);
        break;
    case COLO_MSG_SET_DELAY:
        p->delay_us = m->number * 1000;
        p->next_checkpoint =
            MIN(p->next_checkpoint, g_get_monotonic_time() + p->delay_us);
        break;
    case COLO_MSG_LOST_HEARTBEAT:
        primary_end_replication(p);
        break;
    case COLO_MSG_HEARTBEAT_LOST:
        if (colo_heartbeat_is_lost(p->e->heartbeat)) { /* not back since */
            primary_heartbeat_lost(p);
        }
        break;
    case COLO_MSG_HEARTBEAT_BACK:
        colo_log_info("the secondary's heartbeat is back");
        break;
    case COLO_MSG_QUIT:
        p->e->quit = TRUE;
        break;
    default:
        break; /* PEER_VM_DIED: its ft stream says what there is to say */
    }
}

static gint64 next_wake(const Primary *p)
{
    gint64 at = G_MAXINT64;

    if (wants_vm(p)) {
        at = p->reopen_at;
    }
    if (p->phase == PHASE_IDLE && p->e->vm && colo_vm_running(p->e->vm)) {
        gboolean ready = primary_disks_are_ready(p);

        at = !ready   ? p->next_ahead
             : p->due ? p->not_before
                      : MAX(MIN(p->next_checkpoint, p->next_ahead),
                            p->not_before);
    }
    if (wants_check(p)) {
        at = MIN(at, p->next_check);
    }
    if (p->pass_at) {
        at = MIN(at, p->pass_at);
    }
    if (p->stalled_at) {
        at = MIN(at, p->stalled_at);
    }
    if (p->old_at) {
        at = MIN(at, p->old_at);
    }
    return at == G_MAXINT64 ? -1 : at;
}

static void watch(Primary *p)
{
    primary_watch_disks(p);
    primary_watch_age(p);
    primary_watch_proxy(p);
}

void colo_primary_run(ColoEngine *e)
{
    Primary p = {
        .e = e,
        .log = ft_log_new(),
        .ahead_interval = AHEAD_MIN_US,
        .phase = PHASE_OFFLINE,
        .hung = -1,
    };
    g_autoptr(GError) wrong = NULL;
    ColoMsg *m;

    if (!primary_open_disks(&p, &wrong)) {
        colo_log_error("%s", wrong->message);
        e->failed = TRUE;
        ft_log_free(p.log);
        return;
    }
    colo_status_lock(e->status);
    p.delay_us = e->status->delay_ms * 1000; /* changed, while QEMU started */
    colo_status_unlock(e->status);
    p.link = primary_link_new(e->config, e->mailbox);
    colo_engine_step(e, COLO_ON_START, "waiting for the secondary at %s",
                     e->status->peer);
    vm_opened(&p);

    while (!e->quit) {
        g_autoptr(GError) error = NULL;

        if (!colo_engine_wait(e, next_wake(&p), &error)) {
            lose_vm(&p, error);
        }
        take_vm_events(&p);
        watch(&p);
        while ((m = colo_mailbox_take(e->mailbox))) {
            take(&p, m);
            colo_msg_free(m);
        }
        work(&p);
        watch(&p); /* what was heard while it worked */
    }

    colo_engine_say_end(e, primary_has_peer(&p));
    primary_end_session(&p, FT_CANCEL_REQUEST,
                        "the primary's colod was stopped");
    if (e->state != COLO_STATE_FAILED) {
        primary_output_pass(&p, TRUE);
    }
    forget_hung(&p);
    primary_link_free(p.link);
    primary_detach_disks(&p);
    colo_engine_close_vm(e);
    while ((m = colo_mailbox_take(e->mailbox))) {
        if (m->type == COLO_MSG_LINK_UP) {
            colo_link_up_free(m->data);
        }
        colo_msg_free(m);
    }
    colo_bitmap_free(p.dirty);
    ft_log_free(p.log);
    ft_pool_free(p.pool);
    g_free(p.session);
    g_free(p.request);
    g_free(p.reason);
}
