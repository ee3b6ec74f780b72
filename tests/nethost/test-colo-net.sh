#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# colo-net: bridges, taps, what is not ready, and what a crash leaves.
. "$COLO_SRCDIR/tests/functions.sh"
requires netns /dev/net/tun iptables

colo_net="$COLO_SRCDIR/scripts/colo-net"
new_netns op || bail_out "no namespace"

on()
{
    run_on op "$@"
}

# says PATTERN COMMAND...: it succeeds, and says that in one line
says()
{
    says_pattern=$1
    shift
    on "$@" >"$TESTDIR/says" 2>&1 || {
        cat "$TESTDIR/says"
        return 1
    }
    grep -Eq -e "$says_pattern" "$TESTDIR/says" || {
        cat "$TESTDIR/says"
        return 1
    }
}

fails()
{
    fails_what=$1 fails_status=$2 fails_pattern=$3
    shift 3
    check_fails "$fails_what" "$fails_status" "$fails_pattern" \
        ip netns exec "$(host_netns op)" "$@"
}

link_says()
{
    says "$2" ip -d -o link show dev "$1"
}

# --- Words --------------------------------------------------------------

fails "no command" 2 "which command" "$colo_net"
fails "a wrong command" 2 "no command fly" "$colo_net" fly
fails "a wrong option" 2 "no option --fast" "$colo_net" tap t0 --fast
fails "an option of another command" 2 "for tap" "$colo_net" show --mtu 1500
fails "a value is missing" 2 "needs a value" "$colo_net" tap t0 --bridge
fails "an MTU that is none" 2 "needs a number" "$colo_net" tap t0 --mtu 9k
for name in 'a b' 'a;b' 'sixteen-bytes-xx' '$(id)' 'a/b' '..'; do
    fails "no name for a tap: $name" 2 "name" "$colo_net" tap "$name"
done
fails "no name for a VM" 2 "name" "$colo_net" clean 'vm/0'
check "help" says "^Usage: colo-net" "$colo_net" show --help

# --- bridge -------------------------------------------------------------

on ip link add eth0 address 02:00:00:00:00:05 mtu 1450 type veth peer name net0
on ip link set net0 up
on ip link set eth0 up
on ip addr add 10.1.0.5/24 dev eth0
on ip addr add 10.1.0.6/24 dev eth0
on ip addr add fd01::5/64 dev eth0 nodad
on ip route add default via 10.1.0.1
on ip route add 192.0.2.0/24 via 10.1.0.2 metric 7
on ip -6 route add default via fd01::1

fails "addresses are moved only if told" 1 "10.1.0.5.*--move-addresses" \
    "$colo_net" bridge br0 eth0
fails "and nothing was changed" 1 "does not exist" ip link show dev br0
check "a bridge that takes the addresses" \
    says "br0" "$colo_net" bridge br0 eth0 --move-addresses
check "the uplink is its port" link_says eth0 "master br0"
check "it has the uplink's MAC and MTU, no STP" \
    link_says br0 "mtu 1450 .*02:00:00:00:00:05.*stp_state 0 "
check "and the first address" says "10.1.0.5/24" ip addr show dev br0
check "the second" says "10.1.0.6/24" ip addr show dev br0
check "and the IPv6 one" says "fd01::5/64" ip addr show dev br0
check "the default route" says "default via 10.1.0.1" ip route show dev br0
check "another route" says "192.0.2.0/24 via 10.1.0.2 metric 7" \
    ip route show dev br0
check "the IPv6 default route" says "default via fd01::1" \
    ip -6 route show dev br0
no_address()
{
    [ -z "$(on ip -o addr show dev eth0 scope global)" ]
}
check "the uplink has no address any more" no_address
check "once more: nothing to do" says "br0" "$colo_net" bridge br0 eth0
fails "no uplink" 1 "no interface eth9" "$colo_net" bridge br0 eth9
on ip link add eth1 type veth peer name net1
fails "the name is taken" 1 "net0 is there, and is no bridge" \
    "$colo_net" bridge net0 eth1
fails "the uplink is elsewhere" 1 "nomaster" "$colo_net" bridge br1 eth0

# --- tap ----------------------------------------------------------------

check "a primary's tap" says "ifname=tap0.*vhost=off" \
    "$colo_net" tap tap0 --bridge br0 --user nobody
check "it is on the bridge, with its MTU" link_says tap0 "mtu 1450 .*master br0"
check "one queue, vnet_hdr, for that user" \
    link_says tap0 "vnet_hdr on persist on user nobody"
ipv6_off()
{
    [ "$(on cat "/proc/sys/net/ipv6/conf/$1/disable_ipv6")" = 1 ]
}
check "the host says nothing to it" ipv6_off tap0
check "once more" says "tap0" "$colo_net" tap tap0 --bridge=br0
check "a secondary's tap" says "on no bridge" "$colo_net" tap tap1 --mtu 9000
check "its MTU" link_says tap1 "mtu 9000"
tap1_is_down()
{
    ! link_says tap1 '[<,]UP[,>]'
}
check "it is down until it is cut off" tap1_is_down
fails "off its bridge it is not taken silently" 1 "nomaster" \
    "$colo_net" tap tap0
fails "no such bridge" 1 "no bridge br7" "$colo_net" tap tap2 --bridge br7
fails "no such user" 1 "user no-such" "$colo_net" tap tap2 --user no-such
fails "no tap" 1 "is no tap" "$colo_net" tap net0

# --- show ---------------------------------------------------------------

check "all is ready" says "^all is ready" "$colo_net" show
check "the primary's" says "^tap0, on br0: for a primary" \
    "$colo_net" show tap0
