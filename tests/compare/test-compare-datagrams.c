/* SPDX-License-Identifier: GPL-2.0-or-later */
/* UDP, ICMP, other protocols, fragments.  See script.h. */
#include "script.h"

static const ScriptCase cases[] = {
    {"pvm-first", "UP x\n"
                  "US x -> m1\n"},
    {"svm-first", "US x\n"
                  "UP x -> m1\n"},
    {"ipv6", "UP x v6=1\n"
             "US x v6=1 -> m1\n"},
    {"in-order", "UP x\n"
                 "UP y\n"
                 "UP z\n"
                 "US x -> m1\n"
                 "US y -> m2\n"
                 "US z -> m3\n"},
    {"flows-are-apart", "UP x flow=1\n"
                        "US x flow=2\n"
                        "US x flow=1 -> m1\n"},
    {"header-fields-that-do-not-count", "UP x id=1 ttl=64 tos=8\n"
                                        "US x id=9 ttl=63 tos=0 -> m1\n"},
    {"large", "UP z1472 id=1\n"
              "US z1472 id=9 -> m1\n"},
    {"other-payload", "UP x\n"
                      "US y -> payload\n"
                      "US x\n"
                      "UP z\n"
                      "US z\n"
                      "capture 2\ncommit 2 -> c1 c2\nloaded 2\n"
                      "UP a\n"
                      "US a -> m3\n"},
    {"other-payload-svm-first", "US y\n"
                                "UP x -> payload\n"},
    {"other-length", "UP x\n"
                     "US xx -> length\n"},
    {"missing", "UP x\n"
                "UP y\n"
                "US y -> payload\n"},
    {"missing-at-the-end", "UP x\n"
                           "after 3000 -> timeout\n"
                           "US x -> m1\n"},
    {"svm-alone-before", "US a\n"
                         "US b\n"
                         "US x\n"
                         "US y\n"
                         "UP x -> m1\n"
                         "UP y -> m2\n"},
    {"svm-alone-expires", "US a\n"
                          "after 3000\n"
                          "UP x\n"
                          "US x -> m1\n"},
    {"sent-again-after-load", "UP x\n"
                              "US x -> m1\n"
                              "UP y\n"
                              "capture 2\ncommit 2 -> c2\nloaded 2\n"
                              "US x\n"
                              "US y\n"
                              "US z\n"
                              "UP z -> m3\n"},
    {"sent-again-before-the-pvm", "UP x\n"
                                  "US x -> m1\n"
                                  "capture 2\ncommit 2\n"
                                  "UP z\n"
                                  "loaded 2\n"
                                  "US x\n"
                                  "US z -> m2\n"
                                  "US x\n"
                                  "UP x -> m3\n"},
    {"all-the-same", "UP x\n"
                     "US x -> m1\n"
                     "capture 2\ncommit 2\nloaded 2\n"
                     "after 251\n"
                     "US x\n"
                     "UP x -> m2\n"},
    {"not-fresh-in-the-same-epoch", "UP x\n"
                                    "US x -> m1\n"
                                    "US x\n"
                                    "UP x -> m2\n"},
    /* 17 is UDP, 1 ICMP, 58 ICMPv6, 132 SCTP, 47 GRE */
    {"udp-checksum", "HP 17 0050040000090000aa\n"
                     "HS 17 0050040000090000aa -> m1\n"},
    {"icmp-echo", "HP 1 000000000007000161\n"
                  "HS 1 000000000007000161 -> m1\n"
                  "HP 1 000000000007000261\n"
                  "HS 1 000000000007000361 -> payload\n"},
    {"icmp-echo-ids-are-flows", "HP 1 000000000007000161\n"
                                "HS 1 000000000008000161\n"
                                "HS 1 000000000007000161 -> m1\n"},
    {"icmpv6-echo", "HP 58 810000000007000161 v6=1\n"
                    "HS 58 810000000007000161 v6=1 -> m1\n"},
    {"icmp-error-quotes-other-numbers",
     /* unreachable, port; quoted: id 1 and 2, TCP seq 1 and 2 */
     "HP 1 0303000000000000"
     "4500002800010000400600000a0000020a000001"
     "0401005000000001\n"
     "HS 1 0303000000000000"
     "4500002800020000400600000a0000020a000001"
     "0401005000000002 -> m1\n"},
    {"icmp-error-quotes-another-port",
     "HP 1 0303000000000000"
     "4500002800010000400600000a0000020a000001"
     "0401005000000001\n"
     "HS 1 0303000000000000"
     "4500002800010000400600000a0000020a000001"
     "0402005000000001 -> payload\n"},
    {"icmp-error-other-code", "HP 1 0303000000000000"
                              "4500002800010000400600000a0000020a000001"
                              "0401005000000001\n"
                              "HS 1 0302000000000000"
                              "4500002800010000400600000a0000020a000001"
                              "0401005000000001 -> payload\n"},
    {"icmp-error-cut", "HP 1 03030000000000004500\n"
                       "HS 1 03030000000000004500 -> m1\n"},
    {"icmpv6-error",
     "HP 58 0104000000000000"
     "6000000000080640fd000000000000000000000000000002"
     "fd0000000000000000000000000000010401005000000001 v6=1\n"
     "HS 58 0104000000000000"
     "6000000100080640fd000000000000000000000000000002"
     "fd0000000000000000000000000000010401005000000002 v6=1 -> m1\n"},
    {"ipv6-extensions", "HP 60 3a00010400000000 81000000 v6=1\n"
                        "HS 60 3a00010400000000 81000000 v6=1\n"},
    {"ipv6-extension-other",
     "HP 60 1100050200000000005004000009000061 v6=1\n"
     "HS 60 1100050200010000005004000009000061 v6=1 -> header\n"},
    {"ipv6-extension-same",
     "HP 60 1100050200000000005004000009000061 v6=1\n"
     "HS 60 1100050200000000005004000009000061 v6=1 -> m1\n"},
    {"ipv6-lone-fragment",
     /* a fragment header around a whole packet: its id does not count */
     "HP 44 1100000000000001005004000009000061 v6=1\n"
     "HS 44 1100000000000002005004000009000061 v6=1 -> m1\n"},
    {"other-protocol", "HP 47 00000800aabb\n"
                       "HS 47 00000800aabb -> m1\n"
                       "HP 47 00000800aabb\n"
                       "HS 47 00000800aabc -> payload\n"},
    {"broken", "BP\n"
               "BS\n"
               "after 3000 -> timeout\n"
               "capture 2\ncommit 2 -> c1\n"},
    {NULL},
};

