/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The contract of dirty tracking, for every kind of tracker and of RAM: a
 * page whose content may differ from its last copy is reported.
 */
#include "config.h"
#include "colo/track/direct-io.h"
#include "tests/track/guest-ram.h"

#include <errno.h>
#include <fcntl.h>
#include <gio/gio.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

typedef struct Variant {
    const char *name;
    ColoTrackerKind kind;
    gboolean preload;
} Variant;

static const Variant variants[] = {
    {"uffd", COLO_TRACKER_UFFD, TRUE},
    {"soft-dirty", COLO_TRACKER_SOFT_DIRTY, FALSE},
    {"soft-dirty-with-library", COLO_TRACKER_SOFT_DIRTY, TRUE},
    {"compare", COLO_TRACKER_COMPARE, FALSE},
};

static const char *const ram_names[] = {"memfd", "file", "anon", "huge"};

typedef struct Case {
    const Variant *variant;
    RamKind ram;
    void (*run)(GuestRam *g, const struct Case *c);
    gsize mib;
} Case;

static void expect_only(GuestRam *g, gsize page, gsize n)
{
    for (gsize i = 0; i < g->target.n_pages; i++) {
        g_assert_cmpint(colo_bitmap_test(g->dirty, i), ==,
                        i >= page && i < page + n);
    }
}

/* Each write is reported once, and nothing else ever. */
static void run_exact(GuestRam *g, const Case *c)
{
    guest_ram_check(g);
    g_assert_cmpuint(guest_ram_collect(g, TRUE), ==, 0);
    g_assert_cmpuint(guest_ram_collect(g, FALSE), ==, 0);

    for (int quiesced = 0; quiesced < 2; quiesced++) {
        guest_ram_do(g, "write 1000 1");
        g_assert_cmpuint(guest_ram_collect(g, quiesced), ==, 1);
        expect_only(g, 1000, 1);
        guest_ram_copy(g);
        g_assert_cmpuint(guest_ram_collect(g, FALSE), ==, 0);
        g_assert_cmpuint(guest_ram_collect(g, TRUE), ==, 0);

        /* The first and the last page, and a run over 2 MiB borders. */
        guest_ram_do(g, "write 0");
        guest_ram_do(g, "write %" G_GSIZE_FORMAT, g->target.n_pages - 1);
        g_assert_cmpuint(guest_ram_collect(g, quiesced), ==, 2);
        g_assert_true(colo_bitmap_test(g->dirty, 0));
        g_assert_true(colo_bitmap_test(g->dirty, g->target.n_pages - 1));
        guest_ram_copy(g);
        guest_ram_do(g, "write 500 1100");
        g_assert_cmpuint(guest_ram_collect(g, quiesced), ==, 1100);
        expect_only(g, 500, 1100);
        guest_ram_copy(g);

        /* Reading is not writing. */
        guest_ram_do(g, "touch 0 %" G_GSIZE_FORMAT, g->target.n_pages);
        g_assert_cmpuint(guest_ram_collect(g, quiesced), ==, 0);
    }
    guest_ram_check(g);
}

/* Writers that never stop, and copies that are made all the while. */
static void run_random(GuestRam *g, const Case *c)
{
    gsize reported = 0;

    for (int epoch = 0; epoch < 12; epoch++) {
        guest_ram_do(g, "run %d", epoch >= 6);
        for (int i = 0; i < 5; i++) {
            reported += guest_ram_collect(g, FALSE);
            guest_ram_copy(g);
        }
        guest_ram_do(g, "pause");
        guest_ram_check(g);
        g_assert_cmpuint(guest_ram_collect(g, TRUE), ==, 0);
    }
    g_assert_cmpuint(reported, >, 0);
}

