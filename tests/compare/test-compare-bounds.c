/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Bounds, expiry and figures.  See script.h. */
#include "script.h"

#include <string.h>

static const NetCompareConfig small = {
    .compare_timeout_us = 3 * G_USEC_PER_SEC,
    .expired_scan_us = 3 * G_USEC_PER_SEC,
    .idle_us = 60 * G_USEC_PER_SEC,
    .max_queue_size = 2,
    .max_bytes = 1024 * 1024,
    .max_flows = 3,
};

static const NetCompareConfig narrow = {
    .compare_timeout_us = 3 * G_USEC_PER_SEC,
    .expired_scan_us = 3 * G_USEC_PER_SEC,
    .idle_us = 60 * G_USEC_PER_SEC,
    .max_queue_size = 100,
    .max_bytes = 2500,
    .max_flows = 100,
};

static const ScriptCase cases[] = {
    {"pvm-queue-full",
     "P A 100:a ack=5\n"
     "P A 101:b ack=5\n"
     "P A 102:c ack=5 -> queue-full\n"
     "P A 103:d ack=5\n"
     "P A 104:e ack=5 -> d5\n"
     "S A 100:abcde ack=5 -> m1 m2 m3 m4\n"
     "P A 104:e ack=5 -> m6\n",
     &small},
    {"queue-full-again-after-commit",
     "P A 100:a ack=5\n"
     "P A 101:b ack=5\n"
     "P A 102:c ack=5 -> queue-full\n"
     "capture 2\n"
     "commit 2 -> c1 c2 c3\n"
     "loaded 2\n"
     "P A 103:a ack=5\n"
     "P A 104:b ack=5\n"
     "P A 105:c ack=5 -> queue-full\n",
     &small},
    {"svm-queue-full",
     "S A 100:a ack=5\n"
     "S A 101:b ack=5\n"
     "S A 102:c ack=5 -> queue-full\n"
     "S A 103:d ack=9\n"
     "P A 100:abcd ack=9\n"
     "S A 102:cd ack=9 -> m1\n",
     &small},
    {"svm-queue-full-datagrams",
     "US a\n"
     "US b\n"
     "US c -> queue-full\n"
     "UP a -> m1\n"
     "UP b -> m2\n"
     "UP c\n"
     "US d -> payload\n",
     &small},
    {"svm-syn-lost-is-no-delta",
     "S A 100:a ack=5 flow=1\n"
     "S A 100:a ack=5 flow=2\n"
     "S A 100:a ack=5 flow=3\n"
     "S S 5000 flow=4\n"
     "P S 4000 flow=4 -> flows-full\n",
     &small},
    {"bytes-full",
     "P A 100:z1000 ack=5\n"
     "P A 1100:z1000 ack=5\n"
     "P A 2100:z1000 ack=5 -> queue-full\n"
     "P A 3100:z1000 ack=5\n"
     "P A 4100:z1000 ack=5 -> d5\n"
     "UP a -> d6\n"
     "S A 100:z4000 ack=5 -> m1 m2 m3 m4\n"
     "UP a\n"
     "US a -> m7\n",
     &narrow},
    {"bytes-full-svm",
     "S A 100:z2000 ack=5\n"
     "US a -> queue-full\n"
     "P A 100:z2000 ack=5 -> m1\n"
     "UP b\n"
     "US b -> m2\n",
     &narrow},
    {"bytes-full-after-the-capture",
     "capture 2\n"
     "P A 100:z2000 ack=5\n"
     "P A 2100:z2000 ack=5 -> queue-full\n"
     "UP x -> d3\n"
     "commit 2\n"
     "UP x -> queue-full d4\n"
     "loaded 2\n"
     "S A 100:z4000 ack=5 -> m1 m2\n",
     &narrow},
    {"flows-full",
     "UP a flow=1\n"
     "UP a flow=2\n"
     "UP a flow=3\n"
     "UP a flow=4 -> flows-full\n"
     "US a flow=4\n"
     "US a flow=1 -> m1\n"
     "UP b flow=5\n"
     "US b flow=5 -> m5\n"
     "capture 2\ncommit 2 -> c2 c3 c4\nloaded 2\n",
     &small},
    {"idlest-gives-way",
     /* 1 is used last: 2 goes, and with it what it remembers */
     "P A 100:a ack=5 flow=1\n"
     "S A 100:a ack=5 flow=1 -> m1\n"
     "P A 100:a ack=5 flow=2\n"
     "S A 100:a ack=5 flow=2 -> m2\n"
     "P A 100:a ack=5 flow=3\n"
     "S A 100:a ack=5 flow=3 -> m3\n"
     "P A 100 ack=5 flow=1 -> m4\n"
     "P A 100:a ack=5 flow=4\n"
     "P A 100:a ack=5 flow=1 -> m6\n"
     "P A 100:a ack=5 flow=3 -> m7\n"
     "P A 100:a ack=5 flow=2\n",
     &small},
    {"a-delta-is-not-forgotten",
     "P SA 100 ack=5 flow=1\n"
     "S SA 90 ack=5 flow=1 -> o:10:0 m1\n"
     "P SA 100 ack=5 flow=2\n"
     "S SA 90 ack=5 flow=2 -> o:10:0 m2\n"
     "P SA 100 ack=5 flow=3\n"
     "S SA 90 ack=5 flow=3 -> o:10:0 m3\n"
     "after 2000\n"
     "after 100000\n"
     "UP a -> flows-full\n"
     "P A 101:x ack=5 flow=1\n"
     "S A 91:x ack=5 flow=1 -> m5\n"
     "capture 2\ncommit 2 -> c4\nloaded 2\n"
     "UP a\n"
     "US a -> m6\n",
     &small},
    {"a-closed-one-gives-way",
     "P SA 100 ack=5 flow=1\n"
     "S SA 90 ack=5 flow=1 -> o:10:0 m1\n"
     "P FA 101:x ack=5 flow=1\n"
     "S FA 91:x ack=5 flow=1 -> m2\n"
     "UP a flow=2\n"
     "UP a flow=3\n"
     "UP a flow=4\n",
     &small},
    {"idle-expires",
     "P A 100:a ack=5\n"
     "S A 100:a ack=5 -> m1\n"
     "after 2000\n"
     "after 57000\n"
     "P A 100:a ack=5 -> m2\n"
     "after 2000\n"
     "after 60000\n"
     "P A 100:a ack=5\n",
     &small},
    {NULL},
};

