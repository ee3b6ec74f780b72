# SPDX-License-Identifier: GPL-2.0-or-later
#
# For the tests that start processes and guests; they are sourced by a POSIX
# shell run through ./run and print TAP:
#
#   . "$COLO_SRCDIR/tests/functions.sh"
#   requires root ip qemu guest
#   check "what must hold" COMMAND...
#   done_testing
#
# TESTDIR is a folder of this test's own, removed at the end unless the test
# failed under COLO_KEEP=1.

: "${COLO_SRCDIR:?run the test through ./run, as make check does}"
: "${COLO_BUILDDIR:?run the test through ./run, as make check does}"

TESTDIR=$(mktemp -d "${TMPDIR:-/tmp}/colo-test.XXXXXX") || exit 99
TEST_COUNT=0
TEST_FAILURES=0
CLEANUPS=
PATH=$PATH:/usr/sbin:/sbin

# --- TAP ----------------------------------------------------------------

diag()
{
    printf '%s\n' "$*" | sed 's/^/# /'
}

ok()
{
    TEST_COUNT=$((TEST_COUNT + 1))
    echo "ok $TEST_COUNT - $1"
}

# not_ok DESCRIPTION [REASON]
not_ok()
{
    TEST_COUNT=$((TEST_COUNT + 1))
    TEST_FAILURES=$((TEST_FAILURES + 1))
    echo "not ok $TEST_COUNT - $1"
    [ -z "${2:-}" ] || diag "$2"
}

# check DESCRIPTION COMMAND...: ok if the command succeeds; what it printed is
# shown when it does not.
check()
{
    check_what=$1
    shift
    if "$@" >"$TESTDIR/check.out" 2>&1; then
        ok "$check_what"
    else
        not_ok "$check_what" "failed ($?): $*"
        sed 's/^/#   /' "$TESTDIR/check.out"
    fi
}

# check_fails DESCRIPTION STATUS PATTERN COMMAND...: the command must exit with
# that status and say what matches the pattern (grep -E).
check_fails()
{
    check_what=$1 check_status=$2 check_pattern=$3
    shift 3
    check_got=0
    "$@" >"$TESTDIR/check.out" 2>&1 || check_got=$?
    if [ $check_got -eq "$check_status" ] &&
        grep -Eq -e "$check_pattern" "$TESTDIR/check.out"; then
        ok "$check_what"
    else
        not_ok "$check_what" \
            "exit status $check_got, expected $check_status and '$check_pattern'"
        sed 's/^/#   /' "$TESTDIR/check.out"
    fi
}

# skip DESCRIPTION REASON: one case that cannot be run here
skip()
{
    TEST_COUNT=$((TEST_COUNT + 1))
    echo "ok $TEST_COUNT - $1 # SKIP $2"
}

skip_all()
{
    echo "1..0 # SKIP $*"
    exit 0
}

bail_out()
{
    echo "Bail out! $*"
    exit 1
}

done_testing()
{
    echo "1..$TEST_COUNT"
    [ $TEST_FAILURES -eq 0 ]
    exit
}

