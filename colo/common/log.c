/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Log lines for operators: formatting and the one write that sends them. */
#include "colo/log.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <syslog.h>
#include <time.h>
#include <unistd.h>

/* Written at the start, before there are threads. */
static struct {
    char ident[128];
    gboolean debug;
    gboolean journal;
    gboolean no_info;
} conf;

/* TRUE when stderr is the stream that systemd connected to its journal. */
static gboolean stderr_is_journal(void)
{
    const char *env = g_getenv("JOURNAL_STREAM");
    unsigned long long dev, ino;
    struct stat st;

    return env && sscanf(env, "%llu:%llu", &dev, &ino) == 2 &&
           fstat(STDERR_FILENO, &st) == 0 && st.st_dev == dev &&
           st.st_ino == ino;
}

void colo_log_init(const char *ident, gboolean debug)
{
    g_strlcpy(conf.ident, ident, sizeof(conf.ident));
    conf.debug = debug;
    conf.journal = stderr_is_journal();
}

void colo_log_only_warnings(void)
{
    conf.no_info = TRUE;
}

static void append_time(GString *line)
{
    struct timespec now;
    struct tm tm;
    char text[32];

    clock_gettime(CLOCK_REALTIME, &now);
    localtime_r(&now.tv_sec, &tm);
    strftime(text, sizeof(text), "%Y-%m-%d %H:%M:%S", &tm);
    g_string_append_printf(line, "%s.%03ld ", text, now.tv_nsec / 1000000);
}

/* What peers sent may be in a message: no control byte may forge a line. */
static void append_clean(GString *line, const char *text)
{
    for (const char *p = text; *p; p++) {
        if ((guchar)*p < 0x20 || *p == 0x7f) {
            g_string_append_printf(line, "\\x%02x", (guchar)*p);
        } else {
            g_string_append_c(line, *p);
        }
    }
}

static G_GNUC_PRINTF(3, 0) void log_line(int priority, const char *label,
                                         const char *fmt, va_list ap)
{
    int saved_errno = errno; /* "%m" in fmt, and the caller's afterwards */
    g_autofree char *text = g_strdup_vprintf(fmt, ap);
    g_autoptr(GString) line = g_string_sized_new(256);
    ssize_t n;

    if (conf.journal) {
        g_string_append_printf(line, "<%d>", priority);
    } else {
        append_time(line);
        if (conf.ident[0]) {
            g_string_append_printf(line, "%s: ", conf.ident);
        }
        g_string_append(line, label);
    }
    append_clean(line, text);
    g_string_append_c(line, '\n');

    /* A log that cannot be written has nowhere to complain. */
    do {
        n = write(STDERR_FILENO, line->str, line->len);
    } while (n < 0 && errno == EINTR);
    errno = saved_errno;
}

#define LOG_BODY(priority, label)                                              \
    do {                                                                       \
        va_list ap;                                                            \
        va_start(ap, fmt);                                                     \
        log_line(priority, label, fmt, ap);                                    \
        va_end(ap);                                                            \
    } while (0)

void colo_log_error(const char *fmt, ...)
{
    LOG_BODY(LOG_ERR, "error: ");
}

void colo_log_warn(const char *fmt, ...)
{
    LOG_BODY(LOG_WARNING, "warning: ");
}

void colo_log_info(const char *fmt, ...)
{
    if (!conf.no_info) {
        LOG_BODY(LOG_INFO, "");
    }
}

void colo_log_debug(const char *fmt, ...)
{
    if (conf.debug) {
        LOG_BODY(LOG_DEBUG, "debug: ");
    }
}
