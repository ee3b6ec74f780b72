/* SPDX-License-Identifier: GPL-2.0-or-later */
/* TCP: the rules of comparison, one by one.  See script.h. */
#include "script.h"

#define HANDSHAKE                                                              \
    "P SA 100 ack=51\n"                                                        \
    "S SA 5100 ack=51 -> o:-5000:0 m1\n"

#define SIGNATURE "000102030405060708090a0b0c0d0e0f"

/* Parts of segments: the SVM may wait for an ACK of them. */
static const ScriptCase parts[] = {
    {"in-two",
     "P AP 100:abcdef ack=5\n"
     "S A 100:abcd ack=5\n"
     "after 11 -> q1:0+4\n"
     "S A 104:ef ack=5 -> q1:4+2 d1\n"},
    {"in-three-with-fin",
     "P AF 100:abcdef ack=5\n"
     "S A 100:ab ack=5\n"
     "after 11 -> q1:0+2\n"
     "after 11\n"
     "S A 102:cd ack=5\n"
     "after 11 -> q1:2+2\n"
     "S AF 104:ef ack=5 -> q1:4+2 d1\n"},
    {"at-once-is-whole",
     "P A 100:abcdef ack=5\n"
     "S A 100:abcd ack=5\n"
     "S A 104:ef ack=5 -> m1\n"
     "after 11\n"},
    {"not-with-another-ack",
     "P A 100:abcdef ack=9\n"
     "S A 100:abcd ack=5\n"
     "after 11\n"
     "S A 104 ack=9\n"
     "after 11 -> q1:0+4\n"},
    {"not-behind-a-difference",
     "P A 100:abcdef ack=5\n"
     "S A 100:abcX ack=5 -> payload\n"
     "after 11\n"
     "capture 2\n"
     "commit 2 -> c1\n"},
    {"then-a-difference",
     "P A 100:abcdef ack=5\n"
     "S A 100:abcd ack=5\n"
     "after 11 -> q1:0+4\n"
     "S A 104:eX ack=5 -> payload\n"
     "after 11\n"
     "capture 2\n"
     "commit 2 -> c1\n"},
    {"whole-by-checkpoint",
     "P A 100:abcdef ack=5\n"
     "S A 100:abcd ack=5\n"
     "after 11 -> q1:0+4\n"
     "capture 2\n"
     "commit 2 -> c1\n"},
    {"not-when-captured",
     "capture 2\n"
     "P A 100:abcdef ack=5\n"
     "S A 100:abcd ack=5\n"
     "after 11\n"},
    /* The first part was lost on its way. */
    {"sent-again",
     "P A 100:abcdef ack=5\n"
     "S A 100:abc ack=5\n"
     "after 11 -> q1:0+3\n"
     "P A 100:abcdef ack=5\n"
     "after 11 -> q2:0+3\n"
     "after 11\n"
     "S A 103:def ack=5 -> q1:3+3 d1 q2:3+3 d2\n"},
    {"sent-again-with-less",
     "P A 100:abcdef ack=5\n"
     "S A 100:abc ack=5\n"
     "after 11 -> q1:0+3\n"
     "P A 101:bcd ack=5\n"
     "after 11 -> q2:0+2\n"
     "S A 103:def ack=5 -> q1:3+3 d1 q2:2+1 d2\n"},
    {"not-what-is-urgent",
     "P AU 100:abcdef ack=5\n"
     "S A 100:abcd ack=5\n"
     "after 11\n"
     "S A 104:ef ack=5 -> m1\n"},
    {"not-what-is-signed",
     "P A 100:abcdef ack=5 opt=01011312" SIGNATURE "\n"
     "S A 100:abcd ack=5 opt=01011312" SIGNATURE "\n"
     "after 11\n"
     "S A 104:ef ack=5 opt=01011312" SIGNATURE " -> m1\n"},
    {"cannot",
     "no-parts\n"
     "P A 100:abcdef ack=5\n"
     "S A 100:abcd ack=5\n"
     "after 11 -> q1:0+4\n"
     "S A 104:ef ack=5 -> m1\n"},
    {NULL, NULL, NULL},
};

