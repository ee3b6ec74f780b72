/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Requests, and whether every byte of their answers is right. */
#include "tests/net/session.h"

#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <unistd.h>

#define HEAD_MAX 4096

static void put(Session *s, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

static void put(Session *s, const char *fmt, ...)
{
    g_autofree char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    g_byte_array_append(s->out, (const guint8 *)text, (guint)strlen(text));
}

static void get(Session *s, const char *target)
{
    put(s, "GET %s HTTP/1.1\r\nHost: guest\r\n\r\n", target);
}

/* As long as a person's, and longer. */
static void put_line(Session *s)
{
    guint len = 8 + (guint)(s->number * 37 % 400);
    g_autofree char *line = g_malloc(len + 1);

    for (guint i = 0; i < len; i++) {
        line[i] = (char)('!' + (s->index + s->number + i) % 90);
    }
    line[len] = '\n';
    s->hash = service_hash(s->hash, line, len + 1);
    s->number++;
    g_byte_array_append(s->out, (const guint8 *)line, len + 1);
}

static void put_dial(Session *s)
{
    struct sockaddr_storage own = {0}, port = {0};
    socklen_t len = sizeof(own);
    char text[INET6_ADDRSTRLEN] = "";
    guint16 p;

    getsockname(s->fd, (struct sockaddr *)&own, &len);
    len = sizeof(port);
    getsockname(s->listener, (struct sockaddr *)&port, &len);
    if (s->v6) {
        inet_ntop(AF_INET6, &((struct sockaddr_in6 *)&own)->sin6_addr, text,
                  sizeof(text));
        p = ntohs(((struct sockaddr_in6 *)&port)->sin6_port);
    } else {
        inet_ntop(AF_INET, &((struct sockaddr_in *)&own)->sin_addr, text,
                  sizeof(text));
        p = ntohs(((struct sockaddr_in *)&port)->sin_port);
    }
    put(s, "GET /dial?host=%s&port=%u&as=echo HTTP/1.1\r\nHost: guest\r\n\r\n",
        text, p);
}

void protocol_ask(Session *s)
{
    const LoadOptions *o = &s->load->o;
    g_autofree char *target = NULL;

    g_byte_array_set_size(s->out, 0);
    g_string_truncate(s->in, 0);
    s->out_at = 0;
    s->in_body = FALSE;
    s->since_us = g_get_monotonic_time();
    if (s->state == STATE_DIALING) {
        put_dial(s);
        session_wait(s, EPOLLIN | EPOLLOUT);
        return;
    }
    /* A short connection's exchange begins with connecting. */
    if (s->state != STATE_CONNECTING && s->state != STATE_LISTENING) {
        s->begun_us = s->since_us;
    }
    s->state = STATE_WAITING;
    switch (s->kind) {
    case KIND_DOWNLOAD:
        target = g_strdup_printf("/%" G_GINT64_FORMAT, o->size);
        get(s, target);
        s->body_at = 0;
        break;
    case KIND_UPLOAD:
        put(s,
            "POST / HTTP/1.1\r\nHost: guest\r\n"
            "Content-Length: %" G_GINT64_FORMAT "\r\n\r\n",
            o->size);
        s->body_at = 0;
        s->body_left = (guint64)o->size;
        break;
    case KIND_RANDOM:
        get(s, "/random");
        break;
    case KIND_COUNTER:
        get(s, "/counter");
        break;
    case KIND_ECHO:
    case KIND_DIAL:
        put_line(s);
        break;
    case KIND_RECORD:
    case KIND_FSYNC:
    case KIND_WRITE:
        disk_ask(s);
        break;
    default:
        get(s, "/tiny");
    }
    session_wait(s, EPOLLIN | EPOLLOUT);
}

/* --- Answers ------------------------------------------------------------- */

static void check_random(Session *s, const char *body)
{
    unsigned long long id, chain;

    if (sscanf(body, "%16llx %16llx", &id, &chain) != 2) {
        session_wrong(s, strlen(body), "\"%s\" is no id", body);
        return;
    }
    s->hash = service_chain(s->hash, id);
    if (chain != s->hash) {
        session_wrong(s, 16, "the guest does not know what it answered before");
        s->hash = chain;
    }
}

/* Others ask, too: it only grows. */
static void check_counter(Session *s, const char *body)
{
    guint64 n = g_ascii_strtoull(body, NULL, 16);

    if (n <= s->number) {
        session_wrong(s, 16,
                      "the counter went from %" G_GUINT64_FORMAT
                      " to %" G_GUINT64_FORMAT,
                      s->number, n);
    }
    s->number = n;
}

static void check_text(Session *s, const char *body)
{
    g_autofree char *ok = NULL;

    switch (s->kind) {
    case KIND_RANDOM:
        check_random(s, body);
        break;
    case KIND_COUNTER:
        check_counter(s, body);
        break;
    case KIND_UPLOAD:
        ok = g_strdup_printf("%" G_GINT64_FORMAT " ok\n", s->load->o.size);
        break;
    default:
        ok = g_strdup(s->state == STATE_DIALING ? "dial\n" : SERVICE_TINY);
    }
    if (ok && strcmp(body, ok)) {
        session_wrong(s, strlen(body), "\"%s\" is a wrong answer", body);
    }
}

/* Bytes of a download; as many as are there and belong to it. */
static gsize take_pattern(Session *s, const guint8 *data, gsize len)
{
    gsize done = 0;

    len = (gsize)MIN(len, s->body_left);
    if (s->load->save_fd >= 0 && !s->index &&
        write(s->load->save_fd, data, len) != (gssize)len) {
        g_error("cannot write what is downloaded: %s", g_strerror(errno));
    }
    while (done < len) {
        gsize n = service_piece(s->body_at, len - done), wrong = 0;
        const guint8 *right = s->load->pattern + s->body_at % SERVICE_PERIOD;

        if (memcmp(data + done, right, n) != 0) {
            for (gsize i = 0; i < n; i++) {
                wrong += data[done + i] != right[i];
            }
            session_wrong(s, wrong,
                          "%zu of %zu bytes from %" G_GUINT64_FORMAT
                          " on are wrong",
                          wrong, n, s->body_at);
        }
        s->body_at += n;
        s->body_left -= n;
        done += n;
    }
    return len;
}

/* The head of an answer is whole: FALSE if it is none. */
static gboolean take_head(Session *s, gsize len)
{
    const char *length;

    if (!g_str_has_prefix(s->in->str, "HTTP/1.1 200 OK\r\n") ||
        !(length = strcasestr(s->in->str, "\r\nContent-Length: "))) {
        session_wrong(s, s->in->len, "\"%.60s\" is no answer", s->in->str);
        session_lost(s, "there was a wrong answer");
        return FALSE;
    }
    s->body_left = g_ascii_strtoull(length + 18, NULL, 10);
    if (s->kind == KIND_DOWNLOAD && s->body_left != (guint64)s->load->o.size) {
        session_wrong(s, 1, "%" G_GUINT64_FORMAT " bytes were announced",
                      s->body_left);
    }
    g_string_erase(s->in, 0, (gssize)len);
    s->in_body = TRUE;
    return TRUE;
}

/* The answer to a request to dial is there: now the guest has to. */
static void dialled(Session *s)
{
    close(s->fd);
    s->fd = -1;
    s->events = 0;
    s->connected = FALSE;
    s->in_body = FALSE;
    s->state = STATE_LISTENING;
    session_wait(s, EPOLLIN);
}

static gboolean take_http(Session *s, const guint8 *data, gsize len)
{
    const char *end;
    gsize body;

    if (s->kind == KIND_DOWNLOAD && s->in_body && !s->in->len) {
        body = take_pattern(s, data, len);
        len -= body;
        data += body;
    }
    g_string_append_len(s->in, (const char *)data, (gssize)len);
    if (!s->in_body) {
        end = g_strstr_len(s->in->str, (gssize)s->in->len, "\r\n\r\n");
        if (!end) {
            if (s->in->len > HEAD_MAX) {
                session_lost(s, "a head without end");
                return FALSE;
            }
            return TRUE;
        }
        if (!take_head(s, (gsize)(end - s->in->str) + 4)) {
            return FALSE;
        }
    }
    if (s->kind == KIND_DOWNLOAD) {
        body = take_pattern(s, (guint8 *)s->in->str, s->in->len);
        g_string_erase(s->in, 0, (gssize)body);
        if (s->body_left) {
            return TRUE;
        }
    } else {
        g_autofree char *text = NULL;

        if (s->in->len < s->body_left && s->in->len < HEAD_MAX) {
            return TRUE;
        }
        text = g_strndup(s->in->str, (gsize)MIN(s->body_left, s->in->len));
        check_text(s, text);
        g_string_erase(s->in, 0, (gssize)strlen(text));
        s->body_left = 0;
    }
    if (s->in->len) {
        session_wrong(s, s->in->len, "%zu bytes more than announced",
                      s->in->len);
    }
    if (s->state == STATE_DIALING) {
        dialled(s);
    } else {
        session_done(s);
    }
    return TRUE;
}

static gboolean take_line(Session *s, const guint8 *data, gsize len)
{
    g_autofree char *right = NULL;

    g_string_append_len(s->in, (const char *)data, (gssize)len);
    if (!strchr(s->in->str, '\n') && s->in->len < HEAD_MAX) {
        return TRUE;
    }
    right =
        g_strdup_printf("%" G_GUINT64_FORMAT " %016" G_GINT64_MODIFIER "x\n",
                        s->number, s->hash);
    if (strcmp(s->in->str, right)) {
        session_wrong(s, s->in->len, "the answer is %s instead of %s",
                      g_strchomp(s->in->str), g_strchomp(right));
        session_lost(s, "there was a wrong answer");
        return FALSE;
    }
    session_done(s);
    return TRUE;
}

gboolean protocol_take(Session *s, const guint8 *data, gsize len)
{
    if (s->kind == KIND_ECHO ||
        (s->kind == KIND_DIAL && s->state != STATE_DIALING)) {
        return take_line(s, data, len);
    }
    if (s->kind == KIND_RECORD || s->kind == KIND_FSYNC ||
        s->kind == KIND_WRITE) {
        return disk_take(s, data, len);
    }
    return take_http(s, data, len);
}