/* Memory given back turns into zeros without a write. */
static void run_balloon(GuestRam *g, const Case *c)
{
    const gsize n = g->target.n_pages;

    guest_ram_do(g, "write 0 %" G_GSIZE_FORMAT, n);
    guest_ram_check(g);

    for (int quiesced = 0; quiesced < 2; quiesced++) {
        /* One page that was clean; then one that was written just now. */
        guest_ram_do(g, "discard 10");
        g_assert_cmpuint(guest_ram_collect(g, quiesced), >=, 1);
        g_assert_true(colo_bitmap_test(g->dirty, 10));
        guest_ram_copy(g);
        guest_ram_do(g, "write 20");
        guest_ram_do(g, "discard 20");
        guest_ram_collect(g, quiesced);
        g_assert_true(colo_bitmap_test(g->dirty, 20));
        guest_ram_copy(g);

        /* Back in use: only read, or its neighbour read, or written. */
        guest_ram_do(g, "discard 30 8");
        guest_ram_do(g, "touch 31");
        guest_ram_do(g, "write 33");
        guest_ram_check(g);

        /* Whole page tables, which the kernel may free; also half ones. */
        guest_ram_do(g, "discard 512 1024");
        guest_ram_check(g);
        guest_ram_do(g, "write 1500 600");
        guest_ram_check(g);
        guest_ram_do(g, "write 2048 512");
        guest_ram_do(g, "discard 2000 700");
        guest_ram_do(g, "touch 2100");
        guest_ram_check(g);
        guest_ram_do(g, "write 0 %" G_GSIZE_FORMAT, n);
        guest_ram_check(g);
        guest_ram_do(g, "remove 600 700");
        guest_ram_check(g);
        if (c->ram != RAM_ANON) {
            guest_ram_do(g, "punch 100 2000");
            guest_ram_check(g);
        }
        guest_ram_do(g, "write 0 %" G_GSIZE_FORMAT, n);
        guest_ram_check(g);
    }
}

/* Page table entries dropped; the content stays. */
static void run_dontneed(GuestRam *g, const Case *c)
{
    guest_ram_do(g, "write 0 3000");
    guest_ram_check(g);
    guest_ram_do(g, "write 100 1500");
    guest_ram_do(g, "dontneed 0 2500");
    guest_ram_check(g);
    guest_ram_do(g, "dontneed 0 2500");
    guest_ram_do(g, "write 300 200");
    guest_ram_check(g);
    if (c->variant->preload) {
        guest_ram_do(g, "write 100 1500");
        guest_ram_do(g, "dontneed 0 2500");
        guest_ram_do(g, "touch 0 2500");
        guest_ram_check(g);
    }
}

static guint64 pages_swapped_out(void)
{
    g_autofree char *text = NULL;
    const char *line;

    g_assert_true(g_file_get_contents("/proc/vmstat", &text, NULL, NULL));
    line = strstr(text, "\npswpout ");
    return line ? g_ascii_strtoull(line + strlen("\npswpout "), NULL, 10) : 0;
}

/* Have the kernel swap out what it can; the file is memory.reclaim's. */
static void reclaim(const char *file)
{
    int fd = open(file, O_WRONLY | O_CLOEXEC);

    g_assert_cmpint(fd, >=, 0);
    /* "Try again" when it got less than that, which is as good. */
    g_assert_true(write(fd, "16M", 3) == 3 || errno == EAGAIN);
    close(fd);
}

/* Swapping takes pages away from everybody who has them mapped. */
static void run_reclaim(GuestRam *g, const Case *c)
{
    const char *file = g_getenv("COLO_TEST_RECLAIM");
    guint64 before = pages_swapped_out();

    if (!file) {
        g_test_skip("COLO_TEST_RECLAIM names no memory.reclaim of a cgroup");
        return;
    }
    guest_ram_do(g, "write 0 4096");
    guest_ram_check(g);
    for (int i = 0; i < 2; i++) {
        /* Written and swapped out; the same, but read since; unchanged. */
        guest_ram_do(g, "write 0 2500");
        reclaim(file);
        guest_ram_check(g);
        guest_ram_do(g, "write 500 2500");
        reclaim(file);
        guest_ram_do(g, "touch 0 4096");
        guest_ram_check(g);
        reclaim(file);
        guest_ram_do(g, "touch 0 2000");
        guest_ram_check(g);

        guest_ram_do(g, "run 1");
        for (int n = 0; n < 4; n++) {
            guest_ram_collect(g, FALSE);
            guest_ram_copy(g);
            reclaim(file);
        }
        guest_ram_do(g, "pause");
        guest_ram_check(g);
    }
    /* Otherwise nothing was tested. */
    g_assert_cmpuint(pages_swapped_out(), >, before + 2048);
}

