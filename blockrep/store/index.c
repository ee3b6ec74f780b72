/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where in a log the bytes of the disk are.
 *
 * Runs lie in sorted arrays, the leaves, and these in a balanced tree by where
 * they end.  A look-up among a million runs touches some twenty lines of the
 * processor's cache; were each run a node of the tree, it would be twice as
 * many, spread over four times the memory.
 */
#include "blockrep/store/index.h"

#include <string.h>

/* skip must not overflow */
#define MAX_RUN ((guint64)1 << 30)

typedef struct Leaf {
    guint64 end; /* of the last run: the key */
    guint n;     /* at least 1 */
    StoreRun runs[STORE_LEAF_RUNS];
} Leaf;

struct StoreIndex {
    /*
     * As runs do not overlap the order of their ends is that of their starts,
     * too, and a leaf of which the last run becomes smaller, or grows into a
     * gap, keeps its place.
     */
    GTree *leaves;
    guint runs;
};

/* A run's; or that behind all, without leaf */
typedef struct Place {
    GTreeNode *node;
    Leaf *leaf;
    guint i;
} Place;

static gint compare_ends(gconstpointer a, gconstpointer b, gpointer unused)
{
    guint64 x = *(const guint64 *)a, y = *(const guint64 *)b;

    return x < y ? -1 : x > y;
}

StoreIndex *store_index_new(void)
{
    StoreIndex *ix = g_new0(StoreIndex, 1);

    G_STATIC_ASSERT(sizeof(Leaf) + 64 <= STORE_LEAF_BYTES);
    G_STATIC_ASSERT(offsetof(Leaf, end) == 0);
    ix->leaves = g_tree_new_full(compare_ends, NULL, g_free, NULL);
    return ix;
}

void store_index_free(StoreIndex *ix)
{
    if (ix) {
        g_tree_unref(ix->leaves);
        g_free(ix);
    }
}

gsize store_index_bytes(const StoreIndex *ix)
{
    return (gsize)g_tree_nnodes(ix->leaves) * STORE_LEAF_BYTES;
}

guint store_index_runs(const StoreIndex *ix)
{
    return ix->runs;
}

/* The first run that ends behind off */
static Place find(const StoreIndex *ix, guint64 off)
{
    Place p = {g_tree_upper_bound(ix->leaves, &off), NULL, 0};
    guint above;

    if (!p.node) {
        return p;
    }
    p.leaf = g_tree_node_key(p.node);
    above = p.leaf->n - 1; /* this one does */
    while (p.i < above) {
        guint middle = (p.i + above) / 2;

        if (p.leaf->runs[middle].end > off) {
            above = middle;
        } else {
            p.i = middle + 1;
        }
    }
    return p;
}

