/* SPDX-License-Identifier: GPL-2.0-or-later */
/* QMP's framing and the check of its JSON text, for both ends. */
#include "colo/common/qmp-wire.h"
#include "colo/qmp-client.h"

#include <errno.h>
#include <math.h>
#include <string.h>

enum { FIRST_SIZE = 4096, KEEP_SIZE = 256 * 1024 };

void colo_qmp_lines_init(ColoQmpLines *l, gsize max)
{
    memset(l, 0, sizeof(*l));
    l->max = max;
}

void colo_qmp_lines_clear(ColoQmpLines *l)
{
    g_free(l->buf);
    colo_qmp_lines_init(l, l->max);
}

char *colo_qmp_lines_space(ColoQmpLines *l, gsize *room)
{
    gsize used = l->end - l->start;

    if (!used && l->size > KEEP_SIZE) {
        /* One huge message is no reason to keep its memory. */
        colo_qmp_lines_clear(l);
    }
    if (l->start && (!used || l->end == l->size)) {
        memmove(l->buf, l->buf + l->start, used);
        l->scanned -= l->start;
        l->end = used;
        l->start = 0;
    }
    if (l->end == l->size) {
        /* Bounded: next() refuses before more than max + 2 are held. */
        g_assert(used <= l->max + 2);
        l->size = l->size ? MIN(l->size * 2, l->max + 3) : FIRST_SIZE;
        l->size = MAX(l->size, l->end + 1);
        l->buf = g_realloc(l->buf, l->size);
    }
    *room = l->size - l->end;
    return l->buf + l->end;
}

const char *colo_qmp_lines_next(ColoQmpLines *l, gsize *len, gboolean *too_long)
{
    char *line, *nl;

    *too_long = FALSE;
    if (l->scanned == l->end) {
        *too_long = l->end - l->start > l->max + 1; /* 1: a "\r" to come off */
        return NULL;
    }
    line = l->buf + l->start;
    nl = memchr(l->buf + l->scanned, '\n', l->end - l->scanned);
    if (!nl) {
        l->scanned = l->end;
        *too_long = l->end - l->start > l->max + 1;
        return NULL;
    }
    l->start = l->scanned = nl + 1 - l->buf;
    if (nl > line && nl[-1] == '\r') {
        nl--;
    }
    *nl = 0;
    *len = nl - line;
    if (*len > l->max) {
        *too_long = TRUE;
        return NULL;
    }
    return line;
}

static int hex4(const char *p, const char *end)
{
    int v = 0;

    if (end - p < 4) {
        return -1;
    }
    for (int i = 0; i < 4; i++) {
        int digit = g_ascii_xdigit_value(p[i]);

        if (digit < 0) {
            return -1;
        }
        v = v << 4 | digit;
    }
    return v;
}

/* p is behind the opening quote; returns the byte behind the closing one. */
static const char *check_string(const char *p, const char *end)
{
    while (p < end && *p != '"') {
        int v;

        if ((guchar)*p < 0x20) {
            return NULL;
        }
        if (*p++ != '\\') {
            continue;
        }
        if (p == end || !strchr("\"\\/bfnrtu", *p)) {
            return NULL;
        }
        if (*p++ != 'u') {
            continue;
        }
        v = hex4(p, end);
        if (v <= 0 || (v >= 0xdc00 && v <= 0xdfff)) {
            return NULL;
        }
        p += 4;
        if (v >= 0xd800 && v <= 0xdbff) {
            if (end - p < 6 || p[0] != '\\' || p[1] != 'u') {
                return NULL;
            }
            v = hex4(p + 2, end);
            if (v < 0xdc00 || v > 0xdfff) {
                return NULL;
            }
            p += 6;
        }
    }
    return p < end ? p + 1 : NULL;
}

/* Returns the byte behind the number at p, NULL if it cannot be held. */
static const char *check_number(const char *p, gboolean exact)
{
    gsize n = strspn(p, "-+.0123456789eE");
    gsize integer = strspn(p, "-0123456789");

    if (integer < n) {
        /* json-glib would print an infinity as no JSON that anybody reads */
        if (!isfinite(g_ascii_strtod(p, NULL))) {
            return NULL;
        }
    } else if (exact && n > 18) {
        errno = 0;
        g_ascii_strtoll(p, NULL, 10);
        if (errno) {
            return NULL;
        }
    }
    return p + n;
}

/*
 * A look at the tokens before the parser's: json-glib recurses for each
 * level, takes comments and assignments for JSON, and ignores what follows
 * the first value.  This must see the ends of strings exactly where
 * json-glib does, or brackets could be hidden from the depth check.
 */
