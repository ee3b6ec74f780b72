/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Sessions with the guest's disk: records that were acknowledged are there,
 * all of them and no others, whenever the guest is asked.
 */
#include "tests/net/session.h"

#include <stdio.h>
#include <string.h>
#include <sys/epoll.h>

#define CHECK_EVERY 16  /* exchanges */
#define SYNCS       16u /* in one exchange of KIND_FSYNC */

static void put(Session *s, const char *line)
{
    g_byte_array_append(s->out, (const guint8 *)line, (guint)strlen(line));
}

/* The same at each run, and nobody else's. */
static char *make_record(const Session *s)
{
    guint len = (guint)(s->number * 53 % 500);
    GString *t = g_string_new(NULL);

    g_string_printf(t, "+ %u %" G_GUINT64_FORMAT " ", s->index, s->number + 1);
    for (guint i = 0; i < len; i++) {
        g_string_append_c(t, (char)('!' + (s->index + s->number + i) % 90));
    }
    g_string_append_c(t, '\n');
    return g_string_free(t, FALSE);
}

static void ask_record(Session *s)
{
    const Load *l = s->load;
    g_autofree char *line = NULL;

    if (!s->opened) {
        line = g_strdup_printf("new %u\n", s->index);
        s->number = s->sent = 0;
        s->hash = s->sent_hash = SERVICE_HASH_START;
    } else if (s->anew || (l->marking && l->opened && !s->marked) ||
               s->exchanges % CHECK_EVERY == CHECK_EVERY - 1) {
        line = g_strdup_printf("check %u\n", s->index);
    } else {
        line = make_record(s);
        s->sent = s->number + 1;
        s->sent_hash = service_hash(s->hash, line, strlen(line));
    }
    s->anew = FALSE;
    put(s, line);
}

void disk_ask(Session *s)
{
    g_autofree char *line = NULL;

    if (s->kind == KIND_RECORD) {
        ask_record(s);
        return;
    }
    s->number = s->kind == KIND_FSYNC ? SYNCS : (guint64)s->load->o.size;
    line =
        g_strdup_printf("%s %" G_GUINT64_FORMAT "\n",
                        s->kind == KIND_FSYNC ? "fsync" : "write", s->number);
    put(s, line);
}

/*
 * What was sent is there, or, if its connection was lost before the answer,
 * it may be there or not.
 */
static gboolean is_right(Session *s, const char *line)
{
    unsigned long long count, hash;

    if (s->kind != KIND_RECORD) {
        return g_ascii_strtoull(line, NULL, 10) == s->number;
    }
    if (sscanf(line, "%llu %16llx\n", &count, &hash) != 2) {
        return FALSE;
    }
    if (count == s->sent && hash == s->sent_hash) {
        s->number = s->sent;
        s->hash = s->sent_hash;
    }
    s->opened = TRUE;
    return count == s->number && hash == s->hash;
}

gboolean disk_take(Session *s, const guint8 *data, gsize len)
{
    g_string_append_len(s->in, (const char *)data, (gssize)len);
    if (!strchr(s->in->str, '\n') && s->in->len < SERVICE_LINE_MAX) {
        return TRUE;
    }
    if (!is_right(s, s->in->str)) {
        session_wrong(s, s->in->len,
                      "the answer is \"%s\", with %" G_GUINT64_FORMAT
                      " acknowledged and %" G_GUINT64_FORMAT " sent",
                      g_strchomp(s->in->str), s->number, s->sent);
        session_lost(s, "there was a wrong answer");
        return FALSE;
    }
    session_done(s);
    return TRUE;
}
