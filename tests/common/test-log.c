/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Log lines: their form on a terminal and for the journal, one per call. */
#include "colo/log.h"

#include "capture.h"

#include <errno.h>
#include <stdint.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* From here on stderr is a pipe, which the journal owns if asked. */
static void capture(gboolean journal)
{
    g_autofree char *stream = NULL;
    struct stat st;

    capture_start();
    g_assert_cmpint(fstat(STDERR_FILENO, &st), ==, 0);
    stream = g_strdup_printf("%ju:%ju", (uintmax_t)st.st_dev,
                             (uintmax_t)st.st_ino + !journal);
    g_setenv("JOURNAL_STREAM", stream, TRUE);
}

static char **captured(void)
{
    g_autofree char *text = capture_end();

    return g_strsplit(text, "\n", -1);
}

static void write_each(void)
{
    colo_log_error("cannot open %s: %d", "x", 7);
    colo_log_warn("two\nlines\x1b[31m");
    colo_log_info("caf\xc3\xa9");
    colo_log_debug("detail");
}

static void test_terminal(void)
{
    static const char *const ends[] = {
        " colod vm0: error: cannot open x: 7",
        " colod vm0: warning: two\\x0alines\\x1b[31m",
        " colod vm0: caf\xc3\xa9",
        " colod vm0: debug: detail",
    };
    g_auto(GStrv) lines = NULL;

    for (guint debug = 0; debug < 2; debug++) {
        capture(FALSE);
        colo_log_init("colod vm0", debug);
        write_each();
        g_clear_pointer(&lines, g_strfreev);
        lines = captured();
        g_assert_cmpint(g_strv_length(lines), ==, 3 + debug + 1);
        for (guint i = 0; i < 3 + debug; i++) {
            g_assert_true(g_str_has_suffix(lines[i], ends[i]));
            g_assert_true(g_regex_match_simple(
                "^\\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d\\.\\d{3} colod",
                lines[i], 0, 0));
        }
    }
}

static void test_journal(void)
{
    g_auto(GStrv) lines = NULL;

    capture(TRUE);
    colo_log_init("colod vm0", TRUE);
    write_each();
    lines = captured();
    g_assert_cmpstr(lines[0], ==, "<3>cannot open x: 7");
    g_assert_cmpstr(lines[1], ==, "<4>two\\x0alines\\x1b[31m");
    g_assert_cmpstr(lines[2], ==, "<6>caf\xc3\xa9");
    g_assert_cmpstr(lines[3], ==, "<7>detail");
    g_assert_cmpstr(lines[4], ==, "");
}

static void test_errno(void)
{
    g_auto(GStrv) lines = NULL;

    capture(TRUE);
    colo_log_init("t", FALSE);
    errno = ENOENT;
    colo_log_error("x: %m");
    g_assert_cmpint(errno, ==, ENOENT);
    lines = captured();
    g_assert_cmpstr(lines[0], ==, "<3>x: No such file or directory");
}

enum { THREADS = 4, LINES = 50 };

static gpointer write_many(gpointer data)
{
    for (int i = 0; i < LINES; i++) {
        colo_log_info("thread %d says %0100d.", GPOINTER_TO_INT(data), i);
    }
    return NULL;
}

static void test_threads(void)
{
    GThread *threads[THREADS];
    int next[THREADS] = {0};
    g_auto(GStrv) lines = NULL;

    capture(TRUE);
    colo_log_init("t", FALSE);
    for (int i = 0; i < THREADS; i++) {
        threads[i] = g_thread_new("log", write_many, GINT_TO_POINTER(i));
    }
    for (int i = 0; i < THREADS; i++) {
        g_thread_join(threads[i]);
    }
    lines = captured();
    g_assert_cmpint(g_strv_length(lines), ==, THREADS * LINES + 1);
    for (int i = 0; i < THREADS * LINES; i++) {
        int t = lines[i][strlen("<6>thread ")] - '0';
        g_autofree char *expected = NULL;

        g_assert_true(t >= 0 && t < THREADS);
        expected = g_strdup_printf("<6>thread %d says %0100d.", t, next[t]++);
        g_assert_cmpstr(lines[i], ==, expected);
    }
}

/* The last one: there is no way back. */
static void test_only_warnings(void)
{
    g_auto(GStrv) lines = NULL;

    capture(TRUE);
    colo_log_init("t", FALSE);
    colo_log_only_warnings();
    write_each();
    lines = captured();
    g_assert_cmpint(g_strv_length(lines), ==, 3);
    g_assert_cmpstr(lines[1], ==, "<4>two\\x0alines\\x1b[31m");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/log/terminal", test_terminal);
    g_test_add_func("/log/journal", test_journal);
    g_test_add_func("/log/errno", test_errno);
    g_test_add_func("/log/threads", test_threads);
    g_test_add_func("/log/only-warnings", test_only_warnings);
    return g_test_run();
}
