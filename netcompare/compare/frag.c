/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Fragments: put together on each side, then the whole is compared.
 *
 * The PVM's fragments are held; the last to come stands for all of them, and
 * they leave together.  One that overlaps another spoils the datagram (RFC
 * 5722): the PVM's then leave by a checkpoint only.
 */
#include "netcompare/compare/internal.h"

#include <netinet/in.h>
#include <string.h>

enum {
    MAX_DATAGRAMS = 128, /* of one side, unfinished */
    MAX_GAPS = 64,       /* between pieces that are there */
    IP_MAX = 65535,
    IPV6_HEADER = 40,
};

typedef struct FragKey {
    NetKey key;
    guint32 id;
} FragKey;

typedef struct Range {
    guint32 from, to;
} Range;

typedef struct Frag {
    FragKey key; /* must be first: hashed where it is */
    CmpLink link;
    gint64 since;
    gboolean bad;
    guint8 *bytes; /* from l4 on */
    guint32 size;
    guint32 total; /* 0: the last one is not there */
    guint8 *header;
    guint32 header_len;
    Range ranges[MAX_GAPS + 1]; /* sorted, apart */
    guint n_ranges, n_fragments;
    CmpHeld *last;
} Frag;

struct CmpFrags {
    GHashTable *table;
    CmpLink list; /* the oldest first */
};

static guint key_hash(gconstpointer key)
{
    const FragKey *k = key;

    return net_key_hash(&k->key) ^ (k->id * 2654435761u);
}

static gboolean key_equal(gconstpointer a, gconstpointer b)
{
    const FragKey *x = a, *y = b;

    return x->id == y->id && net_key_equal(&x->key, &y->key);
}

static void frag_free(gpointer data)
{
    Frag *g = data;

    cmp_unlink(&g->link);
    g_free(g->bytes);
    g_free(g->header);
    g_free(g);
}

struct CmpFrags *cmp_frags_new(void)
{
    struct CmpFrags *frags = g_new0(struct CmpFrags, 1);

    frags->table = g_hash_table_new_full(key_hash, key_equal, NULL, frag_free);
    cmp_link_init(&frags->list);
    return frags;
}

void cmp_frags_clear(struct CmpFrags *frags)
{
    g_hash_table_remove_all(frags->table);
}

void cmp_frags_free(struct CmpFrags *frags)
{
    g_hash_table_unref(frags->table);
    g_free(frags);
}

static Frag *oldest(const struct CmpFrags *frags)
{
    return cmp_list_empty(&frags->list)
               ? NULL
               : CMP_ENTRY(frags->list.next, Frag, link);
}

/* Its packets, if they are the PVM's, stay held. */
static void lose(NetCompare *c, struct CmpFrags *frags, Frag *g)
{
    c->stats.fragments_lost += g->n_fragments;
    g_hash_table_remove(frags->table, &g->key);
}

static Frag *get(NetCompare *c, struct CmpFrags *frags, const NetPacket *p)
{
    const FragKey key = {.key = p->key, .id = p->fragment_id};
    Frag *g = g_hash_table_lookup(frags->table, &key);

    if (!g) {
        if (g_hash_table_size(frags->table) >= MAX_DATAGRAMS) {
            lose(c, frags, oldest(frags));
        }
        g = g_new0(Frag, 1);
        g->key = key;
        g->since = c->now;
        cmp_link_before(&frags->list, &g->link);
        g_hash_table_insert(frags->table, &g->key, g);
    }
    return g;
}

/* --- Putting together --------------------------------------------------- */

/* FALSE: it overlaps, or there are too many holes. */
static gboolean add_range(Frag *g, guint32 from, guint32 to)
{
    guint i = g->n_ranges;
    gboolean joins_left, joins_right;

    while (i > 0 && g->ranges[i - 1].from >= from) {
        i--;
    }
    if ((i > 0 && g->ranges[i - 1].to > from) ||
        (i < g->n_ranges && g->ranges[i].from < to)) {
        return FALSE;
    }
    joins_left = i > 0 && g->ranges[i - 1].to == from;
    joins_right = i < g->n_ranges && g->ranges[i].from == to;
    if (joins_left && joins_right) {
        g->ranges[i - 1].to = g->ranges[i].to;
        memmove(g->ranges + i, g->ranges + i + 1,
                (--g->n_ranges - i) * sizeof(Range));
    } else if (joins_left) {
        g->ranges[i - 1].to = to;
    } else if (joins_right) {
        g->ranges[i].from = from;
    } else if (g->n_ranges < G_N_ELEMENTS(g->ranges)) {
        memmove(g->ranges + i + 1, g->ranges + i,
                (g->n_ranges++ - i) * sizeof(Range));
        g->ranges[i] = (Range){from, to};
    } else {
        return FALSE;
    }
    return TRUE;
}

