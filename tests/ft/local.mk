# SPDX-License-Identifier: GPL-2.0-or-later
# Tests of colo/ft/
FT_TESTS = \
	tests/ft/test-ft-proto \
	tests/ft/test-ft-states \
	tests/ft/test-ft-log \
	tests/ft/test-ft-receiver \
	tests/ft/test-ft-sender \
	tests/ft/test-ft-stream \
	tests/ft/test-ft-cut
check_PROGRAMS += $(FT_TESTS)
TESTS += $(FT_TESTS)
FT_TEST_LIBS = libcoloft.la $(UNIT_LIBS)

tests_ft_test_ft_log_SOURCES = tests/ft/test-ft-log.c
tests_ft_test_ft_log_LDADD = $(FT_TEST_LIBS)
tests_ft_test_ft_stream_SOURCES = tests/ft/test-ft-stream.c \
	tests/ft/frames.c tests/ft/frames.h tests/ft/pair.c tests/ft/pair.h
tests_ft_test_ft_stream_LDADD = $(FT_TEST_LIBS)
tests_ft_test_ft_proto_SOURCES = tests/ft/test-ft-proto.c \
	tests/ft/frames.c tests/ft/frames.h tests/ft/golden.h
tests_ft_test_ft_proto_LDADD = $(FT_TEST_LIBS)
tests_ft_test_ft_states_SOURCES = tests/ft/test-ft-states.c
tests_ft_test_ft_states_LDADD = $(FT_TEST_LIBS)
tests_ft_test_ft_receiver_SOURCES = tests/ft/test-ft-receiver.c \
	tests/ft/frames.c tests/ft/frames.h
tests_ft_test_ft_receiver_LDADD = $(FT_TEST_LIBS)
tests_ft_test_ft_cut_SOURCES = tests/ft/test-ft-cut.c \
	tests/ft/sim.c tests/ft/sim.h tests/ft/relay.c tests/ft/relay.h \
	tests/ft/pair.c tests/ft/pair.h
tests_ft_test_ft_cut_LDADD = $(FT_TEST_LIBS)
tests_ft_test_ft_sender_SOURCES = tests/ft/test-ft-sender.c \
	tests/ft/frames.c tests/ft/frames.h tests/ft/pair.c tests/ft/pair.h
tests_ft_test_ft_sender_LDADD = $(FT_TEST_LIBS)
