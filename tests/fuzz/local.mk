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
EXTRA_DIST += tests/fuzz/corpus tests/fuzz/qmp.dict

FUZZ_REPLAY = tests/fuzz/replay.c tests/fuzz/fuzz.h

# The kept inputs, in every "make check"
check_PROGRAMS += tests/fuzz/replay-qmp
TESTS += tests/fuzz/replay-qmp
tests_fuzz_replay_qmp_SOURCES = tests/fuzz/fuzz-qmp.c $(FUZZ_REPLAY)
tests_fuzz_replay_qmp_LDADD = $(UNIT_LIBS)

# The search for new ones
if FUZZERS
FUZZ_LINK = $(AM_LDFLAGS) -fsanitize=fuzzer
noinst_PROGRAMS += tests/fuzz/fuzz-qmp
tests_fuzz_fuzz_qmp_SOURCES = tests/fuzz/fuzz-qmp.c tests/fuzz/fuzz.h
tests_fuzz_fuzz_qmp_LDADD = $(UNIT_LIBS)
tests_fuzz_fuzz_qmp_LDFLAGS = $(FUZZ_LINK)
endif
