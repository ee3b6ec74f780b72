/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The commands of colod's own QMP socket. */
#include "colo/engine/control.h"
#include "colo/engine/config.h" /* limits of the delay */

static JsonNode *query_status(JsonObject *args, gpointer data, GError **error)
{
    ColoControl *c = data;

    return colo_status_query(c->status);
}

static JsonNode *query_stats(JsonObject *args, gpointer data, GError **error)
{
    ColoControl *c = data;

    return colo_status_stats(c->status);
}

static ColoState state_now(ColoControl *c)
{
    ColoState state;

    colo_status_lock(c->status);
    state = c->status->state;
    colo_status_unlock(c->status);
    return state;
}

static JsonNode *checkpoint(JsonObject *args, gpointer data, GError **error)
{
    ColoControl *c = data;
    const char *reason = "request";

    if (!c->status->primary) {
        g_set_error_literal(error, COLO_QMP_ERROR,
                            COLO_QMP_ERROR_DEVICE_NOT_ACTIVE,
                            "checkpoints are asked for on the primary");
        return NULL;
    }
    if (state_now(c) != COLO_STATE_ACTIVE &&
        state_now(c) != COLO_STATE_DEGRADED) {
        g_set_error(error, COLO_QMP_ERROR, COLO_QMP_ERROR_DEVICE_NOT_ACTIVE,
                    "the guest is not protected (state %s)",
                    colo_state_name(state_now(c)));
        return NULL;
    }
    if (json_object_has_member(args, "reason")) {
        reason = json_object_get_string_member(args, "reason");
    }
    colo_mailbox_tell(c->engine, COLO_MSG_CHECKPOINT, 0, reason, NULL);
    return NULL;
}

static JsonNode *lost_heartbeat(JsonObject *args, gpointer data,
                                GError **error)
{
    ColoControl *c = data;
    ColoState state;
    gboolean ready;

    colo_status_lock(c->status);
    state = c->status->state;
    ready = c->status->primary
                ? state > COLO_STATE_NONE && state < COLO_STATE_TAKEOVER
                : c->status->can_take_over;
    colo_status_unlock(c->status);
    if (!ready) {
        g_set_error(error, COLO_QMP_ERROR, COLO_QMP_ERROR_DEVICE_NOT_ACTIVE,
                    c->status->primary
                        ? "replication has ended already (state %s)"
                    : state == COLO_STATE_TAKEOVER || state == COLO_STATE_ALONE
                        ? "this side has taken over already (state %s)"
                        : "cannot take over: no checkpoint is committed here "
                          "(state %s)",
                    colo_state_name(state));
        return NULL;
    }
    colo_mailbox_tell(c->engine, COLO_MSG_LOST_HEARTBEAT, 0, NULL, NULL);
    return NULL;
}

static JsonNode *set_parameters(JsonObject *args, gpointer data,
                                GError **error)
{
    ColoControl *c = data;
    gint64 ms;

    if (!json_object_has_member(args, "x-checkpoint-delay")) {
        return NULL;
    }
    ms = json_object_get_int_member(args, "x-checkpoint-delay");
    if (ms < COLO_MIN_DELAY_MS || ms > COLO_MAX_DELAY_MS) {
        g_set_error(error, COLO_QMP_ERROR, COLO_QMP_ERROR_GENERIC,
                    "Parameter 'x-checkpoint-delay' expects a value from %d "
                    "to %d (ms)",
                    COLO_MIN_DELAY_MS, COLO_MAX_DELAY_MS);
        return NULL;
    }
    if (!c->status->primary) {
        g_set_error_literal(error, COLO_QMP_ERROR,
                            COLO_QMP_ERROR_DEVICE_NOT_ACTIVE,
                            "'x-checkpoint-delay' is set on the primary");
        return NULL;
    }
    colo_status_lock(c->status);
    c->status->delay_ms = ms;
    colo_status_unlock(c->status);
    colo_mailbox_tell(c->engine, COLO_MSG_SET_DELAY, ms, NULL, NULL);
    return NULL;
}

static JsonNode *query_parameters(JsonObject *args, gpointer data,
                                  GError **error)
{
    ColoControl *c = data;
    JsonObject *o = json_object_new();
    JsonNode *node = json_node_new(JSON_NODE_OBJECT);

    colo_status_lock(c->status);
    json_object_set_int_member(o, "x-checkpoint-delay", c->status->delay_ms);
    colo_status_unlock(c->status);
    json_node_take_object(node, o);
    return node;
}

static JsonNode *quit(JsonObject *args, gpointer data, GError **error)
{
    ColoControl *c = data;

    colo_mailbox_tell(c->engine, COLO_MSG_QUIT, 0, NULL, NULL);
    return NULL;
}

static const ColoQmpArg checkpoint_args[] = {
    {.name = "reason", .type = COLO_QMP_STR, .optional = TRUE}, {NULL}};
static const ColoQmpArg parameter_args[] = {
    {.name = "x-checkpoint-delay", .type = COLO_QMP_INT, .optional = TRUE},
    {NULL}};

const ColoQmpCommand colo_control_commands[] = {
    {"query-colo-status", NULL, query_status},
    {"query-colo-stats", NULL, query_stats},
    {"colo-checkpoint", checkpoint_args, checkpoint},
    {"x-colo-lost-heartbeat", NULL, lost_heartbeat},
    {"migrate-set-parameters", parameter_args, set_parameters},
    {"query-migrate-parameters", NULL, query_parameters},
    {"quit", NULL, quit},
    {NULL, NULL, NULL},
};
