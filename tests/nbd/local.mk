# SPDX-License-Identifier: GPL-2.0-or-later
# Tests of blockrep/plugin/ in a real nbdkit
NBD_TESTS = \
	tests/nbd/test-writer \
	tests/nbd/test-exports \
	tests/nbd/test-checkpoint \
	tests/nbd/test-crash
check_PROGRAMS += $(NBD_TESTS)
TESTS += $(NBD_TESTS)
check_LTLIBRARIES += libnbdfixture.la
libnbdfixture_la_SOURCES = \
	tests/nbd/server.h tests/nbd/server.c tests/nbd/client.c
libnbdfixture_la_CFLAGS = $(AM_CFLAGS) $(NBD_CFLAGS)
NBD_TEST_LIBS = libnbdfixture.la $(UNIT_LIBS) $(NBD_LIBS)

# nbdkit loads it from the build folder.
$(NBD_TESTS): nbdkit-colo-plugin.la

tests_nbd_test_writer_SOURCES = tests/nbd/test-writer.c
tests_nbd_test_writer_LDADD = libcoloplugin.la $(NBD_TEST_LIBS)
tests_nbd_test_exports_SOURCES = tests/nbd/test-exports.c
tests_nbd_test_exports_LDADD = libcoloplugin.la $(NBD_TEST_LIBS)
tests_nbd_test_checkpoint_SOURCES = tests/nbd/test-checkpoint.c
tests_nbd_test_checkpoint_LDADD = $(NBD_TEST_LIBS)
tests_nbd_test_crash_SOURCES = tests/nbd/test-crash.c
tests_nbd_test_crash_LDADD = $(NBD_TEST_LIBS)

TESTS += tests/nbd/test-interop.sh
dist_check_SCRIPTS += tests/nbd/test-interop.sh
tests/nbd/test-interop.log: nbdkit-colo-plugin.la qmp-send

# Fuzzing, as in tests/fuzz/local.mk
check_PROGRAMS += tests/fuzz/replay-checkpoint
TESTS += tests/fuzz/replay-checkpoint
EXTRA_DIST += tests/fuzz/checkpoint.dict
tests_fuzz_replay_checkpoint_SOURCES = \
	tests/fuzz/fuzz-checkpoint.c $(FUZZ_REPLAY)
tests_fuzz_replay_checkpoint_LDADD = \
	libcoloplugin.la libcolostore.la $(UNIT_LIBS)
if FUZZERS
noinst_PROGRAMS += tests/fuzz/fuzz-checkpoint
tests_fuzz_fuzz_checkpoint_SOURCES = \
	tests/fuzz/fuzz-checkpoint.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_checkpoint_LDADD = $(tests_fuzz_replay_checkpoint_LDADD)
tests_fuzz_fuzz_checkpoint_LDFLAGS = $(FUZZ_LINK)
endif