static void test_worst(void)
{
    g_autoptr(Script) s = script_new(NULL);
    NetFlowCauses worst[3];
    NetCompareStats t;

    script_run(s, "UP a flow=1\n"
                  "US b flow=1 -> payload\n"
                  "UP a flow=2\n"
                  "US bb flow=2 -> length\n"
                  "capture 2\ncommit 2 -> c1 c2\nloaded 2\n"
                  "UP a flow=2\n"
                  "US b flow=2 -> payload\n"
                  "UP a flow=4\n"
                  "US a flow=4 -> m4\n");
    g_assert_cmpuint(net_compare_worst(script_compare(s), worst, 3), ==, 2);
    g_assert_cmpuint(worst[0].key.dport, ==, 1026);
    g_assert_cmpuint(worst[0].causes[NET_CAUSE_LENGTH], ==, 1);
    g_assert_cmpuint(worst[0].causes[NET_CAUSE_PAYLOAD], ==, 1);
    g_assert_cmpuint(worst[1].key.dport, ==, 1025);
    g_assert_cmpuint(worst[1].causes[NET_CAUSE_PAYLOAD], ==, 1);
    g_assert_cmpuint(net_compare_worst(script_compare(s), worst, 1), ==, 1);
    net_compare_stats(script_compare(s), &t);
    g_assert_cmpuint(t.causes[NET_CAUSE_PAYLOAD], ==, 2);
    /* Many flows: the least of them make room. */
    for (guint i = 10; i < 1000; i++) {
        g_autofree char *text = g_strdup_printf("UP a flow=%u\n"
                                                "US b flow=%u\n",
                                                i, i);

        script_run(s, text);
    }
    g_assert_cmpuint(net_compare_worst(script_compare(s), worst, 3), ==, 3);
    g_assert_cmpuint(worst[0].key.dport, ==, 1026);
}

static void test_oldest(void)
{
    g_autoptr(Script) s = script_new(NULL);
    NetCompare *c = script_compare(s);

    script_run(s, "");
    g_assert_cmpint(net_compare_oldest_us(c, script_now(s)), ==, 0);
    script_run(s, "UP a");
    script_run(s, "after 1000");
    script_run(s, "UP b flow=2");
    g_assert_cmpint(net_compare_oldest_us(c, script_now(s)), ==, 1000020);
    script_run(s, "US a -> m1");
    g_assert_cmpint(net_compare_oldest_us(c, script_now(s)), ==, 10);
    script_run(s, "US b flow=2 -> m2\n"
                  "capture 2\n"
                  "UP c\n"
                  "commit 2");
    g_assert_cmpint(net_compare_oldest_us(c, script_now(s)), ==, 10);
}

static void test_names(void)
{
    for (int i = 0; i < NET_CAUSE_N; i++) {
        g_assert_cmpint(strlen(net_cause_name((NetCause)i)), >, 2);
    }
    for (int i = 0; i < NET_RELEASE_N; i++) {
        g_assert_cmpint(strlen(net_release_name((NetRelease)i)), >, 3);
    }
    g_assert_cmpstr(net_cause_name(NET_CAUSE_QUEUE_FULL), ==, "queue-full");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    script_add_cases("/compare/bounds", cases);
    g_test_add_func("/compare/worst", test_worst);
    g_test_add_func("/compare/oldest", test_oldest);
    g_test_add_func("/compare/names", test_names);
    return g_test_run();
}
