/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Both guests of a pair show the same time: the secondary's clocks are moved
 * by as much as the primary's went on while its state was on its way.
 */
#include "tests/rig/rig.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#define CHECKPOINTS 9
#define QUESTIONS   20
#define TRIES       3u

/* A guest's clock, as minus the host's, known up to the way there and back. */
typedef struct Reading {
    gint64 us;
    gint64 error_us;
} Reading;

static int open_serial(const RigSide *s)
{
    struct sockaddr_un a = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_strlcpy(a.sun_path, s->serial, sizeof(a.sun_path));
    if (fd < 0 || connect(fd, (struct sockaddr *)&a, sizeof(a)) < 0) {
        rig_die("cannot type to %s's guest: %s", s->name, g_strerror(errno));
    }
    return fd;
}

static void read_line(int fd, char *line, gsize size)
{
    gsize len = 0;

    do {
        g_assert_cmpuint(len, <, size - 1);
        g_assert_cmpint(read(fd, line + len, 1), ==, 1);
    } while (line[len++] != '\n');
    line[len] = '\0';
}

/* Ask once; keep the answer if it came sooner than those before. */
static void ask(int fd, Reading *best)
{
    struct timeval patience = {.tv_sec = RIG_PATIENCE_S};
    gint64 begin = g_get_monotonic_time(), end;
    char line[256];
    Reading r;
    gint64 us;

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    g_assert_cmpint(write(fd, "clock\n", 6), ==, 6);
    do {
        /* The secondary's guest may be saying yet what it said when booted. */
        read_line(fd, line, sizeof(line));
    } while (sscanf(line, "clock %" G_GINT64_FORMAT, &us) != 1);
    end = g_get_monotonic_time();
    r.us = us - (begin + end) / 2;
    r.error_us = (end - begin) / 2;
    if (!best->error_us || r.error_us < best->error_us) {
        *best = r;
    }
}

/* How far the secondary's guest is ahead, at best by this. */
static gint64 difference(const int fds[2])
{
    Reading pri = {0}, sec = {0};
    gint64 us, error;

    for (guint i = 0; i < QUESTIONS; i++) {
        ask(fds[0], &pri);
        ask(fds[1], &sec);
    }
    us = sec.us - pri.us;
    error = sec.error_us + pri.error_us;
    g_test_message("the secondary's clock is %+.2f ms ahead, +-%.2f",
                   (double)us / 1e3, (double)error / 1e3);
    return MAX(ABS(us) - error, 0);
}

static gint compare(gconstpointer a, gconstpointer b)
{
    gint64 x = *(const gint64 *)a, y = *(const gint64 *)b;

    return x < y ? -1 : x > y;
}

static void checkpoint(Rig *r)
{
    guint pri = r->pri.ctl.events->len, sec = r->sec.ctl.events->len;

    json_node_unref(rig_qmp(&r->pri.ctl, "colo-checkpoint", NULL));
    rig_qmp_wait(&r->pri.ctl, pri, "COLO_CHECKPOINT", NULL, NULL,
                 RIG_PATIENCE_S);
    rig_qmp_wait(&r->sec.ctl, sec, "COLO_CHECKPOINT", NULL, NULL,
                 RIG_PATIENCE_S);
}

/* Member of the histogram of what the clocks were moved by. */
static double moved(RigSide *s, const char *member)
{
    g_autoptr(JsonNode) node = rig_qmp(&s->ctl, "query-colo-stats", NULL);
    JsonObject *o = json_object_get_object_member(json_node_get_object(node),
                                                  "clock-lag-ms");

    return json_object_get_double_member(o, member);
}

/*
 * Without it the secondary's would be behind by what they are moved by.  A
 * load on a busy machine may take longer than those before: most do not.
 */
