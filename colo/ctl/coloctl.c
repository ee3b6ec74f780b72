/* SPDX-License-Identifier: GPL-2.0-or-later */
/* coloctl: ask colod, and tell it what to do. */
#include "config.h"

#include "colo/ctl/ctl.h"
#include "colo/names.h"
#include "colo/options.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONNECT_US (3 * G_USEC_PER_SEC)
#define DAY_US     (G_GINT64_CONSTANT(86400) * G_USEC_PER_SEC)

typedef struct Command {
    const char *name;
    int (*run)(Ctl *c);
    const char *options; /* of those that not all know: "follow wait" */
    char *(*wrong)(char **words); /* what is wrong with its words, g_free();
                                     NULL: it takes none */
    gboolean offline;             /* asks nobody */
} Command;

static char *set_wrong(char **words);

static const Command commands[] = {
    {"status", ctl_status, "follow", NULL, FALSE},
    {"stats", ctl_stats, "", NULL, FALSE},
    {"events", ctl_events, "", NULL, FALSE},
    {"checkpoint", ctl_checkpoint, "wait", NULL, FALSE},
    {"failover", ctl_failover, "wait", NULL, FALSE},
    {"set", ctl_set, "", set_wrong, FALSE},
    {"disk", ctl_disk, "folder newest", ctl_disk_wrong, TRUE},
    {"quit", ctl_quit, "", NULL, FALSE},
};

void ctl_complain(const char *fmt, ...)
{
    g_autofree char *text = NULL, *plain = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    plain = ctl_plain(text);
    fprintf(stderr, "coloctl: %s\n", plain);
}

void ctl_event_free(CtlEvent *ev)
{
    if (ev) {
        g_free(ev->name);
        json_object_unref(ev->data);
        g_free(ev);
    }
}

static void push(Ctl *c, const char *name, JsonObject *data, gint64 time_us)
{
    CtlEvent *ev = g_new0(CtlEvent, 1);

    ev->name = g_strdup(name);
    ev->data = data ? json_object_ref(data) : json_object_new();
    ev->time_us = time_us;
    g_queue_push_tail(&c->events, ev);
}

static void on_event(const char *event, JsonObject *data, gint64 time_us,
                     gpointer user_data)
{
    push(user_data, event, data, time_us);
}

static void on_reply(guint64 id, JsonNode *value, gpointer user_data)
{
    push(user_data, NULL, NULL, 0);
}

JsonNode *ctl_call(Ctl *c, const char *command, JsonObject *args)
{
    g_autoptr(GError) error = NULL;
    JsonNode *answer =
        colo_qmp_client_call(c->client, command, args, c->timeout_us, &error);

    if (!answer) {
        ctl_complain("%s: %s", command, error->message);
    }
    return answer;
}

CtlEvent *ctl_next_event(Ctl *c, gint64 deadline_us, GError **error)
{
    while (g_queue_is_empty(&c->events)) {
        /* The client wants a deadline; a day may end and begin again. */
        gint64 day = g_get_monotonic_time() + DAY_US;
        g_autoptr(GError) e = NULL;

        if (!colo_qmp_client_wait_any(
                c->client, deadline_us < 0 ? day : deadline_us, &e) &&
            g_queue_is_empty(&c->events) &&
            !(deadline_us < 0 &&
              g_error_matches(e, COLO_QMP_ERROR, COLO_QMP_ERROR_TIMEOUT))) {
            g_propagate_error(error, g_steal_pointer(&e));
            return NULL;
        }
    }
    return g_queue_pop_head(&c->events);
}

static gboolean is_assignment(const char *word)
{
    const char *equals = strchr(word, '=');

    return equals && equals != word && equals[1];
}

static char *set_wrong(char **words)
{
    if (!*words) {
        return g_strdup("KEY=VALUE is missing");
    }
    for (; *words; words++) {
        if (!is_assignment(*words)) {
            return g_strdup_printf("%s is not KEY=VALUE", *words);
        }
    }
    return NULL;
}

/* An option that was given and that the command does not know, or NULL. */
static const char *unknown_option(const Command *cmd, const Ctl *c)
{
    const struct {
        const char *name;
        gboolean given;
    } some[] = {
        {"follow", c->follow},
        {"wait", c->wait},
        {"folder", c->folder != NULL},
        {"newest", c->newest},
    };
    g_auto(GStrv) known = g_strsplit(cmd->options, " ", -1);

    for (gsize i = 0; i < G_N_ELEMENTS(some); i++) {
        if (some[i].given &&
            !g_strv_contains((const char *const *)known, some[i].name)) {
            return some[i].name;
        }
    }
    return NULL;
}

