/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Clients of the test guest, as a program: keeps sessions going until SIGTERM
 * or for some time, and prints what they saw as JSON, one object a line.
 *
 *   open: every session has had an answer
 *   mark: after SIGUSR1, when every session has been answered a request made
 *         after it; figures since the mark before
 *   end:  figures of the whole run; records that were sent are answered
 *
 * Exit status 1 if a byte was wrong or a connection was lost.
 */
#include "tests/net/session.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/signalfd.h>
#include <unistd.h>

#define COUNT_MAX 4096

static LoadOptions o = {
    .size = 1 << 20, .stall_s = 30, .port = SERVICE_HTTP_PORT};
static int seconds, limit = 3600;
static char *family;
static gint64 print_pattern = -1;

#define COUNT(name, kind, text)                                                \
    {                                                                          \
        name, 0, 0, G_OPTION_ARG_INT, &o.counts[kind], text, "N"               \
    }

static const GOptionEntry entries[] = {
    COUNT("download", KIND_DOWNLOAD, "sessions that get --size bytes"),
    COUNT("upload", KIND_UPLOAD, "that post --size bytes"),
    COUNT("tiny", KIND_TINY, "that get a tiny page on one connection"),
    COUNT("short", KIND_SHORT, "that connect for each tiny page"),
    COUNT("random", KIND_RANDOM, "that get what differs in each guest"),
    COUNT("counter", KIND_COUNTER, "that count in the guest's memory"),
    COUNT("echo", KIND_ECHO, "that send lines"),
    COUNT("dial", KIND_DIAL, "that do so on the guest's own connection"),
    COUNT("udp", KIND_UDP, "that send datagrams"),
    COUNT("ping", KIND_PING, "that ping"),
    COUNT("record", KIND_RECORD, "that send records for the guest's disk"),
    COUNT("fsync", KIND_FSYNC, "that have 16 pages written and synced"),
    COUNT("write", KIND_WRITE, "that have --size bytes written and synced"),
    {"size", 0, 0, G_OPTION_ARG_INT64, &o.size,
     "of downloads, uploads and writes", "BYTES"},
    {"port", 0, 0, G_OPTION_ARG_INT, &o.port, "of the HTTP server (80)", "N"},
    {"fresh", 0, 0, G_OPTION_ARG_NONE, &o.fresh,
     "connect for each exchange, as short sessions do", NULL},
    {"pace", 0, 0, G_OPTION_ARG_INT, &o.pace_ms, "between exchanges (0)", "MS"},
    {"count", 0, 0, G_OPTION_ARG_INT, &o.exchanges,
     "exchanges of each session (no end)", "N"},
    {"seconds", 0, 0, G_OPTION_ARG_INT, &seconds, "to run (until SIGTERM)",
     "S"},
    {"limit", 0, 0, G_OPTION_ARG_INT, &limit, "ends in any case (3600)", "S"},
    {"stall", 0, 0, G_OPTION_ARG_INT, &o.stall_s,
     "a session without progress is lost (30)", "S"},
    {"family", 0, 0, G_OPTION_ARG_STRING, &family, "4, 6 or both (both)", "F"},
    {"target", 0, 0, G_OPTION_ARG_STRING, &o.target, "the guest", "ADDRESS"},
    {"target6", 0, 0, G_OPTION_ARG_STRING, &o.target6, "the guest", "ADDRESS"},
    {"save", 0, 0, G_OPTION_ARG_FILENAME, &o.save,
     "write the first download session's bytes there", "FILE"},
    {"pattern", 0, 0, G_OPTION_ARG_INT64, &print_pattern,
     "print what a download of N bytes is, and end", "N"},
    {NULL, 0, 0, 0, NULL, NULL, NULL},
};

static void fail(const char *text)
{
    g_printerr("net-client: %s\n", text);
    exit(2);
}

