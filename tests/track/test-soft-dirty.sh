# SPDX-License-Identifier: GPL-2.0-or-later
#
# The tests of dirty tracking inside a guest: its kernel (Debian 12's) has
# soft-dirty bits, which a host's need not have, and is too old for uffd.
. "$COLO_SRCDIR/tests/functions.sh"

requires qemu guest cpio ldd

# Our part of the initramfs is unpacked over mkguest's: the test, what it is
# linked with, and an init that runs it.
root=$TESTDIR/root
mkdir -p "$root/test" "$root/dev/shm" "$root/etc"
cp "$COLO_BUILDDIR/tests/track/test-tracker" \
    "$COLO_BUILDDIR/tests/track/ram-writer" "$COLO_TRACK_LIB" "$root/test"

# The library is not linked with anything else; strip is for a quick boot
for f in "$root"/test/*; do
    strip -g "$f" 2>/dev/null || true
    ldd "$f"
done | grep -o '/[^ ]*' | sort -u >"$TESTDIR/libs"
while read -r lib; do
    case $lib in */asan/* | *libasan* | *libubsan*)
        skip_all "built with sanitizers, which need more than a small guest" ;;
    esac
    mkdir -p "$root$(dirname "$lib")"
    cp -L "$lib" "$root$lib"
done <"$TESTDIR/libs"
cat >"$root/test/init" <<'END'
#!/bin/sh
mount -t proc proc /proc
mount -t sysfs sysfs /sys
mount -t devtmpfs dev /dev
mkdir -p /dev/shm /sys/fs/cgroup
mount -t tmpfs tmpfs /dev/shm
cd /dev/shm
for module in $(cat /modules/blk.list); do insmod $module; done
mkswap /dev/vda && swapon /dev/vda
mount -t cgroup2 cgroup /sys/fs/cgroup
echo +memory >/sys/fs/cgroup/cgroup.subtree_control
mkdir /sys/fs/cgroup/test
echo $$ >/sys/fs/cgroup/test/cgroup.procs
export COLO_TEST_RECLAIM=/sys/fs/cgroup/test/memory.reclaim
echo 16 >/proc/sys/vm/nr_hugepages
echo "guest kernel $(uname -r)"
export COLO_TRACK_LIB=/test/libcolotrack.so
# A guest under TCG is slow: what differs between the kinds, not all of it
without=/tracker/soft-dirty with=/tracker/soft-dirty-with-library
/test/test-tracker --tap -p /tracker/uffd -p $without/memfd \
    -p $without/anon/balloon -p $without/anon/dontneed -p $without/huge \
    -p $with/memfd/balloon -p $with/memfd/dontneed -p $with/memfd/process 2>&1
echo "exit status $?"
poweroff -f
END
chmod 755 "$root/test/init"
(cd "$root" && find . | cpio -o -H newc --quiet -R 0:0) >"$TESTDIR/test.cpio"
cat "$INITRD" "$TESTDIR/test.cpio" >"$TESTDIR/initrd"

truncate -s 256M "$TESTDIR/swap"
log=$TESTDIR/guest.log
start guest qemu-system-x86_64 -nodefaults -display none -accel tcg \
    -drive "file=$TESTDIR/swap,format=raw,if=virtio,cache=unsafe" \
    -smp 2 -m 1G -serial "file:$log" -no-reboot \
    -kernel "$KERNEL" -initrd "$TESTDIR/initrd" \
    -append "$APPEND rdinit=/test/init"

wait_for 400 gone "$(pid_of guest)" || diag "the guest did not end in time"
tr -d '\r' <"$log" >"$TESTDIR/tap"
diag "$(grep -a '^guest kernel' "$TESTDIR/tap")"

# Each case of the guest's is one of ours
while read -r line; do
    case $line in
    "ok "*" # SKIP "*)
        name=${line#ok * }
        skip "${name%% *}" "${line#* \# SKIP }" ;;
    "ok "*)
        ok "${line#ok * }" ;;
    "not ok "*)
        not_ok "${line#not ok * }" ;;
    esac
done <"$TESTDIR/tap"
grep -q '^exit status 0$' "$TESTDIR/tap" || {
    not_ok "the tests in the guest succeed"
    tail -n 20 "$TESTDIR/tap" | sed 's/^/#   /'
}
done_testing