#define DATA "abcdefghijklmnopqrstuvwx" /* with UDP's header 32 bytes */

static const ScriptCase fragments[] = {
    {"whole", "FP " DATA " 0 16 id=1\n"
              "FP " DATA " 16 16 id=1\n"
              "FS " DATA " 0 16 id=7\n"
              "FS " DATA " 16 16 id=7 -> m1 m2\n"},
    {"svm-first", "FS " DATA " 0 16 id=7\n"
                  "FS " DATA " 16 16 id=7\n"
                  "FP " DATA " 0 16 id=1\n"
                  "FP " DATA " 16 16 id=1 -> m1 m2\n"},
    {"ipv6", "FP " DATA " 0 16 id=70000 v6=1\n"
             "FP " DATA " 16 16 id=70000 v6=1\n"
             "FS " DATA " 0 16 id=7 v6=1\n"
             "FS " DATA " 16 16 id=7 v6=1 -> m1 m2\n"},
    {"cut-differently", "FP " DATA " 0 8 id=1\n"
                        "FP " DATA " 8 8 id=1\n"
                        "FP " DATA " 16 16 id=1\n"
                        "FS " DATA " 0 24 id=7\n"
                        "FS " DATA " 24 8 id=7 -> m1 m2 m3\n"},
    {"against-a-whole-one", "FP " DATA " 0 8 id=1\n"
                            "FP " DATA " 8 24 id=1\n"
                            "US " DATA " -> m1 m2\n"},
    {"out-of-order", "FP " DATA " 16 16 id=1\n"
                     "FP " DATA " 0 8 id=1\n"
                     "FS " DATA " 24 8 id=7\n"
                     "FP " DATA " 8 8 id=1\n"
                     "FS " DATA " 0 8 id=7\n"
                     "FS " DATA " 16 8 id=7\n"
                     "FS " DATA " 8 8 id=7 -> m1 m2 m3\n"},
    {"interleaved", "FP " DATA " 0 16 id=1\n"
                    "FP " DATA " 0 16 id=2\n"
                    "FP " DATA " 16 16 id=1\n"
                    "FP " DATA " 16 16 id=2\n"
                    "US " DATA " -> m1 m3\n"
                    "US " DATA " -> m2 m4\n"},
    {"other-payload", "FP " DATA " 0 16 id=1\n"
                      "FP " DATA " 16 16 id=1\n"
                      "US abcdefghijklmnopqrstuvwX -> payload\n"
                      "capture 2\ncommit 2 -> c1 c2\n"},
    {"overlap", "FP " DATA " 0 16 id=1\n"
                "FP " DATA " 8 8 id=1\n"
                "FP " DATA " 16 16 id=1\n"
                "US " DATA "\n"
                "after 2000\n"
                "after 1000 -> timeout\n"
                "capture 2\ncommit 2 -> c1 c2 c3\n"},
    {"svm-overlap", "UP " DATA "\n"
                    "FS " DATA " 0 16 id=1\n"
                    "FS " DATA " 0 16 id=1\n"
                    "FS " DATA " 16 16 id=1\n"
                    "after 3000 -> timeout\n"},
    {"beyond-the-end", "FP " DATA " 16 16 id=1\n"
                       "FP " DATA "" DATA " 24 16 id=1\n"
                       "FP " DATA " 0 16 id=1\n"
                       "US " DATA "\n"},
    {"incomplete", "FP " DATA " 0 16 id=1\n"
                   "US " DATA "\n"
                   "after 3000 -> timeout\n"
                   "FP " DATA " 16 16 id=1\n"
                   "US " DATA "\n"
                   "capture 2\ncommit 2 -> c1 c2\n"},
    {"across-the-capture", "FP " DATA " 0 16 id=1\n"
                           "capture 2\n"
                           "FP " DATA " 16 16 id=1\n"
                           "commit 2 -> c1\n"
                           "loaded 2\n"
                           "US " DATA "\n"
                           "after 3000 -> timeout\n"
                           "capture 3\ncommit 3 -> c2\n"},
    {"after-the-capture", "capture 2\n"
                          "FP " DATA " 0 16 id=1\n"
                          "FP " DATA " 16 16 id=1\n"
                          "commit 2\n"
                          "loaded 2\n"
                          "US " DATA " -> m1 m2\n"},
    {NULL},
};

