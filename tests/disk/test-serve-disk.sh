#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# colod --primary --serve-disk: which disks it serves, and that it does so
# whatever else there is, or not: here there is no QEMU and no secondary.
. "$COLO_SRCDIR/tests/functions.sh"
requires nbdkit nbdcopy qemu-img qemu-io

case $(ldd "$COLO_NBDKIT_PLUGIN" 2>/dev/null) in
*libasan*) skip_all "nbdkit has no sanitizers' runtime" ;;
esac

mib=1048576
img=$TESTDIR/vda.raw
sock=$TESTDIR/nbd.sock

primary()
{
    timeout 60 colod --primary --peer 127.0.0.1:9 --qmp "$TESTDIR/qemu.qmp" \
        --state-dir "$TESTDIR" --control "$TESTDIR/control" "$@"
}

# make_store STEP...: on a new image
make_store()
{
    rm -rf "$img" "$img.colo" && truncate -s 16M "$img" &&
        store-make "$img" pvm 0 $((8 * mib)) 1 "$@"
}

# --- Options ---------------------------------------------------------------------

check_fails "they are the primary's" 2 "are the primary's" \
    timeout 60 colod --secondary --serve-disk vda=x
check_fails "the address, too" 2 "are the primary's" \
    timeout 60 colod --secondary --serve-nbd :8889
check_fails "an image is expected" 2 'serve-disk vda: NAME=PATH is expected' \
    primary --serve-disk vda
check_fails "names are those of --disk" 2 'serve-disk v/a=x: a disk.s name' \
    primary --serve-disk v/a=x
check_fails "each once" 2 'named twice' \
    primary --serve-disk vda=x --serve-disk vda=y
check_fails "an address is for a disk" 2 'serve-nbd is for --serve-disk' \
    primary --serve-nbd :8889
check_fails "it has a port" 2 'needs a port' \
    primary --serve-disk vda=x --serve-nbd :0
check_fails "so is a folder" 2 'disk-folder .* or of --serve-disk' \
    primary --disk-folder x

# --- What is nobody's ---------------------------------------------------------------

check "an image alone" truncate -s 16M "$img"
check_fails "is not a survivor's" 1 '"vda" cannot be served: .*vda.raw.colo' \
    primary --serve-disk "vda=$img"
check "nothing is made" test ! -e "$img.colo"
check "a standby's" make_store seal 1 load 1 svm 0 $mib 2
check_fails "is refused" 1 '"vda" is not a survivor.s: .*never was promoted' \
    primary --serve-disk "vda=$img"
check "one without a checkpoint" make_store
check_fails "is refused" 1 'never was promoted' primary --serve-disk "vda=$img"

# --- A survivor's -------------------------------------------------------------------

# serve OPTION...
serve()
{
    start colod colod --primary --peer 127.0.0.1:9 --debug \
        --qmp "$TESTDIR/qemu.qmp" --state-dir "$TESTDIR" \
        --control "$TESTDIR/control" --serve-nbd "unix:$sock" \
        --serve-disk "vda=$img" "$@" && wait_for 20 served
}

status()
{
    coloctl --control "$TESTDIR/control" "$@" status
}

served()
{
    status 2>/dev/null | grep -Eq '^served +vda: promoted'
}

uri="nbd+unix:///vda/secondary?socket=$sock"

same_disk()
{
    rm -f "$TESTDIR/copy" && nbdcopy "$uri" "$TESTDIR/copy" &&
        cmp "$TESTDIR/view.raw" "$TESTDIR/copy"
}

# Of a process, whichever of its threads began them
nbdkit_of()
{
    cat /proc/"$1"/task/*/children
}

# Only when there is another one, colod knows that the last is gone
replaced()
{
    replaced_pid=$(nbdkit_of "$(pid_of colod)")
    [ -n "$replaced_pid" ] && [ "$replaced_pid" != "$killed_pid" ] && served
}

killed()
{
    killed_pid=$(nbdkit_of "$(pid_of colod)") && kill -KILL $killed_pid &&
        wait_for 20 replaced
}

check "a survivor's" make_store seal 1 load 1 svm $((7 * mib)) $((2 * mib)) 2 \
    promote svm 4096 5000 3 show svm "$TESTDIR/view.raw"
check "is served, though there is no QEMU" serve
check "as its guest had it" same_disk
check "says JSON" sh -c 'coloctl --control "$0" --json status |
    grep -q "\"disk-server\":{\"running\":true.*\"state\":\"promoted\""' \
    "$TESTDIR/control"
check "the guest writes" qemu-io -f raw -c 'write -P 9 5M 1M' "$uri"
check "nbdkit is killed" killed
check "the disk is the same" qemu-io -r -f raw -c 'read -P 9 5M 1M' "$uri"
check "what is nobody's any more is not served" sh -c \
    '! nbdcopy "$0" null:' "nbd+unix:///vda/primary?socket=$sock"
merged()
{
    status | grep -Eq '^served +vda: promoted, merged, 16 MiB$'
}
check "merged" wait_for 30 merged
check "colod ends" stop colod
check "in order" test "$STOP_STATUS" -eq 0
nbdkit_gone()
{
    ! nbdcopy "$uri" null: 2>/dev/null
}
check "and nbdkit with it" wait_for 10 nbdkit_gone

check "served again" serve
check "all that was written" qemu-io -r -f raw -c 'read -P 9 5M 1M' "$uri"
check "colod is killed" stop colod KILL
mkdir "$TESTDIR/logs" && mv "$img.colo" "$TESTDIR/logs/vda"
check "its logs in another folder" serve --disk-folder "$TESTDIR/logs"
check "all that was written" qemu-io -r -f raw -c 'read -P 9 5M 1M' "$uri"
check "colod ends" stop colod
check "the image alone is the disk" qemu-io -r -f raw -c 'read -P 9 5M 1M' \
    "$img"
done_testing
