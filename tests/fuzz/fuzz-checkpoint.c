/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What the plugin is told, with two real disks: the first byte says how
 * (modulo 2): 0 bytes written to the export "checkpoint" as they are, at an
 * offset that the second byte says; 1 lines, of which those that begin with !
 * go to that export, padded, and all others to the control socket.
 */
#include "fuzz.h"

#include "blockrep/plugin/checkpoint.h"
#include "blockrep/plugin/control.h"
#include "colo/common/qmp-dispatch.h"
#include "tests/common/scratch.h"

#include <glib/gstdio.h>
#include <string.h>
#include <unistd.h>

const char fuzz_corpus[] = "checkpoint";

enum { MAX_SIZE = 8192, DISKS = 2, DISK = 64 * 1024, MAX_LINES = 64 };

static char *dir;
static DiskSet *set;
static guint quits;

static void quit(void)
{
    quits++;
}

static void close_set(void)
{
    disk_set_close(set);
    g_clear_pointer(&set, disk_set_free);
    scratch_remove(dir);
    g_clear_pointer(&dir, g_free);
}

static void open_set(void)
{
    static gboolean known;
    g_autoptr(GError) error = NULL;

    dir = g_build_filename(g_access("/dev/shm", W_OK) == 0 ? "/dev/shm"
                                                           : g_get_tmp_dir(),
                           "colo-fuzz-XXXXXX", NULL);
    g_assert_nonnull(g_mkdtemp(dir));
    set = disk_set_new();
    for (guint i = 0; i < DISKS; i++) {
        const char name[] = {'a' + (char)i, '\0'};
        g_autofree char *base = g_build_filename(dir, name, NULL);

        g_assert_true(g_file_set_contents(base, "", 0, &error));
        g_assert_cmpint(truncate(base, DISK), ==, 0);
        g_assert_true(disk_set_add(set, name, base, &error));
    }
    g_assert_true(disk_set_open(set, NULL, &error));
    if (!known) {
        known = TRUE;
        atexit(close_set);
    }
}

/* As after disk-reset, with no session; a survivor's disks are thrown away. */
static void begin(void)
{
    static const char session[] = "0123456789abcdef0123456789abcdef";

    if (set && !disk_set_session(set, session, TRUE, NULL)) {
        close_set();
    }
    if (!set) {
        open_set();
    }
    g_clear_pointer(&set->session, g_free);
}

/* All disks or none; nothing is loaded that was not committed. */
static void check_disks(void)
{
    ColoStoreStatus first;

    for (guint i = 0; i < DISKS; i++) {
        const Disk *d = set->disks->pdata[i];
        ColoStoreStatus st;

        colo_store_status(d->store, &st);
        g_assert_null(st.error);
        first = i ? first : st;
        g_assert_cmpuint(st.epoch, ==, first.epoch);
        g_assert_cmpuint(st.loaded, ==, first.loaded);
        g_assert_cmpint(st.state, ==, first.state);
        g_assert_cmpuint(st.loaded, <=, set->committed);
        g_assert_true(st.epoch >= set->committed ||
                      st.state == COLO_STORE_PROMOTED);
    }
}

static void write_page(Checkpoint *c, const void *data, gsize len,
                       guint64 offset)
{
    g_autoptr(GError) error = NULL;
    char page[CHECKPOINT_SIZE];

    g_assert_true(checkpoint_write(c, data, (guint32)len, offset, &error) ==
                  !error);
    g_assert_true(!error || error->code > 0);
    check_disks();
    checkpoint_read(c, page, sizeof(page), 0);
    g_assert_nonnull(memchr(page, '\0', sizeof(page)));
    g_assert_true(g_str_has_prefix(page, "{\"disks\":["));
}

static void write_lines(Checkpoint *c, ColoQmpTable *table, const char *text)
{
    g_auto(GStrv) lines = g_strsplit(text, "\n", MAX_LINES);

    for (guint i = 0; lines[i]; i++) {
        gboolean negotiated = TRUE;
        char page[CHECKPOINT_SIZE] = {0};
        g_autofree char *reply = NULL;

        if (lines[i][0] == '!') {
            g_strlcpy(page, lines[i] + 1, sizeof(page));
            write_page(c, page, i & 1 ? sizeof(page) : 512, 0);
            continue;
        }
        reply =
            colo_qmp_dispatch(table, lines[i], strlen(lines[i]), &negotiated);
        check_disks();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    ControlTarget target;
    ColoQmpTable *table;
    Checkpoint *c;

    if (size < 2 || size > MAX_SIZE) {
        return 0;
    }
    begin();
    target = (ControlTarget){set, quit};
    table = colo_qmp_table_new("colo", control_commands, &target);
    c = checkpoint_new(set);
    if (data[0] % 2) {
        g_autofree char *text = g_strndup((const char *)data + 1, size - 1);

        write_lines(c, table, text);
    } else {
        set->session = g_strdup("0123456789abcdef0123456789abcdef");
        write_page(c, data + 2, size - 2, data[1] / 64);
    }
    checkpoint_free(c);
    colo_qmp_table_free(table);
    return 0;
}
