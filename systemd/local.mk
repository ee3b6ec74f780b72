# SPDX-License-Identifier: GPL-2.0-or-later
systemdsystemunit_DATA = systemd/colod@.service
exampledir = $(docdir)/examples
dist_example_DATA = systemd/vm0.conf.example
EXTRA_DIST += systemd/colod@.service.in
CLEANFILES += systemd/colod@.service

# Not by configure: sysconfdir is known to make only
systemd/colod@.service: systemd/colod@.service.in Makefile
	$(AM_V_GEN)$(MKDIR_P) $(@D) && \
	sed -e 's|@sbindir[@]|$(sbindir)|' -e 's|@sysconfdir[@]|$(sysconfdir)|' \
		$(srcdir)/systemd/colod@.service.in >$@.tmp && mv -f $@.tmp $@
