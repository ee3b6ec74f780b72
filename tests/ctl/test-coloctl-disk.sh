#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# coloctl disk: stores of all states, damaged ones, ones in use, and merges that
# are killed; what qemu-img finds in the image is what the guest saw.
. "$COLO_SRCDIR/tests/functions.sh"
requires qemu-img qemu-io prlimit

mib=1048576
size=64
img=$TESTDIR/vda.raw
folder=$img.colo

disk()
{
    coloctl disk "$@"
}

# make STEP...: on an image that is empty and has no store
make_store()
{
    rm -rf "$img" "$folder" && truncate -s ${size}M "$img" &&
        store-make "$img" "$@"
}

# says PATTERN COMMAND...: it succeeds and prints such a line
says()
{
    says_pattern=$1
    shift
    "$@" >"$TESTDIR/says.out" || return 1
    grep -Eq -e "$says_pattern" "$TESTDIR/says.out" && return 0
    cat "$TESTDIR/says.out"
    return 1
}

same()
{
    qemu-img compare -f raw -F raw "$1" "$2"
}

# --- Wrong usage, and nothing there ----------------------------------------------

check_fails "what to do is missing" 2 'info, check or merge is missing' disk
check_fails "so is the image" 2 'info: the image is missing' disk info
check_fails "one image only" 2 'unexpected argument b' disk check a b
check_fails "--newest is for merge" 2 'info knows no --newest' \
    disk info --newest "$img"
check_fails "--folder is for disks" 2 'status knows no --folder' \
    coloctl status --folder x
truncate -s ${size}M "$img"
check_fails "an image without a store" 1 'cannot open the folder' disk info "$img"
mkdir "$folder"
check_fails "an empty folder" 1 'cannot open the store.s state' \
    disk merge "$img"
check "nothing is made in it" rmdir "$folder"

# --- Before the first checkpoint -----------------------------------------------

check "a store without a checkpoint" make_store pvm 0 $mib 1
check "info says so" says '^state +empty: ' disk info "$img"
check_fails "there is nothing to merge" 1 'no checkpoint' disk merge "$img"
check "check finds nothing" says '^result +all that must be whole is' \
    disk check "$img"

# --- Not promoted ----------------------------------------------------------------

# Checkpoint 2 is loaded, 3 is not; the guests have written since.
standby()
{
    make_store pvm 0 $((size * mib)) 1 seal 1 load 1 \
        pvm $((5 * mib + 100)) $((20 * mib)) 2 seal 2 load 2 \
        show svm "$TESTDIR/loaded.raw" \
        pvm $((3 * mib)) $((9 * mib)) 3 pvm $((60 * mib + 512)) 5000 4 seal 3 \
        show pvm "$TESTDIR/newest.raw" \
        pvm 0 $mib 5 svm $((30 * mib)) $((2 * mib)) 6 svm 0 4096 7 \
        show svm "$TESTDIR/view.raw" "$@"
}
check "a store in use by no one" standby
check "its state" says '^checkpoint +3, loaded 2, on the disk' disk info "$img"
check "what is not merged" says '^sealed +29.[0-9] MiB in [0-9]+ logs$' \
    disk info "$img"
check "as JSON" says '^\{.*"state":"standby".*"epoch":3.*"folder-bytes":[1-9]' \
    disk --json info "$img"
check "it is whole" says '^result +all that must be whole is' disk check "$img"
check "each log is listed" says '^(logs)? +0{8}[0-9a-f]+.log, checkpoint 3: ' \
    disk check "$img"
check "check, as JSON" says '"whole":true.*"ok":true\}$' disk --json check "$img"
cp -a --sparse=always "$img" "$TESTDIR/kept.raw"
cp -a "$folder" "$TESTDIR/kept.raw.colo"

