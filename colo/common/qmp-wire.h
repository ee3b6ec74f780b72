/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What both ends of QMP share: lines of bounded length, and JSON text that
 * is checked before json-glib's recursive parser sees it.
 */
#ifndef COLO_QMP_WIRE_H
#define COLO_QMP_WIRE_H

#include <json-glib/json-glib.h>

/* Nesting accepted in a server's messages; QEMU itself stops at 1024. */
#define COLO_QMP_MAX_REPLY_DEPTH 512

/* Splits a byte stream into lines of at most max bytes. */
typedef struct ColoQmpLines {
    char *buf;
    gsize size;    /* allocated */
    gsize start;   /* first byte not handed out yet */
    gsize end;     /* one past the last byte received */
    gsize scanned; /* no line end in [start, scanned) */
    gsize max;
} ColoQmpLines;

void colo_qmp_lines_init(ColoQmpLines *l, gsize max);
void colo_qmp_lines_clear(ColoQmpLines *l);

/*
 * Room for at least one byte more; *room is its size.  Invalidates the
 * lines handed out.  Only to be called after colo_qmp_lines_next() found
 * nothing.
 */
char *colo_qmp_lines_space(ColoQmpLines *l, gsize *room);

/* n bytes were put there. */
static inline void colo_qmp_lines_fed(ColoQmpLines *l, gsize n)
{
    l->end += n;
}

/*
 * The next whole line without its end, NUL-terminated, valid until
 * colo_qmp_lines_space(); NULL when more bytes are needed, or with
 * *too_long when a line passes max.
 */
const char *colo_qmp_lines_next(ColoQmpLines *l, gsize *len,
                                gboolean *too_long);

/*
 * Parse one message (text[len] is NUL), which must be a JSON object in
 * UTF-8 nested at most max_depth.  Fails with COLO_QMP_ERROR_GENERIC.
 * parser is only a workspace.  Integers outside gint64 are refused if exact,
 * else taken modulo 2^64 (QEMU prints unsigned values).
 */
JsonNode *colo_qmp_parse(JsonParser *parser, const char *text, gsize len,
                         guint max_depth, gboolean exact, GError **error);

/* Members of an object of unknown shape: NULL/FALSE unless of that type. */
const char *colo_json_get_string(JsonObject *o, const char *name);
JsonObject *colo_json_get_object(JsonObject *o, const char *name);
JsonArray *colo_json_get_array(JsonObject *o, const char *name);
gboolean colo_json_get_int(JsonObject *o, const char *name, gint64 *value);
gboolean colo_json_get_bool(JsonObject *o, const char *name, gboolean *value);

/* The text of a message; free with g_free. */
char *colo_qmp_print(JsonObject *o);

/* {}, transfer full. */
JsonNode *colo_json_empty(void);

#endif