static const ScriptCase cases[] = {
    /* --- Streams -------------------------------------------------------- */
    {"pvm-first", "P A 100:abc ack=5\n"
                  "S A 100:abc ack=5 -> m1\n"},
    {"svm-first", "S A 100:abc ack=5\n"
                  "P A 100:abc ack=5 -> m1\n"},
    {"ipv6", "S A 100:abc ack=5 v6=1\n"
             "P A 100:abc ack=5 v6=1 -> m1\n"},
    {"flows-are-apart", "S A 100:abc ack=5 flow=1\n"
                        "P A 100:abc ack=5 flow=2\n"
                        "S A 100:abc ack=5 flow=2 -> m1\n"},
    {"cut-differently", "P A 100:abcdef ack=5\n"
                        "S A 100:ab ack=5\n"
                        "S A 102:cde ack=5\n"
                        "S A 105:fgh ack=5 -> m1\n"
                        "P A 106:g ack=5 -> m2\n"
                        "P A 107:hi ack=5\n"
                        "S A 108:i ack=5 -> m3\n"},
    {"coalesced", "P A 100:ab ack=5\n"
                  "P A 102:cd ack=5\n"
                  "P A 104:ef ack=5\n"
                  "S A 100:abcdefgh ack=5 -> m1 m2 m3\n"
                  "P A 106:gh ack=5 -> m4\n"},
    {"flags-that-do-not-count", "P PAU 100:abc ack=5\n"
                                "S AEC 100:abc ack=5 -> m1\n"},
    {"options-that-do-not-count",
     "P A 100:abc ack=5 opt=0101080a0000000100000002\n"
     "S A 100:abc ack=5 opt=0101080a0000000900000009 -> m1\n"
     "P A 103 ack=5 opt=0101050a0000000600000008 -> m2\n"},
    {"svm-out-of-order", "P A 100:abcdef ack=5\n"
                         "S A 104:ef ack=5\n"
                         "S A 102:cd ack=5\n"
                         "S A 100:ab ack=5 -> m1\n"},
    {"svm-out-of-order-first", "P A 100:a ack=5\n"
                               "S A 104:ef ack=5\n"
                               "S A 102:cd ack=5\n"
                               "S A 100:ab ack=5 -> m1\n"
                               "P A 101:bcdef ack=5 -> m2\n"},
    {"svm-overlaps", "P A 100:a ack=5\n"
                     "S A 100:a ack=5 -> m1\n"
                     "S A 103:de ack=5\n"
                     "S A 107:hi ack=5\n"
                     "S A 99:Xabcdefghij ack=5\n"
                     "P A 101:bcdefghij ack=5 -> m2\n"},
    {"svm-overlaps-and-differs", "S A 100:abcdef ack=5\n"
                                 "S A 102:cdXf ack=5\n"
                                 "P A 100:abcd ack=5 -> m1\n"
                                 "P A 104:ef ack=5 -> payload\n"},
    {"pvm-out-of-order", "P A 100:ab ack=5\n"
                         "P A 104:ef ack=5\n"
                         "P A 102:cd ack=5\n"
                         "S A 100:abcdef ack=5 -> m1 m3 m2\n"},
    {"pvm-out-of-order-svm-first", "S A 100:abcdef ack=5\n"
                                   "P A 100:ab ack=5 -> m1\n"
                                   "P A 104:ef ack=5\n"
                                   "P A 102:cd ack=5 -> m3 m2\n"},
    {"pvm-retransmits-held", "P A 100:ab ack=5\n"
                             "P A 102:cd ack=5\n"
                             "P A 100:ab ack=5\n"
                             "P A 100:abcd ack=5\n"
                             "S A 100:abcd ack=5 -> m1 m3 m4 m2\n"},
    {"pvm-retransmits-released", "P A 100:ab ack=5\n"
                                 "S A 100:ab ack=5 -> m1\n"
                                 "P A 100:ab ack=5 -> m2\n"
                                 "P A 101:bc ack=5\n"
                                 "S A 101:bc ack=5 -> m3\n"},
    {"svm-retransmits", "P A 100:ab ack=5\n"
                        "S A 100:ab ack=5 -> m1\n"
                        "S A 100:ab ack=5\n"
                        "S A 100:abc ack=5\n"
                        "P A 102:c ack=5 -> m2\n"},
    {"wraps", "P A 4294967290:abcdefghij ack=5\n"
              "S A 4294967290:abcd ack=5\n"
              "S A 4294967294:efgh ack=5\n"
              "S A 2:ijkl ack=5 -> m1\n"
              "P A 4:kl ack=5 -> m2\n"},
    {"wraps-with-delta", "P SA 4294967295 ack=4294967295\n"
                         "S SA 7 ack=4294967295 -> o:-8:0 m1\n"
                         "P A 0:abc ack=3\n"
                         "S A 8:abc ack=3 -> m2\n"},
    {"open-before", "P A 7000:ab ack=5\n"
                    "S A 7000:ab ack=5 -> m1\n"},
    {"before-what-is-known", "P A 7000:ab ack=5\n"
                             "S A 7000:ab ack=5 -> m1\n"
                             "P A 6990:xx ack=5 -> header\n"
                             "P A 6995:abcdefghijkl ack=5\n"
                             "capture 2\ncommit 2 -> c2 c3\nloaded 2\n"
                             "P A 6990:xx ack=5 -> m4\n"},
    {"beyond-any-window", "P A 100:ab ack=5\n"
                          "S A 2000000000:zz ack=5\n"
                          "P A 2000000000:zz ack=5\n"
                          "S A 100:ab ack=5 -> m1\n"},
    /* --- Differences ----------------------------------------------------- */
    {"other-byte", "P A 100:abc ack=5\n"
                   "S A 100:abX ack=5 -> payload\n"
                   "P A 102:c ack=5\n"
                   "P A 100:ab ack=5 -> m3\n"
                   "S A 103:def ack=5\n"
                   "P A 103:def ack=5\n"
                   "after 10000 -> timeout\n"
                   "capture 2\ncommit 2 -> c1 c2 c4\n"
                   "loaded 2\n"
                   "P A 106:gh ack=5\n"
                   "S A 106:gh ack=5 -> m5\n"},
    {"other-byte-svm-first", "S A 100:abX ack=5\n"
                             "P A 100:abc ack=5 -> payload\n"},
    {"missing-byte", "P A 100:abc ack=5\n"
                     "S A 100:ac ack=5 -> payload\n"},
    {"extra-byte", "P A 100:ac ack=5\n"
                   "S A 100:abc ack=5 -> payload\n"},
    {"missing-end", "P A 100:abc ack=5\n"
                    "S A 100:ab ack=5\n"
                    "after 2999 -> q1:0+2\n"
                    "after 1 -> timeout\n"},
    {"cause-once", "P A 100:abc ack=5\n"
                   "P A 100:abc ack=5 flow=1\n"
                   "S A 100:x ack=5 -> payload\n"
                   "S A 100:x ack=5 flow=1\n"
                   "capture 2\ncommit 2 -> c1 c2\nloaded 2\n"
                   "P A 103:abc ack=5 flow=1\n"
                   "S A 103:x ack=5 flow=1 -> payload\n"},
    /* --- I5: acknowledgements -------------------------------------------- */
    {"ack-waits", "P A 100 ack=60\n"
                  "S A 100 ack=59\n"
                  "S A 100 ack=60 -> m1\n"
                  "P A 100 ack=55 -> m2\n"
                  "P A 100 ack=61\n"
                  "S A 100 ack=70 -> m3\n"},
    {"acks-leave-in-order", "P A 100 ack=60\n"
                            "P A 100 ack=70\n"
                            "P A 100 ack=65\n"
                            "S A 100 ack=66 -> m1 m3\n"
                            "S A 100 ack=70 -> m2\n"},
    {"ack-of-data-waits", "S A 100:abc ack=50\n"
                          "P A 100:abc ack=51\n"
                          "P A 103 ack=50 -> m2\n"
                          "S A 103 ack=51 -> m1\n"},
    {"ack-of-again-waits", "S A 100:abc ack=50\n"
                           "P A 100:abc ack=50 -> m1\n"
                           "P A 100:abc ack=51\n"
                           "S A 103 ack=51 -> m2\n"},
    {"ack-wraps", "P A 100 ack=3\n"
                  "S A 100 ack=4294967290\n"
                  "S A 100 ack=2\n"
                  "S A 100 ack=3 -> m1\n"
                  "P A 100 ack=4294967290 -> m2\n"},
    {"ack-older-svm", "S A 100 ack=60\n"
                      "S A 100 ack=50\n"
                      "P A 100 ack=60 -> m1\n"},
    {"keepalive", "P A 100:ab ack=5\n"
                  "S A 100:ab ack=5 -> m1\n"
                  "P A 101 ack=5 -> m2\n"
                  "P A 101:X ack=5 -> m3\n"
                  "P A 101:X ack=6\n"
                  "S A 102 ack=6 -> m4\n"},
    {"keepalive-first", "S A 100 ack=5\n"
                        "P A 100 ack=5 -> m1\n"
                        "P A 99:X ack=5 -> m2\n"},
    {"ack-in-diverged", "P A 100:ab ack=5\n"
                        "S A 100:x ack=5 -> payload\n"
                        "P A 102 ack=7\n"
                        "S A 101 ack=7 -> m2\n"},
    /* --- Beginnings ------------------------------------------------------ */
    {"handshake", HANDSHAKE "P A 101:ab ack=60\n"
                            "S A 5101:ab ack=60 -> m2\n"},
    {"handshake-svm-first", "S SA 5100 ack=51\n"
                            "P SA 100 ack=51 -> o:-5000:0 m1\n"
                            "S A 5101:ab ack=60\n"
                            "P A 101:ab ack=60 -> m2\n"},
    {"handshake-same-numbers", "P SA 100 ack=51\n"
                               "S SA 100 ack=51 -> m1\n"},
    {"handshake-of-guest", "P S 100\n"
                           "S S 40 -> o:60:0 m1\n"
                           "P A 101 ack=5\n"
                           "S A 41 ack=5 -> m2\n"},
    {"handshake-timestamps", "P S 100 opt=0101080a0000000900000000\n"
                             "S S 100 opt=0101080a0000000a00000000"
                             " -> o:0:-1 m1\n"},
    {"syn-options-mss", "P S 100 opt=020405b4\n"
                        "S S 90 opt=020405b5 -> options\n"
                        "capture 2\ncommit 2 -> c1\nloaded 2\n"
                        "P A 101:ab ack=9\n"
                        "S A 101:ab ack=9 -> m2\n"},
    {"syn-options-wscale", "P S 100 opt=01030307\n"
                           "S S 90 opt=01030308 -> options\n"},
    {"syn-options-sack", "S S 90 opt=01010402\n"
                         "P S 100 opt=01010101 -> options\n"},
    {"syn-options-no-timestamps", "S S 90 opt=0101080a0000000900000000\n"
                                  "P S 100 -> options\n"},
    {"syn-options-nops", "P S 100 opt=01010402\n"
                         "S S 100 opt=04020101 -> m1\n"},
    {"syn-options-unknown", "P S 100 opt=fe040102\n"
                            "S S 100 opt=fe040103 -> options\n"},
    {"syn-window", "P S 100 win=10\n"
                   "S S 100 win=20 -> m1\n"},
    {"syn-against-syn-ack", "P S 100\n"
                            "S SA 100 ack=9 -> header\n"},
    {"syn-ecn", "P SEC 100\n"
                "S S 100 -> header\n"},
    {"syn-again-held", "P SA 100 ack=51\n"
                       "P SA 100 ack=51\n"
                       "S SA 100 ack=51 -> m1 m2\n"},
    {"syn-again-released", HANDSHAKE "P SA 100 ack=51 -> m2\n"
                                     "S SA 5100 ack=51\n"
                                     "P A 101:a ack=52\n"
                                     "S A 5101:a ack=52 -> m3\n"},
    {"syn-ack-of-another", "P SA 100 ack=51\n"
                           "S SA 5000 ack=41\n"
                           "S SA 5100 ack=51 -> o:-5000:0 m1\n"},
    {"port-reused", HANDSHAKE "P A 101:ab ack=60\n"
                              "S A 5101:ab ack=60 -> m2\n"
                              "P SA 90000 ack=7001\n"
                              "P A 90001:xy ack=7001\n"
                              "S A 5103 ack=60\n"
                              "S SA 80000 ack=7001 -> o:10000:0 m3\n"
                              "S A 80001:xy ack=7001 -> m4\n"},
    {"port-reused-svm-first", HANDSHAKE "S SA 80000 ack=7001\n"
                                        "P A 101 ack=51 -> m2\n"
                                        "P SA 90000 ack=7001 -> o:10000:0 m3\n"
                                        "S A 80001:xy ack=7002\n"
                                        "P A 90001:xy ack=7002 -> m4\n"},
    {"port-reused-old-data-is-not-new",
     HANDSHAKE "P SA 5110 ack=7001\n"
               "S A 5111:xy ack=7001\n"
               "S SA 5110 ack=7001 -> m2\n"
               "P A 5111:xy ack=7001\n"
               "S A 5111:xy ack=7001 -> m3\n"},
    {"port-reused-with-held", "P A 101:ab ack=60\n"
                              "P SA 90000 ack=7001\n"
                              "S SA 80000 ack=7001 -> o:10000:0 m2\n"
                              "S A 101:ab ack=7001\n"
                              "capture 2\ncommit 2 -> c1\n"},
    {"data-before-svm-syn", "P SA 100 ack=51\n"
                            "P A 101:hi ack=51\n"
                            "S SA 5100 ack=51 -> o:-5000:0 m1\n"
                            "S A 5101:hi ack=51 -> m2\n"},
    {"data-in-syn", "P S 100:hi\n"
                    "S S 5100:hi -> o:-5000:0 m1\n"},
    {"data-in-syn-other", "P S 100:hi\n"
                          "S S 5100:ho -> o:-5000:0 payload\n"},
    /* --- Ends ------------------------------------------------------------ */
    {"fin", "P FA 100:ab ack=5\n"
            "S A 100:ab ack=5\n"
            "S FA 102 ack=5 -> m1\n"
            "P FA 102 ack=5 -> m2\n"
            "P A 103 ack=6\n"
            "S A 103 ack=6 -> m3\n"},
    {"fin-svm-first", "S FA 100:ab ack=5\n"
                      "P A 100:ab ack=5 -> m1\n"
                      "P FA 102 ack=5 -> m2\n"},
    {"fin-alone", "P FA 100 ack=5\n"
                  "S FA 100 ack=5 -> m1\n"},
    {"fin-svm-earlier", "P FA 100:abc ack=5\n"
                        "S FA 100:ab ack=5 -> fin\n"},
    {"fin-svm-earlier-first", "S FA 100:ab ack=5\n"
                              "P A 100:abc ack=5 -> fin\n"},
    {"fin-svm-later", "P FA 100:ab ack=5\n"
                      "S A 100:abc ack=5 -> fin\n"},
    {"fin-svm-later-first", "S A 100:abc ack=5\n"
                            "P FA 100:ab ack=5 -> fin\n"},
    {"fin-after-end", "P FA 100:ab ack=5\n"
                      "S FA 100:ab ack=5 -> m1\n"
                      "P A 103:c ack=5 -> fin\n"},
    {"fin-svm-twice", "P A 100:ab ack=5\n"
                      "S FA 101 ack=5 -> fin\n"},
    {"fin-out-of-order", "P FA 102:c ack=5\n"
                         "S FA 102:c ack=5 -> m1\n"},
    {"reset", "P A 100:ab ack=5\n"
              "P RA 102 ack=5\n"
              "S A 100:ab ack=5 -> m1\n"
              "S RA 102 ack=5 -> m2\n"},
    {"reset-svm-first", "S A 100:ab ack=5\n"
                        "S R 102\n"
                        "P A 100:ab ack=5 -> m1\n"
                        "P R 102 -> m2\n"},
    {"reset-to-nobody", "P RA 0 ack=78\n"
                        "S RA 0 ack=78 -> m1\n"
                        "P RA 0 ack=34\n"
                        "S RA 0 ack=34 -> m2\n"},
    {"reset-against-data", "P A 100:ab ack=5\n"
                           "S R 100 -> reset\n"},
    {"reset-against-data-first", "P A 100 ack=5\n"
                                 "S R 100 ack=5\n"
                                 "P A 100:ab ack=5 -> reset\n"},
    {"reset-of-pvm-against-data", "S A 100:ab ack=5\n"
                                  "P A 100:a ack=5 -> m1\n"
                                  "P R 101 -> reset\n"},
    {"reset-ack-waits", "P A 100 ack=5\n"
                        "S A 100 ack=5 -> m1\n"
                        "P RA 100 ack=9\n"
                        "S RA 100 ack=9 -> m2\n"},
    {"reset-alone", "P R 100\n"
                    "after 3000 -> timeout\n"},
    {NULL},
};

