/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Numbers as bytes of a stream or a file, at any address: little endian in our
 * own formats, big endian in QEMU's.
 */
#ifndef COLO_BYTES_H
#define COLO_BYTES_H

#include <glib.h>
#include <string.h>

#define COLO_BYTES(BITS, ORDER, order)                                        \
    static inline void order##_put##BITS(guint8 *p, guint##BITS v)            \
    {                                                                         \
        v = GUINT##BITS##_TO_##ORDER(v);                                      \
        memcpy(p, &v, sizeof(v));                                             \
    }                                                                         \
    static inline guint##BITS order##_get##BITS(const guint8 *p)              \
    {                                                                         \
        guint##BITS v;                                                        \
                                                                              \
        memcpy(&v, p, sizeof(v));                                             \
        return GUINT##BITS##_FROM_##ORDER(v);                                 \
    }

/* void le_put16(guint8 *p, guint16 v); guint16 le_get16(const guint8 *p); ... */
COLO_BYTES(16, LE, le)
COLO_BYTES(32, LE, le)
COLO_BYTES(64, LE, le)
COLO_BYTES(64, BE, be)

#undef COLO_BYTES

#endif
