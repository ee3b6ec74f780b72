# SPDX-License-Identifier: GPL-2.0-or-later
# Tests of netcompare/rewrite/
REWRITE_TESTS = \
	tests/rewrite/test-rewrite \
	tests/rewrite/test-conversation
check_PROGRAMS += $(REWRITE_TESTS)
TESTS += $(REWRITE_TESTS)
REWRITE_TEST_LIBS = libpacketbuild.la libcolorewrite.la libcolopacket.la \
	$(UNIT_LIBS)

tests_rewrite_test_rewrite_SOURCES = tests/rewrite/test-rewrite.c
tests_rewrite_test_rewrite_LDADD = $(REWRITE_TEST_LIBS)
tests_rewrite_test_conversation_SOURCES = tests/rewrite/test-conversation.c
tests_rewrite_test_conversation_LDADD = $(REWRITE_TEST_LIBS)
