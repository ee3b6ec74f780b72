/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A store's two views as arrays. */
#include "tests/store/model.h"

#include <string.h>

/* Held while the model changes: nobody dies in the middle of that. */
static GRecMutex changing;

void model_lock(void)
{
    g_rec_mutex_lock(&changing);
}

void model_unlock(void)
{
    g_rec_mutex_unlock(&changing);
}

guint32 model_random(Model *m, guint32 below)
{
    m->rng ^= m->rng << 13;
    m->rng ^= m->rng >> 7;
    m->rng ^= m->rng << 17;
    return (guint32)((m->rng >> 16) % below);
}

guint8 model_byte(guint64 id, guint32 off)
{
    return id ? (guint8)(id * 89 + id / 256 + off * 7 + off / 512) : 0;
}

guint8 model_view(const Model *m, ColoStoreView v, guint32 off)
{
    if (v == COLO_STORE_PRIMARY) {
        return m->pvm[off];
    }
    return m->mask[off] ? m->active[off] : m->below[off];
}

static ModelEpoch *find_epoch(Model *m, guint64 epoch)
{
    for (guint i = 0; i < MODEL_EPOCHS; i++) {
        if (m->epochs[i].epoch == epoch) {
            return &m->epochs[i];
        }
    }
    return NULL;
}

static void forget_epochs(Model *m)
{
    for (guint i = 0; i < MODEL_EPOCHS; i++) {
        m->epochs[i].epoch = 0;
    }
}

static void add_epoch(Model *m, guint64 epoch)
{
    ModelEpoch *e = &m->epochs[0];

    for (guint i = 1; i < MODEL_EPOCHS && e->epoch; i++) {
        if (m->epochs[i].epoch < e->epoch) {
            e = &m->epochs[i];
        }
    }
    e->epoch = epoch;
    memcpy(e->content, m->pvm, MODEL_SIZE);
}

static void store(Model *m, const ModelOp *op, guint32 i)
{
    guint8 byte = model_byte(op->id, i);

    if (op->view == COLO_STORE_PRIMARY) {
        m->pvm[i] = byte;
        if (m->direct) {
            m->below[i] = byte;
        }
    } else {
        m->active[i] = byte;
        m->mask[i] = 1;
    }
}

static void flushed(Model *m)
{
    for (guint32 i = 0; i < MODEL_SIZE; i++) {
        m->flushed[i] = model_view(m, COLO_STORE_SECONDARY, i);
    }
    m->n_writes = 0;
}

static void apply_reset(Model *m)
{
    m->state = COLO_STORE_EMPTY;
    m->epoch = m->before = m->loaded = m->durable = 0;
    m->direct = TRUE;
    memset(m->mask, 0, MODEL_SIZE);
    forget_epochs(m);
}

static void apply_seal(Model *m, guint64 epoch)
{
    m->direct = FALSE;
    m->before = m->epoch;
    m->epoch = epoch;
    m->state = COLO_STORE_STANDBY;
    add_epoch(m, epoch);
}

static void apply(Model *m, const ModelOp *op)
{
    switch (op->kind) {
    case OP_WRITE:
    case OP_ZERO:
        for (guint32 i = op->off; i < op->off + op->len; i++) {
            store(m, op, i);
        }
        break;
    case OP_SEAL:
        apply_seal(m, op->epoch);
        break;
    case OP_UNSEAL:
        m->epoch = m->before;
        m->before = m->epoch; /* once only */
        m->durable = MIN(m->durable, m->epoch);
        m->state = m->epoch ? COLO_STORE_STANDBY : COLO_STORE_EMPTY;
        break;
    case OP_LOAD:
        m->loaded = op->epoch;
        g_assert_nonnull(find_epoch(m, op->epoch));
        memcpy(m->below, find_epoch(m, op->epoch)->content, MODEL_SIZE);
        memset(m->mask, 0, MODEL_SIZE);
        break;
    case OP_PROMOTE:
        m->state = COLO_STORE_PROMOTED;
        m->epoch = m->before = m->loaded;
        flushed(m);
        break;
    case OP_RESET:
        apply_reset(m);
        break;
    default:
        break;
    }
}

void model_begin(Model *m, const ModelOp *op)
{
    if (m->state == COLO_STORE_PROMOTED &&
        (op->kind == OP_WRITE || op->kind == OP_ZERO)) {
        g_assert_cmpuint(m->n_writes, <, MODEL_WRITES);
        m->writes[m->n_writes++] = *op;
    }
    m->op = *op;
    model_unlock();
}

