/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Optional compression of chunk data with lz4 or zstd, at their fast levels. */
#ifndef COLO_FT_CODING_H
#define COLO_FT_CODING_H

#include "colo/ft/ft-proto.h"

/* none, lz4, zstd, as --compress names them; -1: unknown. */
int ft_coding_parse(const char *name);
const char *ft_coding_name(FtCoding coding);

/* Was this build made with it? */
gboolean ft_coding_supported(FtCoding coding);

/*
 * Encode len bytes to out (out_len bytes of room).  Returns the encoded
 * length, or 0 when it would not become smaller: the data is then sent as
 * it is.
 */
gsize ft_encode(FtCoding coding, const void *data, gsize len, void *out,
                gsize out_len);

/* Decode to exactly raw_len bytes; FALSE if the data is not that. */
gboolean ft_decode(FtCoding coding, const void *data, gsize len, void *out,
                   gsize raw_len);

#endif
