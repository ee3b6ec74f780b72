/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Random operations on both views, with crashes at every place where something
 * is written, and power losses, against a model.
 *
 * The store runs in a child.  COLO_SEED: of the random numbers; COLO_ROUNDS:
 * operations in all.
 */
#include "tests/store/fixture.h"
#include "tests/common/scratch.h"
#include "tests/store/model.h"

#include <glib/gstdio.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    OPS = 20000,
    OPS_SANITIZED = 6000,
    CALLS_TO_CRASH = 400,
    SLOW_US = 20 * 1000,
    EXIT_MERGED = 3, /* a promoted store has become a plain image */
    MAX_BEHIND = 20, /* epochs that are not loaded */
};

typedef struct Test {
    char *dir, *live, *shadow, *base, *boot;
    Model *m;
    guint64 ops;
} Test;

static guint8 buffer[MODEL_SIZE];

static ModelOpKind choose_kind(Model *m)
{
    guint32 n = model_random(m, 1000);

    if (m->state == COLO_STORE_PROMOTED) {
        return n < 550   ? OP_WRITE
               : n < 650 ? OP_ZERO
               : n < 850 ? OP_READ
               : n < 900 ? OP_EXTENTS
               : n < 997 ? OP_FLUSH
                         : OP_MERGE;
    }
    if (m->epoch > m->loaded && m->epoch - m->loaded > MAX_BEHIND) {
        return OP_LOAD;
    }
    return n < 500   ? OP_WRITE
           : n < 590 ? OP_ZERO
           : n < 740 ? OP_READ
           : n < 770 ? OP_EXTENTS
           : n < 800 ? OP_FLUSH
           : n < 880 ? OP_SEAL
           : n < 955 ? OP_LOAD
           : n < 970 ? OP_UNSEAL
           : n < 980 ? OP_MERGE
           : n < 995 ? OP_WAIT_DURABLE
           : n < 997 ? OP_RESET
                     : OP_PROMOTE;
}

static void choose(Model *m, ModelOp *op)
{
    *op = (ModelOp){.kind = choose_kind(m)};
    op->view = m->state == COLO_STORE_PROMOTED || model_random(m, 3) == 0
                   ? COLO_STORE_SECONDARY
                   : COLO_STORE_PRIMARY;
    op->off = model_random(m, MODEL_SIZE);
    switch (model_random(m, 4)) {
    case 0: /* any bytes */
        op->len = 1 + model_random(m, 3 * COLO_STORE_BLOCK);
        break;
    case 1: /* many blocks */
        op->off -= op->off % COLO_STORE_BLOCK;
        op->len = COLO_STORE_BLOCK * (1 + model_random(m, 16));
        break;
    default:
        op->off -= op->off % COLO_STORE_BLOCK;
        op->len = COLO_STORE_BLOCK;
        break;
    }
    op->len = MIN(op->len, MODEL_SIZE - op->off);
    op->id = op->kind == OP_WRITE ? m->ops + 1 : 0;
    op->fua = (op->kind == OP_WRITE || op->kind == OP_ZERO) &&
              model_random(m, 16) == 0;
    if (op->view == COLO_STORE_SECONDARY && m->n_writes >= MODEL_WRITES - 2) {
        op->kind = OP_FLUSH;
        op->fua = FALSE;
    }
    op->punch = !!model_random(m, 2);
    op->epoch = op->kind == OP_SEAL ? ++m->last_epoch : m->epoch;
}

static gboolean is_zero(guint64 off, guint64 len, gboolean hole, gboolean zero,
                        gpointer user)
{
    guint64 *next = user;

    g_assert_cmpuint(off, ==, *next);
    g_assert_cmpuint(len, >, 0);
    *next = off + len;
    g_assert_true(!hole || zero);
    for (guint64 i = off; zero && i < off + len; i++) {
        g_assert_cmpuint(buffer[i], ==, 0);
    }
    return TRUE;
}

