/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The requests of service.h. */
#define _GNU_SOURCE
#include "guest-service.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/random.h>

#define RANDOM_MAX 64u /* lines; they fit into CONN_OUT */
#define DIAL_MAX   64u

static uint64_t counter; /* only the service's thread */

/*
 * Two guests that were equal a moment ago have the same kernel entropy, but
 * not the same clock cycles.
 */
static uint64_t random_id(void)
{
    uint64_t x = 0;

    if (getrandom(&x, sizeof(x), GRND_NONBLOCK) != sizeof(x))
        x = 0;
    return service_chain(x, __builtin_ia32_rdtsc());
}

static void put_head(Conn *c, const char *status, uint64_t len)
{
    conn_put(c,
             "HTTP/1.1 %s\r\nContent-Type: text/plain\r\n"
             "Content-Length: %llu\r\n%s\r\n",
             status, (unsigned long long)len,
             c->ends ? "Connection: close\r\n" : "");
}

static void put_text(Conn *c, const char *status, const char *text)
{
    put_head(c, status, strlen(text));
    conn_put(c, "%s", text);
}

/* key=VALUE in a query, up to & or its end. */
static bool parameter(const char *query, const char *key, char *out,
                      size_t size)
{
    size_t key_len = strlen(key);

    while (query && *query) {
        size_t len = strcspn(query, "&");

        if (len > key_len && strncmp(query, key, key_len) == 0 &&
            query[key_len] == '=' && len - key_len - 1 < size) {
            memcpy(out, query + key_len + 1, len - key_len - 1);
            out[len - key_len - 1] = '\0';
            return true;
        }
        query += len + (query[len] == '&');
    }
    return false;
}

static unsigned number(const char *query, const char *key, unsigned dflt,
                       unsigned max)
{
    char text[16];
    unsigned long n = dflt;

    if (parameter(query, key, text, sizeof(text)))
        n = strtoul(text, NULL, 10);
    return n < 1 ? 1 : n > max ? max : (unsigned)n;
}

static void get_random(Conn *c, const char *query)
{
    unsigned n = number(query, "n", 1, RANDOM_MAX);

    put_head(c, "200 OK", n * 34ull);
    for (unsigned i = 0; i < n; i++) {
        uint64_t id = random_id();

        c->chain = service_chain(c->chain, id);
        conn_put(c, "%016llx %016llx\n", (unsigned long long)id,
                 (unsigned long long)c->chain);
    }
}

static void get_counter(Conn *c)
{
    char text[20];

    snprintf(text, sizeof(text), "%016llx\n", (unsigned long long)++counter);
    put_text(c, "200 OK", text);
}

static void get_dial(Conn *c, const char *query)
{
    char host[64], as[8] = "http";
    unsigned port = number(query, "port", 0, 65535);
    unsigned n = number(query, "n", 1, DIAL_MAX);

    parameter(query, "as", as, sizeof(as));
    if (!parameter(query, "host", host, sizeof(host))) {
        put_text(c, "400 Bad Request", "which host?\n");
        return;
    }
    put_text(c, "200 OK", "dial\n");
    for (unsigned i = 0; i < n; i++)
        conn_dial(host, port, strcmp(as, "echo") ? CONN_HTTP : CONN_ECHO);
}

static void get(Conn *c, char *target)
{
    char *query = strchr(target, '?'), *end = target;
    unsigned long long n;

    if (query)
        *query++ = '\0';
    if (target[1] >= '0' && target[1] <= '9') {
        errno = 0;
        n = strtoull(target + 1, &end, 10);
        if (errno || *end != '\0' || n > SERVICE_SIZE_MAX) {
            put_text(c, "400 Bad Request", "how many bytes?\n");
            return;
        }
        put_head(c, "200 OK", n);
        c->body_at = 0;
        c->body_left = n;
    } else if (strcmp(target, "/tiny") == 0) {
        put_text(c, "200 OK", SERVICE_TINY);
    } else if (strcmp(target, "/counter") == 0) {
        get_counter(c);
    } else if (strcmp(target, "/random") == 0) {
        get_random(c, query);
    } else if (strcmp(target, "/dial") == 0) {
        get_dial(c, query);
    } else {
        put_text(c, "404 Not Found", "not here\n");
    }
}

void http_uploaded(Conn *c)
{
    char text[40];

    snprintf(text, sizeof(text), "%llu %s\n", (unsigned long long)c->upload_at,
             c->upload_wrong ? "wrong" : "ok");
    put_text(c, "200 OK", text);
}

static void post(Conn *c, const char *length)
{
    errno = 0;
    c->upload_at = 0;
    c->upload_left = length ? strtoull(length, NULL, 10) : 0;
    c->upload_wrong = false;
    if (!length || errno || c->upload_left > SERVICE_SIZE_MAX) {
        c->upload_left = 0;
        c->ends = true;
        put_text(c, "411 Length Required", "how long?\n");
    } else if (c->upload_left == 0) {
        http_uploaded(c);
    }
}

/* The value of a header line, or NULL; lines end with "\r\n". */
static const char *header(const char *lines, const char *name)
{
    size_t len = strlen(name);

    for (const char *l = lines; l && *l; l = strstr(l, "\r\n")) {
        l += strspn(l, "\r\n");
        if (strncasecmp(l, name, len) == 0 && l[len] == ':')
            return l + len + 1 + strspn(l + len + 1, " ");
        if (*l == '\0')
            break;
    }
    return NULL;
}

bool http_request(Conn *c)
{
    char head[CONN_IN + 1], method[8], target[256];
    const char *end = memmem(c->in, c->in_len, "\r\n\r\n", 4);
    const char *connection;
    size_t len;

    if (end == NULL) {
        if (c->in_len < CONN_IN)
            return false;
        c->in_len = 0;
        c->ends = true;
        put_text(c, "400 Bad Request", "too long\n");
        return true;
    }
    len = (size_t)(end - c->in) + 4;
    memcpy(head, c->in, len);
    head[len] = '\0';
    c->in_len -= len;
    memmove(c->in, c->in + len, c->in_len);

    connection = header(head, "Connection");
    if (connection && strncasecmp(connection, "close", 5) == 0)
        c->ends = true;
    if (sscanf(head, "%7s %255s HTTP/1.", method, target) != 2 ||
        target[0] != '/') {
        c->ends = true;
        put_text(c, "400 Bad Request", "what?\n");
    } else if (strcmp(method, "GET") == 0) {
        get(c, target);
    } else if (strcmp(method, "POST") == 0) {
        post(c, header(head, "Content-Length"));
    } else {
        c->ends = true;
        put_text(c, "501 Not Implemented", "GET or POST\n");
    }
    return true;
}
