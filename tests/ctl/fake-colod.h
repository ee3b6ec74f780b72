/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A QMP server that answers coloctl as a test wants, and coloctl itself. */
#ifndef TESTS_CTL_FAKE_COLOD_H
#define TESTS_CTL_FAKE_COLOD_H

#include "colo/qmp-server.h"

typedef struct FakeColod {
    char *folder, *path;
    ColoQmpServer *server;

    /* What it answers, as JSON; NULL: an error */
    const char *status, *stats;
    const char *next_status;    /* from the second query-colo-status on */
    const char *last_status;    /* from the third on */
    /* Events after each reply to a command: "NAME {data}", ends with NULL */
    const char *const *events;

    GString *asked;             /* "command {args}\n" of each */
    gboolean vanish;            /* close the socket instead of answering */
    int queries;
    gpointer client;            /* the coloctl that runs */
} FakeColod;

void fake_colod_start(FakeColod *f);
void fake_colod_stop(FakeColod *f);

/* What coloctl printed and how it ended. */
typedef struct Ran {
    char *out, *err;
    int status;
} Ran;

/* Run coloctl with these words (ends with NULL) on f's socket. */
void run_coloctl(FakeColod *f, Ran *r, ...) G_GNUC_NULL_TERMINATED;
/* The same with a terminal of 60 columns as its stdout. */
void run_coloctl_on_terminal(FakeColod *f, Ran *r, ...) G_GNUC_NULL_TERMINATED;
void ran_clear(Ran *r);

#endif
