/* SPDX-License-Identifier: GPL-2.0-or-later */
/* libcolotrack.so: environment and log lines. */
#include "config.h"
#include "colo/track/shim.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <sys/stat.h>
#include <unistd.h>

#define LIBRARY "libcolotrack.so"

static bool debug;

static void vlog(const char *fmt, va_list ap)
{
    char line[512];
    int n = snprintf(line, sizeof(line), "libcolotrack: ");
    int m = vsnprintf(line + n, sizeof(line) - (size_t)n - 1, fmt, ap);
    size_t len;

    if (m < 0) {
        return;
    }
    len = strlen(line);
    line[len++] = '\n';
    /* Nobody is there to be told that stderr does not work. */
    if (write(STDERR_FILENO, line, len) < 0) {
        return;
    }
}

void shim_log(const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vlog(fmt, ap);
    va_end(ap);
}

void shim_debug(const char *fmt, ...)
{
    va_list ap;

    if (debug) {
        va_start(ap, fmt);
        vlog(fmt, ap);
        va_end(ap);
    }
}

static bool is_ours(const char *entry, size_t len)
{
    size_t n = strlen(LIBRARY);

    return len >= n && !memcmp(entry + len - n, LIBRARY, n) &&
           (len == n || entry[len - n - 1] == '/');
}

/* LD_PRELOAD without us (ld.so(8): separated by spaces or colons). */
static void leave_environment(void)
{
    const char *in = getenv("LD_PRELOAD");
    char *out, *end;

    if (!in || !(out = malloc(strlen(in) + 1))) {
        return;
    }
    end = out;
    while (*in) {
        size_t len = strcspn(in, ": ");

        if (len && !is_ours(in, len)) {
            if (end != out) {
                *end++ = ':';
            }
            memcpy(end, in, len);
            end += len;
        }
        in += len + (in[len] != '\0');
    }
    *end = '\0';
    if (end == out) {
        unsetenv("LD_PRELOAD");
    } else {
        setenv("LD_PRELOAD", out, 1);
    }
    free(out);
}

/*
 * Is this the interpreter of a script?  Then QEMU may be what the script
 * starts, as some distributions do, and must still find us.
 */
static bool runs_a_script(void)
{
    const char *file = (const char *)getauxval(AT_EXECFN);
    struct stat asked, exe;

    return file && stat(file, &asked) == 0 &&
           stat("/proc/self/exe", &exe) == 0 &&
           (asked.st_dev != exe.st_dev || asked.st_ino != exe.st_ino);
}

void shim_start(void)
{
    const char *value = getenv("COLO_TRACK_DEBUG");

    debug = value && *value && strcmp(value, "0") != 0;
    if (runs_a_script()) {
        shim_debug("pid %d runs a script: left in LD_PRELOAD", (int)getpid());
        return;
    }
    leave_environment();
}
