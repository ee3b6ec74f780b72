/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * colo-qemu: run a QEMU command line with libcolotrack.so preloaded.
 *
 * QEMU replaces this process, so the pid stays; all arguments are passed on
 * as they are, except a leading --qemu.
 */
#include "config.h"

#include <errno.h>
#include <glib.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* As shells do */
#define EXIT_CANNOT_RUN 126
#define EXIT_NOT_FOUND  127

static const char usage[] =
    "Usage: colo-qemu [--qemu PATH] QEMU-ARGUMENTS...\n"
    "Run QEMU so that writes to its guest's RAM can be tracked.\n"
    "\n"
    "  --qemu PATH   the QEMU to run; only as the first argument\n"
    "  --colo-help   show this and end; --help is QEMU's\n"
    "\n"
    "Without --qemu: the variable COLO_QEMU, else this program's own name\n"
    "without \"colo-\" if it is like colo-qemu-system-ARCH, else\n"
    "qemu-system-" COLO_HOST_ARCH ".\n"
    "COLO_TRACK_LIB names another libcolotrack.so; COLO_TRACK_DEBUG=1 makes\n"
    "it tell what it does.\n";

static int fail(int status, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

static int fail(int status, const char *fmt, ...)
{
    g_autofree char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    fprintf(stderr, "colo-qemu: %s\n", text);
    return status;
}

static int errno_status(int err)
{
    return err == ENOENT || err == ENOTDIR ? EXIT_NOT_FOUND : EXIT_CANNOT_RUN;
}

/* The name of the QEMU that is meant when nobody named one. */
static char *default_qemu(const char *self)
{
    g_autofree char *base = g_path_get_basename(self);

    if (g_str_has_prefix(base, "colo-qemu-")) {
        return g_strdup(base + strlen("colo-"));
    }
    return g_strdup("qemu-system-" COLO_HOST_ARCH);
}

/* Our library goes first; what is there already stays. */
static int preload(void)
{
    const char *lib = g_getenv("COLO_TRACK_LIB");
    const char *others = g_getenv("LD_PRELOAD");
    g_autofree char *value = NULL;

    if (!lib || !*lib) {
        lib = PKGLIBDIR "/libcolotrack.so";
    }
    if (access(lib, R_OK) < 0) {
        return fail(errno_status(errno),
                    "cannot load %s: %s (COLO_TRACK_LIB may name another)",
                    lib, g_strerror(errno));
    }
    if (lib[0] != '/' || strpbrk(lib, ": ")) {
        return fail(EXIT_CANNOT_RUN,
                    "cannot load %s: LD_PRELOAD takes an absolute path "
                    "without spaces and colons", lib);
    }
    value = others && *others ? g_strconcat(lib, ":", others, NULL)
                              : g_strdup(lib);
    g_setenv("LD_PRELOAD", value, TRUE);
    return 0;
}

static gboolean is_this_program(const char *path)
{
    struct stat a, b;

    return stat(path, &a) == 0 && stat("/proc/self/exe", &b) == 0 &&
           a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

int main(int argc, char **argv)
{
    const char *named = g_getenv("COLO_QEMU");
    g_autofree char *qemu = NULL, *path = NULL;
    int skip = 0, status;

    if (argc > 1 && !strcmp(argv[1], "--colo-help")) {
        fputs(usage, stdout);
        return fflush(stdout) == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
    }
    if (argc > 1 && !strcmp(argv[1], "--qemu")) {
        if (argc < 3 || !*argv[2]) {
            return fail(EXIT_CANNOT_RUN, "--qemu needs the path of a QEMU");
        }
        named = argv[2];
        skip = 2;
    } else if (argc > 1 && g_str_has_prefix(argv[1], "--qemu=")) {
        named = argv[1] + strlen("--qemu=");
        skip = 1;
    }
    qemu = named && *named ? g_strdup(named)
                           : default_qemu(argc ? argv[0] : "");
    path = strchr(qemu, '/') ? g_strdup(qemu) : g_find_program_in_path(qemu);
    if (!path) {
        return fail(EXIT_NOT_FOUND,
                    "%s was not found in PATH: install QEMU, or name it by "
                    "--qemu or COLO_QEMU", qemu);
    }
    if (is_this_program(path)) {
        return fail(EXIT_CANNOT_RUN,
                    "%s is this program itself: name the real QEMU by --qemu "
                    "or COLO_QEMU", path);
    }
    status = preload();
    if (status) {
        return status;
    }
    /* QEMU is told the name under which it was found, as by a shell. */
    if (argc) {
        argv[skip] = qemu;
    }
    execv(path, argv + skip);
    return fail(errno_status(errno), "cannot run %s: %s", path,
                g_strerror(errno));
}
