/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The proxy of this VM, as colod sees it.
 *
 * Theory of operation.  Connecting is in steps, so that a proxy that hangs
 * does not hold up the engine: connect(2) to a unix socket does not wait,
 * and the greeting is read when poll(2) says that it is there.  From then on
 * commands are written and their answers taken when they come; `sent` has
 * those that are still to come, in order.  One that is late ends the
 * connection.  When there is nothing to say, the proxy is asked for a sign
 * of life, so that one that hangs is noticed before a checkpoint needs it.
 */
#include "colo/engine/proxy.h"

#include "colo/common/qmp-wire.h"
#include "colo/common/unix-socket.h"
#include "colo/log.h"
#include "colo/qmp-client.h"

#include <poll.h>
#include <string.h>
#include <unistd.h>

#define LOOK_US    (500 * 1000)  /* between signs of life, or attempts */
#define HUNG_US    (5 * G_USEC_PER_SEC) /* between attempts, if it hangs */
#define CONNECT_US 1000          /* for a full backlog */
#define ANSWER_US  (100 * 1000)  /* where somebody waits for the answer */
#define SILENCE_US (1000 * 1000) /* where nobody does */
#define MAX_TEXT   160

/* A command whose answer nobody waits for. */
typedef struct Sent {
    guint64 id;
    const char *command;
    gint64 at;
    gboolean answered;
} Sent;

struct ColoProxy {
    const char *path;       /* NULL: none */
    gboolean required, primary;
    ColoStatus *status;

    int fd;                 /* connected, the greeting is awaited; or -1 */
    ColoQmpClient *client;  /* or NULL */
    GQueue sent;            /* of Sent */
    gint64 next_look;
    gint64 late;            /* when the greeting is */
    gboolean ever;          /* one has answered */
    gboolean attached;      /* it answered colo-proxy-attach */
    gboolean peer_ready;
    char *why;
    char *complaint;        /* the last in the log: made once */

    guint64 captured;       /* epoch; 0: none */
    guint64 capture_id;     /* whose answer is awaited; 0: none */
    gint64 capture_late;
    gboolean holding;
    gboolean alone;         /* took over, and is not a standby any more */
    const char *lasting;    /* what it is told whenever it is new, or NULL */
    gboolean repeat;        /* it refused that: once more at the next look */

    gboolean lost, stalled; /* since they were last looked at */
    char *request;
};

/* --- What the operator sees ---------------------------------------------- */

static void show(ColoProxy *p)
{
    ColoStatus *s = p->status;

    colo_status_lock(s);
    s->proxy_connected = p->attached;
    s->proxy_ready = colo_proxy_is_ready(p);
    g_free(s->proxy_detail);
    s->proxy_detail = g_strdup(s->proxy_ready ? "" : p->why);
    colo_status_unlock(s);
}

static void set_why(ColoProxy *p, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

static void set_why(ColoProxy *p, const char *fmt, ...)
{
    va_list ap;

    g_free(p->why);
    va_start(ap, fmt);
    p->why = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    show(p);
}

/* One that tries again and again says each thing once. */
static void complain(ColoProxy *p)
{
    if (g_strcmp0(p->complaint, p->why)) {
        g_free(p->complaint);
        p->complaint = g_strdup(p->why);
        (p->ever || p->required ? colo_log_warn : colo_log_debug)("%s", p->why);
    }
}

/* What comes from outside becomes one short printable line. */
static char *line_of(const char *text)
{
    char *line = g_strndup(text, MAX_TEXT);

    for (char *c = line; *c; c++) {
        if (!g_ascii_isprint(*c)) {
            *c = '?';
        }
    }
    return line;
}

/* --- The connection ------------------------------------------------------ */

static void sent_clear(ColoProxy *p)
{
    Sent *s;

    while ((s = g_queue_pop_head(&p->sent))) {
        g_free(s);
    }
}

/* The end of the connection; p->why says why. */
static void drop(ColoProxy *p)
{
    g_clear_pointer(&p->client, colo_qmp_client_free);
    if (p->fd >= 0) {
        close(p->fd);
        p->fd = -1;
    }
    sent_clear(p);
    p->lost |= p->attached;
    p->attached = p->peer_ready = FALSE;
    p->captured = p->capture_id = 0;
    p->holding = p->alone = FALSE;
    p->next_look = g_get_monotonic_time() + LOOK_US;
    show(p);
    complain(p);
}

static void lose(ColoProxy *p, const GError *error)
{
    g_autofree char *text = line_of(error->message);

    set_why(p, "the proxy is lost: %s", text);
    drop(p);
}

/* TRUE: written, and the answer will be taken when it comes. */
static gboolean tell(ColoProxy *p, const char *command, JsonObject *args)
{
    g_autoptr(GError) error = NULL;
    gint64 now = g_get_monotonic_time();
    Sent *s;

    if (!p->client) {
        g_clear_pointer(&args, json_object_unref);
        return FALSE;
    }
    s = g_new0(Sent, 1);
    s->id = colo_qmp_client_send(p->client, command, args);
    s->command = command;
    s->at = now;
    g_queue_push_tail(&p->sent, s);
    if (!colo_qmp_client_flush(p->client, now, &error)) {
        lose(p, error);
        return FALSE;
    }
    return TRUE;
}

/* The proxy did not do what it was told. */
static void refused(ColoProxy *p, const char *command, const char *why)
{
    g_autofree char *text = line_of(why);

    set_why(p, "the proxy refused %s: %s", command, text);
    complain(p);
    p->lost = TRUE;
    p->repeat |= command == p->lasting;
}

/* A command whose answer somebody waits for; FALSE: none, or an error. */
static gboolean wait_answer(ColoProxy *p, const char *command, guint64 id,
                            gint64 deadline)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(JsonNode) node =
        colo_qmp_client_wait(p->client, id, deadline, &error);

    if (node) {
        return TRUE;
    }
    if (error->code >= COLO_QMP_ERROR_TIMEOUT) {
        lose(p, error);
    } else {
        refused(p, command, error->message);
    }
    return FALSE;
}

