# SPDX-License-Identifier: GPL-2.0-or-later
# Benches on real guests; run by scripts/bench, only built by make check.
BENCHES = \
	tests/bench/bench-checkpoint \
	tests/bench/bench-fullcopy \
	tests/bench/bench-proxy \
	tests/bench/bench-service \
	tests/bench/bench-soak \
	tests/bench/bench-store \
	tests/bench/bench-takeover
# In the build folder itself, where ./run finds it
check_PROGRAMS += $(BENCHES) net-traffic
net_traffic_SOURCES = tests/bench/net-traffic.c
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
tests_bench_bench_proxy_SOURCES = tests/bench/bench-proxy.c \
	tests/bench/processors.h tests/bench/processors.c $(BENCH_COMMON)
tests_bench_bench_proxy_LDADD = $(BENCH_LIBS)
tests_bench_bench_service_SOURCES = tests/bench/bench-service.c \
	tests/bench/service-disk.h tests/bench/service-disk.c $(BENCH_COMMON)
tests_bench_bench_service_LDADD = $(BENCH_LIBS)
tests_bench_bench_soak_SOURCES = tests/bench/bench-soak.c $(BENCH_COMMON)
tests_bench_bench_soak_LDADD = $(BENCH_LIBS)
tests_bench_bench_store_SOURCES = tests/bench/bench-store.c \
	tests/bench/store-load.h tests/bench/store-load.c $(BENCH_COMMON)
tests_bench_bench_store_CFLAGS = $(AM_CFLAGS) $(NBD_CFLAGS)
tests_bench_bench_store_LDADD = libnbdfixture.la $(BENCH_LIBS) $(NBD_LIBS)
