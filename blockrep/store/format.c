/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The bytes of the epoch store's files. */
#include <config.h>

#include "blockrep/store/format.h"
#include "colo/bytes.h"

#include <string.h>
#ifdef HAVE_XXH_X86DISPATCH_H
#include <xxh_x86dispatch.h> /* with AVX, where the processor has it */
#else
#include <xxhash.h>
#endif

static const char log_magic[8] = "COLOLOG";
static const char store_magic[8] = "COLOSTO";
static const char record_magic[4] = {'C', 'R', 'E', 'C'};
static const char snapshot_magic[4] = {'C', 'S', 'N', 'P'};

enum { FLAG_DIRECT = 1, FLAG_BASED = 2, FLAG_LOST = 4, FLAG_FROZEN = 1 };

static gboolean sum_is(guint64 got, guint64 want)
{
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
    return TRUE; /* else no input would get behind the checksums */
#else
    return got == want;
#endif
}

/* The last 8 bytes of a header are the sum of those before. */
static void seal_header(guint8 *h)
{
    le_put64(h + STORE_HEADER - 8, XXH3_64bits(h, STORE_HEADER - 8));
}

static gboolean header_is_whole(const guint8 *h)
{
    return sum_is(le_get64(h + STORE_HEADER - 8),
                  XXH3_64bits(h, STORE_HEADER - 8));
}

void store_log_header_encode(guint8 out[STORE_HEADER], guint64 number,
                             guint64 id)
{
    memset(out, 0, STORE_HEADER);
    memcpy(out, log_magic, sizeof(log_magic));
    le_put32(out + 8, STORE_VERSION);
    le_put64(out + 16, number);
    le_put64(out + 24, id);
    seal_header(out);
}

gboolean store_log_header_decode(const guint8 in[STORE_HEADER], guint64 *number,
                                 guint64 *id, guint32 *version)
{
    *version = 0;
    if (memcmp(in, log_magic, sizeof(log_magic)) || !header_is_whole(in)) {
        return FALSE;
    }
    *version = le_get32(in + 8);
    *number = le_get64(in + 16);
    *id = le_get64(in + 24);
    return *version == STORE_VERSION;
}

guint64 store_data_sum(const void *data, gsize len)
{
    return XXH3_64bits(data, len);
}

void store_record_encode(guint8 out[STORE_HEADER], guint64 id, StoreRecord *r)
{
    memset(out, 0, STORE_HEADER);
    memcpy(out, record_magic, sizeof(record_magic));
    le_put32(out + 4, r->kind);
    le_put64(out + 8, r->pos);
    le_put64(out + 16, r->off);
    le_put64(out + 24, r->len);
    le_put64(out + 32, r->data_sum);
    le_put64(out + 40, id);
    seal_header(out);
    r->sum = le_get64(out + STORE_HEADER - 8);
}

gboolean store_record_magic(const guint8 *in)
{
    return !memcmp(in, record_magic, sizeof(record_magic));
}

gboolean store_record_decode(const guint8 in[STORE_HEADER], guint64 id,
                             guint64 pos, StoreRecord *r)
{
    guint32 kind = le_get32(in + 4);

    if (!store_record_magic(in) || le_get64(in + 8) != pos ||
        le_get64(in + 40) != id || !header_is_whole(in)) {
        return FALSE;
    }
    *r = (StoreRecord){
        .kind = kind,
        .pos = pos,
        .off = le_get64(in + 16),
        .len = le_get64(in + 24),
        .data_sum = le_get64(in + 32),
        .sum = le_get64(in + STORE_HEADER - 8),
    };
    return kind >= STORE_DATA && kind <= STORE_PUNCH && r->len > 0 &&
           r->off <= G_MAXINT64 && r->len <= G_MAXINT64 - r->off &&
           (kind != STORE_DATA || r->len <= STORE_MAX_RECORD);
}

guint64 store_record_size(StoreKind kind, guint64 len)
{
    guint64 data = kind == STORE_DATA ? len : 0;

    return STORE_HEADER +
           (data + STORE_HEADER - 1) / STORE_HEADER * STORE_HEADER;
}

void store_snapshot_clear(StoreSnapshot *s)
{
    g_clear_pointer(&s->layers, g_free);
    s->n = 0;
}

static guint64 snapshot_sum(const guint8 *p, gsize len, guint64 store_id)
{
    /* All but the sum itself */
    guint64 head = XXH3_64bits_withSeed(p, STORE_SNAPSHOT_HEADER - 8, store_id);

    return XXH3_64bits_withSeed(p + STORE_SNAPSHOT_HEADER,
                                len - STORE_SNAPSHOT_HEADER, head);
}