static const ScriptCase windows[] = {
    {"smaller", "S A 100 ack=5 win=300\n"
                "P A 100 ack=5 win=500 -> w1:300\n"
                "P A 100 ack=5 win=200 -> m2\n"},
    {"data", "S A 100:abc ack=5 win=300\n"
             "P A 100:abc ack=5 win=500 -> w1:300\n"},
    {"ipv6", "S A 100 ack=5 win=300 v6=1\n"
             "P A 100 ack=5 win=500 v6=1 -> w1:300\n"},
    {"held", "P A 100:abc ack=5 win=500\n"
             "S A 100:abc ack=5 win=300 -> w1:300\n"},
    {"signed", "S A 100 ack=5 win=300\n"
               "P A 100 ack=5 win=500 opt=01011312" SIGNATURE " -> m1\n"},
    {"gso", "S A 100 ack=5 win=300\n"
            "P A 100 ack=5 win=500 gso=1 -> m1\n"},
    {"not-back", "S A 100 ack=5 win=500\n"
                 "P A 100 ack=5 win=500 -> m1\n"
                 "S A 100 ack=5 win=300\n"
                 "P A 100 ack=5 win=500 -> m2\n"
                 "P A 100 ack=5 win=600 -> w3:500\n"},
    {"not-back-scaled", "P SA 100 ack=5 opt=01030302\n"
                        "S SA 100 ack=5 opt=01030302 -> m1\n"
                        "S A 101 ack=5 win=500\n"
                        "P A 101 ack=5 win=500 -> m2\n"
                        "S A 101 ack=45 win=300\n"
                        "P A 101 ack=45 win=500 -> w3:490\n"
                        "S A 101 ack=1245 win=250\n"
                        "P A 101 ack=1245 win=500 -> w4:250\n"},
    {"right-edge", "P SA 100 ack=5 opt=01030302\n"
                   "S SA 100 ack=5 opt=01030302 -> m1\n"
                   "S A 101 ack=105 win=300\n"
                   "P A 101 ack=5 win=500 -> w2:325\n"},
    {"scale-of-guest-unknown", "P S 100 opt=01030302\n"
                               "S S 100 opt=01030302 -> m1\n"
                               "S A 101 ack=105 win=300\n"
                               "P A 101 ack=5 win=500 -> w2:325\n"
                               "S A 101 ack=125 win=100\n"
                               "P A 101 ack=125 win=500 -> w3:295\n"},
    {"scale-unknown", "S A 100 ack=5 win=300\n"
                      "P A 100 ack=5 win=300 -> m1\n"
                      "S A 100 ack=305 win=200\n"
                      "P A 100 ack=305 win=300 -> m2\n"
                      "S A 100 ack=16689 win=301\n"
                      "P A 100 ack=16689 win=400 -> w3:301\n"},
    {"zero", "S A 100 ack=5 win=0\n"
             "P A 100 ack=5 win=500 -> w1:0\n"
             "S A 100 ack=5 win=400\n"
             "P A 100 ack=5 win=500 -> w2:400\n"},
    {"after-load", "P A 100 ack=5 win=500\n"
                   "capture 2\ncommit 2 -> c1\nloaded 2\n"
                   "P A 100 ack=5 win=600 -> w2:500\n"},
    {"syn-is-not-rewritten", "P S 100 win=500\n"
                             "S S 100 win=300 -> m1\n"
                             "P A 101 ack=9 win=500\n"
                             "S A 101 ack=9 win=500 -> m2\n"},
    {NULL},
};

