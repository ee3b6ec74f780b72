/* SPDX-License-Identifier: GPL-2.0-or-later */
/* See guest-ram.h. */
#include "config.h"
#include "tests/track/guest-ram.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#define ANSWER_TIMEOUT_MS 60000

static char *read_answer(GuestRam *g)
{
    g_autoptr(GString) line = g_string_new(NULL);
    char c;

    for (;;) {
        struct pollfd p = {.fd = g->from, .events = POLLIN};

        g_assert_cmpint(poll(&p, 1, ANSWER_TIMEOUT_MS), ==, 1);
        g_assert_cmpint(read(g->from, &c, 1), ==, 1);
        if (c == '\n') {
            return g_string_free(g_steal_pointer(&line), FALSE);
        }
        g_string_append_c(line, c);
    }
}

char *guest_ram_ask(GuestRam *g, const char *fmt, ...)
{
    g_autofree char *command = NULL, *line = NULL;
    va_list ap;

    va_start(ap, fmt);
    command = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    line = g_strconcat(command, "\n", NULL);
    g_assert_cmpint(write(g->to, line, strlen(line)), ==, strlen(line));
    return read_answer(g);
}

static void spawn(GuestRam *g, RamKind kind, gsize mib, gboolean preload)
{
    static const char *const names[] = {"memfd", NULL, "anon", "huge"};
    g_autofree char *program = g_test_build_filename(G_TEST_BUILT, "ram-writer",
                                                     NULL);
    g_autofree char *size = g_strdup_printf("%" G_GSIZE_FORMAT, mib);
    g_auto(GStrv) env = g_get_environ();
    g_autoptr(GError) error = NULL;
    const char *argv[] = {program, names[kind], size, NULL};

    if (kind == RAM_FILE) {
        g->path = g_strdup_printf("/dev/shm/colo-test-%d", (int)getpid());
        unlink(g->path);
        argv[1] = g->path;
    }
    if (preload) {
        const char *lib = g_getenv("COLO_TRACK_LIB");

        g_assert_nonnull(lib);
        env = g_environ_setenv(env, "LD_PRELOAD", lib, TRUE);
    }
    g_spawn_async_with_pipes(NULL, (char **)argv, env,
                             G_SPAWN_DO_NOT_REAP_CHILD, NULL, NULL, &g->pid,
                             &g->to, &g->from, NULL, &error);
    g_assert_no_error(error);
}

/* Map what the process has at addr; fd is its descriptor, or -1. */
static void map_ram(GuestRam *g, guint64 addr, int fd, gsize bytes)
{
    g_autofree char *path =
        fd >= 0 ? g_strdup_printf("/proc/%d/fd/%d", (int)g->pid, fd)
                : g_strdup_printf("/proc/%d/map_files/%" G_GINT64_MODIFIER
                                  "x-%" G_GINT64_MODIFIER "x",
                                  (int)g->pid, addr, addr + bytes);

    g->fd = open(path, O_RDWR | O_CLOEXEC);
    if (g->fd < 0) {
        g_error("cannot open %s: %s", path, g_strerror(errno));
    }
    g->ram = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, g->fd, 0);
    g_assert(g->ram != MAP_FAILED);
    g->peer = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    g_assert(g->peer != MAP_FAILED);
}

GuestRam *guest_ram_start(RamKind kind, gsize mib, gboolean preload)
{
    GuestRam *g = g_new0(GuestRam, 1);
    g_autofree char *answer = NULL;
    gsize bytes = mib << 20;
    guint64 addr;
    int fd;

    spawn(g, kind, mib, preload);
    answer = read_answer(g);
    g_assert_cmpint(sscanf(answer, "ram %" G_GINT64_MODIFIER "x %d", &addr,
                           &fd), ==, 2);
    map_ram(g, addr, fd, bytes);
    g->target = (ColoTrackTarget){
        .pid = g->pid,
        .addr = addr,
        .ram = g->ram,
        .n_pages = bytes >> COLO_PAGE_SHIFT,
    };
    g->dirty = colo_bitmap_new(g->target.n_pages);
    return g;
}

void guest_ram_free(GuestRam *g)
{
    gsize bytes = g->target.n_pages << COLO_PAGE_SHIFT;
    int status;

    colo_tracker_free(g->tracker);
    colo_bitmap_free(g->dirty);
    munmap(g->ram, bytes);
    munmap(g->peer, bytes);
    close(g->fd);
    close(g->to);
    close(g->from);
    if (g->path) {
        unlink(g->path);
        g_free(g->path);
    }
    if (g->pid) {
        /* The end of its stdin ends it. */
        g_assert_cmpint(waitpid(g->pid, &status, 0), ==, g->pid);
        g_assert_cmpint(status, ==, 0);
    }
    g_free(g);
}

void guest_ram_track(GuestRam *g, ColoTrackerKind kind)
{
    g_autoptr(GError) error = NULL;

    g->tracker = colo_tracker_new(kind, &g->target, &error);
    g_assert_no_error(error);
    colo_bitmap_set(g->dirty, 0, g->target.n_pages);
    guest_ram_copy(g);
}

gsize guest_ram_collect(GuestRam *g, gboolean quiesced)
{
    g_autoptr(GError) error = NULL;

    colo_bitmap_clear_all(g->dirty);
    colo_tracker_collect(g->tracker, g->dirty, quiesced, &error);
    g_assert_no_error(error);
    return colo_bitmap_count(g->dirty);
}

/* Read from the file, which leaves its holes alone, as a mapping would not. */
void guest_ram_copy(GuestRam *g)
{
    static const guint8 zeros[COLO_PAGE_SIZE];
    guint8 copy[COLO_PAGE_SIZE];
    gsize page = 0, n;

    while ((n = colo_bitmap_next_run(g->dirty, page, G_MAXSIZE, &page))) {
        for (gsize end = page + n; page < end; page++) {
            gsize at = page << COLO_PAGE_SHIFT;

            g_assert_cmpint(pread(g->fd, copy, sizeof(copy), (off_t)at), ==,
                            sizeof(copy));
            /* Nor is the peer's memory used for what is zero anyway. */
            if (memcmp(copy, zeros, sizeof(copy)) ||
                memcmp(g->peer + at, zeros, sizeof(copy))) {
                memcpy(g->peer + at, copy, sizeof(copy));
            }
            if (memcmp(copy, zeros, sizeof(copy))) {
                colo_tracker_copied(g->tracker, page, copy);
            } else {
                colo_tracker_copied_zero(g->tracker, page, 1);
            }
        }
    }
}

static void compare(GuestRam *g)
{
    guint8 page[COLO_PAGE_SIZE];

    for (gsize i = 0; i < g->target.n_pages; i++) {
        gsize at = i << COLO_PAGE_SHIFT;

        g_assert_cmpint(pread(g->fd, page, sizeof(page), (off_t)at), ==,
                        sizeof(page));
        if (memcmp(page, g->peer + at, sizeof(page))) {
            g_error("page %" G_GSIZE_FORMAT " changed and was not reported",
                    i);
        }
    }
}

void guest_ram_check(GuestRam *g)
{
    guest_ram_collect(g, TRUE);
    guest_ram_copy(g);
    compare(g);
}
