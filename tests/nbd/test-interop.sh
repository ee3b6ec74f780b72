#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# The plugin with the NBD clients that people have, and with nbdkit's filters.
. "$COLO_SRCDIR/tests/functions.sh"

requires root nbdkit nbdinfo nbdcopy qemu-io qemu-img netns
: "${COLO_NBDKIT_PLUGIN:?run the test through ./run}"
[ -e "$COLO_NBDKIT_PLUGIN" ] || skip_all "the plugin is not built"
# Nothing here may fill a log with a sanitizer's complaints
case $(ldd "$COLO_NBDKIT_PLUGIN") in
*libasan*) skip_all "nbdkit has no sanitizers' runtime" ;;
esac

session=0123456789abcdef0123456789abcdef
sock=$TESTDIR/nbd.sock
base=$TESTDIR/vda.raw

# serve NAME [OPTION OF NBDKIT...] -- [PARAMETER...]: on the unix socket
serve()
{
    serve_name=$1 serve_options=
    shift
    while [ "$1" != -- ]; do
        serve_options="$serve_options $1"
        shift
    done
    shift
    rm -f "$sock"
    start "$serve_name" nbdkit -f -U "$sock" --threads=1 $serve_options \
        "$COLO_NBDKIT_PLUGIN" "disk=vda=$base" "control=$TESTDIR/control" "$@"
    wait_for 10 test -S "$TESTDIR/control"
}

control()
{
    qmp-send "$TESTDIR/control" "$@"
}

# End the server so that the image is closed
end()
{
    control quit >/dev/null
    wait_for 10 gone "$(pid_of "$1")" || return 1
    rm -f "$TESTDIR/control"
    stop "$1" && [ "$STOP_STATUS" = 0 ]
}

uri()
{
    echo "nbd+unix:///$1?socket=$sock"
}

# seal EPOCH: as the primary's colod does; then the secondary's
seal()
{
    printf '{"execute":"seal","arguments":{"epoch":%s,"session":"%s"}}' \
        "$1" $session >"$TESTDIR/request" &&
        truncate -s 4096 "$TESTDIR/request" &&
        nbdcopy "$TESTDIR/request" "$(uri checkpoint)" &&
        control disk-commit "{\"epoch\":$1}" &&
        control disk-load "{\"epoch\":$1}"
}

# An image that is not all zeroes: 16 MiB of noise among 48
truncate -s 48M "$base" "$TESTDIR/source.raw"
dd if=/dev/urandom of="$TESTDIR/source.raw" bs=1M count=8 seek=3 \
    conv=notrunc 2>/dev/null
dd if=/dev/urandom of="$TESTDIR/source.raw" bs=1000 count=8000 seek=30000 \
    conv=notrunc 2>/dev/null

# --- The plugin itself ---------------------------------------------------------

plugin_says()
{
    nbdkit "$COLO_NBDKIT_PLUGIN" "$1" | grep -q "$2"
}
check "nbdkit --help names the parameters" plugin_says --help 'disk=NAME=PATH'
check "nbdkit --dump-plugin: requests run in parallel" \
    plugin_says --dump-plugin '^max_thread_model=parallel'
check_fails "without a disk" 1 'add disk=NAME=PATH' \
    nbdkit -f -U "$sock" "$COLO_NBDKIT_PLUGIN"
check_fails "a disk without a name" 1 'disk=NAME=PATH' \
    nbdkit -f -U "$sock" "$COLO_NBDKIT_PLUGIN" "disk=vda"
check_fails "a name that means something else" 1 'cannot be the name' \
    nbdkit -f -U "$sock" "$COLO_NBDKIT_PLUGIN" "disk=primary=$base"
check_fails "two disks of one name" 1 'two disks vda' \
    nbdkit -f -U "$sock" "$COLO_NBDKIT_PLUGIN" "disk=vda=$base" \
    "disk=vda=$base"
check_fails "an unknown durability" 1 'epoch or flush' \
    nbdkit -f -U "$sock" "$COLO_NBDKIT_PLUGIN" "disk=vda=$base" durability=no
check_fails "an unknown parameter" 1 'unknown parameter' \
    nbdkit -f -U "$sock" "$COLO_NBDKIT_PLUGIN" "disk=vda=$base" x=y
rm -f "$sock"
check_fails "an image that is not there" 1 'disk vda: cannot open the image' \
    nbdkit -f -U "$sock" "$COLO_NBDKIT_PLUGIN" "disk=vda=$TESTDIR/none"

# --- Clients -------------------------------------------------------------------