void model_end(Model *m, const ModelOp *op)
{
    model_lock();
    apply(m, op);
    if (m->state == COLO_STORE_PROMOTED &&
        (op->fua ||
         (op->kind == OP_FLUSH && op->view == COLO_STORE_SECONDARY))) {
        flushed(m);
    }
    m->op.kind = OP_NONE;
    m->ops++;
}

static void read_view(ColoStore *s, ColoStoreView v, guint8 *buf)
{
    g_assert_cmpint(colo_store_read(s, v, buf, MODEL_SIZE, 0), ==, 0);
}

static void compare(const guint8 *got, const guint8 *want, const char *what)
{
    for (guint32 i = 0; i < MODEL_SIZE; i++) {
        if (got[i] != want[i]) {
            g_error("%s: byte %u is %02x, not %02x", what, i, got[i], want[i]);
        }
    }
}

void model_check_view(Model *m, ColoStore *s, ColoStoreView v)
{
    g_autofree guint8 *got = g_malloc(MODEL_SIZE);
    g_autofree guint8 *want = g_malloc(MODEL_SIZE);

    read_view(s, v, got);
    for (guint32 i = 0; i < MODEL_SIZE; i++) {
        want[i] = model_view(m, v, i);
    }
    compare(got, want, v == COLO_STORE_PRIMARY ? "PVM's view" : "SVM's view");
}

/* The write that was under way: done, or not, in any part. */
static void settle_write(Model *m, ColoStore *s)
{
    const ModelOp op = m->op;
    g_autofree guint8 *got = g_malloc(MODEL_SIZE);

    read_view(s, op.view, got);
    for (guint32 i = op.off; i < op.off + op.len; i++) {
        if (got[i] != model_view(m, op.view, i)) {
            g_assert_cmpuint(got[i], ==, model_byte(op.id, i));
            store(m, &op, i);
        }
    }
}

static void settle_reset(Model *m, ColoStore *s)
{
    g_autofree guint8 *got = g_malloc(MODEL_SIZE);

    if (m->state == COLO_STORE_EMPTY) {
        /* Cannot be told from its state, only by what is there */
        ColoStoreStatus st;

        colo_store_status(s, &st);
        g_free(st.error);
        if (st.active_bytes) {
            return;
        }
    }
    read_view(s, COLO_STORE_PRIMARY, got);
    apply_reset(m);
    /* What lay above the image is gone: any mixture of epochs is left. */
    memcpy(m->pvm, got, MODEL_SIZE);
    memcpy(m->below, got, MODEL_SIZE);
}

/* The process died, the host did not. */
static void settle(Model *m, ColoStore *s, const ColoStoreStatus *st)
{
    const ModelOp op = m->op;

    switch (op.kind) {
    case OP_WRITE:
    case OP_ZERO:
        settle_write(m, s);
        break;
    case OP_SEAL:
        if (st->epoch == op.epoch) {
            apply(m, &op);
        }
        break;
    case OP_UNSEAL:
        if (st->epoch != op.epoch) {
            apply(m, &op);
        }
        break;
    case OP_LOAD:
        /* The same epoch again: only what is active tells. */
        if (st->loaded == op.epoch &&
            (m->loaded != op.epoch || !st->active_bytes)) {
            apply(m, &op);
        }
        break;
    case OP_PROMOTE:
        if (st->state == COLO_STORE_PROMOTED) {
            apply(m, &op);
        }
        break;
    case OP_RESET:
        if (st->state == COLO_STORE_EMPTY) {
            settle_reset(m, s);
        }
        break;
    default:
        break;
    }
    g_assert_cmpint(st->state, ==, m->state);
    g_assert_cmpuint(st->epoch, ==, m->epoch);
    g_assert_cmpuint(st->loaded, ==, m->loaded);
}

static gboolean may_be(const Model *m, guint32 i, guint8 byte)
{
    if (m->flushed[i] == byte) {
        return TRUE;
    }
    for (guint k = 0; k < m->n_writes; k++) {
        const ModelOp *w = &m->writes[k];

        if (i >= w->off && i < w->off + w->len &&
            model_byte(w->id, i) == byte) {
            return TRUE;
        }
    }
    return FALSE;
}

