/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Where in a log the bytes of the disk are. */
#include "blockrep/store/index.h"

/* skip must not overflow */
#define MAX_RUN ((guint64)1 << 30)

struct StoreIndex {
    /*
     * Keys are the runs, in the order of their ends.  As they do not overlap
     * that is the order of their starts, too, and a run that only becomes
     * smaller, or grows into a gap, keeps its place.
     */
    GTree *runs;
};

static gint compare_ends(gconstpointer a, gconstpointer b, gpointer unused)
{
    const StoreRun *x = a, *y = b;

    return x->end < y->end ? -1 : x->end > y->end;
}

StoreIndex *store_index_new(void)
{
    StoreIndex *ix = g_new0(StoreIndex, 1);

    ix->runs = g_tree_new_full(compare_ends, NULL, g_free, NULL);
    return ix;
}

void store_index_free(StoreIndex *ix)
{
    if (ix) {
        g_tree_unref(ix->runs);
        g_free(ix);
    }
}

gsize store_index_bytes(const StoreIndex *ix)
{
    return (gsize)g_tree_nnodes(ix->runs) * STORE_RUN_BYTES;
}

static StoreRun *find(const StoreIndex *ix, guint64 off)
{
    StoreRun probe = {.end = off};
    GTreeNode *node = g_tree_upper_bound(ix->runs, &probe);

    return node ? g_tree_node_key(node) : NULL;
}

const StoreRun *store_index_find(const StoreIndex *ix, guint64 off)
{
    return find(ix, off);
}

StoreRun store_run_part(const StoreRun *run, guint64 off, guint64 end)
{
    StoreRun part = *run;

    g_assert(off >= run->off && end <= run->end && off < end);
    if (run->stride) {
        part.skip += (guint32)(off - run->off);
    }
    part.off = off;
    part.end = end;
    return part;
}

guint64 store_run_pos(const StoreRun *run, guint64 *contiguous)
{
    guint64 record = run->skip / run->stride, in = run->skip % run->stride;

    *contiguous = MIN(run->stride - in, run->end - run->off);
    return run->pos + record * (STORE_HEADER + run->stride) + STORE_HEADER + in;
}

static void add(StoreIndex *ix, const StoreRun *run)
{
    g_tree_insert(ix->runs, g_memdup2(run, sizeof(*run)), NULL);
}

/* Does the whole record behind run lie behind it in the log, too? */
static gboolean follows(const StoreRun *run, const StoreRun *next)
{
    guint64 bytes = run->skip + (run->end - run->off);

    return run->end == next->off && run->stride && run->kind == STORE_DATA &&
           run->stride == next->stride && run->stride % STORE_HEADER == 0 &&
           next->skip == 0 && bytes % run->stride == 0 &&
           bytes + (next->end - next->off) <= MAX_RUN &&
           next->pos ==
               run->pos + bytes / run->stride * (STORE_HEADER + run->stride);
}

/* Into a gap */
static void put(StoreIndex *ix, const StoreRun *run)
{
    StoreRun *before = run->off ? find(ix, run->off - 1) : NULL;

    if (before && follows(before, run)) {
        before->end = run->end;
    } else {
        add(ix, run);
    }
}

/* Take [off, end) out of an overlapping run. */
static void carve(StoreIndex *ix, StoreRun *run, guint64 off, guint64 end)
{
    if (run->off < off && run->end > end) {
        StoreRun right = store_run_part(run, end, run->end);

        run->end = off;
        add(ix, &right);
    } else if (run->off < off) {
        run->end = off;
    } else if (run->end > end) {
        *run = store_run_part(run, end, run->end);
    } else {
        g_tree_remove(ix->runs, run);
    }
}

void store_index_insert(StoreIndex *ix, const StoreRecord *r)
{
    const StoreRun whole = {
        .off = r->off,
        .end = r->off + r->len,
        .pos = r->pos,
        .stride = r->kind == STORE_DATA ? (guint32)r->len : 0,
        .kind = r->kind,
    };
    guint64 off = whole.off;

    while (off < whole.end) {
        StoreRun *run = find(ix, off), part;

        if (!run || run->off >= whole.end) {
            part = store_run_part(&whole, off, whole.end);
            put(ix, &part);
            return;
        }
        if (run->pos < r->pos) {
            carve(ix, run, off, whole.end);
            continue;
        }
        if (run->off > off) {
            guint64 stop = run->off, end = run->end;

            part = store_run_part(&whole, off, stop);
            put(ix, &part);
            off = end;
        } else {
            off = run->end;
        }
    }
}