static void parse(int argc, char **argv)
{
    g_autoptr(GOptionContext) context = g_option_context_new(NULL);
    g_autoptr(GError) error = NULL;
    int n = 0;

    g_option_context_add_main_entries(context, entries, NULL);
    if (!g_option_context_parse(context, &argc, &argv, &error) || argc > 1) {
        fail(error ? error->message : "no arguments but options");
    }
    for (int k = 0; k < KIND_N; k++) {
        if (o.counts[k] < 0 || o.counts[k] > COUNT_MAX) {
            fail("there are 0 to 4096 sessions of a kind");
        }
        n += o.counts[k];
    }
    if (o.counts[KIND_RECORD] > (int)SERVICE_FILES) {
        fail("there are 64 files of records");
    }
    if (!n && print_pattern < 0) {
        fail("which sessions?");
    }
    if (o.size < 0 || o.size > (gint64)SERVICE_SIZE_MAX || o.pace_ms < 0 ||
        o.exchanges < 0 || o.port < 1 || o.port > 65535 || o.stall_s < 1 ||
        seconds < 0 || limit < 1) {
        fail("a number is out of range");
    }
    o.v4 = !family || !strcmp(family, "4") || !strcmp(family, "both");
    o.v6 = !family || !strcmp(family, "6") || !strcmp(family, "both");
    if (!o.v4 && !o.v6) {
        fail("--family is 4, 6 or both");
    }
    o.target = o.target ? o.target : g_strdup("10.77.3.100");
    o.target6 = o.target6 ? o.target6 : g_strdup("fd77:3::100");
}

static void write_pattern(const guint8 *pattern, guint64 left)
{
    guint64 at = 0;

    while (left) {
        gsize n = service_piece(at, left);

        if (fwrite(pattern + at % SERVICE_PERIOD, 1, n, stdout) != n) {
            exit(1);
        }
        at += n;
        left -= n;
    }
}

/* --- Marks --------------------------------------------------------------- */

static void clear_marks(Load *l)
{
    for (int k = 0; k < KIND_N; k++) {
        if (l->mark[k].ms) {
            g_array_unref(l->mark[k].ms);
        }
        memset(&l->mark[k], 0, sizeof(l->mark[k]));
    }
}

/* Gaps go from the sessions to the figures, those that last included. */
static void gather_gaps(Load *l)
{
    for (guint i = 0; i < l->sessions->len; i++) {
        Session *s = l->sessions->pdata[i];
        Figures *f[] = {&l->total[s->kind], &l->mark[s->kind]};
        gint64 begun = s->since_us;

        if (s->state != STATE_IDLE && s->state != STATE_OVER) {
            session_progress(s); /* counts the one that lasts */
            s->since_us = begun;
        }
        for (gsize k = 0; k < G_N_ELEMENTS(f); k++) {
            f[k]->gap_us = MAX(f[k]->gap_us, s->gap_us);
            f[k]->connect_gap_us = MAX(f[k]->connect_gap_us, s->connect_gap_us);
        }
        s->gap_us = s->connect_gap_us = 0;
    }
}

static gboolean all_marked(const Load *l)
{
    for (guint i = 0; i < l->sessions->len; i++) {
        const Session *s = l->sessions->pdata[i];

        if (!s->marked && s->state != STATE_OVER) {
            return FALSE;
        }
    }
    return TRUE;
}

static void begin_mark(Load *l)
{
    for (guint i = 0; i < l->sessions->len; i++) {
        Session *s = l->sessions->pdata[i];

        s->marked = FALSE;
        s->mark_bytes = 0;
    }
    l->mark_us = g_get_monotonic_time();
    l->marking = TRUE;
}

static void end_mark(Load *l, gint64 *last)
{
    gather_gaps(l);
    if (l->opened) {
        l->marks++;
        report(l, "mark", l->mark, *last);
    } else {
        l->opened = TRUE;
        report(l, "open", l->mark, *last);
    }
    clear_marks(l);
    l->marking = FALSE;
    *last = g_get_monotonic_time();
}

/* --- The loop ------------------------------------------------------------ */

/* Signals wait in a descriptor, so that none comes between. */
static int open_signals(void)
{
    sigset_t set;

    sigemptyset(&set);
    sigaddset(&set, SIGTERM);
    sigaddset(&set, SIGINT);
    sigaddset(&set, SIGUSR1);
    sigprocmask(SIG_BLOCK, &set, NULL);
    return signalfd(-1, &set, SFD_CLOEXEC | SFD_NONBLOCK);
}