check "merge" says '^ +.* is the disk as of checkpoint 2$' disk merge "$img"
check "the image is checkpoint 2" same "$TESTDIR/loaded.raw" "$img"
check "3 is still there" says '^checkpoint +3, loaded 2,' disk info "$img"
check "the guest sees what it saw" store-make "$img" \
    show svm "$TESTDIR/after.raw"
check "all of it" same "$TESTDIR/view.raw" "$TESTDIR/after.raw"
check "merge --newest" says 'is the disk as of checkpoint 3$' \
    disk --newest merge "$img"
check "the image is checkpoint 3" same "$TESTDIR/newest.raw" "$img"
check "again there is nothing to do" says '^merged +0.0 MiB' disk merge "$img"
check "merge, as JSON" says '"state":"standby".*"seconds":.*"ok":true\}$' \
    disk --json merge "$img"

# --- Damage ------------------------------------------------------------------------

# A copy of the store in another folder
damaged=$TESTDIR/damaged
cp -a "$TESTDIR/kept.raw.colo" "$damaged"
log=$(disk --json check --folder "$damaged" "$TESTDIR/kept.raw" |
    sed 's/.*"epoch":3,"log":"\([^"]*\)".*/\1/')
[ -s "$damaged/$log" ] || bail_out "there is no log of checkpoint 3"

# flip FILE OFFSET: one bit
flip()
{
    flip_byte=$(od -An -tu1 -j "$2" -N 1 "$1") &&
        printf "\\$(printf %o $((flip_byte ^ 16)))" |
        dd of="$1" bs=1 seek="$2" conv=notrunc 2>/dev/null
}
damaged()
{
    disk --folder "$damaged" "$@" "$TESTDIR/kept.raw"
}
check "a copy of the folder is as good" damaged check
flip "$damaged/$log" $((4096 + 2 * mib + 77))
check_fails "one flipped bit is found" 1 "$log, checkpoint 3: .* are whole" \
    damaged check
check_fails "the result says it" 1 '^result +damaged' damaged check
check_fails "and JSON" 1 '"whole":false.*"ok":false' damaged --json check
check "info still tells what there is" damaged info
md5sum "$TESTDIR/kept.raw" >"$TESTDIR/sums"
check_fails "it is not merged" 1 'an epoch is lost' damaged merge
check "the image is as before" md5sum --quiet -c "$TESTDIR/sums"
flip "$damaged/$log" $((4096 + 2 * mib + 77))
check "mended, it is whole" damaged check
flip "$damaged/$log" 20
check_fails "the header of a log counts, too" 1 '^result +damaged' damaged check
rm "$damaged/$log"
check_fails "and a log that is gone" 1 "$log" damaged check
flip "$damaged/state" 9
for action in info check merge; do
    check_fails "$action: the state file is damaged" 1 \
        'header of the store.s state is damaged' damaged $action
done

check "a store of another version" standby version 2
md5sum "$img" >"$TESTDIR/sums"
for action in info check merge; do
    check_fails "$action: that version is refused" 1 \
        'has format 2, this program knows 1' disk $action "$img"
done
check "nothing is changed" md5sum --quiet -c "$TESTDIR/sums"
truncate -s +1M "$img"
check_fails "an image of another size" 1 'has [0-9]+ bytes, the store is of' \
    disk check --folder "$TESTDIR/kept.raw.colo" "$img"

# --- Promoted, in use, and killed ------------------------------------------------

# A takeover from checkpoint 2; then the survivor writes 40 MiB
survivor()
{
    make_store pvm 0 $((size * mib)) 1 seal 1 load 1 \
        pvm $((50 * mib)) $((10 * mib)) 2 seal 2 load 2 pvm 0 $mib 3 seal 3 \
        svm $((2 * mib)) $((12 * mib)) 4 promote \
        svm $((8 * mib + 512)) $((30 * mib)) 5 \
        show svm "$TESTDIR/view.raw" "$@"
}
mkfifo "$TESTDIR/end"
(survivor hold <"$TESTDIR/end" >"$TESTDIR/hold.out" 2>&1) &
exec 7>"$TESTDIR/end"
check "a survivor's store, in use" wait_line "$TESTDIR/hold.out" '^ready$' 30
check "info" says '^state +promoted: image and folder are' disk info "$img"
check "who uses it" says '^used by +store-make, process [0-9]' disk info "$img"
check "as JSON" says '"used-by":\{"pid":[0-9]+,"program":"store-make"' \
    disk --json info "$img"