check "the secondary's" says "^tap1, off any bridge: for a secondary" \
    "$colo_net" show tap1
fails "one that is missing, with the remedy" 1 "colo-net tap tap9" \
    "$colo_net" show tap9
fails "one that is no tap" 1 "net0 is no tap" "$colo_net" show net0
on ip addr add 10.3.0.1/24 dev tap1
fails "an address of the host on a secondary's" 1 "ip addr flush dev tap1" \
    "$colo_net" show
on ip addr flush dev tap1
on ip link set br0 type bridge stp_state 1
fails "STP" 1 "type bridge stp_state 0" "$colo_net" show tap0
on ip link set br0 type bridge stp_state 0
on ip link set br0 down
fails "a bridge that is down" 1 "ip link set br0 up" "$colo_net" show
on ip link set br0 up
on ip link set tap0 down
fails "a tap that is down" 1 "ip link set tap0 up" "$colo_net" show
on ip link set tap0 up
on ip link set tap0 mtu 1400
fails "an MTU that is too small" 1 "ip link set tap0 mtu 1450" "$colo_net" show
on ip link set tap0 mtu 1450
on ip tuntap add dev tapq mode tap multi_queue
fails "several queues" 1 "several queues" "$colo_net" show tapq
on ip link del tapq

# --- Rules and clean ----------------------------------------------------

rule()
{
    rule_program=$1 rule_table=$2 rule_comment=$3
    shift 3
    on "$rule_program" -t "$rule_table" -A "$@" \
        -m comment --comment "$rule_comment" -j NFQUEUE --queue-num 9 \
        --queue-bypass
}

make_rules()
{
    for program in iptables ip6tables; do
        rule $program raw "colo-proxy vm.0 output" \
            PREROUTING -m physdev --physdev-in tap0 &&
            rule $program mangle "colo-proxy vm.0 rewrite" \
                POSTROUTING -o br0 -p tcp &&
            rule $program raw "colo-proxy vmx0 output" \
                PREROUTING -m physdev --physdev-in tap1 &&
            rule $program raw "colo-proxy vm.0 outputs" \
                PREROUTING -i other || return 1
    done
}

# The number of rules with this comment, in both tables of both programs
count_rules()
{
    for program in iptables ip6tables; do
        for table in raw mangle; do
            on $program -t $table -S
        done
    done | grep -cF -e "--comment \"$1\""
}

if make_rules >"$TESTDIR/rules" 2>&1; then
    check "a tap's rules are shown" says "rules +vm.0 \(output\), 2 rules$" \
        "$colo_net" show tap0
    check "and all of the host" says "vm.0 \(rewrite\), 2 rules; vmx0" \
        "$colo_net" show
    check "clean" says "removed: ip6tables -t raw PREROUTING" \
        "$colo_net" clean vm.0
    check "removes its rules" [ "$(count_rules "colo-proxy vm.0 output")" = 0 ]
    check "of both kinds" [ "$(count_rules "colo-proxy vm.0 rewrite")" = 0 ]
    check "not another VM's" [ "$(count_rules "colo-proxy vmx0 output")" = 2 ]
    check "not an operator's" [ "$(count_rules "colo-proxy vm.0 outputs")" = 2 ]
    check "clean again" on "$colo_net" clean vm.0
else
    skip "colo-proxy's rules" "no NFQUEUE or physdev: $(cat "$TESTDIR/rules")"
fi

# What colo-proxy makes to cut a tap off, with the values from before
cut_off()
{
    on ip link add "$1-colo" type bridge &&
        on ip link set "$1-colo" alias "colo-proxy: cut off from this host; \
before: disable_ipv6 0, arp_ignore 2, forwarding 1" &&
        on sysctl -qw "net.ipv4.conf.$1.arp_ignore=8" \
            "net.ipv4.conf.$1.forwarding=0" &&
        on ip link set "$1" master "$1-colo" up
}

values_are()
{
    [ "$(on sysctl -n "net.ipv6.conf.$1.disable_ipv6" \
        "net.ipv4.conf.$1.arp_ignore" "net.ipv4.conf.$1.forwarding" |
        tr '\n' ' ')" = "$2" ]
}

cut_off tap1 || not_ok "cannot cut a tap off"
on ip link add br2 type bridge
check "a tap that is cut off" says "^tap1, cut off from this host" \
    "$colo_net" show tap1
check "tap leaves it there" says "tap1" "$colo_net" tap tap1
check "clean leaves one that has a tap" on "$colo_net" clean vm.0
check "it is still cut off" link_says tap1 "master tap1-colo"
check "clean with the tap's name" says "removed: bridge tap1-colo" \
    "$colo_net" clean vm.0 tap1
check "the tap has what it had before" values_are tap1 "0 2 1 "
cut_off tap1
on ip link del tap1
check "a bridge without a tap" says "removed: bridge tap1-colo" \
    "$colo_net" clean vm.0
check "nobody else's bridge" link_says br2 bridge

# --- While colo-proxy runs ----------------------------------------------

start --on op listener perl -MIO::Socket::UNIX -e '
    my $s = IO::Socket::UNIX->new(Type => SOCK_STREAM(), Listen => 1,
        Local => $ARGV[0]) or die $!;
    $| = 1; print "listening\n"; sleep 600' "$TESTDIR/vm.0-proxy.qmp"
wait_line "$TESTDIR/listener.out" listening || bail_out "no socket"
fails "nothing is cleaned under a running colo-proxy" 1 "vm.0 runs" \
    "$colo_net" clean vm.0
check "another VM's is not its" on "$colo_net" clean vm.00
stop listener
check "clean when it has ended" on "$colo_net" clean vm.0
done_testing
