/* SPDX-License-Identifier: GPL-2.0-or-later */
/* coloctl's output and exit codes against a server that says what we want. */
#include "fake-colod.h"

#include <signal.h>
#include <string.h>

#define STATUS(state, more)                                                   \
    "{\"mode\":\"primary\",\"last-mode\":\"none\",\"reason\":\"none\","       \
    "\"name\":\"vm0\",\"role\":\"primary\",\"state\":\"" state "\","          \
    "\"detail\":\"a sentence\",\"replication-mode\":\"colo\",\"epoch\":7,"    \
    "\"tracker\":\"uffd\",\"peer\":\"sec:8888\",\"heartbeat\":\"up\","        \
    "\"guest-running\":true,\"qemu-version\":\"7.2.22\"" more "}"
#define COPY                                                                  \
    ",\"full-copy\":{\"total-bytes\":134217728,\"done-bytes\":67108864,"      \
    "\"mb-s\":250.5}"

#define assert_has(text, part)                                                \
    G_STMT_START                                                              \
    {                                                                         \
        if (!strstr(text, part)) {                                            \
            g_test_message("\"%s\" is not in \"%s\"", part, text);            \
            g_test_fail();                                                    \
        }                                                                     \
    }                                                                         \
    G_STMT_END

static void test_status(void)
{
    FakeColod f = {.status = STATUS("active", "")};
    Ran r;

    fake_colod_start(&f);
    run_coloctl(&f, &r, "status", NULL);
    g_assert_cmpint(r.status, ==, 0);
    g_assert_cmpstr(r.out, ==,
                    "name          vm0\n"
                    "role          primary, mode colo\n"
                    "state         active\n"
                    "              a sentence\n"
                    "checkpoint    7\n"
                    "guest         running\n"
                    "peer          sec:8888\n"
                    "heartbeat     up\n"
                    "QEMU          7.2.22\n"
                    "tracker       uffd\n");
    g_assert_cmpstr(r.err, ==, "");
    ran_clear(&r);

    run_coloctl(&f, &r, "status", "--json", NULL);
    g_assert_cmpint(r.status, ==, 0);
    assert_has(r.out, "\"heartbeat\":\"up\"");
    g_assert_cmpint(strchr(r.out, '\n') - r.out + 1, ==, strlen(r.out));
    ran_clear(&r);

    f.status = STATUS("syncing", COPY);
    run_coloctl(&f, &r, "status", NULL);
    assert_has(r.out, "full copy     50 % of 128 MiB, 250 MB/s\n");
    ran_clear(&r);
    fake_colod_stop(&f);
}

/* Whatever stands there for a server's word, the terminal is left alone. */
static void test_strange_status(void)
{
    FakeColod f = {.status = "{\"name\":5,\"state\":\"\\u001b[2J\\n\","
                             "\"full-copy\":{\"total-bytes\":0},"
                             "\"detail\":[1],\"epoch\":\"x\"}"};
    Ran r;

    fake_colod_start(&f);
    run_coloctl(&f, &r, "status", NULL);
    g_assert_cmpint(r.status, ==, 0);
    assert_has(r.out, "state         ?[2J?\n");
    assert_has(r.out, "full copy     0 % of 0 MiB");
    g_assert_null(strchr(r.out, '\033'));
    ran_clear(&r);
    f.status = "[]";
    run_coloctl(&f, &r, "status", NULL);
    g_assert_cmpint(r.status, ==, 1);
    assert_has(r.err, "not an object");
    ran_clear(&r);
    fake_colod_stop(&f);
}

