# SPDX-License-Identifier: GPL-2.0-or-later
#
# What scripts/check needs of make, and the unit tests under valgrind.
EXTRA_DIST += .ci/run scripts/check scripts/demo scripts/lib.sh

# For operators
dist_sbin_SCRIPTS = scripts/colo-net

VALGRIND = valgrind -q --error-exitcode=99 --leak-check=full \
	--errors-for-leak-kinds=definite --show-leak-kinds=definite \
	--fair-sched=yes --suppressions=$(abs_top_srcdir)/tests/valgrind.supp
# Those that do not race against a real process's speed, nor take minutes there
VALGRIND_TESTS = ^tests/(test-bitmap|common/|ft/|$(VALGRIND_MORE))[^.]*$$
VALGRIND_MORE = store/test-(index|log|sto|surv|fau)|$(VALGRIND_LINK)
VALGRIND_LINK = link/test-(wire|reader|link(-faults|$$))

print-tests:
	@printf '%s\n' $(TESTS)
print-valgrind-tests:
	@printf '%s\n' $(TESTS) | grep -E '$(VALGRIND_TESTS)'
check-valgrind: all
	$(MAKE) $(AM_MAKEFLAGS) check LOG_COMPILER='./run $(VALGRIND)' \
		TESTS="$$(printf '%s\n' $(TESTS) | \
			grep -E '$(VALGRIND_TESTS)' | tr '\n' ' ')"
.PHONY: print-tests print-valgrind-tests check-valgrind
