/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One host writes at a time. */
#include "blockrep/plugin/writer.h"

void writer_init(Writer *w)
{
    *w = (Writer){.serial = 1};
    g_mutex_init(&w->lock);
}

void writer_clear(Writer *w)
{
    g_mutex_clear(&w->lock);
    g_free(w->host);
}

/* With the lock */
static void nobody(Writer *w)
{
    g_clear_pointer(&w->host, g_free);
    w->connections = 0;
    g_atomic_int_set(&w->serial, w->serial + 1 ? w->serial + 1 : 1);
}

WriterAnswer writer_ask(Writer *w, WriterClaim *claim, const char *host,
                        char **other)
{
    WriterAnswer answer = WRITER_OK;

    if (g_atomic_int_get(&claim->serial) == g_atomic_int_get(&w->serial)) {
        return WRITER_OK; /* it wrote before, and nothing changed */
    }
    g_mutex_lock(&w->lock);
    if (claim->serial == w->serial) {
        /* another request of it was faster */
    } else if (!w->host || g_str_equal(w->host, host)) {
        answer = w->host ? WRITER_OK : WRITER_NEW;
        if (!w->host) {
            w->host = g_strdup(host);
        }
        w->connections++;
        g_atomic_int_set(&claim->serial, w->serial);
    } else {
        answer = claim->refused ? WRITER_REFUSED : WRITER_REFUSED_NEW;
        claim->refused = TRUE;
        *other = g_strdup(w->host);
    }
    g_mutex_unlock(&w->lock);
    return answer;
}

void writer_leave(Writer *w, WriterClaim *claim)
{
    g_mutex_lock(&w->lock);
    if (claim->serial == w->serial && !--w->connections) {
        nobody(w);
    }
    g_mutex_unlock(&w->lock);
}

void writer_forget(Writer *w)
{
    g_mutex_lock(&w->lock);
    nobody(w);
    g_mutex_unlock(&w->lock);
}
