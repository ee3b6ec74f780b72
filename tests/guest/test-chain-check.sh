#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# chain-check must accept a whole chain and nothing else.
. "$COLO_SRCDIR/tests/functions.sh"

whole=$TESTDIR/whole
log=$TESTDIR/log
chain-check --print 40 >"$whole"

# A wrong hash with the right check sum, as only a guest could print it:
# taken from the chain of another seed
foreign_line()
{
    chain-check --print 40 --seed 2 | sed -n '/^chain 20 /p'
}

# edit SED-SCRIPT
edit()
{
    sed "$1" "$whole" >"$log"
}

check "a whole chain" chain-check --lines 40 --reach 40 "$whole"
check "a line still being printed" sh -c \
    "cp '$whole' '$log' && printf 'chain 41 00' >>'$log' &&
     chain-check --lines 40 '$log'"
edit "s/^chain 20 .*/$(foreign_line)/"
check_fails "a wrong hash" 1 'step 20 has hash' \
    chain-check --seams any --back any "$log"
edit '/^chain 20 /d'
check_fails "a missing step" 1 'from step 19 to 21' chain-check "$log"
check "a missing step at an allowed seam" chain-check --seams 1 "$log"
edit '/^chain 20 /{h;G}'
check_fails "a step twice" 1 'went back from step 20 to 20' \
    chain-check --seams any "$log"
check "a step twice, going back is allowed" \
    chain-check --seams 1 --back 1 "$log"
edit '/^chain 20 /s/$/f/'
check_fails "a torn line" 1 'torn line' chain-check "$log"
edit '/^chain 20 /{N;s/\n//}'
check_fails "two lines run together" 1 'torn line' chain-check "$log"
check "two lines run together at a seam" chain-check --seams 2 "$log"
edit '20i CHAIN BROKEN step 1 page 2 word 3'
check_fails "the guest's own word" 1 'the guest says' \
    chain-check --seams any --back any "$log"
edit '20i [ 3.2] Kernel panic - not syncing'
check_fails "a panic" 1 'Kernel panic' chain-check --seams any "$log"
cat "$whole" "$whole" >"$log"
check_fails "a reset" 1 'started again' chain-check --seams any "$log"
check "an allowed reset" chain-check --restarts --lines 80 "$log"
sed -n '/^chain [0-9]* /{/^chain 1[0-9] /p}' "$whole" >"$log"
check "the second log goes on" chain-check --seams 1 --back 31 "$whole" "$log"
check_fails "the second log goes back too far" 1 'went back from step 40' \
    chain-check --seams 1 --back 30 "$whole" "$log"
check_fails "too few lines" 1 'lines, expected 41' \
    chain-check --lines 41 "$whole"
check_fails "too short" 1 'ends at step 40' chain-check --reach 41 "$whole"
: >"$log"
check_fails "an empty log" 1 '0 lines' chain-check "$log"
check_fails "no log" 2 'cannot open' chain-check "$TESTDIR/none"
check_fails "a wrong option" 2 'needs a number' chain-check --seams x "$whole"
done_testing