/* A page that was reported and copied, and data that arrives in it unseen. */
static void copy_then_arrive(GuestRam *g, gsize page, guint8 byte)
{
    guest_ram_do(g, "write %" G_GSIZE_FORMAT, page);
    guest_ram_collect(g, FALSE);
    guest_ram_copy(g);
    memset(g->ram + (page << COLO_PAGE_SHIFT), byte, 512);
}

/* The process's reads are counted: when pages have to be looked at. */
static void run_counted_reads(GuestRam *g)
{
    ColoTracker *t = g->tracker;

    if (!colo_tracker_wants_reads(t)) {
        return;
    }
    colo_tracker_reads(t, "1");
    g_assert_cmpuint(guest_ram_collect(g, TRUE), ==, 0);
    copy_then_arrive(g, 903, 0xd1);
    colo_tracker_reads(t, "2");
    g_assert_cmpuint(guest_ram_collect(g, TRUE), ==, 1);
    expect_only(g, 903, 1);
    guest_ram_copy(g);

    /* Looked at ahead, and again only when a read has ended since. */
    copy_then_arrive(g, 903, 0xd2);
    colo_tracker_settle(t, "2", g->dirty);
    expect_only(g, 903, 1);
    guest_ram_copy(g);
    colo_tracker_reads(t, "2");
    guest_ram_check(g);
    copy_then_arrive(g, 903, 0xd3);
    colo_tracker_settle(t, "2", g->dirty);
    guest_ram_copy(g);
    memset(g->ram + (903 << COLO_PAGE_SHIFT), 0xd4, 512);
    colo_tracker_reads(t, "3");
    guest_ram_check(g);

    /* What the count rules out is not looked for. */
    colo_tracker_reads(t, "3");
    guest_ram_collect(g, TRUE);
    copy_then_arrive(g, 903, 0xd5);
    colo_tracker_reads(t, "3");
    g_assert_cmpuint(guest_ram_collect(g, TRUE), ==, 0);
    /* A count that is not known rules out nothing. */
    copy_then_arrive(g, 903, 0xd6);
    colo_tracker_reads(t, NULL);
    guest_ram_check(g);
}

/* Disk reads: the kernel writes to the RAM on the process's behalf. */
static void run_disk(GuestRam *g, const Case *c)
{
    g_autofree char *answer = NULL;

    for (int i = 0; i < 3; i++) {
        guest_ram_do(g, "read 700 10");
        g_assert_cmpuint(guest_ram_collect(g, FALSE), ==, 10);
        expect_only(g, 700, 10);
        guest_ram_copy(g);
        guest_ram_check(g);
    }
    answer = guest_ram_ask(g, "direct-read 900 10");
    if (!g_str_equal(answer, "ok")) {
        g_test_message("no direct I/O to files here: %s", answer);
        return;
    }
    g_assert_cmpuint(guest_ram_collect(g, FALSE), ==, 10);
    expect_only(g, 900, 10);
    guest_ram_copy(g);

    /*
     * Direct I/O that is in flight during a scan: the page was marked when
     * the read was submitted, the data arrives after the page was reported,
     * copied and protected again.  The device's write is ours here; the
     * kernel sees as little of it.
     */
    memset(g->ram + (904 << COLO_PAGE_SHIFT), 0xda, 512);
    guest_ram_check(g);
    g_assert_cmpuint(guest_ram_collect(g, TRUE), ==, 0);
    run_counted_reads(g);

    /* And one that was in flight when tracking began. */
    g_clear_pointer(&g->tracker, colo_tracker_free);
    guest_ram_track(g, c->variant->kind);
    memset(g->ram + (905 << COLO_PAGE_SHIFT), 0xda, 512);
    guest_ram_check(g);
    g_assert_cmpuint(guest_ram_collect(g, TRUE), ==, 0);
}