static int do_op(Test *t, ColoStore *s, const ModelOp *op)
{
    Model *m = t->m;
    guint64 next = op->off;
    int r;

    switch (op->kind) {
    case OP_WRITE:
        for (guint32 i = 0; i < op->len; i++) {
            buffer[i] = model_byte(op->id, op->off + i);
        }
        return colo_store_write(s, op->view, buffer, op->len, op->off, op->fua);
    case OP_ZERO:
        return colo_store_zero(s, op->view, op->len, op->off, op->punch,
                               op->fua);
    case OP_READ:
        r = colo_store_read(s, op->view, buffer, op->len, op->off);
        for (guint32 i = 0; i < op->len; i++) {
            g_assert_cmpuint(buffer[i], ==,
                             model_view(m, op->view, op->off + i));
        }
        return r;
    case OP_EXTENTS:
        r = colo_store_read(s, op->view, buffer + op->off, op->len, op->off);
        g_assert_cmpint(r, ==, 0);
        r = colo_store_extents(s, op->view, op->len, op->off, is_zero, &next);
        g_assert_cmpuint(next, ==, op->off + op->len);
        return r;
    case OP_FLUSH:
        return colo_store_flush(s, op->view);
    case OP_SEAL:
        return colo_store_seal(s, op->epoch);
    case OP_UNSEAL:
        return colo_store_unseal(s, op->epoch);
    case OP_LOAD:
        return colo_store_load(s, op->epoch);
    case OP_PROMOTE:
        return colo_store_promote(s);
    case OP_RESET:
        return colo_store_reset(s);
    case OP_MERGE:
        return colo_store_merge(s);
    default:
        return 0;
    }
}

/* Operations that would be refused are left out, or must be refused. */
static gboolean makes_sense(Model *m, ColoStore *s, const ModelOp *op)
{
    switch (op->kind) {
    case OP_UNSEAL:
        return m->epoch && m->epoch > m->loaded && m->before != m->epoch;
    case OP_LOAD:
        if (!m->epoch) {
            model_unlock();
            g_assert_cmpint(colo_store_load(s, 1), <, 0);
            model_lock();
        }
        return m->epoch != 0;
    case OP_PROMOTE:
        if (!m->loaded) {
            model_unlock();
            g_assert_cmpint(colo_store_promote(s), <, 0);
            model_lock();
        }
        return m->loaded != 0;
    default:
        return TRUE;
    }
}

static void wait_durable(ColoStore *s, guint64 epoch)
{
    gint64 until = g_get_monotonic_time() + 20 * G_USEC_PER_SEC;

    g_mutex_lock(&s->lock);
    while (s->durable < epoch) {
        g_assert_true(g_cond_wait_until(&s->changed, &s->lock, until));
    }
    g_mutex_unlock(&s->lock);
}

/* A store that was merged is its image. */
static void check_image(Test *t)
{
    g_autofree char *image = NULL;
    gsize len;

    g_assert_true(g_file_get_contents(t->base, &image, &len, NULL));
    g_assert_cmpuint(len, ==, MODEL_SIZE);
    for (guint32 i = 0; i < len; i++) {
        g_assert_cmpuint((guint8)image[i], ==,
                         model_view(t->m, COLO_STORE_SECONDARY, i));
    }
}

static void note_durable(Model *m, ColoStore *s)
{
    ColoStoreStatus st;

    colo_store_status(s, &st);
    g_assert_null(st.error);
    g_assert_cmpuint(st.epoch, ==, m->epoch);
    if (m->state != COLO_STORE_PROMOTED) {
        m->durable = st.durable;
    }
}

static void one_op(Test *t, ColoStore *s)
{
    Model *m = t->m;
    ModelOp op;

    choose(m, &op);
    if (!makes_sense(m, s, &op)) {
        m->ops++;
        return;
    }
    model_begin(m, &op);
    if (op.kind == OP_WAIT_DURABLE) {
        wait_durable(s, m->epoch);
    } else {
        g_assert_cmpint(do_op(t, s, &op), ==, 0);
    }
    model_end(m, &op);
    if (op.kind == OP_SEAL) {
        model_unlock();
        g_assert_cmpint(colo_store_seal(s, op.epoch), ==, -EEXIST);
        model_lock();
    } else if (op.kind == OP_RESET) {
        /* What lay above the image is gone, so its content is anything. */
        g_assert_cmpint(
            colo_store_read(s, COLO_STORE_PRIMARY, m->pvm, MODEL_SIZE, 0), ==,
            0);
        memcpy(m->below, m->pvm, MODEL_SIZE);
    }
    note_durable(m, s);
    if (op.kind == OP_MERGE && m->state == COLO_STORE_PROMOTED) {
        check_image(t);
        if (model_random(m, 2)) {
            disk_die_after(0);
            model_unlock();
            colo_store_close(s);
            _exit(EXIT_MERGED);
        }
    }
}

static void child(Test *t)
{
    Model *m = t->m;
    g_autoptr(GError) error = NULL;
    ColoStoreOptions o;
    ColoStore *s;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    store_boot_id_path = t->boot;
    store_sync_ms = model_random(m, 3);
    store_merge_ms = model_random(m, 3);
    disk_shadow(t->live, t->shadow);
    disk_is_slow(model_random(m, 2) ? SLOW_US : 0);
    disk_die_after(1 + model_random(m, CALLS_TO_CRASH));
    colo_store_options_default(&o);
    o.base = t->base;
    s = colo_store_open(&o, &error);
    if (!s) {
        g_error("cannot open: %s", error->message);
    }
    model_lock();
    model_check_opened(m, s);
    while (m->ops < t->ops) {
        one_op(t, s);
        if (model_random(m, 2000) == 0) {
            break;
        }
    }
    disk_die_after(0);
    model_unlock();
    colo_store_close(s);
    _exit(0);
}

