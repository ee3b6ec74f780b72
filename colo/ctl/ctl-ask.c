/* SPDX-License-Identifier: GPL-2.0-or-later */
/* coloctl checkpoint, failover, set and quit: tell colod what to do. */
#include "colo/ctl/ctl.h"

#include <string.h>
#include <unistd.h>

static void print_event(const CtlEvent *ev)
{
    g_autoptr(JsonNode) node = json_node_new(JSON_NODE_OBJECT);

    json_node_set_object(node, ev->data);
    ctl_print_json(node);
}

/* Nothing more arrives: why what we wait for is not known to be done. */
static int gave_up(const char *what, const GError *error)
{
    if (g_error_matches(error, COLO_QMP_ERROR, COLO_QMP_ERROR_TIMEOUT)) {
        ctl_complain("%s is asked for, but not done yet: "
                     "--timeout is over", what);
    } else {
        ctl_complain("%s: %s", what, error->message);
    }
    return CTL_FAILED;
}

static gboolean makes_checkpoints(const char *state)
{
    return !strcmp(state, "active") || !strcmp(state, "degraded");
}

/*
 * The checkpoint that was asked for has the reason that we gave.  If others
 * have asked too, it may have theirs; but the second one after the reply
 * was begun after the request in any case.
 */
static int wait_checkpoint(Ctl *c, const char *reason)
{
    gint64 deadline = g_get_monotonic_time() + c->wait_us;
    g_autoptr(GError) error = NULL;
    gboolean replied = FALSE;
    int seen = 0;

    for (;;) {
        g_autoptr(CtlEvent) ev = ctl_next_event(c, deadline, &error);

        if (!ev) {
            return gave_up("the checkpoint", error);
        }
        if (!ev->name) {
            replied = TRUE;
        } else if (replied && !strcmp(ev->name, "COLO_CHECKPOINT")) {
            if (!strcmp(ctl_str(ev->data, "reason"), reason) || ++seen == 2) {
                if (c->json) {
                    print_event(ev);
                } else {
                    g_print("checkpoint %.0f is committed: pause %.2f ms, "
                            "commit %.2f ms, %.0f pages\n",
                            ctl_num(ev->data, "epoch"),
                            ctl_num(ev->data, "pause-ms"),
                            ctl_num(ev->data, "commit-ms"),
                            ctl_num(ev->data, "pages"));
                }
                return CTL_OK;
            }
        } else if (replied && !strcmp(ev->name, "COLO_STATE") &&
                   !makes_checkpoints(ctl_str(ev->data, "state"))) {
            ctl_complain("the checkpoint is not committed: the guest is not "
                         "protected any more (state %s: %s)",
                         ctl_str(ev->data, "state"),
                         ctl_str(ev->data, "detail"));
            return CTL_FAILED;
        }
    }
}

int ctl_checkpoint(Ctl *c)
{
    g_autofree char *reason = g_strdup_printf("coloctl-%d", (int)getpid());
    g_autoptr(JsonNode) answer = NULL;
    JsonObject *args = NULL;

    if (c->wait) {
        args = json_object_new();
        json_object_set_string_member(args, "reason", reason);
    }
    answer = ctl_call(c, "colo-checkpoint", args);
    if (!answer) {
        return CTL_FAILED;
    }
    if (c->wait) {
        return wait_checkpoint(c, reason);
    }
    if (c->json) {
        ctl_print_json(answer);
    }
    return CTL_OK;
}

static int wait_alone(Ctl *c)
{
    gint64 deadline = g_get_monotonic_time() + c->wait_us;
    g_autoptr(GError) error = NULL;

    for (;;) {
        g_autoptr(CtlEvent) ev = ctl_next_event(c, deadline, &error);
        const char *state;

        if (!ev) {
            return gave_up("the takeover", error);
        }
        state = ctl_str(ev->data, "state");
        if (!ev->name || strcmp(ev->name, "COLO_STATE")) {
            continue;
        }
        if (!strcmp(state, "alone")) {
            if (c->json) {
                print_event(ev);
            } else {
                g_autofree char *text = ctl_plain(ctl_str(ev->data, "detail"));

                g_print("%s\n", text);
            }
            return CTL_OK;
        }
        if (!strcmp(state, "failed") || !strcmp(state, "ended")) {
            ctl_complain("%s: %s", state, ctl_str(ev->data, "detail"));
            return CTL_FAILED;
        }
    }
}

int ctl_failover(Ctl *c)
{
    g_autoptr(JsonNode) answer = ctl_call(c, "x-colo-lost-heartbeat", NULL);

    if (!answer) {
        return CTL_FAILED;
    }
    if (c->wait) {
        return wait_alone(c);
    }
    if (c->json) {
        ctl_print_json(answer);
    }
    return CTL_OK;
}

/* As JSON would have it: a number, true, false, or else text. */
static JsonNode *value_of(const char *text)
{
    JsonNode *n = json_node_new(JSON_NODE_VALUE);
    gint64 number;

    if (g_ascii_string_to_signed(text, 10, G_MININT64, G_MAXINT64, &number,
                                 NULL)) {
        json_node_set_int(n, number);
    } else if (!strcmp(text, "true") || !strcmp(text, "false")) {
        json_node_set_boolean(n, text[0] == 't');
    } else {
        json_node_set_string(n, text);
    }
    return n;
}

int ctl_set(Ctl *c)
{
    JsonObject *args = json_object_new();
    g_autoptr(JsonNode) answer = NULL;
    gboolean known = TRUE;

    for (char **w = c->words; *w; w++) {
        const char *equals = strchr(*w, '='); /* main() saw one */
        g_autofree char *key = g_strndup(*w, (gsize)(equals - *w));
        const char *name =
            strcmp(key, "checkpoint-delay") ? key : "x-checkpoint-delay";

        known = known && !strcmp(name, "x-checkpoint-delay");
        json_object_set_member(args, name, value_of(equals + 1));
    }
    answer = ctl_call(c, "migrate-set-parameters", args);
    if (!answer && !known) {
        ctl_complain("there is only checkpoint-delay=MS to be set");
    }
    if (answer && c->json) {
        ctl_print_json(answer);
    }
    return answer ? CTL_OK : CTL_FAILED;
}

int ctl_quit(Ctl *c)
{
    g_autoptr(JsonNode) answer = ctl_call(c, "quit", NULL);

    if (answer && c->json) {
        ctl_print_json(answer);
    }
    return answer ? CTL_OK : CTL_FAILED;
}
