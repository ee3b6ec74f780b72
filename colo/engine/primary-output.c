/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The primary's output: what the proxy is told, and what its news mean.
 *
 * While protection is claimed the proxy holds what no checkpoint covers
 * (I1).  When that ends, what is held must leave some time, or the clients
 * of a living guest would wait for ever; but not before it is known that no
 * secondary goes on from an older state.  So it is released at once when the
 * session ended in order, and after a grace when the peer just vanished: if
 * it comes back meanwhile, nothing was released.
 */
#include "colo/engine/primary.h"
#include "colo/log.h"

/*
 * How long a checkpoint may take that output has waited for too long for.
 * The proxy itself waits for 1 s before it passes.
 */
#define STALLED_US (500 * 1000)

/* Can a checkpoint cover what the proxy holds? */
static gboolean may_cover(const Primary *p)
{
    return colo_proxy_is_ready(p->e->proxy) && primary_disks_are_well(p);
}

/* How long the proxy may go on holding in this state; -1: as it likes. */
static gint64 grace_us(const Primary *p)
{
    const ColoEngine *e = p->e;
    gint64 timeout = e->config->hb_timeout_ms * 1000;

    switch (e->state) {
    case COLO_STATE_SYNCING:
    case COLO_STATE_ACTIVE:
        return may_cover(p) ? -1 : timeout;
    case COLO_STATE_DEGRADED:
        /*
         * A lost proxy or disk may be the first sign of a lost host: the
         * heartbeat gets the time to say so.  Or all is well again soon.
         */
        return may_cover(p) && (p->due || p->phase == PHASE_CLOSING ||
                                colo_proxy_captured(e->proxy))
                   ? -1
                   : timeout;
    case COLO_STATE_WAITING:
    case COLO_STATE_PAUSED:
    case COLO_STATE_UNPROTECTED:
        return 2 * timeout;
    case COLO_STATE_ALONE:
    case COLO_STATE_ENDED:
        return 0;
    default:
        return -1; /* failed: what a dead guest sent stays here */
    }
}

void primary_output_pass(Primary *p, gboolean orderly)
{
    ColoProxy *proxy = p->e->proxy;

    p->held_since = p->pass_at = 0;
    if (!colo_proxy_holds(proxy)) {
        return;
    }
    if (p->e->config->fail_closed && !orderly) {
        p->pass_at = G_MAXINT64; /* decided: not before the next capture */
        colo_log_warn("the guest's output is held until it is protected "
                      "again (--fail-closed)");
        return;
    }
    colo_log_info("the guest's output passes unprotected");
    colo_proxy_pass(proxy);
}

void primary_output_begin(Primary *p, gboolean orderly)
{
    if (colo_proxy_holds(p->e->proxy)) {
        primary_output_pass(p, orderly);
    } else {
        colo_proxy_pass(p->e->proxy);
    }
}

void primary_output_restart_grace(Primary *p)
{
    if (p->pass_at != G_MAXINT64) {
        p->held_since = p->pass_at = 0;
    }
}

gboolean primary_output_is_captured(const Primary *p)
{
    /* Without the peer's proxy it would hold what nobody compares. */
    return colo_proxy_is_ready(p->e->proxy) || p->e->config->fail_closed;
}

/*
 * Proxies, disks and link go before the heartbeat is called lost, when a host
 * goes: one that lives was heard of in the second half of the grace.  (Where
 * the heartbeat is known to be lost the grace has begun anew.)
 */
static gboolean may_be_lost(const Primary *p, gint64 grace)
{
    return primary_has_peer(p) && p->e->state <= COLO_STATE_PAUSED &&
           colo_heartbeat_heard_at(p->e->heartbeat) <=
               p->held_since + grace / 2;
}

static void watch_grace(Primary *p)
{
    gint64 grace = grace_us(p), now = g_get_monotonic_time();

    if (!colo_proxy_holds(p->e->proxy) || grace < 0) {
        p->held_since = p->pass_at = 0;
        return;
    }
    if (p->pass_at == G_MAXINT64) {
        return;
    }
    p->held_since = p->held_since ? p->held_since : now;
    p->pass_at = p->held_since + grace;
    if (now < p->pass_at) {
        return;
    }
    if (may_be_lost(p, grace)) {
        p->pass_at = now + p->e->config->hb_interval_ms * 1000;
    } else {
        primary_output_pass(p, p->e->state >= COLO_STATE_TAKEOVER);
    }
}