static void test_follow(void)
{
    FakeColod f = {.status = STATUS("syncing", COPY),
                   .next_status = STATUS("active", "")};
    Ran r;

    fake_colod_start(&f);
    run_coloctl(&f, &r, "status", "--follow", NULL);
    g_assert_cmpint(r.status, ==, 0);
    g_assert_cmpstr(r.out, ==, "syncing     a sentence\n"
                               "full copy    50 % of 128 MiB, 250 MB/s\n"
                               "active      a sentence\n");
    ran_clear(&r);

    run_coloctl_on_terminal(&f, &r, "status", "--follow", NULL);
    g_assert_cmpint(r.status, ==, 0);
    /* 59 columns in all, half of the bar full, and away when done */
    assert_has(r.out, "\r\033[Kfull copy [#######");
    assert_has(r.out, "#.......");
    assert_has(r.out, ".]  50 % of 128 MiB, 250 MB/s\r\033[Kactive ");
    g_assert_cmpint(strstr(r.out, "MB/s") + 4 - strstr(r.out, "full"), ==, 59);
    ran_clear(&r);

    f.next_status = STATUS("failed", "");
    run_coloctl(&f, &r, "status", "--follow", NULL);
    g_assert_cmpint(r.status, ==, 1);
    assert_has(r.out, "failed      a sentence\n");
    ran_clear(&r);
    fake_colod_stop(&f);
}

/* A line for a change, not for each checkpoint. */
#define DEGRADED(detail)                                                      \
    "{\"state\":\"degraded\",\"detail\":\"" detail "\"}"

static void test_follow_degraded(void)
{
    FakeColod f = {.status = DEGRADED("checkpoint 9, no proxy"),
                   .next_status = DEGRADED("checkpoint 10, no proxy"),
                   .last_status = STATUS("active", "")};
    Ran r;

    fake_colod_start(&f);
    run_coloctl(&f, &r, "status", "--follow", NULL);
    g_assert_cmpint(r.status, ==, 0);
    g_assert_cmpstr(r.out, ==, "degraded    checkpoint 9, no proxy\n"
                               "active      a sentence\n");
    ran_clear(&r);

    f.next_status = DEGRADED("checkpoint 10, no disk");
    run_coloctl(&f, &r, "status", "--follow", NULL);
    g_assert_cmpint(r.status, ==, 0);
    g_assert_cmpstr(r.out, ==, "degraded    checkpoint 9, no proxy\n"
                               "degraded    checkpoint 10, no disk\n"
                               "active      a sentence\n");
    ran_clear(&r);

    f.next_status = DEGRADED("checkpoint 9, no proxy yet");
    run_coloctl(&f, &r, "status", "--follow", "--json", NULL);
    g_assert_cmpint(r.status, ==, 0);
    assert_has(r.out, "no proxy\"}\n{\"state\":\"degraded\",");
    assert_has(r.out, "no proxy yet\"}\n");
    ran_clear(&r);
    fake_colod_stop(&f);
}

static void test_stats(void)
{
    FakeColod f = {
        .stats = "{\"checkpoints\":3,\"cancelled\":1,\"failed\":0,"
                 "\"stalls\":0,\"bytes-sent\":12300000,\"pages-sent\":3000,"
                 "\"zero-pages\":5,\"pause-ms\":{\"count\":3,\"p50\":1.9,"
                 "\"p90\":2.5,\"p99\":2.5,\"max\":2.5,\"mean\":2.1},"
                 "\"load-ms\":{\"count\":0},\"clock-lag-ms\":{\"count\":2,"
                 "\"p50\":11.25,\"p90\":12,\"p99\":12,\"max\":12,"
                 "\"mean\":11.6},\"full-copy\":{\"bytes\":1000000,"
                 "\"seconds\":0.5,\"mb-s\":2},\"heartbeats\":{\"sent\":9,"
                 "\"received\":8,\"ignored\":1}}"};
    Ran r;

    fake_colod_start(&f);
    run_coloctl(&f, &r, "stats", NULL);
    g_assert_cmpint(r.status, ==, 0);
    assert_has(r.out, "3 committed, 1 cancelled, 0 failed, 0 stalls\n");
    assert_has(r.out, "12.3 MB, 3000 pages, 5 of them zero\n");
    assert_has(r.out, "1.0 MB in 0.50 s, 2 MB/s\n");
    assert_has(r.out, "9 sent, 8 received, 1 ignored\n");
    assert_has(r.out, "pause ms               3        1.90        2.50"
                      "        2.50        2.50        2.10\n");
    assert_has(r.out, "clock lag ms           2       11.25       12.00");
    g_assert_null(strstr(r.out, "load ms"));
    ran_clear(&r);
    f.stats = NULL;
    run_coloctl(&f, &r, "stats", NULL);
    g_assert_cmpint(r.status, ==, 1);
    g_assert_cmpstr(r.out, ==, "");
    g_assert_cmpstr(r.err, ==, "coloctl: query-colo-stats: not now\n");
    ran_clear(&r);
    fake_colod_stop(&f);
}