/* NOP, NOP, one block */
#define SACK " opt=0101050a0000003200000050"

/* The SVM has lost something: how far it has come. */
static const ScriptCase holes[] = {
    {"lowered", "S A 100 ack=5\n"
                "P A 100 ack=5 -> m1\n"
                "P A 100 ack=50\n"
                "P A 100 ack=80\n"
                "S A 100 ack=20" SACK " -> w2:1000@20\n"
                "S A 100 ack=20" SACK "\n"
                "S A 100 ack=80 -> m3\n"},
    {"last-waits", "S A 100 ack=5\n"
                   "P A 100 ack=5 -> m1\n"
                   "P A 100 ack=50\n"
                   "S A 100 ack=20" SACK "\n"
                   "P A 100 ack=50\n"
                   "S A 100 ack=20" SACK " -> w2:1000@20\n"
                   "S A 100 ack=50 -> m3\n"},
    {"nothing-lost", "S A 100 ack=5\n"
                     "P A 100 ack=5 -> m1\n"
                     "P A 100 ack=50\n"
                     "P A 100 ack=80\n"
                     "S A 100 ack=20\n"
                     "S A 100 ack=80 -> m2 m3\n"},
    {"told-already", "S A 100 ack=20\n"
                     "P A 100 ack=20 -> m1\n"
                     "P A 100 ack=50\n"
                     "P A 100 ack=80\n"
                     "S A 100 ack=20" SACK "\n"
                     "S A 100 ack=10" SACK "\n"},
    {"its-own-blocks-go", "S A 100 ack=5\n"
                          "P A 100 ack=5 -> m1\n"
                          "P A 100 ack=50" SACK "\n"
                          "P A 100 ack=80\n"
                          "S A 100 ack=20" SACK " -> w2:1000@20\n"},
    {"not-of-data", "S A 100:abc ack=5\n"
                    "P A 100 ack=5 -> m1\n"
                    "P A 100:abc ack=50\n"
                    "P A 103 ack=50\n"
                    "P A 103 ack=80\n"
                    "S A 103 ack=20" SACK " -> w3:1000@20\n"
                    "S A 103 ack=80 -> m2 m4\n"},
    {"not-signed", "S A 100 ack=5\n"
                   "P A 100 ack=5 -> m1\n"
                   "P A 100 ack=50 opt=01011312" SIGNATURE "\n"
                   "P A 100 ack=80\n"
                   "S A 100 ack=20" SACK "\n"},
    {"smaller-window", "P SA 100 ack=5 opt=01030302\n"
                       "S SA 100 ack=5 opt=01030302 -> m1\n"
                       "S A 101 ack=45 win=300\n"
                       "P A 101 ack=45 win=300 -> m2\n"
                       "P A 101 ack=845 win=900\n"
                       "P A 101 ack=945 win=900\n"
                       "S A 101 ack=445 win=250" SACK " -> w3:250@445\n"},
    {"larger-window", "P SA 100 ack=5 opt=01030302\n"
                      "S SA 100 ack=5 opt=01030302 -> m1\n"
                      "S A 101 ack=45 win=300\n"
                      "P A 101 ack=45 win=300 -> m2\n"
                      "P A 101 ack=845 win=400\n"
                      "P A 101 ack=945 win=400\n"
                      "S A 101 ack=445 win=900" SACK " -> w3:500@445\n"},
    {"right-edge", "P SA 100 ack=5 opt=01030302\n"
                   "S SA 100 ack=5 opt=01030302 -> m1\n"
                   "S A 101 ack=45 win=300\n"
                   "P A 101 ack=45 win=300 -> m2\n"
                   "P A 101 ack=845 win=400\n"
                   "P A 101 ack=945 win=400\n"
                   "S A 101 ack=445 win=100" SACK " -> w3:200@445\n"},
    {"until-a-checkpoint", "S A 100 ack=5\n"
                           "P A 100 ack=5 -> m1\n"
                           "P A 100 ack=50\n"
                           "P A 100 ack=80\n"
                           "capture 2\ncommit 2 -> c2 c3\nloaded 2\n"
                           "P A 100 ack=90\n"
                           "P A 100 ack=95\n"
                           "S A 100 ack=85" SACK " -> w4:1000@85\n"},
    {NULL},
};

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    script_add_cases("/compare/tcp/hole", holes);
    script_add_cases("/compare/tcp/parts", parts);
    script_add_cases("/compare/tcp", cases);
    script_add_cases("/compare/tcp/window", windows);
    return g_test_run();
}
