/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The epoch store's files.  The first byte says which (modulo 3): 0 the records
 * of a log, 1 a snapshot of the state, 2 the headers of files.
 *
 * Checksums count as right here, see tests/store/local.mk.
 */
#include "fuzz.h"

#include "blockrep/store/file-io.h"
#include "blockrep/store/log.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

const char fuzz_corpus[] = "store";

enum { MAX_SIZE = 64 * 1024, DISK = 1024 * 1024, ID = 0x1d };

typedef struct Found {
    StoreIndex *ix;
    guint64 end;
} Found;

static gboolean enter(const StoreRecord *r, gpointer user)
{
    Found *f = user;

    /* In the log's order, none in another, none off the disk */
    g_assert_cmpuint(r->pos, >=, f->end);
    g_assert_cmpuint(r->len, >, 0);
    g_assert_cmpuint(r->off, <, DISK);
    g_assert_cmpuint(r->len, <=, DISK - r->off);
    f->end = r->pos + store_record_size(r->kind, r->len);
    store_index_insert(f->ix, r);
    return TRUE;
}

static void read_all(const Found *f, int fd)
{
    g_autofree guint8 *buf = g_malloc(DISK);
    const StoreLog log = {.fd = fd, .id = ID};
    const StoreRun *run;

    for (guint64 off = 0; (run = store_index_find(f->ix, off));
         off = run->end) {
        g_assert_cmpuint(run->off, >=, off);
        g_assert_cmpuint(run->end, >, run->off);
        g_assert_cmpuint(run->end, <=, DISK);
        if (run->kind == STORE_DATA) {
            g_assert_cmpint(store_log_read(&log, run, buf), ==, 0);
        }
    }
}

static void fuzz_log(const uint8_t *data, size_t size)
{
    Found f = {.ix = store_index_new(), .end = STORE_LOG_START};
    int fd = memfd_create("fuzz", MFD_CLOEXEC);
    StoreReplay out;

    g_assert_cmpint(ftruncate(fd, STORE_LOG_START), ==, 0);
    g_assert_cmpint(store_pwrite(fd, data, size, STORE_LOG_START), ==, 0);
    g_assert_cmpint(
        store_log_replay(fd, ID, G_MAXUINT64, DISK, enter, &f, &out), ==, 0);
    g_assert_cmpuint(out.end, ==, f.end);
    read_all(&f, fd);
    store_index_free(f.ix);
    close(fd);
}

/* What was understood means the same when it is written again. */
static void fuzz_snapshot(const uint8_t *data, size_t size)
{
    g_autofree guint8 *again = NULL;
    StoreSnapshot a, b;
    gsize len;

    if (!store_snapshot_decode(data, size, ID, &a)) {
        return;
    }
    again = store_snapshot_encode(&a, ID, &len);
    g_assert_true(store_snapshot_decode(again, len, ID, &b));
    g_assert_cmpuint(a.n, ==, b.n);
    g_assert_cmpuint(a.generation, ==, b.generation);
    for (guint i = 0; i < a.n; i++) {
        g_assert_cmpuint(a.layers[i].role, ==, b.layers[i].role);
        g_assert_cmpuint(a.layers[i].length, ==, b.layers[i].length);
        g_assert_cmpuint(a.layers[i].number, <, a.next_number);
    }
    store_snapshot_clear(&a);
    store_snapshot_clear(&b);
}

static void fuzz_headers(const uint8_t *data, size_t size)
{
    StoreIdentity identity;
    guint64 number, id;
    guint32 version;

    if (size < STORE_HEADER) {
        return;
    }
    if (store_identity_decode(data, &identity, &version)) {
        g_assert_cmpuint(version, ==, STORE_VERSION);
        g_assert_cmpuint(identity.ring_blocks, >, 0);
    }
    if (store_log_header_decode(data, &number, &id, &version)) {
        g_assert_cmpuint(version, ==, STORE_VERSION);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 1 || size > MAX_SIZE) {
        return 0;
    }
    switch (data[0] % 3) {
    case 0:
        fuzz_log(data + 1, size - 1);
        break;
    case 1:
        fuzz_snapshot(data + 1, size - 1);
        break;
    default:
        fuzz_headers(data + 1, size - 1);
        break;
    }
    return 0;
}
