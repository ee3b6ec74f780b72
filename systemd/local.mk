# SPDX-License-Identifier: GPL-2.0-or-later
UNITS = systemd/colod@.service systemd/colo-proxy@.service
systemdsystemunit_DATA = $(UNITS)
exampledir = $(docdir)/examples
dist_example_DATA = systemd/vm0.conf.example
EXTRA_DIST += systemd/colod@.service.in systemd/colo-proxy@.service.in
CLEANFILES += $(UNITS)

# Not by configure: sysconfdir is known to make only
SUFFIXES += .service.in .service
.service.in.service:
	$(AM_V_GEN)$(MKDIR_P) $(@D) && \
	sed -e 's|@sbindir[@]|$(sbindir)|' -e 's|@sysconfdir[@]|$(sysconfdir)|' \
		$< >$@.tmp && mv -f $@.tmp $@
$(UNITS): Makefile
