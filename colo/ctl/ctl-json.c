/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Answers of the server: whatever is in them, coloctl goes on. */
#include "colo/ctl/ctl.h"

#include <stdio.h>

static JsonNode *value(JsonObject *o, const char *name)
{
    JsonNode *n = json_object_get_member(o, name);

    return n && JSON_NODE_HOLDS_VALUE(n) ? n : NULL;
}

const char *ctl_str(JsonObject *o, const char *name)
{
    JsonNode *n = value(o, name);
    const char *text = n ? json_node_get_string(n) : NULL;

    return text ? text : "";
}

double ctl_num(JsonObject *o, const char *name)
{
    JsonNode *n = value(o, name);

    return n ? json_node_get_double(n) : 0;
}

gboolean ctl_flag(JsonObject *o, const char *name)
{
    JsonNode *n = value(o, name);

    return n && json_node_get_boolean(n);
}

JsonObject *ctl_obj(JsonObject *o, const char *name)
{
    JsonNode *n = json_object_get_member(o, name);

    return n && JSON_NODE_HOLDS_OBJECT(n) ? json_node_get_object(n) : NULL;
}

char *ctl_plain(const char *text)
{
    g_autofree char *valid = g_utf8_make_valid(text, -1);
    GString *out = g_string_new(NULL);

    for (const char *p = valid; *p; p = g_utf8_next_char(p)) {
        gunichar ch = g_utf8_get_char(p);

        g_string_append_unichar(out, g_unichar_isprint(ch) ? ch : '?');
    }
    return g_string_free(out, FALSE);
}

void ctl_print_json(JsonNode *node)
{
    g_autofree char *text = json_to_string(node, FALSE);

    puts(text);
    fflush(stdout);
}

JsonObject *ctl_object_of(JsonNode *answer)
{
    if (!JSON_NODE_HOLDS_OBJECT(answer)) {
        ctl_complain("colod's answer is not an object");
        return NULL;
    }
    return json_node_get_object(answer);
}