/* For how long its checkpoint is all that a lost host needs; -1: it remains. */
static gint64 good_for_us(const Primary *p)
{
    const ColoEngine *e = p->e;
    gint64 timeout = e->config->hb_timeout_ms * 1000;

    if (e->config->fail_closed && colo_proxy_holds(e->proxy)) {
        return -1; /* nobody has heard more */
    }
    switch (e->state) {
    case COLO_STATE_SYNCING:
    case COLO_STATE_ACTIVE:
    case COLO_STATE_DEGRADED:
        return primary_disks_are_well(p) ? -1 : timeout;
    case COLO_STATE_WAITING:
    case COLO_STATE_PAUSED:
    case COLO_STATE_UNPROTECTED:
        return 2 * timeout;
    default:
        return -1;
    }
}

/*
 * A lost link or disk may be the first sign of a lost host, and that host's
 * guest has to be taken over.  So the checkpoint is called old when output
 * passes; without a proxy, when it would.
 */
void primary_watch_age(Primary *p)
{
    ColoEngine *e = p->e;
    gint64 good = p->epoch ? good_for_us(p) : -1;
    gint64 now = g_get_monotonic_time();
    gboolean old = FALSE;

    p->old_at = 0;
    if (e->state >= COLO_STATE_TAKEOVER) {
        return; /* what was said last holds for a dead guest */
    }
    if (good < 0) {
        p->aging_since = 0;
    } else {
        p->aging_since = p->aging_since ? p->aging_since : now;
        old = now >= p->aging_since + good ||
              (colo_proxy_is_wanted(e->proxy) && !colo_proxy_holds(e->proxy));
        p->old_at = old ? 0 : p->aging_since + good;
    }
    colo_heartbeat_say_stale(e->heartbeat, old);
}

/*
 * Output was held for too long: one more checkpoint may help, as where they
 * are rare.  TRUE: it did not.
 */
static gboolean is_stalled(Primary *p)
{
    gboolean news = colo_proxy_take_stalled(p->e->proxy);
    gint64 now = g_get_monotonic_time();

    if (p->e->state != COLO_STATE_ACTIVE) {
        p->stalled_at = 0;
        return news;
    }
    if (news && !p->stalled_at) {
        p->stalled_at = now + STALLED_US;
        if (p->phase == PHASE_IDLE) {
            primary_ask_checkpoint(p, "stalled",
                                   "output was held for too long");
        }
    }
    if (!p->stalled_at || now < p->stalled_at) {
        return FALSE;
    }
    p->stalled_at = 0;
    return TRUE;
}

void primary_watch_proxy(Primary *p)
{
    ColoEngine *e = p->e;
    ColoProxy *proxy = e->proxy;
    gboolean lost = colo_proxy_take_lost(proxy);
    gboolean stalled = is_stalled(p);
    gboolean ready = colo_proxy_is_ready(proxy);
    char *request = colo_proxy_take_request(proxy);

    if (request) {
        if (e->state == COLO_STATE_ACTIVE || e->state == COLO_STATE_DEGRADED) {
            primary_ask_checkpoint(p, "divergence", request);
        }
        g_free(request);
    }
    if (e->state == COLO_STATE_ACTIVE && colo_proxy_is_wanted(proxy) &&
        (lost || stalled || !ready)) {
        colo_engine_degrade(e,
                            "checkpoints go on, but clients' connections are "
                            "not protected: %s",
                            stalled ? "the guest's output was held for too long"
                                    : colo_proxy_why(proxy));
    }
    if (stalled && (e->state == COLO_STATE_DEGRADED ||
                    e->state == COLO_STATE_SYNCING)) {
        primary_output_pass(p, FALSE);
    }
    /* The next checkpoint makes it right; once for each time it is ready. */
    if (e->state == COLO_STATE_DEGRADED && may_cover(p) && !p->healing) {
        primary_ask_checkpoint(p, "proxy", "the proxy is ready");
    }
    p->healing = e->state == COLO_STATE_DEGRADED && may_cover(p);
    watch_grace(p);
}
