# SPDX-License-Identifier: GPL-2.0-or-later
#
# What scripts/demo, check and bench share: packages and the build.  Sourced
# by a POSIX shell that has set SRC, the top of the source tree.

# What configure and make need, what guests and hosts need, what only the
# tests and benches need
BUILD_PACKAGES='build-essential autoconf automake libtool pkg-config perl
    libglib2.0-dev libjson-glib-dev libxxhash-dev liblz4-dev libzstd-dev
    libnetfilter-queue-dev libmnl-dev libnl-3-dev libnl-route-3-dev
    libpcap0.8-dev nbdkit nbdkit-plugin-dev libnbd-dev'
GUEST_PACKAGES='qemu-system-x86 iproute2 iptables cpio kmod xz-utils zstd
    e2fsprogs libnbd-bin'
TEST_PACKAGES='qemu-utils iputils-ping valgrind iperf3 nbd-client fio
    gnutls-bin'

# say TEXT...: what is being done, for the operator
say()
{
    printf '%s\n' "--- $*"
}

die()
{
    printf '%s\n' "${0##*/}: $*" >&2
    exit 1
}

need_root()
{
    [ "$(id -u)" = 0 ] ||
        die "root is needed: this makes network namespaces and installs" \
            "packages; run it as 'sudo $0'"
}

missing_packages()
{
    for package in "$@"; do
        dpkg-query -W -f '${db:Status-Abbrev}' "$package" 2>/dev/null |
            grep -q '^.i' || printf '%s ' "$package"
    done
}

apt_install()
{
    DEBIAN_FRONTEND=noninteractive apt-get install -y -q \
        --no-install-recommends -o DPkg::Lock::Timeout=120 "$@"
}

# install_packages PACKAGE...: only those that are missing
install_packages()
{
    command -v dpkg-query >/dev/null && command -v apt-get >/dev/null || {
        say "no apt-get here: what Debian calls" "$@" "must be there already"
        return 0
    }
    wanted=$(missing_packages "$@")
    [ -n "$wanted" ] || return 0
    say "installing $wanted"
    # Package lists may be missing, or older than the archive
    apt_log=$(mktemp)
    if ! apt_install $wanted >"$apt_log" 2>&1 && {
        ! apt-get update -q >"$apt_log" 2>&1 ||
            ! apt_install $wanted >>"$apt_log" 2>&1
    }; then
        tail -n 20 "$apt_log" >&2
        rm -f "$apt_log"
        die "cannot install $wanted: is there a network, and a Debian" \
            "archive in apt's sources?"
    fi
    rm -f "$apt_log"
}

# The build's own words are kept in a file and shown when it fails.  Only one
# of us works in a build folder at a time.
#
# build DIR CONFIGURE-OPTIONS TARGET...: DIR is below SRC
build()
{
    build_dir=$SRC/$1 build_options=$2
    shift 2
    mkdir -p "$build_dir"
    (
        flock 9
        if [ -e "$SRC/config.status" ]; then
            die "$SRC is configured for a build in the source tree; run" \
                "'make -C $SRC distclean' first"
        fi
        exec >"$build_dir/build.log" 2>&1
        if [ ! -x "$SRC/configure" ] ||
            [ "$SRC/configure.ac" -nt "$SRC/configure" ]; then
            # Two build folders may want it at once
            flock "$SRC/autogen.sh" "$SRC/autogen.sh" || exit 1
        fi
        cd "$build_dir" || exit 1
        if [ ! -e Makefile ] || [ "$SRC/configure" -nt config.status ] ||
            [ "$(cat options 2>/dev/null)" != "$build_options" ]; then
            "$SRC/configure" $build_options &&
                printf '%s\n' "$build_options" >options || exit 1
        fi
        ${BUILD_NICE:-} make -j"$(nproc)" "$@"
    ) 9>"$build_dir/.lock" || {
        tail -n 30 "$build_dir/build.log" >&2
        die "the build failed; all of its output is in $build_dir/build.log"
    }
}
