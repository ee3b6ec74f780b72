/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A store's two views as arrays, in memory that outlives the process that uses
 * the store: test-model.c.
 */
#ifndef COLO_TEST_STORE_MODEL_H
#define COLO_TEST_STORE_MODEL_H

#include "blockrep/store/store-priv.h"

#define MODEL_SIZE ((guint32)(192 * 1024 + 512))

enum { MODEL_EPOCHS = 48, MODEL_WRITES = 200 };

typedef enum {
    OP_NONE,
    OP_WRITE,
    OP_ZERO,
    OP_READ,
    OP_EXTENTS,
    OP_FLUSH,
    OP_SEAL,
    OP_UNSEAL,
    OP_LOAD,
    OP_PROMOTE,
    OP_RESET,
    OP_MERGE,
    OP_WAIT_DURABLE,
} ModelOpKind;

typedef struct ModelOp {
    ModelOpKind kind;
    ColoStoreView view;
    guint32 off, len;
    guint64 id; /* makes the data; 0: zeroes */
    gboolean fua, punch;
    guint64 epoch;
} ModelOp;

typedef struct ModelEpoch {
    guint64 epoch; /* 0: free */
    guint8 content[MODEL_SIZE];
} ModelEpoch;

typedef struct Model {
    guint64 ops, crashes, power_losses, rounds; /* done */
    guint64 rng;
    ModelOp op; /* under way: done or not, nobody knows after a crash */
    ColoStoreState state;
    gboolean direct;
    guint64 epoch, before, loaded;
    guint64 last_epoch; /* number that was ever used */
    guint64 durable;    /* as the store said */
    gboolean power_lost;
    guint8 pvm[MODEL_SIZE];
    guint8 below[MODEL_SIZE]; /* what the SVM's writes lie on */
    guint8 active[MODEL_SIZE], mask[MODEL_SIZE];
    ModelEpoch epochs[MODEL_EPOCHS];
    /* after a promote: what a power loss may take */
    guint8 flushed[MODEL_SIZE];
    ModelOp writes[MODEL_WRITES];
    guint n_writes;
    char about[512]; /* the last crash, for the log of a failed test */
} Model;

guint32 model_random(Model *m, guint32 below);
guint8 model_byte(guint64 id, guint32 off);
guint8 model_view(const Model *m, ColoStoreView v, guint32 off);

void model_lock(void);
void model_unlock(void);
/* Before the store is asked, and when it has answered; the lock is held before
 * the one and after the other */
void model_begin(Model *m, const ModelOp *op);
void model_end(Model *m, const ModelOp *op);

/* The store was opened: is it in a state that it may be in? */
void model_check_opened(Model *m, ColoStore *s);
void model_check_view(Model *m, ColoStore *s, ColoStoreView v);
void model_fresh(Model *m, const guint8 *image);

/* --- model-disk.c: what a disk keeps when the power goes -------------------
 */

/* What is synced in live is in shadow from then on. */
void disk_shadow(const char *live, const char *shadow);
/* The process dies in the calls-th write or sync from now on. */
void disk_die_after(guint calls);
/* Syncs of other threads than the first take up to us. */
void disk_is_slow(guint us);
/* live becomes what may be found afterwards. */
void disk_power_loss(const char *live, const char *shadow, Model *rng);
void disk_copy_all(const char *from, const char *to);

#endif