/* The proxy's section, with what it may have and what it may not. */
#define RAM_DONE                                                              \
    ",\"full-copy\":{\"total-bytes\":5,\"done-bytes\":5,\"mb-s\":1}"
#define DISKS                                                                  \
    ",\"disks\":[{\"name\":\"vda\",\"state\":\"synced\",\"size\":1048576},"    \
    "{\"name\":\"vdb\",\"state\":\"copying\",\"size\":4194304,"                \
    "\"done-bytes\":1048576,\"total-bytes\":4194304},5,"                       \
    "{\"name\":\"vd\\u001b\",\"state\":\"lost\",\"detail\":\"no link\"}]"

static void test_disks(void)
{
    FakeColod f = {.status = STATUS("active", DISKS),
                   .stats = "{\"disks\":{\"sealed\":7,\"pending-bytes\":"
                            "2000000,\"sealed-bytes\":0}}"};
    Ran r;

    fake_colod_start(&f);
    run_coloctl(&f, &r, "status", NULL);
    g_assert_cmpint(r.status, ==, 0);
    assert_has(r.out, "disks         vda: synced, 1 MiB\n"
                      "              vdb: copying, 25 % of 4 MiB\n");
    ran_clear(&r);
    run_coloctl(&f, &r, "stats", NULL);
    assert_has(r.out, "disks         7 epochs sealed, 2.0 MB in the next, "
                      "0.0 MB to be merged\n");
    ran_clear(&r);

    /* The RAM is there already: the disk's copy is what is waited for. */
    f.status = STATUS("syncing", RAM_DONE DISKS);
    f.next_status = STATUS("active", "");
    run_coloctl_on_terminal(&f, &r, "status", "--follow", NULL);
    assert_has(r.out, "\r\033[Kdisk vdb [####");
    assert_has(r.out, ".]  25 % of 4 MiB\r\033[Kactive ");
    ran_clear(&r);

    f.status = "{\"disks\":[],\"disk-server\":{\"running\":false,"
               "\"detail\":\"no \\u001b[2J\"}}";
    f.next_status = NULL;
    run_coloctl(&f, &r, "status", NULL);
    assert_has(r.out, "disks         not served: no ?[2J\n");
    ran_clear(&r);
    fake_colod_stop(&f);
}

