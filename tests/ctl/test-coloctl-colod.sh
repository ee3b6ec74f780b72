#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# coloctl with the real colod, which protects a simulated QEMU.
. "$COLO_SRCDIR/tests/functions.sh"
requires netns

ctl()
{
    ctl_side=$1
    shift
    coloctl --control "$TESTDIR/$ctl_side.control" "$@"
}

# side NAME SIM-OPTIONS COLOD-OPTIONS...
side()
{
    side_name=$1 side_sim=$2
    shift 2
    start "qemu-$side_name" "$COLO_BUILDDIR/tests/sim/sim-qemu" $side_sim \
        --qmp "$TESTDIR/$side_name.qmp" --log "$TESTDIR/$side_name.steps" &&
        wait_for 10 test -S "$TESTDIR/$side_name.qmp" &&
        start --on box "colod-$side_name" colod \
            --qmp "$TESTDIR/$side_name.qmp" --tracker compare \
            --control "$TESTDIR/$side_name.control" \
            --state-dir "$TESTDIR/$side_name.d" "$@" &&
        wait_for 10 started "$side_name"
}

started()
{
    ctl "$1" --json status 2>/dev/null | grep -qv '"state":"none"'
}

state_is()
{
    ctl "$1" --json status | grep -q "\"state\":\"$2\""
}

says()
{
    says_pattern=$1
    shift
    "$@" >"$TESTDIR/says.out" && grep -Eq "$says_pattern" "$TESTDIR/says.out"
}

new_netns box
check "the secondary starts" side sec --stopped --secondary --listen \
    127.0.0.1:8888
check_fails "no failover without a checkpoint" 1 'no checkpoint' \
    ctl sec failover
check "the primary starts" side pri '' --primary --peer 127.0.0.1:8888 \
    --checkpoint-delay 3600000
check "status --follow ends when protected" says '^active ' \
    ctl pri --follow status
check "the secondary says so too" wait_for 5 state_is sec active
check "checkpoint --wait" says '^checkpoint 2 is committed: pause' \
    ctl pri checkpoint --wait
check "its number is in the status" says '^checkpoint +2$' ctl pri status
check "and in the statistics" says '^checkpoints +2 committed' ctl pri stats
check_fails "checkpoints are the primary's" 1 'on the primary' \
    ctl sec checkpoint

check_fails "the interval is the primary's, too" 1 'on the primary' \
    ctl sec set checkpoint-delay=50
start watch coloctl --json --control "$TESTDIR/sec.control" events
check "a shorter interval" ctl pri set checkpoint-delay=50
check_fails "too short an interval" 1 'from 10' ctl pri set checkpoint-delay=9
check_fails "an unknown parameter" 1 'no-such' ctl pri set no-such=1
check "events arrive" wait_line "$TESTDIR/watch.out" \
    '"event":"COLO_CHECKPOINT","data":\{"epoch":[1-9]'

check "failover --wait" says '^took over from checkpoint' \
    ctl sec failover --wait
check_fails "it is done once" 1 'has taken over already' ctl sec failover
check "the end of protection is an event" wait_line "$TESTDIR/watch.out" \
    '"event":"COLO_EXIT","data":\{"mode":"secondary","reason":"request"\}'
check "status says that it was the secondary" says '^ended +was secondary' \
    ctl sec status
check "quit" ctl sec quit
check "colod ends" wait_for 10 gone "$(pid_of colod-sec)"
check "events ends with colod" wait_for 10 gone "$(pid_of watch)"
stop watch
check "in order" test "$STOP_STATUS" -eq 0
check_fails "and nobody is there any more" 3 'cannot reach colod' \
    ctl sec status

# What the README says: the survivor is protected again by a new pair
start --on box colod-new colod --primary --peer 127.0.0.1:9999 \
    --qmp "$TESTDIR/sec.qmp" --tracker compare \
    --control "$TESTDIR/sec.control" --state-dir "$TESTDIR/sec.d"
check "the survivor's colod comes back as a primary" wait_for 10 started sec
check "a new secondary starts" side third --stopped --secondary \
    --listen 127.0.0.1:9999
check "and is protected again" says '^active ' ctl sec status --follow
check "with new checkpoints" says '^checkpoint 2 is committed: pause' \
    ctl sec checkpoint --wait
done_testing