static void test_many(void)
{
    g_autoptr(Script) s = script_new(NULL);
    NetCompareStats stats;

    script_run(s, "");
    /* More unfinished ones than there is room for. */
    for (guint i = 0; i < 500; i++) {
        g_autofree char *line = g_strdup_printf("FS " DATA " 0 16 id=%u\n", i);

        script_run(s, line);
    }
    net_compare_stats(script_compare(s), &stats);
    g_assert_cmpuint(stats.fragments, ==, 500);
    g_assert_cmpuint(stats.fragments_lost, >, 300);
    script_run(s, "after 4000");
    net_compare_stats(script_compare(s), &stats);
    g_assert_cmpuint(stats.fragments_lost, ==, 500);
}

static void test_figures(void)
{
    g_autoptr(Script) s = script_new(NULL);
    NetCompareStats t;

    script_run(s, "UP x\n"
                  "US x -> m1\n"
                  "US a\n"
                  "US x\n"
                  "UP x -> m2\n"
                  "capture 2\ncommit 2\nloaded 2\n"
                  "US x\n"
                  "US b\n"
                  "after 3000\n"
                  "BP\n"
                  "LS\n");
    net_compare_stats(script_compare(s), &t);
    g_assert_cmpuint(t.primary_packets, ==, 3);
    g_assert_cmpuint(t.secondary_packets, ==, 6);
    g_assert_cmpuint(t.released[NET_RELEASE_MATCH], ==, 2);
    g_assert_cmpuint(t.released_bytes[NET_RELEASE_MATCH], ==, 2 * 29);
    g_assert_cmpuint(t.secondary_extra, ==, 2);
    g_assert_cmpuint(t.secondary_ignored, ==, 2);
    g_assert_cmpuint(t.bad, ==, 1);
    g_assert_cmpuint(t.held_packets, ==, 1);
    g_assert_cmpuint(t.flows, ==, 1);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    script_add_cases("/compare/datagrams", cases);
    script_add_cases("/compare/fragments", fragments);
    g_test_add_func("/compare/fragments/many", test_many);
    g_test_add_func("/compare/datagrams/figures", test_figures);
    return g_test_run();
}