static gboolean ask(ColoProxy *p, const char *command, JsonObject *args,
                    gint64 patience_us)
{
    gint64 deadline = g_get_monotonic_time() + patience_us;
    guint64 id;

    if (!p->client) {
        g_clear_pointer(&args, json_object_unref);
        return FALSE;
    }
    id = colo_qmp_client_send(p->client, command, args);
    return wait_answer(p, command, id, deadline);
}

static void on_reply(guint64 id, JsonNode *value, gpointer data)
{
    ColoProxy *p = data;

    for (GList *l = p->sent.head; l; l = l->next) {
        Sent *s = l->data;

        if (s->id == id) {
            s->answered = TRUE;
            return;
        }
    }
}

static void take_peer(ColoProxy *p, JsonObject *data)
{
    const char *reason = colo_json_get_string(data, "reason");
    gboolean ready = FALSE;

    colo_json_get_bool(data, "ready", &ready);
    if (!ready) {
        g_autofree char *text = line_of(reason ? reason : "no reason given");

        p->lost |= p->peer_ready;
        p->peer_ready = FALSE;
        set_why(p, "the proxies do not work together: %s", text);
        complain(p);
    } else if (!p->peer_ready) {
        p->peer_ready = TRUE;
        g_clear_pointer(&p->complaint, g_free);
        colo_log_info("the proxies of both sides work together");
        show(p);
    }
}

static void take_checkpoint(ColoProxy *p, JsonObject *data)
{
    const char *cause = colo_json_get_string(data, "cause");
    const char *flow = colo_json_get_string(data, "flow");
    g_autofree char *name = line_of(cause ? cause : "unknown");
    g_autofree char *where = line_of(flow ? flow : "");

    colo_status_lock(p->status);
    colo_status_count(p->status->causes, name);
    colo_status_unlock(p->status);
    if (!p->request) {
        p->request = g_strdup_printf("divergence: %s%s%s", name,
                                     *where ? " " : "", where);
    }
}

static void on_event(const char *event, JsonObject *data, gint64 time_us,
                     gpointer user_data)
{
    ColoProxy *p = user_data;
    g_autoptr(JsonObject) none = json_object_new();

    data = data ? data : none;
    if (!strcmp(event, "COLO_PROXY_PEER")) {
        take_peer(p, data);
    } else if (!strcmp(event, "COLO_PROXY_CHECKPOINT")) {
        take_checkpoint(p, data);
    } else if (!strcmp(event, "COLO_PROXY_STALLED")) {
        p->stalled = TRUE;
    } else if (!strcmp(event, "COLO_PROXY_TAKEOVER")) {
        const char *tap = colo_json_get_string(data, "interface");
        const char *bridge = colo_json_get_string(data, "bridge");
        g_autofree char *from = line_of(tap ? tap : "?");
        g_autofree char *to = line_of(bridge ? bridge : "?");

        colo_log_info("the guest is heard: %s is on %s", from, to);
    }
}

