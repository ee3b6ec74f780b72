/* SPDX-License-Identifier: GPL-2.0-or-later */
/* One host writes at a time, and the newest of its connections last. */
#include "blockrep/plugin/writer.h"

void writer_init(Writer *w)
{
    *w = (Writer){.serial = 1};
    g_mutex_init(&w->lock);
    g_cond_init(&w->idle);
    w->claims = g_ptr_array_new();
}

void writer_clear(Writer *w)
{
    g_mutex_clear(&w->lock);
    g_cond_clear(&w->idle);
    g_ptr_array_unref(w->claims);
    g_free(w->host);
}

/* --- With the lock ------------------------------------------------------- */

static void nobody(Writer *w)
{
    g_clear_pointer(&w->host, g_free);
    g_ptr_array_set_size(w->claims, 0);
    g_atomic_int_set(&w->serial, w->serial + 1 ? w->serial + 1 : 1);
}

static gboolean has_live(const Writer *w)
{
    for (guint i = 0; i < w->claims->len; i++) {
        WriterClaim *c = w->claims->pdata[i];

        if (!g_atomic_int_get(&c->superseded)) {
            return TRUE;
        }
    }
    return FALSE;
}

/*
 * Those that wrote before claim's connection was opened: nothing of them comes
 * later than what claim is about to write.  TRUE: it waited, and gave up the
 * lock meanwhile.
 */
static gboolean supersede(Writer *w, const WriterClaim *claim)
{
    for (guint i = 0; i < w->claims->len; i++) {
        WriterClaim *c = w->claims->pdata[i];

        if (c->claimed < claim->opened) {
            /* Who has not seen this is counted, and who was not has. */
            g_atomic_int_set(&c->superseded, TRUE);
            if (g_atomic_int_get(&c->under_way)) {
                g_cond_wait(&w->idle, &w->lock);
                return TRUE;
            }
        }
    }
    return FALSE;
}

static WriterAnswer claim_it(Writer *w, WriterClaim *claim, const char *host)
{
    WriterAnswer answer = w->host ? WRITER_OK : WRITER_NEW;

    if (!w->host) {
        w->host = g_strdup(host);
    }
    claim->claimed = ++w->stamp;
    g_ptr_array_add(w->claims, claim);
    g_atomic_int_set(&claim->serial, (gint)w->serial);
    return answer;
}

static WriterAnswer ask(Writer *w, WriterClaim *claim, const char *host,
                        char **other)
{
    WriterAnswer answer;

    do {
        if (claim->serial == (gint)w->serial) {
            return WRITER_OK; /* another request of it was faster */
        }
        if (w->host && !g_str_equal(w->host, host)) {
            answer = claim->refused ? WRITER_REFUSED : WRITER_REFUSED_NEW;
            claim->refused = TRUE;
            *other = g_strdup(w->host);
            return answer;
        }
    } while (supersede(w, claim));
    return g_atomic_int_get(&claim->superseded) ? WRITER_SUPERSEDED
                                                : claim_it(w, claim, host);
}

/* --- Without ------------------------------------------------------------- */

void writer_open(Writer *w, WriterClaim *claim)
{
    g_mutex_lock(&w->lock);
    *claim = (WriterClaim){.opened = ++w->stamp};
    g_mutex_unlock(&w->lock);
}

void writer_close(Writer *w, WriterClaim *claim)
{
    g_mutex_lock(&w->lock);
    if (g_ptr_array_remove(w->claims, claim)) {
        g_cond_broadcast(&w->idle);
        if (!has_live(w)) {
            nobody(w);
        }
    }
    g_mutex_unlock(&w->lock);
}

WriterAnswer writer_begin(Writer *w, WriterClaim *claim, const char *host,
                          char **other)
{
    WriterAnswer answer = WRITER_OK;

    g_atomic_int_inc(&claim->under_way);
    if (g_atomic_int_get(&claim->superseded)) {
        answer = WRITER_SUPERSEDED;
    } else if (g_atomic_int_get(&claim->serial) !=
               g_atomic_int_get(&w->serial)) {
        /* A first write is not one to be waited for. */
        writer_end(w, claim);
        g_mutex_lock(&w->lock);
        answer = ask(w, claim, host, other);
        if (answer == WRITER_OK || answer == WRITER_NEW) {
            g_atomic_int_inc(&claim->under_way);
        }
        g_mutex_unlock(&w->lock);
        return answer;
    }
    if (answer != WRITER_OK) {
        writer_end(w, claim);
    }
    return answer;
}

void writer_end(Writer *w, WriterClaim *claim)
{
    if (g_atomic_int_dec_and_test(&claim->under_way) &&
        g_atomic_int_get(&claim->superseded)) {
        g_mutex_lock(&w->lock);
        g_cond_broadcast(&w->idle);
        g_mutex_unlock(&w->lock);
    }
}

void writer_forget(Writer *w)
{
    g_mutex_lock(&w->lock);
    nobody(w);
    g_mutex_unlock(&w->lock);
}
