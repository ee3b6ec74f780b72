#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# The test guests boot on all machines that we protect, their chain advances,
# and they notice memory or device state from another moment.
. "$COLO_SRCDIR/tests/functions.sh"
requires qemu guest

boot()
{
    start_guest "$1" - primary && wait_boot "$1" && wait_steps "$1" 40
}

# try KIND MACHINE CPUS RAM: leaves the guest running, named $name
try()
{
    GUEST_KIND=$1 GUEST_MACHINE=$2 GUEST_SMP=$3 GUEST_MEM=$4
    name=$1-$2-$3 cpus=$3
    [ "$1" = linux ] || cpus=1
    check "$name, $4: boots and its chain advances" boot "$name"
    check "$name, $4: uses its CPUs" \
        wait_guest "$name" "^chain start .* cpus $cpus "
    check "$name, $4: the chain is the one computed here" \
        chain-check --lines 40 "$(guest_log "$name")"
}

load_and_fill()
{
    guest_command "$name" 'load 4 50' '^load 4 MiB each 50 ms$' &&
        guest_command "$name" 'fill random' '^filled [1-9]' 30 &&
        wait_steps "$name" 20 &&
        guest_command "$name" idle '^load 0 MiB' &&
        chain-check "$(guest_log "$name")"
}

stands_still_when_stopped()
{
    qmp "$name" stop && now=$(guest_step "$name") && sleep 0.5 &&
        [ "$(guest_step "$name")" -eq "$now" ] && qmp "$name" cont &&
        wait_steps "$name" 5 && chain-check "$(guest_log "$name")"
}

# What a wrong checkpoint does: one page, or the devices, from another moment.
# A guest that was stopped within a step may have looked already, and write the
# right value next: then once more.
breaks()
{
    first=$(($(guest_lines "$name") + 1))
    for breaks_try in 1 2 3 4 5; do
        "$1" || return 1
        wait_guest "$name" "^CHAIN BROKEN step [0-9]* $2" 8 $first && return
    done
    return 1
}

tear_page()
{
    ram-tear "$TESTDIR/$name.qmp" "$(pid_of "$name")"
}

# The eight bytes of the clock chip that hold the hash
change_device()
{
    qmp "$name" stop || return 1
    for byte in 0 1 2 3 4 5 6 7; do
        for write in "0x70 0x6$byte" "0x71 0"; do
            qmp "$name" human-monitor-command \
                "{\"command-line\": \"o /b $write\"}" || return 1
        done
    done
    qmp "$name" cont
}

resets()
{
    first=$(($(guest_lines "$name") + 1))
    guest_command "$name" reboot &&
        wait_guest "$name" '^chain 1 ' "$GUEST_BOOT_SECONDS" $first &&
        chain-check --restarts "$(guest_log "$name")"
}

powers_off()
{
    guest_command "$name" poweroff && wait_for 10 gone "$(pid_of "$name")"
}

try linux pc 2 128M
check "$name: poweroff ends QEMU" powers_off
try linux q35 1 80M
stop "$name"
# KIND RAM: all that a guest can do
all_of()
{
    try "$1" pc 1 "$2"
    check "$name: load, fill and idle on command" load_and_fill
    check "$name: stands still while stopped" stands_still_when_stopped
    # Unpacking Linux a second time over pages that TCG has translated takes
    # QEMU 7.2 more than a minute
    [ "$1" = linux ] || check "$name: can be reset" resets
    check "$name: one page from another moment breaks the chain" \
        breaks tear_page page
    check_fails "$name: chain-check sees that" 1 'CHAIN BROKEN' \
        chain-check --restarts "$(guest_log "$name")"
    stop "$name"
    try "$1" q35 2 256M
    check "$name: another device state breaks the chain" \
        breaks change_device 'device state'
    stop "$name"
}
all_of tiny 64M
all_of linux 128M
done_testing
