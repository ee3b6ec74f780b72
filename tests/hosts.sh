# SPDX-License-Identifier: GPL-2.0-or-later
#
# Hosts of a test: network namespaces.  Sourced by functions.sh; a test that
# uses it says `requires netns` first.
#
#            pri                  sec                  cli
#   repl0 10.77.1.1      repl0 10.77.1.2
#   hb0   10.77.2.1      hb0   10.77.2.2
#   br0   10.77.3.1      br0   10.77.3.2       eth0 10.77.3.9
#     port lan0            port lan0
#
# Each link goes to a switch (a bridge in the namespace net), so that a host
# that vanishes takes no carrier and no address away from the others, as with
# real switches.  br0 is where a guest's tap goes: guests are 10.77.3.100 and
# up.  IPv6 has fd77:LINK::HOST beside 10.77.LINK.HOST.

HOSTS_LINKS='repl hb lan'

# host_netns HOST: its namespace, unique to this test's process
host_netns()
{
    echo "colo$$-$1"
}

# run_on HOST COMMAND...
run_on()
{
    run_netns=$(host_netns "$1")
    shift
    ip netns exec "$run_netns" "$@"
}

# IPv6 addresses are good at once: nobody else can have them here
new_netns()
{
    ip netns add "$(host_netns "$1")" || return 1
    cleanup_fn remove_netns "$1"
    run_on "$1" sh -c '
        ip link set lo up
        for f in default all; do
            echo 0 >/proc/sys/net/ipv6/conf/$f/accept_dad
            echo 0 >/proc/sys/net/ipv6/conf/$f/router_solicitations
        done 2>/dev/null
        true'
}

# Kills what is left inside: only this test's processes can be there
remove_netns()
{
    remove_name=$(host_netns "$1")
    [ -e "/run/netns/$remove_name" ] || return 0
    for remove_pid in $(ip netns pids "$remove_name"); do
        kill -KILL "$remove_pid" 2>/dev/null
    done
    ip netns del "$remove_name"
}

new_bridge()
{
    ip -n "$(host_netns "$1")" link add "$2" \
        address "$(host_mac "$1" "$2")" type bridge \
        forward_delay 0 stp_state 0 mcast_snooping 0 &&
        ip -n "$(host_netns "$1")" link set "$2" up
}

# host_mac HOST LINK: fixed, as a card's is: a host that comes back keeps its
host_mac()
{
    printf '02:77:%s\n' "$(printf '%s-%s' "$1" "$2" | cksum |
        awk '{ printf "%02x:%02x:%02x:%02x", $1 / 16777216 % 256,
               $1 / 65536 % 256, $1 / 256 % 256, $1 % 256 }')"
}

# plug HOST INTERFACE LINK: from the host to the link's switch
plug()
{
    ip link add "$2" address "$(host_mac "$1" "$3")" \
        netns "$(host_netns "$1")" type veth \
        peer name "$3-$1" netns "$(host_netns net)" &&
        ip -n "$(host_netns net)" link set "$3-$1" master "$3" up &&
        ip -n "$(host_netns "$1")" link set "$2" up
}

# address HOST INTERFACE LINK HOST_NUMBER
address()
{
    ip -n "$(host_netns "$1")" addr add "10.77.$3.$4/24" dev "$2" &&
        ip -n "$(host_netns "$1")" addr add "fd77:$3::$4/64" dev "$2" nodad
}

# The addresses of a host on a link: host_addr pri repl
host_addr()
{
    case $2 in
    repl) addr_link=1 ;;
    hb) addr_link=2 ;;
    lan) addr_link=3 ;;
    esac
    case $1 in
    pri) echo 10.77.$addr_link.1 ;;
    sec) echo 10.77.$addr_link.2 ;;
    cli) echo 10.77.$addr_link.9 ;;
    esac
}

# new_host HOST NUMBER: pri or sec; also used to bring a dead one back
new_host()
{
    new_netns "$1" &&
        plug "$1" repl0 repl && address "$1" repl0 1 "$2" &&
        plug "$1" hb0 hb && address "$1" hb0 2 "$2" &&
        new_bridge "$1" br0 && plug "$1" lan0 lan &&
        ip -n "$(host_netns "$1")" link set lan0 master br0 &&
        address "$1" br0 3 "$2"
}

# lay_out_hosts: net, pri, sec and cli, removed at the end in every case
lay_out_hosts()
{
    new_netns net || return 1
    for link in $HOSTS_LINKS; do
        new_bridge net "$link" || return 1
    done
    new_host pri 1 && new_host sec 2 &&
        new_netns cli && plug cli eth0 lan && address cli eth0 3 9
}

# link_cut LINK / link_restore LINK: frames vanish in the switch; interfaces
# and carrier stay as they are.
link_cut()
{
    link_state "$1" 0
}

link_restore()
{
    link_state "$1" 3
}

# Port states of a bridge: 0 disabled, 3 forwarding
link_state()
{
    for port in $(ip -n "$(host_netns net)" -o link show master "$1" |
        sed 's/^[0-9]*: \([^@:]*\).*/\1/'); do
        bridge -n "$(host_netns net)" link set dev "$port" state "$2" ||
            return 1
    done
}

# host_links_cut HOST: pull all its cables, at the switches
host_links_cut()
{
    ip -n "$(host_netns net)" -o link show |
        sed -n "s/^[0-9]*: \([a-z]*-$1\)@.*/link del \1/p" |
        ip -n "$(host_netns net)" -batch -
}

# host_power_cut HOST: as when the power fails: first no frame leaves it any
# more, then its processes are gone, then the host is.  Afterwards new_host
# makes a fresh one.
host_power_cut()
{
    cut_netns=$(host_netns "$1")
    host_links_cut "$1" || return 1
    cut_pids=$(ip netns pids "$cut_netns")
    for cut_pid in $cut_pids; do
        kill -KILL "$cut_pid" 2>/dev/null
    done
    for cut_pid in $cut_pids; do
        wait_for 10 gone "$cut_pid" || {
            diag "pid $cut_pid on $1 outlives its power"
            return 1
        }
    done
    ip netns del "$cut_netns"
}
