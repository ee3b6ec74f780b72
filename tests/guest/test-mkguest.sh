#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# mkguest keeps what it made, works without a network when it can, and says
# what is missing when it cannot.
. "$COLO_SRCDIR/tests/functions.sh"
requires guest

mkguest=$COLO_SRCDIR/scripts/mkguest
packages=$(dirname "$(dirname "$KERNEL")")/packages

# A machine without a network: apt knows nothing and can fetch nothing
mkdir "$TESTDIR/bin" "$TESTDIR/cache"
printf '#!/bin/sh\necho "E: no network" >&2\nexit 100\n' \
    >"$TESTDIR/bin/apt-get"
printf '#!/bin/sh\nexit 0\n' >"$TESTDIR/bin/apt-cache"
chmod +x "$TESTDIR"/bin/*
PATH=$TESTDIR/bin:$PATH
XDG_CACHE_HOME=$TESTDIR/cache
export PATH XDG_CACHE_HOME

check_fails "no network and no packages" 1 '(apt-get|package lists)' "$mkguest"
check "leaves nothing half made" \
    sh -c "test \"\$(ls '$TESTDIR/cache/colo-guest')\" = packages"

cp "$packages"/*.deb "$TESTDIR/cache/colo-guest/packages/"
check "made from packages that are there" "$mkguest"
first=$(cat "$TESTDIR/check.out")
files_exist()
{
    eval "$first"
    test -s "$KERNEL" && test -s "$INITRD" && test -s "$TINY" &&
        test -n "$APPEND"
}
check "prints where its files are" files_exist

rm "$TESTDIR/cache/colo-guest/packages"/*
check "the second run needs nothing" timeout 10 "$mkguest"
check "and says the same" test "$first" = "$(cat "$TESTDIR/check.out")"

check "copies to a folder" "$mkguest" --out "$TESTDIR/out"
grep '^INITRD=' "$TESTDIR/check.out" >"$TESTDIR/printed"
check "prints the folder's paths" \
    grep -qx "INITRD=$TESTDIR/out/initrd" "$TESTDIR/printed"
check "the copies are whole" cmp "$INITRD" "$TESTDIR/out/initrd"

XDG_CACHE_HOME=/proc/none
check_fails "a cache that cannot be written" 1 'set XDG_CACHE_HOME' "$mkguest"
check_fails "a wrong option" 2 '^Usage: mkguest' "$mkguest" --frobnicate
done_testing
