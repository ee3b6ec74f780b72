# SPDX-License-Identifier: GPL-2.0-or-later
#
# colo-qemu: what it runs, with which arguments, and that guest RAM of real
# QEMUs is registered.
. "$COLO_SRCDIR/tests/functions.sh"

wrapper=$COLO_BUILDDIR/colo-qemu
unset COLO_QEMU COLO_TRACK_DEBUG LD_PRELOAD
# Where colo-qemu itself is built with sanitizers, others may come before them
export ASAN_OPTIONS="${ASAN_OPTIONS:+$ASAN_OPTIONS:}verify_asan_link_order=0"

# Stands in for QEMU: a script, as some distributions' qemu is, so the
# library stays in LD_PRELOAD for what it starts.
mkdir "$TESTDIR/bin"
cat >"$TESTDIR/bin/qemu-system-mine" <<'END'
#!/bin/sh
echo "name=${0##*/} pid=$$ preload=$LD_PRELOAD"
for a; do echo "arg=$a"; done
exit 42
END
chmod 755 "$TESTDIR/bin/qemu-system-mine"
ln -s "$wrapper" "$TESTDIR/bin/colo-qemu-system-mine"
ln -s "$wrapper" "$TESTDIR/bin/qemu-system-loop"
PATH=$TESTDIR/bin:$PATH

# said PATTERN STATUS COMMAND...: a whole line of output, an exit status
said()
{
    said_pattern=$1 said_status=$2 said_got=0
    shift 2
    "$@" >"$TESTDIR/said" 2>&1 || said_got=$?
    cat "$TESTDIR/said"
    [ $said_got -eq "$said_status" ] && grep -Eq -e "^$said_pattern\$" \
        "$TESTDIR/said"
}

check "--qemu PATH; its exit status is passed on" \
    said 'name=qemu-system-mine.*' 42 \
    "$wrapper" --qemu "$TESTDIR/bin/qemu-system-mine"
check "--qemu NAME is looked up in PATH" \
    said 'name=qemu-system-mine.*' 42 "$wrapper" --qemu=qemu-system-mine
check "COLO_QEMU" \
    said 'name=qemu-system-mine.*' 42 \
    env COLO_QEMU=qemu-system-mine "$wrapper"
check "the name that it is run by" \
    said 'name=qemu-system-mine.*' 42 colo-qemu-system-mine
check "--qemu comes before COLO_QEMU" \
    said 'name=qemu-system-mine.*' 42 \
    env COLO_QEMU=/nowhere "$wrapper" --qemu qemu-system-mine

"$wrapper" --qemu qemu-system-mine --help '' 'a  b' --qemu -x '*' \
    >"$TESTDIR/args" || true
printf 'arg=%s\n' --help '' 'a  b' --qemu -x '*' >"$TESTDIR/expected"
grep '^arg=' "$TESTDIR/args" >"$TESTDIR/got"
check "all other arguments are passed on as they are" \
    cmp "$TESTDIR/expected" "$TESTDIR/got"

start pid "$wrapper" --qemu qemu-system-mine
started=$(pid_of pid)
wait_for 10 gone "$started"
check "the pid stays" grep -q "pid=$started " "$TESTDIR/pid.out"

check "the library is preloaded" \
    said ".*preload=$COLO_TRACK_LIB" 42 colo-qemu-system-mine
libc=$(ldd "$(command -v env)" | sed -n 's/.*=> \(.*libc\.so[^ ]*\).*/\1/p')
check "what is preloaded already stays" \
    said ".*preload=$COLO_TRACK_LIB:$libc" 42 \
    env "LD_PRELOAD=$libc" "$wrapper" --qemu qemu-system-mine
check "a program that is no script takes it out of LD_PRELOAD" \
    said "LD_PRELOAD=$libc" 0 \
    env "LD_PRELOAD=$libc" "$wrapper" --qemu env
check "all of it, if there is nothing else" \
    sh -c '! "$0" --qemu env | grep LD_PRELOAD' "$wrapper"

check_fails "a QEMU that is not there" 127 'nothing-such was not found' \
    "$wrapper" --qemu nothing-such
check_fails "a path that is not there" 127 'cannot run /nowhere/qemu' \
    "$wrapper" --qemu /nowhere/qemu
check_fails "a QEMU that cannot be run" 126 'cannot run /etc/passwd' \
    "$wrapper" --qemu /etc/passwd
check_fails "--qemu without a path" 126 'needs the path' "$wrapper" --qemu
check_fails "itself" 126 'this program itself' \
    "$wrapper" --qemu qemu-system-loop
check_fails "no library" 127 'cannot load /nowhere/lib.so' \
    env COLO_TRACK_LIB=/nowhere/lib.so "$wrapper" --qemu env
check_fails "a library that LD_PRELOAD cannot name" 126 'without spaces' \
    sh -c 'cp "$COLO_TRACK_LIB" "$0"; COLO_TRACK_LIB=$0 exec "$1" --qemu env' \
    "$TESTDIR/a b.so" "$wrapper"

# The help and the man page tell of the same things
"$wrapper" --colo-help >"$TESTDIR/help"
for word in --qemu --colo-help COLO_QEMU COLO_TRACK_LIB COLO_TRACK_DEBUG; do
    check "help and man page have $word" \
        grep -qe "$word" "$TESTDIR/help"
    grep -qe "$word" "$COLO_SRCDIR/docs/colo-qemu.1.pod" ||
        not_ok "the man page has $word"
done

if ! command -v qemu-system-x86_64 >/dev/null; then
    skip "guest RAM of QEMU" "qemu-system-x86_64 is missing"
    done_testing
fi
for machine in pc q35; do
    for backend in memfd ram "file,mem-path=$TESTDIR/$machine.ram"; do
        name=$machine-${backend%%,*}
        start "$name" env COLO_TRACK_DEBUG=1 "$wrapper" \
            --qemu qemu-system-x86_64 -nodefaults -display none -S \
            -accel tcg -machine "$machine,memory-backend=ram" -m 64M \
            -object "memory-backend-$backend,id=ram,size=64M,share=on"
        # Registered, or the kernel's reason why not, and QEMU goes on
        what="RAM of $machine from memory-backend-${backend%%,*}"
        if wait_line "$TESTDIR/$name.out" '^libcolotrack: .*64 MiB at' 20; then
            if grep -q 'Linux 6.7' "$TESTDIR/$name.out"; then
                skip "$what" "the kernel is older than Linux 6.7"
            else
                check "$what" grep -Eq \
                    '^libcolotrack: 64 MiB at 0x[0-9a-f]+ registered$' \
                    "$TESTDIR/$name.out"
            fi
        else
            not_ok "$what" "$(cat "$TESTDIR/$name.out")"
        fi
        check "QEMU runs on" alive "$(pid_of "$name")"
        stop "$name"
    done
done
done_testing
