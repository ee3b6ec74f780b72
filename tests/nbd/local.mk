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
