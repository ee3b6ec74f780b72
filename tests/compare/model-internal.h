/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The model's parts: guests (model-guests.c) and oracle (model-oracle.c). */
#ifndef COLO_TESTS_COMPARE_MODEL_INTERNAL_H
#define COLO_TESTS_COMPARE_MODEL_INTERNAL_H

#include "build.h"
#include "model.h"

enum {
    MAX_CONNS = 4,
    MAX_STREAM = 600,
    MAX_MESSAGES = 40, /* of a connection that is UDP's */
    MAX_PACKETS = 4096,
    MAX_WIRE = 4, /* packets that may overtake each other */
    SEEN_FIN = 0x1000,
    MAX_FRAMES = 8192,
    MAX_LATE = 64,
};

typedef enum { ANSWERS, ASKS, OPEN_BEFORE, UDP, N_KINDS } Kind;

/* One guest's side of a connection: all that a checkpoint carries over. */
typedef struct Side {
    gboolean syn, end; /* sent */
    guint32 isn;
    guint sent;  /* bytes or messages, at least once */
    guint acked; /* of the client's */
    guint again; /* messages that it will send again */
} Side;

typedef struct Conn {
    Kind kind;
    gboolean v6, reset; /* ends with RST */
    gboolean opened;    /* the client's or the application's wish */
    gboolean established, first_left;
    guint len;
    guint8 bytes[MAX_STREAM + 2];
    /* The SVM's, where it differs from there on; else G_MAXUINT */
    guint diff, svm_len;
    guint8 svm_bytes[MAX_STREAM + 2];
    guint32 client_isn;
    guint client_sent;
    Side p, s;

    /* The oracle's */
    Side committed;
    guint16 seen[MAX_STREAM + 2]; /* byte + 1, or SEEN_FIN */
    gboolean seen_reset, seen_syn, seen_ack;
    guint svm_acked;
    guint8 got[MAX_STREAM + 2];
    gboolean has_edge;
    guint32 edge_0, edge_14;
    guint told, pvm_acked; /* what has left; the same, if none were lowered */
} Conn;

/* A packet on its way from a guest. */
typedef struct Packet {
    guint conn;
    guint from, to;
    guint32 isn; /* offset 0 is the number behind it */
    guint8 flags;
    guint acked;
    guint16 window;
    gboolean released;
    guint sent; /* bytes, in parts */
    guint64 id;
} Packet;

/* A packet of the SVM that was said by digests. */
typedef struct Frame {
    Packet packet;
    gboolean asked, done;
} Frame;

typedef struct Wire {
    Packet packets[MAX_WIRE];
    guint n;
} Wire;

typedef struct Snapshot {
    guint64 epoch, upto; /* packets with smaller ids */
    Side sides[MAX_CONNS];
} Snapshot;

struct Model {
    guint64 random;
    NetCompare *compare;
    gint64 now;
    gboolean fault;
    guint n_conns;
    Conn conns[MAX_CONNS];
    Wire p_wire, s_wire;
    Packet packets[MAX_PACKETS]; /* of the PVM, by id */
    guint64 n_packets, n_unreleased;
    Frame frames[MAX_FRAMES]; /* of the SVM, by number */
    guint n_frames, n_asked;
    guint late_gone[MAX_LATE], n_late; /* said behind LOADED */
    gboolean silent; /* a question was not answered as it should be */
    guint8 secret[NET_DIGEST_SECRET];

    guint64 epoch;
    gboolean captured, awaited;
    Snapshot capture, await;
    gboolean listening; /* the SVM's output counts */
    guint64 committing; /* smaller ids may leave by checkpoint */
    guint needs;        /* since the last commit or cancel */
    guint8 bytes[BUILD_MAX];
};

/* 0 to n - 1 */
static inline guint pick(Model *m, guint n)
{
    m->random ^= m->random << 13;
    m->random ^= m->random >> 7;
    m->random ^= m->random << 17;
    return (guint)((m->random >> 20) % n);
}

/* With COLO_TRACE set: what happens, a line each. */
#define TRACE(...)                                                             \
    do {                                                                       \
        if (G_UNLIKELY(model_trace)) {                                         \
            g_test_message(__VA_ARGS__);                                       \
        }                                                                      \
    } while (0)
extern gboolean model_trace;

/* model-guests.c */
void guests_init(Model *m);
void guest_step(Model *m, Conn *c, gboolean primary);
void guest_finish(Model *m, Conn *c, gboolean primary);
void guest_acknowledge(Model *m, Conn *c, gboolean primary);
void guest_syn(Model *m, Conn *c, gboolean primary);
void guest_fault(Model *m, Conn *c);
void wire_flush(Model *m, gboolean primary);
/* What fetch() asked for; all: nothing stays without an answer. */
void svm_answer(Model *m, gboolean all);
void svm_load(Model *m, const Snapshot *from);

/* model-oracle.c */
extern const NetCompareOps oracle_ops;
void oracle_saw(Model *m, const Packet *p);

#endif