static void survivor_after_power_loss(Model *m, ColoStore *s)
{
    g_autofree guint8 *got = g_malloc(MODEL_SIZE);

    read_view(s, COLO_STORE_SECONDARY, got);
    for (guint32 i = 0; i < MODEL_SIZE; i++) {
        if (!may_be(m, i, got[i])) {
            g_error("the survivor's byte %u is %02x, flushed was %02x", i,
                    got[i], m->flushed[i]);
        }
    }
    memcpy(m->below, got, MODEL_SIZE);
    memset(m->mask, 0, MODEL_SIZE);
    flushed(m);
}

static void standby_after_power_loss(Model *m, ColoStore *s,
                                     const ColoStoreStatus *st)
{
    const ModelEpoch *e;

    if (m->op.kind == OP_SEAL && st->epoch == m->op.epoch) {
        apply(m, &m->op); /* it came as far as the disk */
    }
    if (m->op.kind == OP_RESET && st->state == COLO_STORE_EMPTY) {
        m->durable = 0; /* so did this */
    }
    if (m->op.kind == OP_UNSEAL && st->epoch != m->op.epoch) {
        m->durable = MIN(m->durable, m->before); /* or this */
    }
    g_assert_cmpuint(st->epoch, >=, m->durable);
    g_assert_cmpuint(st->loaded, ==, st->epoch);
    g_assert_true(st->lost || m->state == COLO_STORE_EMPTY);
    m->epoch = st->epoch;
    m->before = st->epoch; /* it cannot be taken back any more */
    m->loaded = st->loaded;
    m->durable = MIN(m->durable, st->epoch);
    m->state = st->state;
    memset(m->mask, 0, MODEL_SIZE);
    if (!st->epoch) {
        g_assert_cmpint(st->state, ==, COLO_STORE_EMPTY);
        apply_reset(m);
        read_view(s, COLO_STORE_PRIMARY, m->pvm); /* nothing was promised */
        memcpy(m->below, m->pvm, MODEL_SIZE);
        return;
    }
    g_assert_cmpint(st->state, ==, COLO_STORE_STANDBY);
    e = find_epoch(m, st->epoch);
    g_assert_nonnull(e);
    m->direct = FALSE;
    memcpy(m->pvm, e->content, MODEL_SIZE);
    memcpy(m->below, e->content, MODEL_SIZE);
}

/* For the log of a failed test */
static void describe(Model *m, const ColoStoreStatus *st)
{
    g_snprintf(m->about, sizeof(m->about),
               "%s during operation %d of view %d, %u bytes at %u, epoch "
               "%" G_GUINT64_FORMAT "; model: %s%s, epoch %" G_GUINT64_FORMAT
               " loaded %" G_GUINT64_FORMAT " durable %" G_GUINT64_FORMAT
               "; store: %s, epoch %" G_GUINT64_FORMAT
               " loaded %" G_GUINT64_FORMAT " durable %" G_GUINT64_FORMAT
               " sealed %u active bytes %" G_GUINT64_FORMAT,
               m->power_lost ? "power loss" : "crash", m->op.kind, m->op.view,
               m->op.len, m->op.off, m->op.epoch,
               colo_store_state_name(m->state), m->direct ? " direct" : "",
               m->epoch, m->loaded, m->durable,
               colo_store_state_name(st->state), st->epoch, st->loaded,
               st->durable, st->sealed, st->active_bytes);
}

void model_check_opened(Model *m, ColoStore *s)
{
    ColoStoreStatus st;

    colo_store_status(s, &st);
    describe(m, &st);
    g_assert_null(st.error);
    if (!m->power_lost) {
        settle(m, s, &st);
    } else if (m->state == COLO_STORE_PROMOTED) {
        g_assert_cmpint(st.state, ==, COLO_STORE_PROMOTED);
        survivor_after_power_loss(m, s);
    } else if (st.state == COLO_STORE_PROMOTED) {
        g_assert_cmpint(m->op.kind, ==, OP_PROMOTE);
        apply(m, &m->op);
        survivor_after_power_loss(m, s);
    } else {
        standby_after_power_loss(m, s, &st);
    }
    m->power_lost = FALSE;
    m->op.kind = OP_NONE;
    if (m->state != COLO_STORE_PROMOTED) {
        model_check_view(m, s, COLO_STORE_PRIMARY);
    }
    model_check_view(m, s, COLO_STORE_SECONDARY);
}

void model_fresh(Model *m, const guint8 *image)
{
    apply_reset(m);
    memcpy(m->pvm, image, MODEL_SIZE);
    memcpy(m->below, image, MODEL_SIZE);
    m->op.kind = OP_NONE;
    m->power_lost = FALSE;
    m->rounds++;
}