static void test_proxy(void)
{
    FakeColod f = {.stats = "{\"checkpoints\":3,\"reasons\":{\"timer\":2,"
                            "\"divergence\":1,\"request\":0},"
                            "\"degraded-seconds\":1.25}"};
    FakeColod p = {
        .stats = "{\"mode\":\"colo\",\"released\":{\"match\":{\"packets\":"
                 "975,\"bytes\":900000},\"checkpoint\":{\"packets\":25,"
                 "\"bytes\":100000},\"pass\":{\"packets\":7,\"bytes\":"
                 "400000}},\"held\":{\"packets\":4,\"bytes\":2000000,"
                 "\"max-bytes\":3000000,\"oldest-ms\":12},"
                 "\"release-latency-us\":{\"count\":9,\"p50\":210,"
                 "\"p90\":300,\"p99\":900,\"max\":1000,\"mean\":250},"
                 "\"causes\":{\"payload\":5,\"timeout\":1,\"fin\":0},"
                 "\"worst-flows\":[{\"flow\":\"tcp a:80 > b:4\\n\","
                 "\"causes\":{\"payload\":4}},5,{}],\"flows\":12}"};
    g_autofree char *status = NULL;
    Ran r;

    fake_colod_start(&p);
    status = g_strdup_printf("{\"state\":\"degraded\",\"proxy\":{"
                             "\"connected\":true,\"ready\":false,\"path\":"
                             "\"%s\",\"detail\":\"not yet\"}}", p.path);
    f.status = status;
    fake_colod_start(&f);
    run_coloctl(&f, &r, "status", NULL);
    assert_has(r.out, "state         degraded\n");
    assert_has(r.out, "proxy         not yet\n");
    ran_clear(&r);
    run_coloctl(&f, &r, "stats", NULL);
    g_assert_cmpint(r.status, ==, 0);
    assert_has(r.out, "              2 timer, 1 divergence\n"
                      "degraded      for 1.2 s\n");
    assert_has(r.out,
               "proxy         mode colo, 12 flows\n"
               "released      1000 packets, 1.0 MB: 97.5 % by comparison, "
               "2.5 % by checkpoint\n"
               "              7 packets, 0.4 MB while not protected\n"
               "held          4 packets, 2.0 MB for 12 ms; at most 3.0 MB\n"
               "held for us   p50 210, p90 300, p99 900, max 1000, mean 250\n"
               "divergences   5 payload, 1 timeout\n"
               "worst flows   tcp a:80 > b:4?: 4 payload\n");
    g_assert_true(g_str_has_suffix(r.out, "4 payload\n"));
    g_assert_cmpstr(p.asked->str, ==, "query-colo-proxy-stats {}\n");
    ran_clear(&r);
    run_coloctl(&f, &r, "--json", "stats", NULL);
    assert_has(r.out, "\"proxy\":{\"mode\":\"colo\"");
    ran_clear(&r);

    p.stats = "{\"released\":[],\"held\":{},\"worst-flows\":7}";
    run_coloctl(&f, &r, "stats", NULL);
    g_assert_cmpint(r.status, ==, 0);
    assert_has(r.out, "proxy         mode -, 0 flows\n");
    ran_clear(&r);

    /* It refuses, or it is not there: the rest is printed. */
    p.stats = NULL;
    run_coloctl(&f, &r, "stats", NULL);
    g_assert_cmpint(r.status, ==, 0);
    g_assert_null(strstr(r.out, "proxy"));
    ran_clear(&r);
    fake_colod_stop(&p);
    run_coloctl(&f, &r, "stats", NULL);
    g_assert_cmpint(r.status, ==, 0);
    assert_has(r.out, "3 committed");
    g_assert_null(strstr(r.out, "proxy"));
    ran_clear(&r);
    fake_colod_stop(&f);
}

static gboolean vanish(gpointer data)
{
    FakeColod *f = data;

    /* events never asks anything: it gets these as soon as it is there */
    if (f->server) {
        colo_qmp_server_emit(f->server, "COLO_STATE", NULL);
        if (++f->queries < 20) {
            return G_SOURCE_CONTINUE;
        }
        g_clear_pointer(&f->server, colo_qmp_server_free);
    }
    return G_SOURCE_REMOVE;
}

static gboolean speak(gpointer data)
{
    FakeColod *f = data;
    g_autoptr(JsonNode) node = json_from_string(
        "{\"epoch\":5,\"pause-ms\":1.934,\"reason\":\"timer\\n\","
        "\"late\":true,\"list\":[1]}", NULL);

    colo_qmp_server_emit(f->server, "COLO_CHECKPOINT",
                         json_node_dup_object(node));
    if (++f->queries < 20) {
        return G_SOURCE_CONTINUE;
    }
    g_subprocess_send_signal(f->client, SIGINT);
    return G_SOURCE_REMOVE;
}

static void test_events(void)
{
    FakeColod f = {0};
    Ran r;

    fake_colod_start(&f);
    g_timeout_add(50, speak, &f);
    run_coloctl(&f, &r, "events", NULL);
    g_assert_cmpint(r.status, ==, 128 + SIGINT);
    assert_has(r.out, " COLO_CHECKPOINT  epoch 5, pause-ms 1.93, "
                      "reason timer?, late yes, list [1]\n");
    ran_clear(&r);

    g_timeout_add(50, vanish, &f);
    run_coloctl(&f, &r, "events", "--json", NULL);
    g_assert_cmpint(r.status, ==, 0);
    g_assert_true(g_str_has_prefix(r.out, "{\"timestamp\":{\"seconds\":"));
    assert_has(r.out, "},\"event\":\"COLO_STATE\",\"data\":{}}\n");
    ran_clear(&r);
    fake_colod_stop(&f);
}