static gboolean add_bytes(Frag *g, const NetPacket *p)
{
    guint32 from = p->fragment_at, n = p->len - p->l4, to = from + n;

    if (n == 0 || to > IP_MAX || (g->total && to > g->total)) {
        return FALSE;
    }
    if (!p->fragment_more) {
        if (g->total || (g->n_ranges && g->ranges[g->n_ranges - 1].to > to)) {
            return FALSE;
        }
        g->total = to;
    }
    if (!add_range(g, from, to)) {
        return FALSE;
    }
    if (g->size < to) {
        g->size = g->total ? g->total : MIN(MAX(to, 2 * g->size), IP_MAX);
        g->bytes = g_realloc(g->bytes, g->size);
    }
    memcpy(g->bytes + from, p->data + p->l4, n);
    if (from == 0) {
        g->header = g_memdup2(p->data, p->l4);
        g->header_len = p->l4;
    }
    return TRUE;
}

static gboolean is_whole(const Frag *g)
{
    return !g->bad && g->total && g->n_ranges == 1 && g->ranges[0].from == 0 &&
           g->ranges[0].to == g->total;
}

/* The first fragment's header becomes the datagram's; returns its length. */
static guint32 whole_ipv4(const Frag *g, guint8 *h)
{
    net_put16(h + 2, (guint16)(g->header_len + g->total));
    net_put16(h + 6, 0);
    return g->header_len;
}

static guint32 whole_ipv6(const Frag *g, guint8 *h)
{
    guint32 at = IPV6_HEADER, next_at = 6, len;

    /* The parser has walked them: the fragment header is the last. */
    while (h[next_at] != IPPROTO_FRAGMENT) {
        len = h[next_at] == IPPROTO_AH ? (h[at + 1] + 2u) * 4
                                       : (h[at + 1] + 1u) * 8;
        next_at = at;
        at += len;
        if (at + 8 > g->header_len) {
            return 0;
        }
    }
    h[next_at] = h[at];
    net_put16(h + 4, (guint16)(at - IPV6_HEADER + g->total));
    return at;
}

/* NULL: it cannot be read as a packet. */
static NetBuf *join(const Frag *g, NetPacket *p)
{
    const NetKey *key = &g->key.key;
    gboolean v6 = key->ethertype == 0x86dd;
    g_autoptr(NetBuf) buf = NULL;
    guint32 at;

    if (g->header_len - (v6 ? IPV6_HEADER : 0) + g->total > IP_MAX) {
        return NULL;
    }
    buf = net_buf_new(g->header_len + g->total);
    memcpy(buf->data, g->header, g->header_len);
    at = v6 ? whole_ipv6(g, buf->data) : whole_ipv4(g, buf->data);
    if (!at) {
        return NULL;
    }
    memcpy(buf->data + at, g->bytes, g->total);
    switch (net_packet_parse(p, key->ethertype, buf->data, at + g->total,
                             key->vlan, key->iface)) {
    case NET_KIND_TCP:
    case NET_KIND_DATAGRAM:
        return g_steal_pointer(&buf);
    default:
        return NULL;
    }
}

static Frag *take(NetCompare *c, struct CmpFrags *frags, const NetPacket *p)
{
    Frag *g = get(c, frags, p);

    c->stats.fragments++;
    g->n_fragments++;
    if (!g->bad && !add_bytes(g, p)) {
        g->bad = TRUE;
    }
    return g;
}

/* --- Both sides --------------------------------------------------------- */

void cmp_frag_primary(NetCompare *c, CmpIn *in)
{
    struct CmpFrags *frags = c->frags[0];
    Frag *g = take(c, frags, in->p);
    CmpHeld *h = cmp_hold(c, in, CMP_COMPARED, FALSE);
    NetPacket whole;
    NetBuf *buf;

    if (!h) {
        g->bad = TRUE; /* the others must not leave without it */
        return;
    }
    h->parts = g->last;
    g->last = h;
    if (!is_whole(g)) {
        return;
    }
    buf = join(g, &whole);
    g_hash_table_remove(frags->table, &g->key);
    if (buf) {
        net_buf_unref(h->buf);
        h->buf = buf;
        h->p = whole;
        h->has_bytes = TRUE;
        h->gso = TRUE; /* it does not leave as it was put together */
        *in = cmp_in_held(h);
        cmp_primary(c, in);
    } else {
        h->parts = NULL;
    }
}

void cmp_frag_secondary(NetCompare *c, const NetPacket *s)
{
    struct CmpFrags *frags = c->frags[1];
    Frag *g = take(c, frags, s);
    g_autoptr(NetBuf) buf = NULL;
    NetPacket whole;

    if (!is_whole(g)) {
        return;
    }
    buf = join(g, &whole);
    g_hash_table_remove(frags->table, &g->key);
    if (buf) {
        cmp_secondary(c, &whole, buf);
    }
}

void cmp_frags_tick(NetCompare *c)
{
    for (guint side = 0; side < 2; side++) {
        Frag *g;

        while ((g = oldest(c->frags[side])) &&
               c->now - g->since >= c->config.compare_timeout_us) {
            lose(c, c->frags[side], g);
        }
    }
}
