/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The ft stream's wire format and its pure encoders and decoders.
 *
 * Source: Kemari's "Sender/Receiver protocol" 0.5a and ft_trans_file.c
 * (2011), finished as docs/internals.md describes.  All integers are
 * little-endian.  A frame is a header and payload_len bytes of payload:
 *
 *   command   from       payload
 *   INIT      both       JSON, see ft-hello.h
 *   BEGIN     sender     FtBegin
 *   CONTINUE  sender     one chunk: FtChunk, runs, data
 *   COMMIT    sender     FtCommit
 *   ATOMIC    sender     FtBegin, chunks (each with its u32 length), FtCommit
 *   CANCEL    both       FtNote: give up the transaction, or the ft mode
 *   ACK       receiver   FtAck: everything of the transaction is held
 *   NACK      receiver   FtNote: FT_TRANS_ERR_*, and how far it was right
 *
 * id counts transactions, each attempt at one, and wraps; seq counts the
 * payloads inside one: BEGIN is payload 0.  An answer has the id of the
 * transaction that it is about, and seq 0.
 */
#ifndef COLO_FT_PROTO_H
#define COLO_FT_PROTO_H

#include <glib.h>

#define FT_VERSION 2

/* enum QEMU_VM_TRANSACTION_STATE of the Kemari patch */
typedef enum {
    FT_CMD_NACK = -1,
    FT_CMD_INIT = 0,
    FT_CMD_BEGIN,
    FT_CMD_CONTINUE,
    FT_CMD_COMMIT,
    FT_CMD_CANCEL,
    FT_CMD_ATOMIC,
    FT_CMD_ACK,
} FtCmd;

#define FT_TRANS_ERR_UNKNOWN       0x01 /* Unknown error */
#define FT_TRANS_ERR_SEND_HDR      0x02 /* Send header failed */
#define FT_TRANS_ERR_RECV_HDR      0x03 /* Recv header failed */
#define FT_TRANS_ERR_SEND_PAYLOAD  0x04 /* Send payload failed */
#define FT_TRANS_ERR_RECV_PAYLOAD  0x05 /* Recv payload failed */
#define FT_TRANS_ERR_FLUSH         0x06 /* Flush buffered data failed */
#define FT_TRANS_ERR_STATE_INVALID 0x07 /* Invalid state */
/* Ours */
#define FT_TRANS_ERR_CHECKSUM      0x10 /* Payload does not match its sum */
#define FT_TRANS_ERR_VERSION       0x11 /* No common protocol version */
#define FT_TRANS_ERR_MISMATCH      0x12 /* Not the same virtual machine */
#define FT_TRANS_ERR_BUSY          0x13 /* Another primary is connected */
#define FT_TRANS_ERR_TAKEN_OVER    0x14 /* The secondary has taken over */
#define FT_TRANS_ERR_NO_ROOM       0x15 /* Too large for the receiver */

/* Why a CANCEL was sent (FtNote.code) */
typedef enum {
    FT_CANCEL_TRANSACTION = 1, /* this transaction only; ft mode goes on */
    FT_CANCEL_REQUEST,         /* the operator ended replication */
    FT_CANCEL_GUEST_SHUTDOWN,  /* the guest shut down in order */
    FT_CANCEL_VM_DIED,         /* QEMU died under a living colod */
    FT_CANCEL_TAKEN_OVER,      /* the secondary goes on: stop your guest */
    FT_CANCEL_FAILED,          /* this side cannot go on (text says why) */
} FtCancel;

#define FT_HEADER_LEN 12
#define FT_BEGIN_LEN  24
#define FT_CHUNK_LEN  48
#define FT_RUN_LEN    16
#define FT_COMMIT_LEN 48
#define FT_ACK_LEN    16
#define FT_NOTE_LEN   24    /* and text_len bytes of text */

#define FT_MAX_HELLO     (128 * 1024)
#define FT_MAX_TEXT      512
#define FT_CHUNK_DATA    (512 * 1024)  /* data of a chunk, decoded */
#define FT_CHUNK_RUNS    1024
#define FT_MAX_CHUNK     (FT_CHUNK_LEN + FT_CHUNK_RUNS * FT_RUN_LEN + \
                          FT_CHUNK_DATA)
/* Larger transactions are not small. */
#define FT_MAX_ATOMIC    (2 * 1024 * 1024)
#define FT_MAX_STATE     (64 * 1024 * 1024)   /* device state */

typedef struct FtHeader {
    gint16 cmd;                 /* FtCmd */
    guint16 id;
    guint32 seq;
    guint32 payload_len;
} FtHeader;

/* FtBegin.flags */
#define FT_BEGIN_INIT    1u /* initialization mode: the live full copy */
#define FT_BEGIN_INHERIT 2u /* what is held of the last transaction stays */

typedef struct FtBegin {
    guint64 epoch;              /* what it becomes when committed, from 1 */
    guint32 flags;
} FtBegin;

