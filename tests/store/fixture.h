/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A folder with an image, and a store on it. */
#ifndef COLO_TEST_STORE_FIXTURE_H
#define COLO_TEST_STORE_FIXTURE_H

#include "blockrep/store/store-priv.h"

typedef struct Fixture {
    char *dir, *base, *folder;
    ColoStore *s;
    ColoStoreOptions o;
    GMutex lock; /* for events */
    GCond cond;
    GString *events; /* "what what ..." */
} Fixture;

/* A new folder for files; in memory where that can be. */
char *test_dir_new(void);

/* size: bytes of the image.  Not opened yet. */
Fixture *fixture_new(guint64 size);
void fixture_free(Fixture *f);
void fixture_open(Fixture *f);
void fixture_close(Fixture *f);
/* As after another boot of the host: nothing is known to be in memory. */
void fixture_reboot(Fixture *f);
gboolean fixture_wait_event(Fixture *f, const char *what);

void check_write(Fixture *f, ColoStoreView v, guint64 off, guint32 len,
                 char fill);
/* All of it is fill. */
void check_filled(Fixture *f, ColoStoreView v, guint64 off, guint32 len,
                  char fill);
/* The image itself */
void check_base(Fixture *f, guint64 off, guint32 len, char fill);
ColoStoreStatus fixture_status(Fixture *f);
void fixture_wait_durable(Fixture *f, guint64 epoch);

#define PVM COLO_STORE_PRIMARY
#define SVM COLO_STORE_SECONDARY

#endif
