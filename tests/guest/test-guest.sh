#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# The test guest boots on all machines that we protect, its chain advances,
# and it notices memory or device state from another moment.
. "$COLO_SRCDIR/tests/functions.sh"
requires qemu guest

boot()
{
    start_guest "$1" - primary && wait_boot "$1" && wait_steps "$1" 40
}

# try MACHINE CPUS RAM
try()
{
    GUEST_MACHINE=$1 GUEST_SMP=$2 GUEST_MEM=$3
    name=$1-$2
    check "$name, $3: boots and its chain advances" boot "$name"
    check "$name, $3: sees its CPUs" wait_guest "$name" "^chain start .* cpus $2 "
    check "$name, $3: the chain is the one computed here" \
        chain-check --lines 40 "$(guest_log "$name")"
    [ -n "${4:-}" ] || check "$name, $3: stops" stop "$name"
}

try pc 2 128M
try q35 1 80M
try q35 2 256M
try pc 1 128M keep

load_and_fill()
{
    guest_command pc-1 'load 4 50' '^load 4 MiB each 50 ms$' &&
        guest_command pc-1 'fill random' '^filled [1-9]' 30 &&
        wait_steps pc-1 20 &&
        guest_command pc-1 idle '^load 0 MiB'
}
check "load, fill and idle on command" load_and_fill
check "the chain lives through load" chain-check "$(guest_log pc-1)"

stopped_stands_still()
{
    qmp pc-1 stop && now=$(guest_step pc-1) && sleep 0.5 &&
        [ "$(guest_step pc-1)" -eq "$now" ] && qmp pc-1 cont &&
        wait_steps pc-1 5 && chain-check "$(guest_log pc-1)"
}
check "the chain stands still while the guest is stopped" stopped_stands_still

# What a wrong checkpoint does: one page, or the devices, from another moment
breaks()
{
    first=$(($(guest_lines pc-1) + 1))
    "$1" && wait_guest pc-1 "^CHAIN BROKEN step [0-9]* $2" 20 $first
}

tear_page()
{
    ram-tear "$TESTDIR/pc-1.qmp" "$(pid_of pc-1)"
}

# The eight bytes of the clock chip that hold the hash
change_device()
{
    qmp pc-1 stop || return 1
    for byte in 0 1 2 3 4 5 6 7; do
        for write in "0x70 0x6$byte" "0x71 0"; do
            qmp pc-1 human-monitor-command \
                "{\"command-line\": \"o /b $write\"}" || return 1
        done
    done
    qmp pc-1 cont
}

check "one page from another moment breaks the chain" breaks tear_page page
check_fails "chain-check sees that" 1 'CHAIN BROKEN' \
    chain-check "$(guest_log pc-1)"
stop pc-1
GUEST_MACHINE=q35 GUEST_SMP=1
check "another guest boots" boot pc-1
check "another device state breaks the chain" \
    breaks change_device 'device state'
stop pc-1

powers_off()
{
    boot pc-1 && guest_command pc-1 poweroff && wait_for 10 gone "$(pid_of pc-1)"
}
check "poweroff ends QEMU" powers_off
done_testing