static gint64 tick(Load *l)
{
    gint64 now = g_get_monotonic_time(), next = G_MAXINT64;

    for (guint i = 0; i < l->sessions->len; i++) {
        gint64 at = session_tick(l->sessions->pdata[i], now);

        next = MIN(next, at);
    }
    return next;
}

/* FALSE: to end. */
static gboolean take_signals(Load *l, int signals, gboolean *want_mark)
{
    struct signalfd_siginfo si;

    while (read(signals, &si, sizeof(si)) == sizeof(si)) {
        if (si.ssi_signo != SIGUSR1) {
            return FALSE;
        }
        *want_mark = TRUE;
    }
    return TRUE;
}

/* Somebody will count: what is on the disk shall be known. */
static gboolean waits_for_records(const Load *l)
{
    for (guint i = 0; i < l->sessions->len; i++) {
        const Session *s = l->sessions->pdata[i];

        if (s->kind == KIND_RECORD && s->state == STATE_WAITING) {
            return TRUE;
        }
    }
    return FALSE;
}

static void run(Load *l, int signals)
{
    gint64 limit_us = l->begun_us + (gint64)limit * G_USEC_PER_SEC;
    gint64 end = seconds ? MIN(limit_us, l->begun_us + (gint64)seconds *
                                                           G_USEC_PER_SEC)
                         : limit_us;
    gint64 last = l->begun_us;
    gboolean want_mark = FALSE;
    struct epoll_event events[256];

    l->marking = TRUE; /* for "open" */
    for (;;) {
        gint64 next = MIN(tick(l), l->ending ? limit_us : end);
        gint64 now = g_get_monotonic_time();
        int n;

        if (l->marking && all_marked(l)) {
            end_mark(l, &last);
        }
        if (want_mark && !l->marking) {
            begin_mark(l);
            want_mark = FALSE;
            continue;
        }
        if (now >= end || l->over == l->sessions->len) {
            l->ending = TRUE;
        }
        if (l->ending && (now >= limit_us || !waits_for_records(l))) {
            return;
        }
        n = epoll_wait(l->epoll, events, G_N_ELEMENTS(events),
                       (int)((MAX(next - now, 0) + 999) / 1000));
        for (int i = 0; i < n; i++) {
            if (events[i].data.ptr) {
                session_ready(events[i].data.ptr, events[i].events);
            } else if (!take_signals(l, signals, &want_mark)) {
                l->ending = TRUE;
            }
        }
    }
}

int main(int argc, char **argv)
{
    Load l = {.save_fd = -1};
    struct epoll_event ev = {.events = EPOLLIN};
    gboolean good = TRUE;
    int signals;

    parse(argc, argv);
    l.pattern = g_malloc(SERVICE_PERIOD);
    service_pattern(l.pattern);
    if (print_pattern >= 0) {
        write_pattern(l.pattern, (guint64)print_pattern);
        return fflush(stdout) ? 1 : 0;
    }
    signals = open_signals();
    l.o = o;
    l.epoll = epoll_create1(EPOLL_CLOEXEC);
    if (o.save) {
        l.save_fd =
            open(o.save, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    }
    if (l.epoll < 0 || signals < 0 || (o.save && l.save_fd < 0) ||
        epoll_ctl(l.epoll, EPOLL_CTL_ADD, signals, &ev) < 0) {
        fail(g_strerror(errno));
    }
    l.sessions = g_ptr_array_new_with_free_func(session_free);
    l.errors = g_ptr_array_new_with_free_func(g_free);
    l.begun_us = g_get_monotonic_time();
    for (int k = 0; k < KIND_N; k++) {
        for (int i = 0; i < o.counts[k]; i++) {
            g_ptr_array_add(l.sessions, session_new(&l, (Kind)k, (guint)i));
        }
    }
    run(&l, signals);
    gather_gaps(&l);
    report(&l, "end", l.total, l.begun_us);
    for (int k = 0; k < KIND_N; k++) {
        good = good && !l.total[k].lost && !l.total[k].wrong_bytes;
        if (l.total[k].ms) {
            g_array_unref(l.total[k].ms);
        }
    }
    clear_marks(&l);
    g_ptr_array_unref(l.sessions);
    g_ptr_array_unref(l.errors);
    g_free(l.pattern);
    return good ? 0 : 1;
}