static void test_checkpoint(void)
{
    static const char *const others[] = {
        "COLO_CHECKPOINT {\"epoch\":7,\"reason\":\"timer\"}",
        "COLO_STATE {\"state\":\"active\",\"previous\":\"active\"}",
        "COLO_CHECKPOINT {\"epoch\":8,\"reason\":\"reset\",\"pause-ms\":2}",
        "COLO_CHECKPOINT {\"epoch\":9,\"reason\":\"timer\"}", NULL};
    static const char *const degraded[] = {
        "COLO_CHECKPOINT {\"epoch\":7,\"reason\":\"timer\"}",
        "COLO_STATE {\"state\":\"degraded\",\"detail\":\"no proxy\"}",
        "COLO_CHECKPOINT {\"epoch\":8,\"reason\":\"timer\"}", NULL};
    static const char *const lost[] = {
        "COLO_CHECKPOINT {\"epoch\":7,\"reason\":\"timer\"}",
        "COLO_STATE {\"state\":\"paused\",\"detail\":\"no link\"}", NULL};
    FakeColod f = {.status = "{}"};
    Ran r;

    fake_colod_start(&f);
    run_coloctl(&f, &r, "checkpoint", NULL);
    g_assert_cmpint(r.status, ==, 0);
    g_assert_cmpstr(r.out, ==, "");
    g_assert_cmpstr(f.asked->str, ==, "colo-checkpoint {}\n");
    ran_clear(&r);

    /* The first may have been begun before the request, the second not. */
    f.events = others;
    run_coloctl(&f, &r, "checkpoint", "--wait", NULL);
    g_assert_cmpint(r.status, ==, 0);
    g_assert_true(g_str_has_prefix(r.out, "checkpoint 8 is committed: pause "
                                          "2.00 ms,"));
    ran_clear(&r);

    f.events = degraded;
    run_coloctl(&f, &r, "checkpoint", "--wait", NULL);
    g_assert_cmpint(r.status, ==, 0);
    g_assert_true(g_str_has_prefix(r.out, "checkpoint 8 is committed: pause "));
    ran_clear(&r);

    f.events = lost;
    run_coloctl(&f, &r, "checkpoint", "--wait", NULL);
    g_assert_cmpint(r.status, ==, 1);
    assert_has(r.err, "not protected any more (state paused: no link)");
    ran_clear(&r);

    run_coloctl(&f, &r, "checkpoint", "--wait", "--timeout", "300", NULL);
    g_assert_cmpint(r.status, ==, 1);
    assert_has(r.err, "--timeout is over");
    ran_clear(&r);

    f.vanish = TRUE;
    run_coloctl(&f, &r, "checkpoint", "--wait", NULL);
    g_assert_cmpint(r.status, ==, 1);
    ran_clear(&r);
    fake_colod_stop(&f);
}

static void test_failover(void)
{
    static const char *const taken[] = {
        "COLO_STATE {\"state\":\"takeover\",\"detail\":\"taking over\"}",
        "COLO_EXIT {\"mode\":\"secondary\",\"reason\":\"request\"}",
        "COLO_STATE {\"state\":\"alone\",\"detail\":\"took over\"}", NULL};
    static const char *const failed[] = {
        "COLO_STATE {\"state\":\"failed\",\"detail\":\"QEMU died\"}", NULL};
    FakeColod f = {.status = "{}", .events = taken};
    Ran r;

    fake_colod_start(&f);
    run_coloctl(&f, &r, "failover", "--wait", NULL);
    g_assert_cmpint(r.status, ==, 0);
    g_assert_cmpstr(r.out, ==, "took over\n");
    g_assert_cmpstr(f.asked->str, ==, "x-colo-lost-heartbeat {}\n");
    ran_clear(&r);
    f.events = failed;
    run_coloctl(&f, &r, "--wait", "failover", NULL);
    g_assert_cmpint(r.status, ==, 1);
    assert_has(r.err, "failed: QEMU died");
    ran_clear(&r);
    f.status = NULL;
    run_coloctl(&f, &r, "failover", NULL);
    g_assert_cmpint(r.status, ==, 1);
    assert_has(r.err, "x-colo-lost-heartbeat: not now");
    ran_clear(&r);
    fake_colod_stop(&f);
}

