# SPDX-License-Identifier: GPL-2.0-or-later
# Tests of blockrep/store/
STORE_TESTS = \
	tests/store/test-index \
	tests/store/test-log \
	tests/store/test-statefile \
	tests/store/test-store \
	tests/store/test-survivor \
	tests/store/test-damage \
	tests/store/test-faults \
	tests/store/test-limits \
	tests/store/test-threads \
	tests/store/test-model
check_PROGRAMS += $(STORE_TESTS)
TESTS += $(STORE_TESTS)
check_LTLIBRARIES += libstorefixture.la
libstorefixture_la_SOURCES = tests/store/fixture.h tests/store/fixture.c
STORE_TEST_LIBS = libstorefixture.la libcolostore.la $(UNIT_LIBS)

tests_store_test_index_SOURCES = tests/store/test-index.c
tests_store_test_index_LDADD = $(STORE_TEST_LIBS)
tests_store_test_log_SOURCES = tests/store/test-log.c
tests_store_test_log_LDADD = $(STORE_TEST_LIBS)
tests_store_test_statefile_SOURCES = tests/store/test-statefile.c
tests_store_test_statefile_LDADD = $(STORE_TEST_LIBS)
tests_store_test_store_SOURCES = tests/store/test-store.c
tests_store_test_store_LDADD = $(STORE_TEST_LIBS)
tests_store_test_survivor_SOURCES = tests/store/test-survivor.c
tests_store_test_survivor_LDADD = $(STORE_TEST_LIBS)
tests_store_test_damage_SOURCES = tests/store/test-damage.c
tests_store_test_damage_LDADD = $(STORE_TEST_LIBS)
tests_store_test_limits_SOURCES = tests/store/test-limits.c
tests_store_test_limits_LDADD = $(STORE_TEST_LIBS)
tests_store_test_threads_SOURCES = tests/store/test-threads.c
tests_store_test_threads_LDADD = $(STORE_TEST_LIBS)

# The linker puts disks below the store that fail, or lose what they cached.
tests_store_test_faults_SOURCES = tests/store/test-faults.c \
	tests/store/faults.h tests/store/faults.c
tests_store_test_faults_LDADD = $(STORE_TEST_LIBS)
tests_store_test_faults_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=pwritev \
	-Wl,--wrap=fdatasync -Wl,--wrap=fallocate
tests_store_test_model_SOURCES = tests/store/test-model.c \
	tests/store/model.h tests/store/model.c tests/store/model-disk.c
tests_store_test_model_LDADD = $(STORE_TEST_LIBS)
tests_store_test_model_LDFLAGS = $(AM_LDFLAGS) -Wl,--wrap=pwritev \
	-Wl,--wrap=fdatasync -Wl,--wrap=fsync -Wl,--wrap=fallocate \
	-Wl,--wrap=ftruncate -Wl,--wrap=unlinkat

# Fuzzing, as in tests/fuzz/local.mk; checksums count as right.
check_PROGRAMS += tests/fuzz/replay-store
TESTS += tests/fuzz/replay-store
FUZZ_STORE = tests/fuzz/fuzz-store.c tests/fuzz/fuzz.h \
	blockrep/store/file-io.c blockrep/store/format.c \
	blockrep/store/index.c blockrep/store/log.c blockrep/store/replay.c
tests_fuzz_replay_store_SOURCES = $(FUZZ_STORE) tests/fuzz/replay.c
tests_fuzz_replay_store_CPPFLAGS = $(AM_CPPFLAGS) \
	-DFUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
tests_fuzz_replay_store_LDADD = $(XXHASH_LIBS) $(UNIT_LIBS)
if FUZZERS
noinst_PROGRAMS += tests/fuzz/fuzz-store
tests_fuzz_fuzz_store_SOURCES = $(FUZZ_STORE)
tests_fuzz_fuzz_store_CPPFLAGS = $(tests_fuzz_replay_store_CPPFLAGS)
tests_fuzz_fuzz_store_LDADD = $(tests_fuzz_replay_store_LDADD)
tests_fuzz_fuzz_store_LDFLAGS = $(FUZZ_LINK)
endif

# How fast it is; run by hand: tests/bench/store-speed
check_PROGRAMS += tests/bench/store-speed
tests_bench_store_speed_SOURCES = tests/bench/store-speed.c
tests_bench_store_speed_LDADD = libcolostore.la $(UNIT_LIBS)