check "the server starts" serve first --
check_fails "an image that is in use" 1 'another process uses it' \
    nbdkit -f -U "$TESTDIR/other.sock" "$COLO_NBDKIT_PLUGIN" "disk=vda=$base"
control disk-reset "{\"session\":\"$session\"}" >/dev/null

check_fails "there is no default export" 1 '' nbdinfo "$(uri '')"
check "the server's log says which there are" \
    has_line "$TESTDIR/first.out" 'there are vda/primary, vda/secondary'
lists()
{
    nbdinfo --list "$(uri '')" >"$TESTDIR/list" &&
        grep -q 'export="vda/primary"' "$TESTDIR/list" &&
        grep -q 'export="vda/secondary"' "$TESTDIR/list" &&
        grep -q 'export="checkpoint"' "$TESTDIR/list"
}
check "nbdinfo --list" lists

# what MODE: the same programs on the image itself and on the log above it
what()
{
    check "qemu-io writes and reads ($1)" qemu-io -f raw \
        -c 'write -P 1 0 1M' -c 'write -P 2 512 100k' -c 'write -f -P 3 1M 64k' \
        -c 'aio_write -P 4 2M 64k' -c 'aio_write -P 5 2112k 64k' -c aio_flush \
        -c 'write -z 2M 4k' -c 'write -z -u 2052k 4k' -c 'discard 2056k 4k' \
        -c 'write -z -n 40M 64k' -c flush \
        -c 'read -P 1 0 512' -c 'read -P 2 512 100k' -c 'read -P 3 1M 64k' \
        -c 'read -P 0 2M 12k' -c 'read -P 4 2060k 52k' -c 'read -P 5 2112k 64k' \
        "$(uri vda)"
    check "qemu-img convert ($1)" qemu-img convert -n -f raw -O raw \
        "$TESTDIR/source.raw" "$(uri vda)"
    check "qemu-img compare ($1)" qemu-img compare -f raw -F raw \
        "$TESTDIR/source.raw" "$(uri vda)"
    check "nbdcopy from it ($1)" nbdcopy "$(uri vda)" "$TESTDIR/copy.raw"
    check "what it copied ($1)" cmp "$TESTDIR/source.raw" "$TESTDIR/copy.raw"
    check "qemu-io overwrites ($1)" qemu-io -f raw -c 'write -P 9 0 48M' \
        "$(uri vda)"
    check "nbdcopy to it, many requests at once ($1)" nbdcopy \
        --connections=4 --requests=64 "$TESTDIR/source.raw" "$(uri vda)"
    check "qemu-img compare, then ($1)" qemu-img compare -f raw -F raw \
        "$TESTDIR/source.raw" "$(uri vda)"
    check "nbdinfo --map ($1)" map_is_right
}

# The noise is data; the last part was never anything
map_is_right()
{
    nbdinfo --map --totals "$(uri vda)" >"$TESTDIR/totals" &&
        grep -q 'zero' "$TESTDIR/totals" && grep -q 'data' "$TESTDIR/totals"
}

what "first copy"
check "a checkpoint" seal 1
what "log"
check "another checkpoint" seal 2
check "the secondary sees it" qemu-img compare -f raw -F raw \
    "$TESTDIR/source.raw" "$(uri vda/secondary)"

fio_verify()
{
    fio --name=verify --ioengine=nbd --uri="$(uri vda/secondary)" \
        --rw=randrw --bssplit=4k/50:64k/30:512k/20 --size=32M --io_size=64M \
        --iodepth=16 --verify=crc32c --do_verify=1 --verify_fatal=1 \
        --randrepeat=1 --output="$TESTDIR/fio.out"
}
if fio --enghelp 2>/dev/null | grep -qw nbd; then
    check "fio verifies what it writes" fio_verify
else
    skip "fio verifies what it writes" "no fio with an nbd engine is here"
fi

# --- Clients that die -----------------------------------------------------------

dying_clients()
{
    for round in 1 2 3 4 5 6 7 8; do
        start "copy$round" nbdcopy --requests=64 "$TESTDIR/source.raw" \
            "$(uri vda)"
        sleep "0.0$round"
        stop "copy$round" KILL || return 1
    done
    qemu-img convert -n -f raw -O raw "$TESTDIR/source.raw" "$(uri vda)" &&
        qemu-img compare -f raw -F raw "$TESTDIR/source.raw" "$(uri vda)"
}
check "clients that are killed in their copy" dying_clients
check "the server ends with status 0" end first

# --- Filters --------------------------------------------------------------------

switch=$TESTDIR/errors
check "with nbdkit's error filter" serve errors --filter=error -- \
    error-pwrite=ENOSPC error-pwrite-rate=100% error-pwrite-file="$switch"