# requires WORD...: root, qemu, guest (sets KERNEL, INITRD, APPEND and TINY),
# netns, an absolute path, or a command; otherwise the whole test is skipped.
requires()
{
    for need in "$@"; do
        case $need in
        root)
            [ "$(id -u)" = 0 ] || skip_all "root is needed" ;;
        qemu)
            command -v qemu-system-x86_64 >/dev/null ||
                skip_all "qemu-system-x86_64 is missing:" \
                    "install Debian's package qemu-system-x86" ;;
        guest)
            guest_paths=$("$COLO_SRCDIR/scripts/mkguest" \
                2>"$TESTDIR/mkguest.log") ||
                skip_all "no guest: $(tail -n 1 "$TESTDIR/mkguest.log")"
            eval "$guest_paths" ;;
        netns)
            [ "$(id -u)" = 0 ] || skip_all "root is needed"
            command -v ip >/dev/null ||
                skip_all "ip is missing: install Debian's package iproute2"
            ip netns add "colo$$-probe" 2>/dev/null ||
                skip_all "this kernel gives us no network namespaces"
            ip netns del "colo$$-probe" ;;
        /*)
            [ -e "$need" ] || skip_all "$need is missing" ;;
        *)
            command -v "$need" >/dev/null || skip_all "$need is missing" ;;
        esac
    done
}

# --- Cleanup ------------------------------------------------------------

# cleanup_fn COMMAND...: run when the test ends, the last one first
cleanup_fn()
{
    CLEANUPS="$*
$CLEANUPS"
}

run_cleanups()
{
    cleanup_status=$?
    trap - EXIT HUP INT TERM
    set +e
    while [ -n "$CLEANUPS" ]; do
        cleanup_next=${CLEANUPS%%"
"*}
        CLEANUPS=${CLEANUPS#*"
"}
        eval "$cleanup_next" || {
            diag "cleanup failed: $cleanup_next"
            [ $cleanup_status -ne 0 ] || cleanup_status=1
        }
    done
    if [ $cleanup_status -ne 0 ] && [ -n "${COLO_KEEP:-}" ]; then
        diag "kept: $TESTDIR"
    else
        rm -rf "$TESTDIR"
    fi
    exit $cleanup_status
}
trap run_cleanups EXIT
trap 'exit 129' HUP
trap 'exit 130' INT
trap 'exit 143' TERM

# --- Waiting ------------------------------------------------------------

# wait_for SECONDS COMMAND...: until the command succeeds
wait_for()
{
    wait_end=$(($(date +%s%N) / 1000000 + $1 * 1000))
    shift
    until "$@"; do
        [ $(($(date +%s%N) / 1000000)) -lt $wait_end ] || return 1
        sleep 0.02
    done
}

# has_line FILE PATTERN [FIRST]: a whole line, from line FIRST on
has_line()
{
    [ -e "$1" ] && tail -n "+${3:-1}" "$1" | grep -Eq -e "$2"
}

# wait_line FILE PATTERN [SECONDS [FIRST]]
wait_line()
{
    wait_for "${3:-10}" has_line "$1" "$2" "${4:-1}" && return 0
    diag "no line '$2' in $(basename "$1") within ${3:-10} s; its end:"
    [ ! -e "$1" ] || tail -n 5 "$1" | sed 's/^/#   /'
    return 1
}

# --- Processes ----------------------------------------------------------

# alive PID: there, and no zombie
alive()
{
    [ -n "$1" ] && read -r alive_stat 2>/dev/null <"/proc/$1/stat" || return 1
    alive_stat=${alive_stat##*) }
    [ "${alive_stat%% *}" != Z ]
}

gone()
{
    ! alive "$1"
}

# start [--on HOST] NAME COMMAND...: in the background; its pid is in
# TESTDIR/NAME.pid, its output in TESTDIR/NAME.out.  Stopped at the end.
start()
{
    start_host=
    if [ "$1" = --on ]; then
        start_host=$2
        shift 2
    fi
    start_name=$1
    shift
    # Emptied here: the shell in the background may be late to do so, and a
    # line of an earlier process of this name would be taken for its own
    : >"$TESTDIR/$start_name.out"
    # Both become the command itself, so that the pid is the command's
    if [ -n "$start_host" ]; then
        ip netns exec "$(host_netns "$start_host")" "$@" \
            >"$TESTDIR/$start_name.out" 2>&1 </dev/null &
    else
        "$@" >"$TESTDIR/$start_name.out" 2>&1 </dev/null &
    fi
    echo $! >"$TESTDIR/$start_name.pid"
    cleanup_fn stop "$start_name"
}

pid_of()
{
    cat "$TESTDIR/$1.pid" 2>/dev/null
}

# stop NAME [SIGNAL]: end a process of start() and take its exit status into
# STOP_STATUS.  Fails when it does not end by itself within 10 s.
stop()
{
    stop_pid=$(pid_of "$1")
    [ -n "$stop_pid" ] || return 0
    rm -f "$TESTDIR/$1.pid"
    kill "-${2:-TERM}" "$stop_pid" 2>/dev/null || true
    stop_result=0
    if ! wait_for 10 gone "$stop_pid"; then
        diag "$1 (pid $stop_pid) does not end; killed"
        kill -KILL "$stop_pid" 2>/dev/null || true
        stop_result=1
    fi
    STOP_STATUS=0
    wait "$stop_pid" 2>/dev/null || STOP_STATUS=$?
    return $stop_result
}

. "$COLO_SRCDIR/tests/guest-functions.sh"
. "$COLO_SRCDIR/tests/hosts.sh"