/* The answer to colo-proxy-attach; FALSE: not our proxy. */
static gboolean attached(ColoProxy *p, JsonNode *node)
{
    JsonObject *o = JSON_NODE_HOLDS_OBJECT(node) ? json_node_get_object(node)
                                                 : NULL;
    const char *role = o ? colo_json_get_string(o, "role") : NULL;
    const char *mode = o ? colo_json_get_string(o, "mode") : NULL;
    gboolean ready = FALSE;

    p->ever = TRUE;
    if (role && strcmp(role, p->primary ? "primary" : "secondary")) {
        set_why(p, "the proxy at %s is not the %s's", p->path,
                p->primary ? "primary" : "secondary");
        drop(p);
        return FALSE;
    }
    p->attached = TRUE;
    if (mode && !strcmp(mode, "block")) {
        p->lasting = "colo-proxy-block"; /* by a colod before us */
        p->holding = FALSE;
    } else if (mode && !strcmp(mode, "pass") && !p->captured) {
        p->holding = FALSE;
    }
    p->alone |= mode && !strcmp(mode, "alone");
    g_clear_pointer(&p->complaint, g_free);
    colo_log_info("the proxy at %s is there", p->path);
    if (!p->peer_ready) {
        set_why(p, "the proxy is not connected to the peer's yet");
    }
    if (o && colo_json_get_bool(o, "ready", &ready) && ready) {
        take_peer(p, o);
    }
    show(p);
    return TRUE;
}

/* Take the answers that have come. */
static void settle(ColoProxy *p)
{
    const Sent *first;

    while (p->client && (first = g_queue_peek_head(&p->sent)) &&
           first->answered) {
        g_autofree Sent *s = g_queue_pop_head(&p->sent);
        g_autoptr(GError) error = NULL;
        g_autoptr(JsonNode) node =
            colo_qmp_client_wait(p->client, s->id, s->at, &error);
        gboolean attach = !strcmp(s->command, "colo-proxy-attach");

        if (node && attach) {
            attached(p, node);
        } else if (!node &&
                   (attach || !strcmp(s->command, "colo-proxy-pass"))) {
            refused(p, s->command, error->message);
            drop(p); /* without a colod it passes, too */
        } else if (!node && strcmp(s->command, "query-version")) {
            refused(p, s->command, error->message);
        }
    }
}

static void adopt(ColoProxy *p)
{
    g_autoptr(GError) error = NULL;
    int fd = p->fd;

    p->fd = -1;
    p->client = colo_qmp_client_adopt(fd, p->path, ANSWER_US, on_event, p,
                                      &error);
    if (!p->client) {
        lose(p, error);
        if (g_error_matches(error, COLO_QMP_ERROR, COLO_QMP_ERROR_TIMEOUT)) {
            p->next_look = g_get_monotonic_time() + HUNG_US;
        }
        return;
    }
    colo_qmp_client_set_reply_func(p->client, on_reply);
    /* Who knows what it was told before. */
    p->holding = p->primary && !p->lasting;
    p->next_look = g_get_monotonic_time() + LOOK_US;
    if (tell(p, "colo-proxy-attach", NULL) && p->lasting) {
        tell(p, p->lasting, NULL);
    }
}

static void look(ColoProxy *p, gint64 now)
{
    g_autoptr(GError) error = NULL;

    p->fd = colo_unix_connect(p->path, CONNECT_US, &error);
    p->next_look = now + LOOK_US;
    p->late = now + SILENCE_US;
    if (p->fd < 0) {
        set_why(p, "no proxy listens at %s", p->path);
        complain(p);
    }
}

static void await_greeting(ColoProxy *p, gint64 now)
{
    struct pollfd f = {.fd = p->fd, .events = POLLIN};

    if (poll(&f, 1, 0) > 0) {
        adopt(p);
    } else if (now >= p->late) {
        set_why(p, "the proxy at %s does not answer", p->path);
        drop(p);
    } else {
        p->next_look = p->late;
    }
}

static void serve(ColoProxy *p, gint64 now)
{
    g_autoptr(GError) error = NULL;
    const Sent *oldest;

    if (!colo_qmp_client_dispatch(p->client, &error)) {
        lose(p, error);
        return;
    }
    settle(p);
    oldest = p->client ? g_queue_peek_head(&p->sent) : NULL;
    if (oldest && now - oldest->at > SILENCE_US) {
        set_why(p, "the proxy at %s does not answer %s", p->path,
                oldest->command);
        drop(p);
    } else if (p->client && now >= p->next_look) {
        p->next_look = now + LOOK_US;
        if (p->repeat && p->lasting) {
            tell(p, p->lasting, NULL);
        } else if (!oldest) {
            tell(p, "query-version", NULL);
        }
        p->repeat = FALSE;
    }
}

void colo_proxy_dispatch(ColoProxy *p)
{
    gint64 now = g_get_monotonic_time();

    if (!p->path) {
        return;
    }
    if (p->client) {
        serve(p, now);
    } else if (p->fd >= 0) {
        await_greeting(p, now);
    } else if (now >= p->next_look) {
        look(p, now);
    }
}

int colo_proxy_fd(const ColoProxy *p)
{
    return p->client ? colo_qmp_client_fd(p->client) : p->fd;
}

