# SPDX-License-Identifier: GPL-2.0-or-later
#
# Fuzz targets.  For a new one, NAME:
#   tests/fuzz/fuzz-NAME.c     the target, see fuzz.h
#   tests/fuzz/corpus/NAME/    inputs worth keeping, small
#   two blocks below           replay-NAME and fuzz-NAME
# To search for an hour, then keep what is new in as few files as possible:
#   mkdir fuzz && cd fuzz && ../configure CC=clang --enable-fuzzers && make
#   mkdir new && tests/fuzz/fuzz-qmp -max_total_time=3600 \
#     -dict=../tests/fuzz/qmp.dict new ../tests/fuzz/corpus/qmp
#   mkdir min && tests/fuzz/fuzz-qmp -merge=1 min new ../tests/fuzz/corpus/qmp
EXTRA_DIST += tests/fuzz/corpus tests/fuzz/qmp.dict tests/fuzz/checkpoint.dict

FUZZ_LINK = $(AM_LDFLAGS) -fsanitize=fuzzer
FUZZ_REPLAY = tests/fuzz/replay.c tests/fuzz/fuzz.h

# The kept inputs, in every "make check"
check_PROGRAMS += tests/fuzz/replay-qmp
TESTS += tests/fuzz/replay-qmp
tests_fuzz_replay_qmp_SOURCES = tests/fuzz/fuzz-qmp.c $(FUZZ_REPLAY)
tests_fuzz_replay_qmp_LDADD = $(UNIT_LIBS)

# Compiled apart: where checksums count as right, inputs get behind them.
check_PROGRAMS += tests/fuzz/replay-ft
TESTS += tests/fuzz/replay-ft
FUZZ_FT = tests/fuzz/fuzz-ft.c tests/fuzz/fuzz.h $(libcoloft_la_SOURCES)
tests_fuzz_replay_ft_SOURCES = $(FUZZ_FT) tests/fuzz/replay.c
tests_fuzz_replay_ft_CPPFLAGS = $(AM_CPPFLAGS) \
	-DFUZZING_BUILD_MODE_UNSAFE_FOR_PRODUCTION
tests_fuzz_replay_ft_LDADD = $(LZ4_LIBS) $(ZSTD_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/fuzz/replay-packet
TESTS += tests/fuzz/replay-packet
tests_fuzz_replay_packet_SOURCES = tests/fuzz/fuzz-packet.c $(FUZZ_REPLAY)
tests_fuzz_replay_packet_LDADD = libcolorewrite.la libcolopacket.la $(UNIT_LIBS)

check_PROGRAMS += tests/fuzz/replay-link
TESTS += tests/fuzz/replay-link
tests_fuzz_replay_link_SOURCES = tests/fuzz/fuzz-link.c $(FUZZ_REPLAY)
tests_fuzz_replay_link_LDADD = $(LINK_TEST_LIBS)

check_PROGRAMS += tests/fuzz/replay-compare
TESTS += tests/fuzz/replay-compare
FUZZ_COMPARE = tests/fuzz/fuzz-compare.c \
	tests/compare/build.h tests/compare/build.c
tests_fuzz_replay_compare_SOURCES = $(FUZZ_COMPARE) $(FUZZ_REPLAY)
tests_fuzz_replay_compare_LDADD = \
	libcolocompare.la libcolopacket.la $(UNIT_LIBS)

# The search for new ones
if FUZZERS
noinst_PROGRAMS += tests/fuzz/fuzz-compare
tests_fuzz_fuzz_compare_SOURCES = $(FUZZ_COMPARE) tests/fuzz/fuzz.h
tests_fuzz_fuzz_compare_LDADD = $(tests_fuzz_replay_compare_LDADD)
tests_fuzz_fuzz_compare_LDFLAGS = $(FUZZ_LINK)
noinst_PROGRAMS += tests/fuzz/fuzz-link
tests_fuzz_fuzz_link_SOURCES = tests/fuzz/fuzz-link.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_link_LDADD = $(LINK_TEST_LIBS)
tests_fuzz_fuzz_link_LDFLAGS = $(FUZZ_LINK)
noinst_PROGRAMS += tests/fuzz/fuzz-packet
tests_fuzz_fuzz_packet_SOURCES = tests/fuzz/fuzz-packet.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_packet_LDADD = $(tests_fuzz_replay_packet_LDADD)
tests_fuzz_fuzz_packet_LDFLAGS = $(FUZZ_LINK)
noinst_PROGRAMS += tests/fuzz/fuzz-ft
tests_fuzz_fuzz_ft_SOURCES = $(FUZZ_FT)
tests_fuzz_fuzz_ft_CPPFLAGS = $(tests_fuzz_replay_ft_CPPFLAGS)
tests_fuzz_fuzz_ft_LDADD = $(tests_fuzz_replay_ft_LDADD)
tests_fuzz_fuzz_ft_LDFLAGS = $(FUZZ_LINK)
noinst_PROGRAMS += tests/fuzz/fuzz-qmp
tests_fuzz_fuzz_qmp_SOURCES = tests/fuzz/fuzz-qmp.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_qmp_LDADD = $(UNIT_LIBS)
tests_fuzz_fuzz_qmp_LDFLAGS = $(FUZZ_LINK)
endif
