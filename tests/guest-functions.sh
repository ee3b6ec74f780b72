# SPDX-License-Identifier: GPL-2.0-or-later
#
# Guests: QEMU with scripts/mkguest's Linux.  Sourced by functions.sh; a test
# that uses it says `requires qemu guest` first.

# What start_guest gives QEMU; a test may set these before.  GUEST_KIND is linux
# or tiny (no Linux, boots in a second, has no network, disk or second CPU).
: "${GUEST_KIND:=linux}"
: "${GUEST_MACHINE:=pc}" "${GUEST_SMP:=1}" "${GUEST_MEM:=128M}"
: "${GUEST_APPEND:=}" "${GUEST_BOOT_SECONDS:=60}"

# start_guest NAME HOST ROLE [QEMU OPTIONS...]: HOST is a host of hosts.sh, or
# - for none; ROLE is primary or secondary (which waits, as -S does).  Its
# console is logged to TESTDIR/NAME.log, its monitor is TESTDIR/NAME.qmp.
start_guest()
{
    guest_name=$1 guest_host=$2 guest_role=$3
    shift 3
    if [ "$guest_role" = secondary ]; then
        set -- -S "$@"
    fi
    if [ "$GUEST_KIND" = tiny ]; then
        set -- -kernel "$TINY" -append "$GUEST_APPEND" "$@"
    else
        set -- -kernel "$KERNEL" -initrd "$INITRD" \
            -append "$APPEND $GUEST_APPEND" "$@"
    fi
    guest_qemu=qemu-system-x86_64
    if [ -z "${GUEST_PLAIN:-}" ] && [ -x "$COLO_BUILDDIR/colo-qemu" ]; then
        guest_qemu=$COLO_BUILDDIR/colo-qemu
    fi
    : >"$TESTDIR/$guest_name.log"
    set -- "$guest_name" "$guest_qemu" -name "$guest_name" -nodefaults \
        -display none -accel tcg \
        -machine "$GUEST_MACHINE,memory-backend=ram" \
        -smp "$GUEST_SMP" -m "$GUEST_MEM" \
        -object "memory-backend-memfd,id=ram,size=$GUEST_MEM,share=on" \
        -chardev "socket,id=console,path=$TESTDIR/$guest_name.serial,server=on,wait=off,logfile=$TESTDIR/$guest_name.log,logappend=on" \
        -serial chardev:console \
        -qmp "unix:$TESTDIR/$guest_name.qmp,server=on,wait=off" \
        "$@"
    [ "$guest_host" = - ] || set -- --on "$guest_host" "$@"
    start "$@"
    wait_for 10 test -S "$TESTDIR/$guest_name.qmp" && return 0
    diag "$guest_name: QEMU does not start:"
    sed 's/^/#   /' "$TESTDIR/$guest_name.out"
    return 1
}

guest_log()
{
    echo "$TESTDIR/$1.log"
}

# How many lines the guest has printed: where to wait from
guest_lines()
{
    wc -l <"$TESTDIR/$1.log"
}

# wait_guest NAME PATTERN [SECONDS [FIRST]]: a line on the console
wait_guest()
{
    wait_line "$TESTDIR/$1.log" "$2" "${3:-10}" "${4:-1}"
}

wait_boot()
{
    wait_guest "$1" '^boot ok$' "$GUEST_BOOT_SECONDS" &&
        wait_guest "$1" '^chain 1 ' 10
}

# The last step that the guest has printed whole, 0 if none
guest_step()
{
    sed -n 's/^chain \([0-9][0-9]*\) [0-9a-f]\{16\} [0-9a-f]\{4\}$/\1/p' \
        "$TESTDIR/$1.log" | tail -n 1 | grep . || echo 0
}

guest_step_beyond()
{
    [ "$(guest_step "$1")" -gt "$2" ]
}

# wait_steps NAME COUNT [SECONDS]: so many steps more than now
wait_steps()
{
    wait_step=$(($(guest_step "$1") + $2 - 1))
    wait_for "${3:-20}" guest_step_beyond "$1" $wait_step && return 0
    diag "$1: the chain stands at step $(guest_step "$1")"
    return 1
}

# guest_command NAME COMMAND [PATTERN [SECONDS]]: type it on the serial line
# and wait for the guest's answer.
guest_command()
{
    guest_first=$(($(guest_lines "$1") + 1))
    unix-send "$TESTDIR/$1.serial" "$2" || return 1
    [ -z "${3:-}" ] || wait_guest "$1" "$3" "${4:-10}" $guest_first
}

# qmp NAME COMMAND [ARGUMENTS AS JSON]: prints what QEMU returns
qmp()
{
    qmp_name=$1
    shift
    qmp-send "$TESTDIR/$qmp_name.qmp" "$@"
}