guint8 *store_snapshot_encode(const StoreSnapshot *s, guint64 store_id,
                              gsize *len)
{
    gsize used = STORE_SNAPSHOT_HEADER + (gsize)s->n * STORE_HEADER;
    guint8 *out, *p;

    g_assert(s->n <= STORE_MAX_LAYERS);
    *len = (used + COLO_STORE_BLOCK - 1) / COLO_STORE_BLOCK * COLO_STORE_BLOCK;
    out = g_malloc0(*len);
    memcpy(out, snapshot_magic, sizeof(snapshot_magic));
    le_put32(out + 4, s->n);
    le_put64(out + 8, s->generation);
    le_put64(out + 16, s->epoch);
    le_put64(out + 24, s->loaded);
    le_put64(out + 32, s->durable);
    le_put64(out + 40, s->next_number);
    le_put32(out + 48, s->state);
    le_put32(out + 52, (s->direct ? FLAG_DIRECT : 0) |
                           (s->based ? FLAG_BASED : 0) |
                           (s->lost ? FLAG_LOST : 0));
    memcpy(out + 56, s->boot, STORE_BOOT_ID);
    le_put64(out + 72, store_id);
    le_put64(out + 80, s->before);
    for (guint i = 0; i < s->n; i++) {
        const StoreLayerInfo *l = &s->layers[i];

        p = out + STORE_SNAPSHOT_HEADER + (gsize)i * STORE_HEADER;
        le_put32(p, l->role);
        le_put32(p + 4, l->frozen ? FLAG_FROZEN : 0);
        le_put64(p + 8, l->epoch);
        le_put64(p + 16, l->number);
        le_put64(p + 24, l->id);
        le_put64(p + 32, l->length);
        le_put64(p + 40, l->records);
        le_put64(p + 48, l->sum);
        le_put64(p + 56, l->before);
    }
    le_put64(out + STORE_SNAPSHOT_HEADER - 8,
             snapshot_sum(out, used, store_id));
    return out;
}

/* What the code relies on: sealed in ascending epochs, then the others. */
static gboolean layers_are_sane(const StoreSnapshot *s)
{
    guint64 epoch = 0;
    StoreRole role = STORE_ROLE_SEALED;

    for (guint i = 0; i < s->n; i++) {
        const StoreLayerInfo *l = &s->layers[i];

        if (l->role < role || l->role > STORE_ROLE_ACTIVE || !l->number ||
            l->number >= s->next_number || l->length > G_MAXINT64 ||
            (l->role == STORE_ROLE_SEALED &&
             (!l->frozen || l->epoch < epoch || l->epoch > s->epoch ||
              l->before >= l->epoch))) {
            return FALSE;
        }
        role = l->role;
        epoch = l->epoch;
    }
    return s->loaded <= s->epoch && s->durable <= s->epoch;
}

gboolean store_snapshot_decode(const guint8 *in, gsize len, guint64 store_id,
                               StoreSnapshot *s)
{
    guint32 n, state, flags;
    gsize used;

    if (len < STORE_SNAPSHOT_HEADER ||
        memcmp(in, snapshot_magic, sizeof(snapshot_magic)) ||
        le_get64(in + 72) != store_id) {
        return FALSE;
    }
    n = le_get32(in + 4);
    state = le_get32(in + 48);
    flags = le_get32(in + 52);
    used =
        STORE_SNAPSHOT_HEADER + (gsize)MIN(n, STORE_MAX_LAYERS) * STORE_HEADER;
    if (n > STORE_MAX_LAYERS || used > len || state > COLO_STORE_PROMOTED ||
        !sum_is(le_get64(in + STORE_SNAPSHOT_HEADER - 8),
                snapshot_sum(in, used, store_id))) {
        return FALSE;
    }
    *s = (StoreSnapshot){
        .generation = le_get64(in + 8),
        .epoch = le_get64(in + 16),
        .loaded = le_get64(in + 24),
        .durable = le_get64(in + 32),
        .next_number = le_get64(in + 40),
        .state = state,
        .direct = !!(flags & FLAG_DIRECT),
        .based = !!(flags & FLAG_BASED),
        .lost = !!(flags & FLAG_LOST),
        .before = le_get64(in + 80),
        .n = n,
        .layers = g_new0(StoreLayerInfo, n),
    };
    memcpy(s->boot, in + 56, STORE_BOOT_ID);
    for (guint i = 0; i < n; i++) {
        const guint8 *p = in + STORE_SNAPSHOT_HEADER + (gsize)i * STORE_HEADER;

        s->layers[i] = (StoreLayerInfo){
            .role = le_get32(p),
            .frozen = !!(le_get32(p + 4) & FLAG_FROZEN),
            .epoch = le_get64(p + 8),
            .number = le_get64(p + 16),
            .id = le_get64(p + 24),
            .length = le_get64(p + 32),
            .records = le_get64(p + 40),
            .sum = le_get64(p + 48),
            .before = le_get64(p + 56),
        };
    }
    if (!layers_are_sane(s)) {
        store_snapshot_clear(s);
        return FALSE;
    }
    return TRUE;
}

void store_identity_encode(guint8 out[STORE_HEADER], const StoreIdentity *i)
{
    memset(out, 0, STORE_HEADER);
    memcpy(out, store_magic, sizeof(store_magic));
    le_put32(out + 8, STORE_VERSION);
    le_put32(out + 12, i->ring_blocks);
    le_put64(out + 16, i->store_id);
    le_put64(out + 24, i->base_size);
    seal_header(out);
}

gboolean store_identity_decode(const guint8 in[STORE_HEADER], StoreIdentity *i,
                               guint32 *version)
{
    *version = 0;
    if (memcmp(in, store_magic, sizeof(store_magic)) || !header_is_whole(in)) {
        return FALSE;
    }
    *version = le_get32(in + 8);
    *i = (StoreIdentity){
        .ring_blocks = le_get32(in + 12),
        .store_id = le_get64(in + 16),
        .base_size = le_get64(in + 24),
    };
    return *version == STORE_VERSION && i->ring_blocks > 0 &&
           i->ring_blocks <= 1024 * 1024;
}