const StoreRun *store_index_find(const StoreIndex *ix, guint64 off)
{
    Place p = find(ix, off);

    return p.leaf ? &p.leaf->runs[p.i] : NULL;
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

static void insert_at(Leaf *leaf, guint i, const StoreRun *run)
{
    memmove(&leaf->runs[i + 1], &leaf->runs[i],
            (leaf->n - i) * sizeof(leaf->runs[0]));
    leaf->runs[i] = *run;
    leaf->n++;
    leaf->end = leaf->runs[leaf->n - 1].end;
}

/* The first runs of a leaf become one of their own; n: how many */
static Leaf *split(Leaf *leaf, guint n)
{
    Leaf *first = g_new(Leaf, 1);

    memcpy(first->runs, leaf->runs, n * sizeof(leaf->runs[0]));
    first->n = n;
    first->end = first->runs[n - 1].end;
    leaf->n -= n;
    memmove(leaf->runs, &leaf->runs[n], leaf->n * sizeof(leaf->runs[0]));
    return first;
}

/* In front of the run at p */
static void add(StoreIndex *ix, Place p, const StoreRun *run)
{
    Leaf *first = NULL;

    ix->runs++;
    if (!p.leaf && (p.node = g_tree_node_last(ix->leaves))) {
        p.leaf = g_tree_node_key(p.node);
        p.i = p.leaf->n;
    }
    if (p.leaf && p.leaf->n < STORE_LEAF_RUNS) {
        insert_at(p.leaf, p.i, run);
        return;
    }
    if (!p.leaf || (p.i == p.leaf->n && !g_tree_node_next(p.node))) {
        first = g_new(Leaf, 1); /* what grows at its end leaves full ones */
        first->n = 0;
        insert_at(first, 0, run);
    } else {
        first = split(p.leaf, STORE_LEAF_RUNS / 2);
        if (p.i <= first->n) {
            insert_at(first, p.i, run);
        } else {
            insert_at(p.leaf, p.i - first->n, run);
        }
    }
    g_tree_insert(ix->leaves, first, NULL);
}

/* Two neighbours become one, if that leaves room in it. */
static gboolean join(StoreIndex *ix, GTreeNode *first, GTreeNode *second)
{
    Leaf *a = first ? g_tree_node_key(first) : NULL;
    Leaf *b = second ? g_tree_node_key(second) : NULL;

    if (!a || !b || a->n + b->n > STORE_LEAF_RUNS * 3 / 4) {
        return FALSE;
    }
    memmove(&b->runs[a->n], b->runs, b->n * sizeof(b->runs[0]));
    memcpy(b->runs, a->runs, a->n * sizeof(a->runs[0]));
    b->n += a->n;
    return g_tree_remove(ix->leaves, a);
}

static void remove_run(StoreIndex *ix, Place p)
{
    Leaf *leaf = p.leaf;

    ix->runs--;
    if (leaf->n == 1) {
        g_tree_remove(ix->leaves, leaf);
        return;
    }
    leaf->n--;
    memmove(&leaf->runs[p.i], &leaf->runs[p.i + 1],
            (leaf->n - p.i) * sizeof(leaf->runs[0]));
    leaf->end = leaf->runs[leaf->n - 1].end;
    if (leaf->n < STORE_LEAF_RUNS / 4 &&
        !join(ix, p.node, g_tree_node_next(p.node))) {
        join(ix, g_tree_node_previous(p.node), p.node);
    }
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

/* Into a gap, in front of the run at p */
static void put(StoreIndex *ix, Place p, const StoreRun *run)
{
    GTreeNode *node = p.node;
    Leaf *leaf = p.leaf;
    guint i = p.i;

    if (!i) {
        node = leaf ? g_tree_node_previous(node) : g_tree_node_last(ix->leaves);
        leaf = node ? g_tree_node_key(node) : NULL;
        i = leaf ? leaf->n : 0;
    }
    if (leaf && follows(&leaf->runs[i - 1], run)) {
        leaf->runs[i - 1].end = run->end;
        leaf->end = leaf->runs[leaf->n - 1].end;
    } else {
        add(ix, p, run);
    }
}

/* Take [off, end) out of an overlapping run. */
static void carve(StoreIndex *ix, Place p, guint64 off, guint64 end)
{
    StoreRun *run = &p.leaf->runs[p.i];

    if (run->off < off && run->end > end) {
        StoreRun right = store_run_part(run, end, run->end);

        run->end = off;
        p.leaf->end = p.leaf->runs[p.leaf->n - 1].end;
        p.i++;
        add(ix, p, &right);
    } else if (run->off < off) {
        run->end = off;
        p.leaf->end = p.leaf->runs[p.leaf->n - 1].end;
    } else if (run->end > end) {
        *run = store_run_part(run, end, run->end);
    } else {
        remove_run(ix, p);
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
        Place p = find(ix, off);
        const StoreRun *run = p.leaf ? &p.leaf->runs[p.i] : NULL;
        StoreRun part;

        if (!run || run->off >= whole.end) {
            part = store_run_part(&whole, off, whole.end);
            put(ix, p, &part);
            return;
        }
        if (run->pos < r->pos) {
            carve(ix, p, off, whole.end);
            continue;
        }
        if (run->off > off) {
            guint64 stop = run->off, end = run->end;

            part = store_run_part(&whole, off, stop);
            put(ix, p, &part);
            off = end;
        } else {
            off = run->end;
        }
    }
}
