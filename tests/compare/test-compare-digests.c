/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Digests in place of the SVM's bytes. */
#include "script.h"

static const ScriptCase cases[] = {
    {"ahead",
     "S A 100:abcdef ack=5 digests=4\n"
     "P A 100:abcdef ack=5 -> x1 m1\n"},
    {"behind",
     "P A 100:abcdef ack=5\n"
     "S A 100:abcdef ack=5 digests=4 -> m1 x1\n"},
    {"of-several-packets",
     "P A 100:abc ack=5\n"
     "P A 103:de ack=5\n"
     "S A 100:abcdefgh ack=5 digests=4 -> m1\n"
     "P A 105:fgh ack=5 -> x1 m2 m3\n"},
    {"completed-by-the-packet-before",
     "P A 99:z ack=5\n"
     "S A 99:z ack=5 -> m1\n"
     "P A 103:def ack=5\n"
     "S A 100:abcdef ack=5 digests=100\n"
     "P A 100:abc ack=5 -> x1 m3 m2\n"},
    {"with-fin",
     "P A 100:abcd ack=5\n"
     "P AF 104:efg ack=5\n"
     "S AF 100:abcdefg ack=5 digests=3 -> m1 m2 x1\n"},
    {"ack-counts",
     "P A 100:abcd ack=9\n"
     "S A 100:abcd ack=5 digests=4 -> x1\n"
     "S A 104 ack=9 -> m1\n"},
    {"other-bytes-are-fetched-first",
     "S A 100:abcdef ack=5 digests=2\n"
     "P A 100:abcXef ack=5 -> f1\n"
     "P A 106:gh ack=5\n"
     "S A 100:abcdef ack=5 content=1 -> x1 payload\n"
     "capture 2\n"
     "commit 2 -> c1 c2\n"},
    {"other-bytes-and-gone",
     "S A 100:abcdef ack=5 digests=2\n"
     "P A 100:Xbcdef ack=5 -> f1\n"
     "gone 1 -> payload x1\n"},
    {"part-of-a-piece",
     "S A 100:abcdef ack=5 digests=4\n"
     "P A 100:abcde ack=5\n"
     "after 2 -> f1\n"
     "after 9 -> q1:0+4\n"
     "after 11\n"
     "S A 100:abcdef ack=5 content=1 -> x1 q1:4+1 d1\n"
     "P A 105:f ack=5 -> m2\n"},
    {"part-of-a-piece-that-differs",
     "S A 100:abcdef ack=5 digests=4\n"
     "P A 100:abcdX ack=5\n"
     "after 2 -> f1\n"
     "after 9 -> q1:0+4\n"
     "S A 100:abcdef ack=5 content=1 -> x1 payload\n"},
    {"the-rest-comes-before-the-answer",
     "S A 100:abcdef ack=5 digests=4\n"
     "P A 100:abcde ack=5\n"
     "after 2 -> f1\n"
     "after 9 -> q1:0+4\n"
     "P A 105:f ack=5 -> x1 q1:4+1 d1 m2\n"
     "S A 100:abcdef ack=5 content=1\n"},
    {"part-and-gone",
     "S A 100:abcdef ack=5 digests=4\n"
     "P A 100:abcde ack=5\n"
     "after 2 -> f1\n"
     "after 9 -> q1:0+4\n"
     "gone 1 -> gone\n"
     "P A 105:f ack=5 -> x1 q1:4+1 d1 m2\n"},
    {"answers-nobody-asked-for",
     "S A 100:abcdef ack=5 digests=4\n"
     "S A 100:abcdef ack=5 content=1\n"
     "gone 1\n"
     "S A 100:abcdef ack=5 content=7\n"
     "P A 100:abcdef ack=5 -> x1 m1\n"},
    {"a-wrong-answer-is-none",
     "S A 100:abcdef ack=5 digests=4\n"
     "P A 100:abcde ack=5\n"
     "after 2 -> f1\n"
     "after 9 -> q1:0+4\n"
     "S A 100:abc ack=5 content=1 -> gone\n"},
    {"checkpoint-forgets-the-question",
     "S A 100:abcdef ack=5 digests=4\n"
     "P A 100:abcde ack=5\n"
     "after 2 -> f1\n"
     "after 9 -> q1:0+4\n"
     "capture 2\n"
     "commit 2 -> c1 x1\n"
     "loaded 2\n"
     "P A 105:Xbc ack=5\n"
     "S A 100:abcdef ack=5 content=1\n"
     "gone 1\n"
     "S A 105:Xbc ack=5 digests=9 -> m2 x2\n"},
    {"again-is-done-with",
     "S A 100:abcdef ack=5 digests=4\n"
     "S A 100:abcd ack=5 digests=4 -> x2\n"
     "P A 100:abcdef ack=5 -> x1 m1\n"
     "S A 102:cdef ack=5 digests=4 -> x3\n"},
    {"again-and-more",
     "S A 100:abcdef ack=5 digests=4\n"
     "S A 103:defghi ack=5 digests=4\n"
     "P A 100:abcdefghi ack=5 -> x1 f2\n"
     "S A 103:defghi ack=5 content=2 -> m1\n"},
    {"bytes-for-a-part",
     "S A 100:abcdef ack=5 digests=6\n"
     "S A 102:cdefgh ack=5\n"
     "P A 100:abcdefgh ack=5 -> x1 m1\n"},
    {"bytes-for-all",
     "S A 102:cdef ack=5 digests=4\n"
     "S A 100:abcdefgh ack=5 -> x1\n"
     "P A 100:abc ack=5 -> m1\n"
     "P A 103:defgh ack=5 -> m2\n"},
    {"gap",
     "S A 104:efgh ack=5 digests=4\n"
     "P A 100:abcdefgh ack=5\n"
     "after 11\n"
     "S A 100:abcd ack=5 digests=4 -> x2 x1 m1\n"},
    {"another-grid",
     "S A 98:ababcdef ack=5 digests=4\n"
     "P A 99:b ack=5 -> f1\n"
     "S A 98:ababcdef ack=5 content=1 -> x1 m1\n"
     "P A 100:abcdef ack=5 -> m2\n"},
    {"not-compared",
     "capture 2\n"
     "commit 2\n"
     "S A 100:abcdef ack=5 digests=4 -> x1\n"},
    {NULL, NULL, NULL},
};

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    script_add_cases("/compare/digests", cases);
    return g_test_run();
}