gint64 colo_proxy_deadline(const ColoProxy *p)
{
    return p->path ? p->next_look : -1;
}

ColoProxy *colo_proxy_new(const ColoConfig *config, ColoStatus *status)
{
    ColoProxy *p = g_new0(ColoProxy, 1);

    p->path = config->proxy;
    p->required = config->proxy_required;
    p->primary = config->primary;
    p->status = status;
    p->fd = -1;
    p->why = p->path ? g_strdup_printf("no proxy listens at %s", p->path)
                     : g_strdup("there is none");
    show(p);
    return p;
}

void colo_proxy_free(ColoProxy *p)
{
    if (p) {
        g_clear_pointer(&p->client, colo_qmp_client_free);
        if (p->fd >= 0) {
            close(p->fd);
        }
        sent_clear(p);
        g_free(p->why);
        g_free(p->complaint);
        g_free(p->request);
        g_free(p);
    }
}

/* --- What the engine asks ------------------------------------------------ */

gboolean colo_proxy_is_wanted(const ColoProxy *p)
{
    return p->required || p->ever;
}

gboolean colo_proxy_is_ready(const ColoProxy *p)
{
    return p->attached && p->peer_ready;
}

const char *colo_proxy_why(const ColoProxy *p)
{
    return p->why;
}

gboolean colo_proxy_holds(const ColoProxy *p)
{
    return p->holding;
}

gboolean colo_proxy_is_alone(const ColoProxy *p)
{
    return p->alone;
}

char *colo_proxy_take_request(ColoProxy *p)
{
    return g_steal_pointer(&p->request);
}

gboolean colo_proxy_take_lost(ColoProxy *p)
{
    gboolean lost = p->lost;

    p->lost = FALSE;
    return lost;
}

gboolean colo_proxy_take_stalled(ColoProxy *p)
{
    gboolean stalled = p->stalled;

    p->stalled = FALSE;
    return stalled;
}

/* --- What it is told ------------------------------------------------------ */

static JsonObject *of_epoch(guint64 epoch)
{
    JsonObject *args = json_object_new();

    json_object_set_int_member(args, "epoch", (gint64)epoch);
    return args;
}

void colo_proxy_capture_begin(ColoProxy *p, guint64 epoch, gboolean periodic)
{
    g_autoptr(GError) error = NULL;
    JsonObject *args;

    p->capture_id = 0;
    if (!p->client) {
        return;
    }
    args = of_epoch(epoch);
    json_object_set_boolean_member(args, "periodic", periodic);
    p->capture_id = colo_qmp_client_send(p->client, "colo-proxy-capture", args);
    p->captured = epoch;
    p->holding = TRUE;
    p->capture_late = g_get_monotonic_time() + ANSWER_US;
    if (!colo_qmp_client_flush(p->client, g_get_monotonic_time(), &error)) {
        lose(p, error);
    }
}

gboolean colo_proxy_capture_end(ColoProxy *p)
{
    guint64 id = p->capture_id;

    p->capture_id = 0;
    if (!id || wait_answer(p, "colo-proxy-capture", id, p->capture_late)) {
        return id != 0;
    }
    p->captured = 0;
    return FALSE;
}

guint64 colo_proxy_captured(const ColoProxy *p)
{
    return p->captured;
}

void colo_proxy_commit(ColoProxy *p)
{
    if (p->captured) {
        tell(p, "colo-proxy-commit", of_epoch(p->captured));
        p->captured = 0;
    }
}

void colo_proxy_cancel(ColoProxy *p)
{
    if (p->captured) {
        tell(p, "colo-proxy-cancel", NULL);
        p->captured = 0;
    }
}

void colo_proxy_pass(ColoProxy *p)
{
    p->lasting = NULL;
    p->captured = 0;
    if (tell(p, "colo-proxy-pass", NULL)) {
        p->holding = FALSE;
    }
}

void colo_proxy_block(ColoProxy *p)
{
    p->lasting = "colo-proxy-block";
    p->captured = 0;
    p->holding = FALSE;
    ask(p, p->lasting, NULL, ANSWER_US);
}

gboolean colo_proxy_load(ColoProxy *p, guint64 epoch)
{
    return tell(p, "colo-proxy-load", of_epoch(epoch));
}

gboolean colo_proxy_run(ColoProxy *p, guint64 epoch, gboolean alone)
{
    return ask(p, "colo-proxy-run", of_epoch(epoch),
               alone ? SILENCE_US : ANSWER_US);
}

void colo_proxy_takeover(ColoProxy *p)
{
    p->lasting = "colo-proxy-takeover";
    p->alone = p->client != NULL;
    tell(p, p->lasting, NULL);
}

void colo_proxy_end_takeover(ColoProxy *p)
{
    if (!p->primary) {
        p->lasting = NULL;
    }
}