typedef enum { FT_CHUNK_PAGES = 1, FT_CHUNK_DEVICE = 2 } FtChunkType;
typedef enum { FT_CODING_NONE, FT_CODING_LZ4, FT_CODING_ZSTD } FtCoding;

typedef struct FtChunk {
    guint8 type;                /* FtChunkType */
    guint8 coding;              /* FtCoding of data */
    guint16 n_runs;             /* PAGES: runs before the data */
    guint32 data_len;           /* bytes of data in this payload */
    guint32 raw_len;            /* the same, decoded */
    guint64 offset;             /* DEVICE: place in the device state */
    guint64 data_sum;           /* XXH3-64 of the decoded data */
    guint64 head_sum;           /* XXH3-64 of header, chunk and runs */
} FtChunk;

/* Runs ascend and do not overlap within a chunk. */
typedef struct FtRun {
    guint64 page;
    guint32 n_pages;
    guint32 zero;               /* 1: all zero, no data */
} FtRun;

typedef struct FtCommit {
    guint64 epoch;
    guint64 n_pages;            /* page copies sent, zero ones too */
    guint64 state_len;          /* bytes of device state */
    guint32 n_payloads;         /* payloads of this transaction */
    guint32 running_us;         /* when this was sent, the guest had run on
                                   for so long since the capture; 0: it is
                                   not known, or it does not run */
    guint64 sum;                /* ft_sum_chain() of all its chunks */
} FtCommit;

typedef struct FtAck {
    guint64 epoch;
} FtAck;

typedef struct FtNote {
    guint32 code;               /* FT_TRANS_ERR_* or FtCancel */
    guint32 n_good;             /* NACK: payloads that were held and right */
    char text[FT_MAX_TEXT + 1]; /* for the operator; printable */
} FtNote;

/*
 * Encoders write exactly the length named above to out.  Decoders take
 * exactly that length and return NULL, or a static text that says what is
 * wrong with it; nothing is trusted, reserved fields must be zero.
 *
 * frame is the whole frame's header.  The header has no checksum of its
 * own: each part's sum is seeded with it, so that a part never passes under
 * a header that it was not sent with.
 */
void ft_header_put(const FtHeader *h, guint8 *out);
const char *ft_header_get(const guint8 *in, FtHeader *h);

void ft_begin_put(const FtHeader *frame, const FtBegin *b, guint8 *out);
const char *ft_begin_get(const FtHeader *frame, const guint8 *in, FtBegin *b);

void ft_commit_put(const FtHeader *frame, const FtCommit *c, guint8 *out);
const char *ft_commit_get(const FtHeader *frame, const guint8 *in,
                          FtCommit *c);

void ft_ack_put(const FtHeader *frame, const FtAck *a, guint8 *out);
const char *ft_ack_get(const FtHeader *frame, const guint8 *in, FtAck *a);

/* Sets the frame's payload_len: FT_NOTE_LEN and the text's. */
void ft_note_put(FtHeader *frame, const FtNote *n, guint8 *out);
const char *ft_note_get(const FtHeader *frame, const guint8 *in, FtNote *n);

/*
 * A chunk's head: FtChunk and its runs, FT_CHUNK_LEN + n_runs * FT_RUN_LEN
 * bytes.  frame is the header it is sent under, or would be if it is a part
 * of an ATOMIC frame (CONTINUE, with the chunk's own seq and length); it is
 * part of head_sum, which put computes.
 *
 * Reading takes two steps, since the runs' number stands in the chunk:
 * ft_chunk_get() checks the fixed part and that payload_len is exactly what
 * head and data need; ft_runs_get() then takes the whole head, checks its
 * sum and that the runs ascend, lie within ram_pages and need exactly
 * raw_len bytes.  runs has room for FT_CHUNK_RUNS.
 */
void ft_chunk_put(const FtHeader *frame, FtChunk *c, const FtRun *runs,
                  guint8 *out);
const char *ft_chunk_get(const FtHeader *frame, const guint8 *in, FtChunk *c);
const char *ft_runs_get(const FtHeader *frame, const FtChunk *c,
                        const guint8 *head, gsize ram_pages, FtRun *runs);

/* XXH3-64 of data, and the running sum over a transaction's chunks. */
guint64 ft_sum(const void *data, gsize len);
guint64 ft_sum_chain(guint64 chain, const FtChunk *c);
/* The sum of a part of a frame: XXH3-64 seeded with that of the header. */
guint64 ft_sum_part(const FtHeader *frame, const void *part, gsize len);

/*
 * Is a sum that was received right?  Always in a fuzzer's build, which could
 * never guess one.
 */
static inline gboolean ft_sum_is(guint64 received, guint64 sum)
{
#ifdef FUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
    return TRUE;
#else
    return received == sum;
#endif
}

/* The largest payload that cmd may have; 0: none known. */
gsize ft_max_payload(gint16 cmd);
const char *ft_cmd_name(gint16 cmd);

#endif