static void test_set_and_quit(void)
{
    FakeColod f = {.status = "{}"};
    Ran r;

    fake_colod_start(&f);
    run_coloctl(&f, &r, "set", "checkpoint-delay=500", "on=true", "text=a=b",
                NULL);
    g_assert_cmpint(r.status, ==, 0);
    ran_clear(&r);
    run_coloctl(&f, &r, "set", "x-checkpoint-delay=10", NULL);
    g_assert_cmpint(r.status, ==, 0);
    ran_clear(&r);
    run_coloctl(&f, &r, "--json", "quit", NULL);
    g_assert_cmpint(r.status, ==, 0);
    g_assert_cmpstr(r.out, ==, "{}\n");
    ran_clear(&r);
    g_assert_cmpstr(f.asked->str, ==,
                    "migrate-set-parameters {\"x-checkpoint-delay\":500,"
                    "\"on\":true,\"text\":\"a=b\"}\n"
                    "migrate-set-parameters {\"x-checkpoint-delay\":10}\n"
                    "quit {}\n");
    /* The server says what is wrong with a parameter. */
    run_coloctl(&f, &r, "set", "no-such=1", NULL);
    g_assert_cmpint(r.status, ==, 1);
    assert_has(r.err, "no-such");
    assert_has(r.err, "there is only checkpoint-delay=MS");
    ran_clear(&r);
    f.status = NULL;
    run_coloctl(&f, &r, "set", "checkpoint-delay=10", NULL);
    g_assert_cmpint(r.status, ==, 1);
    g_assert_cmpstr(r.err, ==, "coloctl: migrate-set-parameters: not now\n");
    ran_clear(&r);
    fake_colod_stop(&f);
}

static void wrong_usage(FakeColod *f, const char *part, const char *a,
                        const char *b)
{
    Ran r;

    run_coloctl(f, &r, a, b, NULL);
    g_assert_cmpint(r.status, ==, 2);
    assert_has(r.err, part);
    assert_has(r.err, "Usage: coloctl [OPTION...] COMMAND");
    g_assert_cmpstr(r.out, ==, "");
    ran_clear(&r);
}

static void test_usage(void)
{
    FakeColod f = {.status = "{}"};
    Ran r;

    fake_colod_start(&f);
    wrong_usage(&f, "a command is missing", NULL, NULL);
    wrong_usage(&f, "unknown command stop", "stop", NULL);
    wrong_usage(&f, "unexpected argument now", "status", "now");
    wrong_usage(&f, "stats knows no --wait", "stats", "--wait");
    wrong_usage(&f, "checkpoint knows no --follow", "checkpoint", "--follow");
    wrong_usage(&f, "KEY=VALUE is missing", "set", NULL);
    wrong_usage(&f, "set: =5 is not KEY=VALUE", "set", "=5");
    wrong_usage(&f, "set: x= is not KEY=VALUE", "set", "x=");
    wrong_usage(&f, "--timeout", "status", "--timeout=1");
    wrong_usage(&f, "--name a/b: letters", "status", "--name=a/b");
    g_assert_cmpstr(f.asked->str, ==, "");
    g_clear_pointer(&f.server, colo_qmp_server_free);
    run_coloctl(&f, &r, "status", NULL);
    g_assert_cmpint(r.status, ==, 3);
    assert_has(r.err, "cannot reach colod at ");
    ran_clear(&r);
    fake_colod_stop(&f);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    if (!g_getenv("COLO_BUILDDIR")) {
        g_print("1..0 # SKIP run this through ./run\n");
        return 0;
    }
    g_setenv("LC_ALL", "C.UTF-8", TRUE);
    g_test_add_func("/coloctl/status", test_status);
    g_test_add_func("/coloctl/strange-status", test_strange_status);
    g_test_add_func("/coloctl/follow", test_follow);
    g_test_add_func("/coloctl/follow-degraded", test_follow_degraded);
    g_test_add_func("/coloctl/stats", test_stats);
    g_test_add_func("/coloctl/disks", test_disks);
    g_test_add_func("/coloctl/proxy", test_proxy);
    g_test_add_func("/coloctl/events", test_events);
    g_test_add_func("/coloctl/checkpoint", test_checkpoint);
    g_test_add_func("/coloctl/failover", test_failover);
    g_test_add_func("/coloctl/set-and-quit", test_set_and_quit);
    g_test_add_func("/coloctl/usage", test_usage);
    return g_test_run();
}