/* A large guest that uses little: what it does not use stays unused. */
static void run_sparse(GuestRam *g, const Case *c)
{
    const gsize n = g->target.n_pages;
    g_autofree char *answer = NULL;
    struct stat before, after;

    guest_ram_check(g);
    for (int i = 0; i < 20; i++) {
        guest_ram_do(g, "write %" G_GSIZE_FORMAT " 3", (n / 20) * i);
    }
    g_assert_cmpuint(guest_ram_collect(g, FALSE), >=, 60);
    guest_ram_copy(g);
    guest_ram_check(g);
    g_assert_cmpint(fstat(g->fd, &before), ==, 0);
    guest_ram_do(g, "discard %" G_GSIZE_FORMAT " 40000", n / 4);
    guest_ram_check(g);
    guest_ram_do(g, "write %" G_GSIZE_FORMAT, n / 2);
    guest_ram_check(g);

    /* Also where unsettled pages (see uffd.c) are compared. */
    answer = guest_ram_ask(g, "direct-read 5 10");
    g_clear_pointer(&g->tracker, colo_tracker_free);
    guest_ram_track(g, c->variant->kind);
    g_assert_true(!g_str_equal(answer, "ok") ||
                  colo_tracker_wants_copies(g->tracker));
    guest_ram_check(g);
    g_assert_cmpint(fstat(g->fd, &after), ==, 0);
    g_assert_cmpint(after.st_blocks, <=, before.st_blocks);
}

/* Helper scripts and children that go on; memory mapped anew. */
static void run_process(GuestRam *g, const Case *c)
{
    guest_ram_do(g, "run 0");
    guest_ram_do(g, "fork");
    if (c->variant->preload) {
        guest_ram_do(g, "helper");
    }
    guest_ram_collect(g, FALSE);
    guest_ram_copy(g);
    guest_ram_do(g, "pause");
    guest_ram_check(g);
    if (c->ram != RAM_ANON) {
        guest_ram_do(g, "write 777 10");
        guest_ram_do(g, "remap 700 100");
        guest_ram_do(g, "write 750");
        guest_ram_check(g);
        guest_ram_do(g, "write 750 2");
        g_assert_cmpuint(guest_ram_collect(g, FALSE), >=, 2);
        guest_ram_copy(g);
        guest_ram_check(g);
    }
}

/* The process dies: an error, not "nothing was written". */
static void run_death(GuestRam *g, const Case *c)
{
    g_autoptr(GError) error = NULL;

    guest_ram_collect(g, FALSE);
    kill(g->pid, SIGKILL);
    g_assert_cmpint(waitpid(g->pid, NULL, 0), ==, g->pid);
    g->pid = 0;
    g_assert_false(colo_tracker_collect(g->tracker, g->dirty, TRUE, &error));
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_CLOSED);
}

/* Huge pages are reported whole. */
static void run_huge(GuestRam *g, const Case *c)
{
    guest_ram_check(g);
    guest_ram_do(g, "write 1000");
    g_assert_cmpuint(guest_ram_collect(g, FALSE), >=, 1);
    g_assert_true(colo_bitmap_test(g->dirty, 1000));
    guest_ram_copy(g);
    guest_ram_do(g, "write 0 2048");
    guest_ram_check(g);
    guest_ram_do(g, "discard 512 512");
    guest_ram_check(g);
    guest_ram_do(g, "write 600 700");
    guest_ram_check(g);
    g_assert_cmpuint(guest_ram_collect(g, TRUE), ==, 0);
}

/* Why this kind cannot be had on this host; NULL if it can. */
static char *why_not(const Variant *v)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(GuestRam) probe = guest_ram_start(RAM_MEMFD, 16, v->preload);
    g_autoptr(ColoTracker) t = colo_tracker_new(v->kind, &probe->target,
                                                &error);

    if (t) {
        return NULL;
    }
    g_assert_error(error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED);
    return g_strdup(error->message);
}

static void skip(gconstpointer reason)
{
    g_test_skip(reason);
}

static gboolean huge_pages_free(gsize mib)
{
    g_autofree char *text = NULL;
    const char *line;

    return g_file_get_contents("/proc/meminfo", &text, NULL, NULL) &&
           (line = strstr(text, "HugePages_Free:")) &&
           g_ascii_strtoull(line + strlen("HugePages_Free:"), NULL, 10) >=
               mib / 2;
}

