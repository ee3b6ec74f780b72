# SPDX-License-Identifier: GPL-2.0-or-later
#
# docs/internals.md draws the state machines from the tables in the code:
# "make update-docs" after a change of one.
EXTRA_DIST += docs/internals.md docs/put-states

noinst_PROGRAMS += docs/states-dump
docs_states_dump_SOURCES = docs/states-dump.c \
	colo/engine/replica-states.h colo/engine/replica-states.c
docs_states_dump_LDADD = libcoloft.la $(COMMON_LIBS)

.PHONY: update-docs
update-docs: docs/states-dump
	$(AM_V_GEN)$(SHELL) $(srcdir)/docs/put-states docs/states-dump \
		$(srcdir)/docs/internals.md >docs/internals.md.new && \
	mv docs/internals.md.new $(srcdir)/docs/internals.md

dist_check_SCRIPTS += tests/test-states-doc.sh
TESTS += tests/test-states-doc.sh
