# SPDX-License-Identifier: GPL-2.0-or-later
ATTACH_BED = tests/attach/bed.c tests/attach/bed.h \
	tests/vm/pair.c tests/vm/pair.h
ATTACH_LIBS = libcoloattach.la libcolovm.la $(NBD_LIBS) $(UNIT_LIBS)

check_PROGRAMS += tests/attach/test-attach
TESTS += tests/attach/test-attach
tests_attach_test_attach_SOURCES = tests/attach/test-attach.c $(ATTACH_BED)
tests_attach_test_attach_LDADD = $(ATTACH_LIBS)

check_PROGRAMS += tests/attach/test-attach-loss
TESTS += tests/attach/test-attach-loss
tests_attach_test_attach_loss_SOURCES = \
	tests/attach/test-attach-loss.c $(ATTACH_BED)
tests_attach_test_attach_loss_LDADD = $(ATTACH_LIBS)

check_PROGRAMS += tests/attach/test-break-sockets
TESTS += tests/attach/test-break-sockets
tests_attach_test_break_sockets_SOURCES = tests/attach/test-break-sockets.c
tests_attach_test_break_sockets_LDADD = libcoloattach.la $(UNIT_LIBS)

# It needs the plugin, too, which ./run tells it about.
CUT_TEST = tests/attach/test-cut
$(CUT_TEST): nbdkit-colo-plugin.la
check_PROGRAMS += $(CUT_TEST)
TESTS += $(CUT_TEST)
tests_attach_test_cut_SOURCES = tests/attach/test-cut.c $(ATTACH_BED)
tests_attach_test_cut_CFLAGS = $(AM_CFLAGS) $(NBD_CFLAGS)
tests_attach_test_cut_LDADD = $(ATTACH_LIBS)

check_PROGRAMS += tests/attach/test-block-graph
TESTS += tests/attach/test-block-graph
tests_attach_test_block_graph_SOURCES = tests/attach/test-block-graph.c
tests_attach_test_block_graph_CFLAGS = $(AM_CFLAGS) $(NBD_CFLAGS)
tests_attach_test_block_graph_LDADD = libcoloattach.la libcolovm.la $(UNIT_LIBS)
