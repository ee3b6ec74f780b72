/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Optional compression of chunk data. */
#include "config.h"
#include "colo/ft/ft-coding.h"

#ifdef HAVE_LZ4
#include <lz4.h>
#endif
#ifdef HAVE_ZSTD
#include <zstd.h>

/* Kept by each thread: making one for each chunk costs page faults. */
static void free_encoder(gpointer c)
{
    ZSTD_freeCCtx(c);
}

static void free_decoder(gpointer d)
{
    ZSTD_freeDCtx(d);
}

static ZSTD_CCtx *encoder(void)
{
    static GPrivate key = G_PRIVATE_INIT(free_encoder);
    ZSTD_CCtx *c = g_private_get(&key);

    if (!c) {
        c = ZSTD_createCCtx();
        g_assert(c); /* fails only for want of memory */
        g_private_set(&key, c);
    }
    return c;
}

static ZSTD_DCtx *decoder(void)
{
    static GPrivate key = G_PRIVATE_INIT(free_decoder);
    ZSTD_DCtx *d = g_private_get(&key);

    if (!d) {
        d = ZSTD_createDCtx();
        g_assert(d);
        g_private_set(&key, d);
    }
    return d;
}
#endif

static const char *const names[] = {"none", "lz4", "zstd"};

int ft_coding_parse(const char *name)
{
    for (int i = 0; i < (int)G_N_ELEMENTS(names); i++) {
        if (g_str_equal(name, names[i])) {
            return i;
        }
    }
    return -1;
}

const char *ft_coding_name(FtCoding coding)
{
    return names[coding];
}

gboolean ft_coding_supported(FtCoding coding)
{
    switch (coding) {
    case FT_CODING_NONE:
        return TRUE;
    case FT_CODING_LZ4:
#ifdef HAVE_LZ4
        return TRUE;
#else
        return FALSE;
#endif
    case FT_CODING_ZSTD:
#ifdef HAVE_ZSTD
        return TRUE;
#else
        return FALSE;
#endif
    }
    return FALSE;
}

gsize ft_encode(FtCoding coding, const void *data, gsize len, void *out,
                gsize out_len)
{
    /* A result that is not smaller is of no use, so ask for no more room. */
    gsize room = MIN(out_len, len ? len - 1 : 0);

    switch (coding) {
#ifdef HAVE_LZ4
    case FT_CODING_LZ4: {
        int r = LZ4_compress_default(data, out, (int)len, (int)room);
        return r > 0 ? (gsize)r : 0;
    }
#endif
#ifdef HAVE_ZSTD
    case FT_CODING_ZSTD: {
        gsize r = ZSTD_compressCCtx(encoder(), out, room, data, len, 1);
        return ZSTD_isError(r) ? 0 : r;
    }
#endif
    default:
        (void)room;
        return 0;
    }
}

gboolean ft_decode(FtCoding coding, const void *data, gsize len, void *out,
                   gsize raw_len)
{
    switch (coding) {
#ifdef HAVE_LZ4
    case FT_CODING_LZ4:
        return LZ4_decompress_safe(data, out, (int)len, (int)raw_len) ==
               (int)raw_len;
#endif
#ifdef HAVE_ZSTD
    case FT_CODING_ZSTD:
        return ZSTD_decompressDCtx(decoder(), out, raw_len, data, len) ==
               raw_len;
#endif
    default:
        return FALSE;
    }
}
