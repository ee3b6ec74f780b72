# SPDX-License-Identifier: GPL-2.0-or-later
# Benches on real guests; run by scripts/bench, only built by make check.
BENCHES = \
	tests/bench/bench-checkpoint \
	tests/bench/bench-fullcopy \
	tests/bench/bench-takeover
check_PROGRAMS += $(BENCHES)
EXTRA_DIST += scripts/bench

BENCH_COMMON = tests/bench/bench.h tests/bench/bench.c
BENCH_LIBS = librig.la $(UNIT_LIBS) -lm
tests_bench_bench_checkpoint_SOURCES = \
	tests/bench/bench-checkpoint.c $(BENCH_COMMON)
tests_bench_bench_checkpoint_LDADD = $(BENCH_LIBS)
tests_bench_bench_fullcopy_SOURCES = \
	tests/bench/bench-fullcopy.c $(BENCH_COMMON)
tests_bench_bench_fullcopy_LDADD = $(BENCH_LIBS)
tests_bench_bench_takeover_SOURCES = \
	tests/bench/bench-takeover.c $(BENCH_COMMON)
tests_bench_bench_takeover_LDADD = $(BENCH_LIBS)