static void run_case(gconstpointer data)
{
    const Case *c = data;
    g_autoptr(GuestRam) g = NULL;

    if (c->ram == RAM_HUGE && !huge_pages_free(c->mib)) {
        g_test_skip("no huge pages (vm.nr_hugepages)");
        return;
    }
    g = guest_ram_start(c->ram, c->mib, c->variant->preload);
    if (c->ram == RAM_HUGE && c->variant->kind == COLO_TRACKER_SOFT_DIRTY) {
        g_autoptr(GError) error = NULL;

        g_assert_null(colo_tracker_new(c->variant->kind, &g->target, &error));
        g_assert_error(error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED);
        return;
    }
    guest_ram_track(g, c->variant->kind);
    c->run(g, c);
}

static void add(const Variant *v, RamKind ram, const char *name, gsize mib,
                void (*run)(GuestRam *g, const Case *c))
{
    Case *c = g_new(Case, 1);
    g_autofree char *path = g_strdup_printf("/tracker/%s/%s/%s", v->name,
                                            ram_names[ram], name);

    *c = (Case){v, ram, run, mib};
    g_test_add_data_func_full(path, c, run_case, g_free);
}

/* --- Which files count as direct I/O --- */

/*
 * A folder on FUSE, in a mount namespace of this process's own; nobody serves
 * it, and whoever asks it anything waits.  -1: not permitted here.
 */
static int open_on_fuse(const char *at)
{
    int fuse = open("/dev/fuse", O_RDWR | O_CLOEXEC);
    g_autofree char *options =
        g_strdup_printf("fd=%d,rootmode=40000,user_id=0,group_id=0", fuse);

    if (fuse < 0 || unshare(CLONE_NEWNS) < 0 ||
        mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("test", at, "fuse.test", 0, options) < 0) {
        return -1;
    }
    return open(at, O_PATH | O_CLOEXEC);
}

static void test_fuse(void)
{
    g_autofree char *dir = NULL;
    int proc;

    if (!g_test_subprocess()) {
        g_test_trap_subprocess(NULL, 20 * G_USEC_PER_SEC, 0);
        g_test_trap_assert_passed();
        return;
    }
    dir = g_dir_make_tmp("colo-fuse-XXXXXX", NULL);
    proc = open("/proc/self", O_PATH | O_DIRECTORY | O_CLOEXEC);
    if (colo_track_has_direct_io(proc)) {
        g_test_skip("a file of the test itself is one");
    } else if (open_on_fuse(dir) < 0) {
        g_test_skip("FUSE cannot be mounted here");
    } else {
        g_assert_true(colo_track_has_direct_io(proc));
        g_assert_cmpint(umount2(dir, MNT_DETACH), ==, 0);
    }
    rmdir(dir);
    close(proc);
    _exit(EXIT_SUCCESS); /* what is here for other tests is no leak */
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    for (guint i = 0; i < G_N_ELEMENTS(variants); i++) {
        const Variant *v = &variants[i];
        g_autofree char *path = g_strconcat("/tracker/", v->name, NULL);
        char *reason = why_not(v);

        if (reason) {
            g_test_add_data_func_full(path, reason, skip, g_free);
            continue;
        }
        for (RamKind ram = RAM_MEMFD; ram <= RAM_ANON; ram++) {
            add(v, ram, "exact", 16, run_exact);
            add(v, ram, "random", 20, run_random);
            add(v, ram, "balloon", 16, run_balloon);
            add(v, ram, "dontneed", 16, run_dontneed);
            add(v, ram, "process", 16, run_process);
        }
        add(v, RAM_MEMFD, "disk", 16, run_disk);
        add(v, RAM_MEMFD, "reclaim", 16, run_reclaim);
        add(v, RAM_MEMFD, "sparse", 300, run_sparse);
        add(v, RAM_FILE, "sparse", 300, run_sparse);
        add(v, RAM_MEMFD, "death", 16, run_death);
        add(v, RAM_HUGE, "huge", 16, run_huge);
    }
    g_test_add_func("/tracker/fuse", test_fuse);
    return g_test_run();
}
