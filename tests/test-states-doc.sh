#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# docs/internals.md shows the state tables as the code has them.
. "$COLO_SRCDIR/tests/functions.sh"

doc=$COLO_SRCDIR/docs/internals.md
dump=$COLO_BUILDDIR/docs/states-dump
put=$COLO_SRCDIR/docs/put-states

same()
{
    sh "$put" "$dump" "$doc" >"$TESTDIR/new.md" &&
    diff -u "$doc" "$TESTDIR/new.md" || {
        echo "run: make update-docs"
        return 1
    }
}

every_machine()
{
    "$dump" >"$TESTDIR/dump" &&
    grep -q '^| active | take over (secondary) | takeover |$' "$TESTDIR/dump" &&
    grep -q '^| FT_READY | send BEGIN | FT_TRANSACTION_BEGIN |$' \
        "$TESTDIR/dump" &&
    grep -q '^| FT_READY | receive BEGIN | FT_TRANSACTION_RECV |$' \
        "$TESTDIR/dump"
}

no_marker()
{
    echo "no marker" >"$TESTDIR/bad.md"
    sh "$put" "$dump" "$TESTDIR/bad.md"
}

check "the tables are printed" every_machine
check "internals.md has the same" same
check_fails "a document without the marker comments is refused" 1 \
    'marker comments' no_marker
done_testing
