#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# What the man pages and the README say is what the programs say.
. "$COLO_SRCDIR/tests/functions.sh"

docs=$COLO_SRCDIR/docs

# The long options that a program's help lists, sorted
help_options()
{
    "$@" 2>&1 | sed -n 's/^ *\(-[a-z], \)\{0,1\}--\([a-z0-9-]*\).*/\2/p' |
        sort -u
}

# The long options that have an item in a man page
page_options()
{
    sed -n 's/^=item B<--\([a-z0-9-]*\).*/\1/p' "$1" | sort -u
}

same_options()
{
    same_page=$1
    shift
    help_options "$@" >"$TESTDIR/help" && [ -s "$TESTDIR/help" ] &&
        page_options "$docs/$same_page" >"$TESTDIR/page" &&
        diff "$TESTDIR/help" "$TESTDIR/page"
}

check "colod(8) has colod's options" same_options colod.8.pod colod --help
check "colo-proxy(8) has colo-proxy's options" \
    same_options colo-proxy.8.pod colo-proxy --help
check "coloctl(1) has coloctl's options" \
    same_options coloctl.1.pod coloctl --help
check "colo-net(8) has colo-net's options" \
    same_options colo-net.8.pod "$COLO_SRCDIR/scripts/colo-net" --help
# --help has no entry of its own: it is QEMU's
colo_qemu_help()
{
    colo-qemu --colo-help | sed 's/; --help.*//'
}
check "colo-qemu(1) has colo-qemu's options" \
    same_options colo-qemu.1.pod colo_qemu_help

# each_in FILE WORD...: the file names them all in bold
each_in()
{
    each_file=$1 each_result=0
    shift
    [ $# -gt 0 ] || return 1
    for each_word in "$@"; do
        grep -q "B<$each_word>" "$each_file" || {
            echo "$each_word is not in $(basename "$each_file")"
            each_result=1
        }
    done
    return $each_result
}

src=$COLO_SRCDIR/colo
check "colo(7) has all commands of the control socket" \
    each_in "$docs/colo.7.pod" \
    $(sed -n 's/^ *{"\([a-z-]*\)", [a-zA-Z_]*, [a-z_]*},$/\1/p' \
        "$src/engine/control.c")
check "colo(7) has all events" each_in "$docs/colo.7.pod" \
    $(sed -n 's/.*server_emit([^"]*"\(COLO_[A-Z]*\)".*/\1/p' \
        "$src"/engine/*.c | sort -u)
proxy=$COLO_SRCDIR/netcompare/proxy
check "colo-proxy(8) has all commands of its control socket" \
    each_in "$docs/colo-proxy.8.pod" \
    $(sed -n 's/^ *{"\([a-z-]*\)", [a-zA-Z_]*, [a-z_]*},$/\1/p' \
        "$proxy/control.c")
check "colo-proxy(8) has all its events" each_in "$docs/colo-proxy.8.pod" \
    $(sed -n 's/.*server_emit([^"]*"\(COLO_[A-Z_]*\)".*/\1/p' "$proxy"/*.c |
        sort -u)
plugin=$COLO_SRCDIR/blockrep/plugin
check "nbdkit-colo-plugin(1) has all commands of its control socket" \
    each_in "$docs/nbdkit-colo-plugin.1.pod" \
    $(sed -n 's/^ *{"\([a-z-]*\)", [a-zA-Z_]*, [a-z_]*},$/\1/p' \
        "$plugin/commands.c")
check "nbdkit-colo-plugin(1) has all its events" \
    each_in "$docs/nbdkit-colo-plugin.1.pod" \
    $(sed -n 's/.*"\(COLO_DISK[A-Z_]*\)".*/\1/p' "$plugin"/*.c | sort -u)
check "colo(7) has all states" each_in "$docs/colo.7.pod" \
    $(sed -n '/^const char \*colo_state_name/,/};/{
        s/[^"]*"\([a-z]*\)"[^"]*/\1 /g; /^[a-z ]*$/p }' \
        "$src/engine/replica-states.c")
check "coloctl(1) has all commands of coloctl" each_in "$docs/coloctl.1.pod" \
    $(coloctl --help | sed -n '/^Commands:/,/^$/s/^  \([a-z]*\) .*/\1/p')
check "colo-net(8) has all commands of colo-net" each_in "$docs/colo-net.8.pod" \
    $("$COLO_SRCDIR/scripts/colo-net" --help |
        sed -n '/^Commands:/,/^$/s/^  \([a-z][a-z]*\) .*/\1/p')

# Every option in the README is one of the programs'; its commands exist
readme_options()
{
    {
        for program in colod colo-proxy coloctl; do
            help_options "$program" --help
        done
        help_options colo_qemu_help
        "$COLO_SRCDIR/configure" --help |
            sed -n 's/^ *--\([a-z-]*\).*/\1/p'
        for script in check demo bench; do
            "$COLO_SRCDIR/scripts/$script" --help 2>&1 |
                grep -oE -e '--[a-z][a-z-]*' | sed 's/^--//'
        done
    } | sort -u >"$TESTDIR/known"
    sed '/systemctl/d' "$COLO_SRCDIR/README.md" |
        grep -oE -e '(^|[^-a-z])--[a-z][a-z-]*' |
        sed 's/.*--//' | sort -u >"$TESTDIR/used"
    [ -s "$TESTDIR/used" ] && comm -13 "$TESTDIR/known" "$TESTDIR/used" |
        grep . && return 1
    return 0
}
check "the README's options exist" readme_options

readme_paths()
{
    paths_result=0
    for path in $(grep -oE '(^|[^/a-z])(scripts|docs|tests|colo)/[a-z0-9./-]+' \
        "$COLO_SRCDIR/README.md" | sed 's/^[^a-z]//; s/[.,]*$//' | sort -u); do
        [ -e "$COLO_SRCDIR/$path" ] || {
            echo "$path is not there"
            paths_result=1
        }
    done
    return $paths_result
}
check "the README's paths exist" readme_paths
done_testing