static gboolean check_tokens(const char *text, gsize len, guint max_depth,
                             gboolean exact, GError **error)
{
    const char *p = text, *end = text + len, *what = "invalid text";
    guint depth = 0;
    gboolean complete = FALSE;

    while (p < end) {
        const char *at = p, *next = p + 1;

        switch (*p) {
        case ' ':
        case '\t':
        case '\r':
        case '\n':
            p = next;
            continue;
        case '{':
        case '[':
            if (depth++ == max_depth) {
                g_set_error(error, COLO_QMP_ERROR, COLO_QMP_ERROR_GENERIC,
                            "JSON parse error: nested more than %u deep",
                            max_depth);
                return FALSE;
            }
            break;
        case '}':
        case ']':
            next = depth ? next : NULL;
            break;
        case '"':
            what = "invalid string";
            next = check_string(next, end);
            break;
        case '-':
        case '0' ... '9':
            what = "number out of range";
            next = check_number(p, exact);
            break;
        default: /* the rest that JSON knows: , : true false null */
            if (!*p || !strchr(",:truefalsn", *p)) {
                next = NULL;
            }
        }
        if (!next || complete || (depth == 0 && *at != '}' && *at != ']')) {
            g_set_error(error, COLO_QMP_ERROR, COLO_QMP_ERROR_GENERIC,
                        "JSON parse error: %s at byte %zu",
                        next && !complete ? "not an object" : what,
                        (gsize)(at - text));
            return FALSE;
        }
        complete = depth == 1 && (*at == '}' || *at == ']');
        depth -= *at == '}' || *at == ']';
        p = next;
        what = "invalid text";
    }
    return TRUE;
}

JsonNode *colo_qmp_parse(JsonParser *parser, const char *text, gsize len,
                         guint max_depth, gboolean exact, GError **error)
{
    g_autoptr(GError) parse_error = NULL;
    JsonNode *root;

    if (!g_utf8_validate(text, len, NULL)) {
        g_set_error(error, COLO_QMP_ERROR, COLO_QMP_ERROR_GENERIC,
                    "JSON parse error: not UTF-8 text");
        return NULL;
    }
    if (!check_tokens(text, len, max_depth, exact, error)) {
        return NULL;
    }
    if (!json_parser_load_from_data(parser, text, len, &parse_error)) {
        g_set_error(error, COLO_QMP_ERROR, COLO_QMP_ERROR_GENERIC,
                    "JSON parse error: %s", parse_error->message);
        return NULL;
    }
    root = json_parser_steal_root(parser);
    if (!root || !JSON_NODE_HOLDS_OBJECT(root)) {
        g_clear_pointer(&root, json_node_unref);
        g_set_error(error, COLO_QMP_ERROR, COLO_QMP_ERROR_GENERIC,
                    "QMP input must be a JSON object");
    }
    return root;
}

static JsonNode *value_of_type(JsonObject *o, const char *name, GType type)
{
    JsonNode *node = json_object_get_member(o, name);

    return node && JSON_NODE_HOLDS_VALUE(node) &&
                   json_node_get_value_type(node) == type
               ? node
               : NULL;
}

const char *colo_json_get_string(JsonObject *o, const char *name)
{
    JsonNode *node = value_of_type(o, name, G_TYPE_STRING);

    return node ? json_node_get_string(node) : NULL;
}

gboolean colo_json_get_int(JsonObject *o, const char *name, gint64 *value)
{
    JsonNode *node = value_of_type(o, name, G_TYPE_INT64);

    if (node) {
        *value = json_node_get_int(node);
    }
    return node != NULL;
}

gboolean colo_json_get_bool(JsonObject *o, const char *name, gboolean *value)
{
    JsonNode *node = value_of_type(o, name, G_TYPE_BOOLEAN);

    if (node) {
        *value = json_node_get_boolean(node);
    }
    return node != NULL;
}

JsonObject *colo_json_get_object(JsonObject *o, const char *name)
{
    JsonNode *node = json_object_get_member(o, name);

    return node && JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node)
                                                : NULL;
}

JsonArray *colo_json_get_array(JsonObject *o, const char *name)
{
    JsonNode *node = json_object_get_member(o, name);

    return node && JSON_NODE_HOLDS_ARRAY(node) ? json_node_get_array(node)
                                               : NULL;
}

/*
 * json-glib 1.6 writes two things that are no JSON: the byte 0x1f as it is,
 * and ".0" behind an exponent.  Returns text, or its repaired copy.
 */
static char *repair(char *text)
{
    gboolean in_string = FALSE;
    GString *out;

    if (!strchr(text, 0x1f) && !strstr(text, "e+") && !strstr(text, "e-")) {
        return text;
    }
    out = g_string_sized_new(strlen(text) + 16);
    for (const char *p = text; *p; p++) {
        if (*p == 0x1f) {
            g_string_append(out, "\\u001f");
            continue;
        }
        g_string_append_c(out, *p);
        if (*p == '"') {
            in_string = !in_string;
        } else if (in_string && *p == '\\') {
            g_string_append_c(out, *++p);
        } else if (!in_string && *p == 'e' && (p[1] == '+' || p[1] == '-')) {
            gsize n = 1 + strspn(p + 2, "0123456789");

            g_string_append_len(out, p + 1, n);
            p += n;
            p += g_str_has_prefix(p + 1, ".0") ? 2 : 0;
        }
    }
    g_free(text);
    return g_string_free(out, FALSE);
}

char *colo_qmp_print(JsonObject *o)
{
    g_autoptr(JsonNode) node = json_node_new(JSON_NODE_OBJECT);

    json_node_set_object(node, o);
    return repair(json_to_string(node, FALSE));
}

JsonNode *colo_json_empty(void)
{
    JsonNode *node = json_node_new(JSON_NODE_OBJECT);

    json_node_take_object(node, json_object_new());
    return node;
}