control disk-session "{\"session\":\"$session\"}" >/dev/null
: >"$switch"
check_fails "a write fails so" 1 'No space left' \
    qemu-io -f raw -c 'write -P 7 0 4k' "$(uri vda)"
rm "$switch"
check "nothing was written, and now it is" qemu-io -f raw \
    -c "read -P 0 0 4k" -c 'write -P 7 0 4k' -c 'read -P 7 0 4k' "$(uri vda)"
check "it ends" end errors

check "with nbdkit's delay filter" serve delay --filter=delay -- \
    delay-write=20ms delay-read=10ms
control disk-session "{\"session\":\"$session\"}" >/dev/null
check "slow requests, many at once" nbdcopy --requests=64 \
    "$TESTDIR/source.raw" "$(uri vda)"
check "all of them" qemu-img compare -f raw -F raw "$TESTDIR/source.raw" \
    "$(uri vda)"
start victim nbdcopy --requests=64 "$TESTDIR/source.raw" "$(uri vda)"
sleep 0.1
check "a client is killed in its requests" stop victim KILL
check "the server goes on" qemu-img compare -f raw -F raw \
    "$TESTDIR/source.raw" "$(uri vda)"
check "it ends, too" end delay

# --- Other hosts ------------------------------------------------------------------

new_netns sec
new_netns cli
ip link add "c$$s" netns "$(host_netns sec)" type veth \
    peer name "c$$c" netns "$(host_netns cli)"
ip -n "$(host_netns sec)" addr add 192.0.2.1/24 dev "c$$s"
ip -n "$(host_netns cli)" addr add 192.0.2.2/24 dev "c$$c"
ip -n "$(host_netns sec)" link set "c$$s" up
ip -n "$(host_netns cli)" link set "c$$c" up

remote=nbd://192.0.2.1:10809

# serve_tcp NAME [OPTION...] -- [PARAMETER...]
serve_tcp()
{
    tcp_name=$1 tcp_options=
    shift
    while [ "$1" != -- ]; do
        tcp_options="$tcp_options $1"
        shift
    done
    shift
    start --on sec "$tcp_name" nbdkit -f -p 10809 --threads=1 $tcp_options \
        "$COLO_NBDKIT_PLUGIN" "disk=vda=$base" "control=$TESTDIR/control" "$@"
    wait_for 10 test -S "$TESTDIR/control"
}

check "on TCP" serve_tcp tcp --
check "the primary export is for other hosts" run_on cli \
    qemu-img compare -f raw -F raw "$TESTDIR/source.raw" $remote/vda/primary
check "the secondary export is for this host" run_on sec \
    nbdinfo nbd://127.0.0.1/vda/secondary
check "by its own address, too" run_on sec nbdinfo $remote/vda/secondary
check_fails "it is not for other hosts" 1 '' \
    run_on cli nbdinfo $remote/vda/secondary
check "the log says why" has_line "$TESTDIR/tcp.out" \
    'for clients on this host only: 192.0.2.2 is'

# list HOST ADDRESS: what nbd-client -l prints
listed()
{
    run_on "$1" nbd-client -l "$2" 2>&1 | grep -c 'vda/secondary'
}
if command -v nbd-client >/dev/null; then
    check "nbd-client -l lists it on this host" [ "$(listed sec 127.0.0.1)" = 1 ]
    check "and not on others" [ "$(listed cli 192.0.2.1)" = 0 ]
else
    skip "nbd-client -l" "nbd-client is missing (Debian: nbd-client)"
fi
check "another host writes" run_on cli \
    qemu-io -f raw -c 'write -P 1 0 4k' $remote/vda
check "and ends, so this one may" run_on sec \
    qemu-io -f raw -c 'write -P 2 0 4k' nbd://127.0.0.1/vda
check "the server on TCP ends" end tcp

printf 'qemu:%064d\n' 7 >"$TESTDIR/psk"
check "other hosts must use TLS" serve_tcp tls --tls=on "--tls-psk=$TESTDIR/psk" \
    -- tls-primary=on
check "this host need not" run_on sec nbdinfo nbd://127.0.0.1/vda
check_fails "plain is refused" 1 '' run_on cli nbdinfo $remote/vda
check_fails "so is checkpoint" 1 '' run_on cli nbdinfo $remote/checkpoint
check "TLS is taken" run_on cli nbdinfo \
    "nbds://qemu@192.0.2.1/vda?tls-psk-file=$TESTDIR/psk"
check "the last one ends" end tls
done_testing