static void new_boot(Test *t)
{
    g_autofree char *id =
        g_strdup_printf("%032" G_GINT64_MODIFIER "x", t->m->power_losses + 1);

    g_assert_true(g_file_set_contents(t->boot, id, -1, NULL));
}

/* The image stays, its store begins anew. */
static void start_anew(Test *t)
{
    g_autofree char *folder = g_strconcat(t->base, ".colo", NULL);
    g_autofree char *image = NULL;

    scratch_remove(folder);
    scratch_remove(t->shadow);
    disk_copy_all(t->live, t->shadow);
    g_assert_true(g_file_get_contents(t->base, &image, NULL, NULL));
    model_fresh(t->m, (guint8 *)image);
}

static void run_children(Test *t)
{
    Model *m = t->m;
    guint64 idle = 0, ops = 0;

    while (m->ops < t->ops) {
        pid_t pid = fork();
        int status;

        g_assert_cmpint(pid, >=, 0);
        if (!pid) {
            child(t);
        }
        g_assert_cmpint(waitpid(pid, &status, 0), ==, pid);
        idle = m->ops == ops ? idle + 1 : 0;
        ops = m->ops;
        g_assert_cmpuint(idle, <, 100); /* it crashes only */
        if (WIFEXITED(status) && WEXITSTATUS(status) == EXIT_MERGED) {
            start_anew(t);
        } else if (WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL) {
            m->crashes++;
            if (model_random(m, 2)) {
                m->power_losses++;
                m->power_lost = TRUE;
                disk_power_loss(t->live, t->shadow, m);
                new_boot(t);
            }
        } else if (!WIFEXITED(status) || WEXITSTATUS(status)) {
            g_test_message("left as it was: %s", t->dir);
            g_test_message("%s", m->about);
            g_error("the child ended with status %x after %" G_GUINT64_FORMAT
                    " operations",
                    status, m->ops);
        }
    }
}

static guint64 number(const char *variable, guint64 standard)
{
    const char *v = g_getenv(variable);

    return v ? g_ascii_strtoull(v, NULL, 0) : standard;
}

static void test_model(void)
{
#ifdef __SANITIZE_ADDRESS__
    guint64 ops = OPS_SANITIZED;
#else
    guint64 ops = OPS;
#endif
    guint64 seed = number("COLO_SEED", (guint64)g_get_real_time());
    Test t = {.ops = number("COLO_ROUNDS", ops)};
    g_autofree char *zeroes = g_malloc0(MODEL_SIZE);

    g_test_message("COLO_SEED=%" G_GUINT64_FORMAT
                   " COLO_ROUNDS=%" G_GUINT64_FORMAT,
                   seed, t.ops);
    t.m = mmap(NULL, sizeof(*t.m), PROT_READ | PROT_WRITE,
               MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    g_assert_true(t.m != MAP_FAILED);
    t.m->rng = seed * 2 + 1;
    for (int i = 0; i < 8; i++) {
        model_random(t.m, 2);
    }
    t.dir = test_dir_new();
    t.live = g_build_filename(t.dir, "live", NULL);
    t.shadow = g_build_filename(t.dir, "shadow", NULL);
    t.base = g_build_filename(t.live, "disk.raw", NULL);
    t.boot = g_build_filename(t.dir, "boot_id", NULL);
    g_assert_cmpint(g_mkdir(t.live, 0700), ==, 0);
    g_assert_true(g_file_set_contents(t.base, zeroes, MODEL_SIZE, NULL));
    new_boot(&t);
    start_anew(&t);
    run_children(&t);
    g_test_message("%" G_GUINT64_FORMAT " operations, %" G_GUINT64_FORMAT
                   " crashes, %" G_GUINT64_FORMAT
                   " of them power losses, %" G_GUINT64_FORMAT
                   " takeovers merged",
                   t.m->ops, t.m->crashes, t.m->power_losses, t.m->rounds - 1);
    if (t.ops >= 5000) {
        g_assert_cmpuint(t.m->power_losses, >, 3);
        g_assert_cmpuint(t.m->crashes, >, t.m->power_losses);
    }
    scratch_remove(t.dir);
    munmap(t.m, sizeof(*t.m));
    g_free(t.dir);
    g_free(t.live);
    g_free(t.shadow);
    g_free(t.base);
    g_free(t.boot);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/store/model", test_model);
    return g_test_run();
}
