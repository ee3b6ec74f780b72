#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# The hosts of the tests: links work, can be cut, and a power cut is silent.
. "$COLO_SRCDIR/tests/functions.sh"
requires netns bridge ping

check "hosts can be laid out" lay_out_hosts

ping_from()
{
    run_on "$1" ping -q -c 1 -W 2 "$2"
}

cannot_ping_from()
{
    ! run_on "$1" ping -q -c 1 -W 1 "$2"
}

check "replication link" ping_from pri "$(host_addr sec repl)"
check "heartbeat link" ping_from pri "$(host_addr sec hb)"
check "the client reaches the primary" ping_from cli "$(host_addr pri lan)"
check "the client reaches the secondary" ping_from cli "$(host_addr sec lan)"
check "IPv6 on the replication link" ping_from pri fd77:1::2

link_cut repl
check "a cut link carries nothing" cannot_ping_from pri "$(host_addr sec repl)"
check "the other link lives" ping_from pri "$(host_addr sec hb)"
check "no carrier is lost" run_on pri grep -q 1 /sys/class/net/repl0/carrier
link_restore repl
check "a restored link" ping_from pri "$(host_addr sec repl)"

# hold NAME HOST listen|connect SECONDS: to or at the secondary
hold()
{
    start --on "$2" "$1" tcp-hold "$3" "$(host_addr sec repl)" 5555 "$4"
}

connected()
{
    hold sec-end sec listen "$1" &&
        wait_line "$TESTDIR/sec-end.out" '^listening$' &&
        hold pri-end pri connect 30 &&
        wait_line "$TESTDIR/sec-end.out" '^connected$' &&
        wait_line "$TESTDIR/pri-end.out" '^connected$'
}

# The measure itself: a process that is only killed says goodbye
check "a connection" connected 10
kill -KILL "$(pid_of pri-end)"
check "a killed process's peer sees its end" \
    wait_line "$TESTDIR/sec-end.out" '^(fin|reset)$'
stop pri-end
stop sec-end

check "another connection" connected 3
start --on pri bystander sleep 600
pids="$(pid_of pri-end) $(pid_of bystander)"
check "the primary's power is cut" host_power_cut pri
check "the peer sees neither FIN nor RST" \
    wait_line "$TESTDIR/sec-end.out" '^silent$'
for pid in $pids; do
    check "a process of the dead host is gone" gone "$pid"
done
check "the dead host is gone" sh -c "! ip netns list | grep -q '^colo$$-pri'"
check "the secondary keeps its carrier" \
    run_on sec grep -q 1 /sys/class/net/repl0/carrier
check "the secondary keeps its client" ping_from cli "$(host_addr sec lan)"

check "the host can come back" new_host pri 1
check "and is reached again" ping_from sec "$(host_addr pri repl)"
done_testing