/* The command, or NULL with the status after saying what is wrong. */
static const Command *find(const ColoOptions *o, int argc, char **argv,
                           const Ctl *c, int *status)
{
    const Command *cmd = NULL;
    g_autofree char *wrong = NULL;
    const char *option;

    if (argc < 2) {
        *status = colo_options_wrong(o, "a command is missing");
        return NULL;
    }
    for (gsize i = 0; i < G_N_ELEMENTS(commands); i++) {
        if (!strcmp(commands[i].name, argv[1])) {
            cmd = &commands[i];
        }
    }
    if (!cmd) {
        *status = colo_options_wrong(o, "unknown command %s", argv[1]);
        return NULL;
    }
    if (cmd->wrong) {
        wrong = cmd->wrong(argv + 2);
    } else if (argc > 2) {
        wrong = g_strdup_printf("unexpected argument %s", argv[2]);
    }
    option = unknown_option(cmd, c);
    if (wrong) {
        *status = colo_options_wrong(o, "%s: %s", cmd->name, wrong);
    } else if (option) {
        *status = colo_options_wrong(o, "%s knows no --%s", cmd->name, option);
    } else {
        return cmd;
    }
    return NULL;
}

/* FALSE: there is nobody to be asked, which was said. */
static gboolean reach_colod(Ctl *c, gint64 timeout_ms)
{
    g_autoptr(GError) error = NULL;

    c->timeout_us = (timeout_ms ? timeout_ms : 5000) * 1000;
    c->wait_us = (timeout_ms ? timeout_ms : 60000) * 1000;
    c->client = colo_qmp_client_connect(
        c->path, timeout_ms ? c->timeout_us : CONNECT_US, on_event, c, &error);
    if (!c->client) {
        ctl_complain("cannot reach colod at %s: %s", c->path, error->message);
        return FALSE;
    }
    colo_qmp_client_set_reply_func(c->client, on_reply);
    return TRUE;
}

int main(int argc, char **argv)
{
    g_autofree char *name = NULL, *control = NULL;
    gint64 timeout_ms = 0;
    Ctl c = {.events = G_QUEUE_INIT};
    const ColoOption list[] = {
        {.name = "name",
         .type = COLO_OPT_STRING,
         .value = &name,
         .arg = "NAME",
         .help = "the VM's name (vm0)"},
        {.name = "control",
         .type = COLO_OPT_STRING,
         .value = &control,
         .arg = "PATH",
         .help = "colod's socket (" RUNDIR "/NAME.qmp)"},
        {.name = "json",
         .type = COLO_OPT_FLAG,
         .value = &c.json,
         .help = "print what colod said, one JSON object a line"},
        {.name = "follow",
         .type = COLO_OPT_FLAG,
         .value = &c.follow,
         .help = "status: show the full copy until the guest is protected"},
        {.name = "wait",
         .type = COLO_OPT_FLAG,
         .value = &c.wait,
         .help = "checkpoint, failover: until it is done"},
        {.name = "folder",
         .type = COLO_OPT_STRING,
         .value = &c.folder,
         .arg = "DIR",
         .help = "disk: the store's folder (IMAGE.colo)"},
        {.name = "newest",
         .type = COLO_OPT_FLAG,
         .value = &c.newest,
         .help = "disk merge: with a checkpoint that was not loaded, too"},
        {.name = "timeout",
         .type = COLO_OPT_INT,
         .value = &timeout_ms,
         .arg = "MS",
         .min = 10,
         .max = 86400000,
         .unit = "ms",
         .help = "for an answer (5000), and for what --wait waits for "
                 "(60000)"},
        {.name = NULL},
    };
    const ColoOptions options = {
        .program = "coloctl",
        .usage = "COMMAND",
        .summary = "Commands:\n"
                   "  status          what colod does and how far it is\n"
                   "  stats           figures of the checkpoints\n"
                   "  events          print what happens until colod ends\n"
                   "  checkpoint      make a checkpoint now (primary)\n"
                   "  failover        secondary: take over; primary: end "
                   "replication\n"
                   "  set KEY=VALUE   change parameters: checkpoint-delay=MS\n"
                   "  disk info|check|merge IMAGE\n"
                   "                  the store of a disk, without colod\n"
                   "  quit            end colod; the guest goes on",
        .words = TRUE,
        .list = list,
    };
    const Command *cmd;
    CtlEvent *ev;
    int status;

    status = colo_options_parse(&options, &argc, &argv);
    if (status >= 0) {
        return status;
    }
    if (name && !colo_name_is_valid(name)) {
        return colo_options_wrong(&options, "--name %s: letters, digits and "
                                            "._- only, at most 64",
                                  name);
    }
    cmd = find(&options, argc, argv, &c, &status);
    if (!cmd) {
        return status;
    }
    if (!control) {
        control = g_strdup_printf("%s/%s.qmp", RUNDIR, name ? name : "vm0");
    }
    c.path = control;
    c.words = argv + 2;
    if (!cmd->offline && !reach_colod(&c, timeout_ms)) {
        return CTL_UNREACHABLE;
    }
    status = cmd->run(&c);
    if (fflush(stdout) != 0 || ferror(stdout)) {
        ctl_complain("cannot write to stdout");
        status = status ? status : CTL_FAILED;
    }
    g_clear_pointer(&c.client, colo_qmp_client_free);
    while ((ev = g_queue_pop_head(&c.events))) {
        ctl_event_free(ev);
    }
    return status;
}
