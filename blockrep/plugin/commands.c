/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The commands of the plugin's QMP socket. */
#include "blockrep/plugin/control.h"

static guint64 get_epoch(JsonObject *args)
{
    gint64 n = json_object_get_int_member(args, "epoch");

    return n > 0 ? (guint64)n : 0; /* which the disks refuse */
}

static JsonNode *query(JsonObject *args, gpointer user, GError **error)
{
    const ControlTarget *t = user;

    return disk_set_query(t->set);
}

static JsonNode *reset(JsonObject *args, gpointer user, GError **error)
{
    const ControlTarget *t = user;

    disk_set_session(t->set, json_object_get_string_member(args, "session"),
                     TRUE, error);
    return NULL;
}

static JsonNode *session(JsonObject *args, gpointer user, GError **error)
{
    const ControlTarget *t = user;

    disk_set_session(t->set, json_object_get_string_member(args, "session"),
                     FALSE, error);
    return NULL;
}

static JsonNode *commit(JsonObject *args, gpointer user, GError **error)
{
    const ControlTarget *t = user;

    disk_set_commit(t->set, get_epoch(args), error);
    return NULL;
}

static JsonNode *load(JsonObject *args, gpointer user, GError **error)
{
    const ControlTarget *t = user;

    disk_set_load(t->set, get_epoch(args), error);
    return NULL;
}

static JsonNode *unseal(JsonObject *args, gpointer user, GError **error)
{
    const ControlTarget *t = user;

    disk_set_take_back(t->set, get_epoch(args), error);
    return NULL;
}

static JsonNode *promote(JsonObject *args, gpointer user, GError **error)
{
    const ControlTarget *t = user;

    disk_set_promote(t->set, error);
    return NULL;
}

static JsonNode *flush(JsonObject *args, gpointer user, GError **error)
{
    const ControlTarget *t = user;

    disk_set_flush(t->set, error);
    return NULL;
}

static JsonNode *quit(JsonObject *args, gpointer user, GError **error)
{
    const ControlTarget *t = user;

    t->quit();
    return NULL;
}

static const ColoQmpArg epoch_args[] = {{.name = "epoch", .type = COLO_QMP_INT},
                                        {NULL}};
static const ColoQmpArg session_args[] = {
    {.name = "session", .type = COLO_QMP_STR}, {NULL}};

const ColoQmpCommand control_commands[] = {
    {"query-disks", NULL, query},
    {"disk-reset", session_args, reset},
    {"disk-session", session_args, session},
    {"disk-commit", epoch_args, commit},
    {"disk-load", epoch_args, load},
    {"disk-unseal", epoch_args, unseal},
    {"disk-promote", NULL, promote},
    {"disk-flush", NULL, flush},
    {"quit", NULL, quit},
    {NULL, NULL, NULL},
};