static void agree(gconstpointer machine)
{
    RigOptions o = {.machine = machine,
                    .linux_guest = TRUE,
                    .smp = 2,
                    .append = "colo.chain=0",
                    .delay_ms = 600000};
    Rig *r = rig_new_protected(&o);
    gint64 off[CHECKPOINTS];
    double off_ms, moved_ms;
    int fds[2];

    rig_wait_console(&r->pri, 0, "boot ok", RIG_PATIENCE_S);
    rig_type(&r->pri, "clock", "clock ", RIG_PATIENCE_S);
    fds[0] = open_serial(&r->pri);
    fds[1] = open_serial(&r->sec);
    checkpoint(r); /* the TSC's rate is known from the second state on */
    for (guint i = 0; i < CHECKPOINTS; i++) {
        checkpoint(r);
        off[i] = difference(fds);
    }
    qsort(off, CHECKPOINTS, sizeof(off[0]), compare);
    off_ms = (double)off[CHECKPOINTS / 2] / 1e3;
    moved_ms = moved(&r->sec, "p50");
    g_test_message("off by %.2f ms, moved by %.2f ms (medians)", off_ms,
                   moved_ms);
    g_assert_cmpfloat(moved_ms, >, 0);
    g_assert_cmpfloat(off_ms, <=, moved_ms / 2);
    close(fds[0]);
    close(fds[1]);
    rig_free(r);
}

/* Word out of the kernel's command line. */
static void drop_word(Rig *r, const char *word)
{
    char *at = strstr(r->append, word);

    g_assert_nonnull(at);
    memset(at, ' ', strlen(word));
}

/* No complaint of the kernel's about its clocks, nor about what hangs. */
static gboolean is_content(const RigSide *s)
{
    static const char *const complaints[] = {"skew is too large", "stall",
                                             "BUG:"};
    g_autofree char *text = NULL;

    g_assert_true(g_file_get_contents(s->console, &text, NULL, NULL));
    for (guint i = 0; i < G_N_ELEMENTS(complaints); i++) {
        if (strstr(text, complaints[i])) {
            g_test_message("%s's guest complains: %.300s", s->name,
                           strstr(text, complaints[i]));
            return FALSE;
        }
    }
    return TRUE;
}

static gboolean watchdogs_are_content(void)
{
    RigOptions o = {.linux_guest = TRUE,
                    .append = "colo.chain=0",
                    .delay_ms = 50,
                    .failover = TRUE};
    Rig *r = rig_new(&o);
    gboolean content;

    drop_word(r, "tsc=reliable");
    drop_word(r, "quiet");
    rig_start_qemu(&r->pri);
    rig_start_qemu(&r->sec);
    rig_wait_console(&r->pri, 0, "boot ok", RIG_PATIENCE_S);
    rig_type(&r->pri,
             "run grep tsc /sys/devices/system/clocksource/clocksource0/"
             "current_clocksource",
             "run ended 0", RIG_PATIENCE_S);
    rig_protect(r);
    rig_wait_checkpoints(&r->sec, 100, RIG_PATIENCE_S);
    g_assert_cmpint((gint64)moved(&r->sec, "count"), >=, 90);
    rig_power_cut(&r->pri);
    rig_wait_state(&r->sec, "alone", RIG_PATIENCE_S);
    rig_type(&r->sec, "run sleep 2", "run ended 0", RIG_PATIENCE_S);
    content = is_content(&r->pri) && is_content(&r->sec);
    rig_free(r);
    return content;
}

/*
 * The kernel's watchdog compares the TSC with the HPET, which goes by the
 * virtual clock, twice a second: both are moved alike.
 *
 * QEMU reads one after the other whenever it stops and resumes a guest; on a
 * busy machine it may lose its processor between them, and then even the
 * primary's guest complains, whose clocks nobody moves.  Rarely, though: were
 * they not moved alike, it would be each time.
 */
static void watchdog(void)
{
    for (guint i = 0; i < TRIES; i++) {
        if (watchdogs_are_content()) {
            return;
        }
    }
    g_error("%u times in a row a guest's watchdog complained", TRIES);
}

int main(int argc, char **argv)
{
    rig_test_init(&argc, &argv);
    g_test_add_data_func("/clock/agree/pc", "pc", agree);
    g_test_add_data_func("/clock/agree/q35", "q35", agree);
    g_test_add_func("/clock/watchdog", watchdog);
    return g_test_run();
}