check "check" disk check "$img"
check_fails "merge refuses" 1 'in use by store-make \(process [0-9]+\)' \
    disk merge "$img"
exec 7>&-
wait $!


holds_locks()
{
    grep -qs 'lock:.*OFDLCK' "/proc/$1"/fdinfo/*
}
start reader qemu-io -r -f raw -c 'sleep 600000' "$img"
check "a QEMU that reads the image" wait_for 10 holds_locks "$(pid_of reader)"
check_fails "merge refuses" 1 'a QEMU or one of its tools uses the image' \
    disk merge "$img"
check "it ends" stop reader KILL

# dies AT: in the middle of the merge, when it writes to byte AT of the image.
# Each time from the same beginning: one that died may have merged all there.
cp -a "$img" "$TESTDIR/begun"
cp -a "$img.colo" "$TESTDIR/begun.colo"
dies()
{
    rm -rf "$img.colo"
    cp "$TESTDIR/begun" "$img" && cp -a "$TESTDIR/begun.colo" "$img.colo" ||
        return 1
    dies_status=0
    # Not ulimit -f: shells differ in its unit
    prlimit --core=0 --fsize="$1" coloctl disk merge "$img" \
        >"$TESTDIR/dies.out" 2>&1 || dies_status=$?
    [ $dies_status -gt 128 ] || {
        echo "exit status $dies_status"
        cat "$TESTDIR/dies.out"
        return 1
    }
    disk check "$img" && disk --json info "$img" | grep '"merged":false'
}
check "merge is killed early" dies $((6 * mib))
check "and later" dies $((20 * mib + 12345))
check "and near the end" dies $((58 * mib))
check "the guest's disk is all there" store-make "$img" \
    show svm "$TESTDIR/after.raw"
check "to the byte" same "$TESTDIR/view.raw" "$TESTDIR/after.raw"
check "merge" says '^ +.*alone is the survivor.s disk$' disk merge "$img"
check "qemu-img finds the guest's disk in the image" \
    same "$TESTDIR/view.raw" "$img"
check "its state" says '^state +promoted, merged: ' disk info "$img"
check "again there is nothing to do" says '^merged +0.0 MiB' disk merge "$img"
check "without the folder, too" rm -r "$folder"
check "it is an image as any other" qemu-img convert -f raw -O qcow2 "$img" \
    "$TESTDIR/copy.qcow2"
check "with all of it" qemu-img compare -f raw -F qcow2 "$TESTDIR/view.raw" \
    "$TESTDIR/copy.qcow2"

# The bar, on a terminal
if command -v script >/dev/null; then
    check "a survivor again" survivor
    check "merge on a terminal" script -qec "coloctl disk merge $img" \
        "$TESTDIR/typescript"
    check "shows a bar" grep -Eq 'merging \[[#.]{10,}\] +[0-9]+ % of [0-9.]+ MiB' \
        "$TESTDIR/typescript"
    check "and merges" same "$TESTDIR/view.raw" "$img"
else
    skip "merge on a terminal" "script is missing (Debian: bsdutils)"
fi

# --- With nbdkit -------------------------------------------------------------------

nbdkit_why=
for program in nbdkit nbdcopy; do
    command -v $program >/dev/null || nbdkit_why="$program is missing"
done
[ -e "$COLO_NBDKIT_PLUGIN" ] || nbdkit_why="the plugin is not built"
case $(ldd "$COLO_NBDKIT_PLUGIN" 2>/dev/null) in
*libasan*) nbdkit_why="nbdkit has no sanitizers' runtime" ;;
esac
if [ -n "$nbdkit_why" ]; then
    skip "a real server" "$nbdkit_why"
    done_testing
fi

session=0123456789abcdef0123456789abcdef
sock=$TESTDIR/nbd.sock

serve()
{
    rm -f "$sock" "$TESTDIR/control"
    start "$1" nbdkit -f -U "$sock" --threads=1 "$COLO_NBDKIT_PLUGIN" \
        "disk=vda=$img" "control=$TESTDIR/control"
    wait_for 10 test -S "$TESTDIR/control"
}

uri()
{
    echo "nbd+unix:///$1?socket=$sock"
}

# checkpoint EPOCH: as the two colods do it
checkpoint()
{
    printf '{"execute":"seal","arguments":{"epoch":%s,"session":"%s"}}' \
        "$1" $session >"$TESTDIR/request" &&
        truncate -s 4096 "$TESTDIR/request" &&
        nbdcopy "$TESTDIR/request" "$(uri checkpoint)" &&
        qmp-send "$TESTDIR/control" disk-commit "{\"epoch\":$1}" &&
        qmp-send "$TESTDIR/control" disk-load "{\"epoch\":$1}"
}

rm -rf "$img" "$folder" && truncate -s ${size}M "$img"
check "nbdkit serves" serve first
qmp-send "$TESTDIR/control" disk-reset "{\"session\":\"$session\"}" >/dev/null
check "the primary's disk" nbdcopy "$TESTDIR/newest.raw" "$(uri vda)"
check "checkpoint 1" checkpoint 1
check "info says who serves" says '^used by +nbdkit, process [0-9]' \
    disk info "$img"
check_fails "merge refuses" 1 \
    'in use by nbdkit \(process [0-9]+\), which merges by itself' \
    disk merge "$img"

# Both guests write and checkpoints come while it is looked at
writers()
{
    while [ ! -e "$TESTDIR/enough" ]; do
        qemu-io -f raw -c 'write -P 1 1M 7M' "$(uri vda)" &&
            qemu-io -f raw -c 'write -P 2 30M 7M' "$(uri vda/secondary)" ||
            exit 1
    done
}
live()
{
    rm -f "$TESTDIR/enough"
    writers >"$TESTDIR/writers.out" 2>&1 &
    live_writers=$! live_result=0
    for n in 2 3 4 5 6 7 8 9; do
        checkpoint $n && disk check "$img" && disk info "$img" &&
            disk --json check "$img" | grep '"ok":true' || live_result=1
    done
    : >"$TESTDIR/enough"
    wait $live_writers && [ $live_result -eq 0 ]
}
check "a live store is whole whenever it is looked at" live

check "the guest writes" qemu-io -f raw -c 'write -P 3 12M 30M' \
    -c 'discard 50M 1M' "$(uri vda/secondary)"
check "the primary, too" qemu-io -f raw -c 'write -P 4 0 40M' "$(uri vda)"
check "the takeover" qmp-send "$TESTDIR/control" disk-promote
check "the survivor writes" qemu-io -f raw -c 'write -P 5 40M 9M' \
    "$(uri vda/secondary)"
check "what it sees" nbdcopy "$(uri vda/secondary)" "$TESTDIR/view.raw"
check "nbdkit is killed" stop first KILL
check "merge" says 'alone is the survivor.s disk$' disk merge "$img"
check "qemu-img finds it in the image" same "$TESTDIR/view.raw" "$img"
check "nbdkit serves it again" serve second
check "it is the same" qemu-img compare -f raw -F raw "$img" -U \
    "$(uri vda/secondary)"
check "it ends" qmp-send "$TESTDIR/control" quit
wait_for 10 gone "$(pid_of second)"
done_testing
