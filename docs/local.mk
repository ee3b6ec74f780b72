# SPDX-License-Identifier: GPL-2.0-or-later
#
# Man pages: docs/NAME.SECTION.pod becomes docs/NAME.SECTION
MAN_PODS = docs/colo-net.8.pod docs/colo-proxy.8.pod docs/colo-qemu.1.pod docs/coloctl.1.pod docs/colo.7.pod docs/colod.8.pod docs/nbdkit-colo-plugin.1.pod

man_MANS += $(MAN_PODS:.pod=)
EXTRA_DIST += $(MAN_PODS)
CLEANFILES += $(MAN_PODS:.pod=)

SUFFIXES = .pod
.pod:
	$(AM_V_GEN)$(MKDIR_P) $(@D) && page=$(@F) && \
	$(POD2MAN) --utf8 --errors=die --center=colo \
		--release='$(PACKAGE_STRING)' --section=$${page##*.} \
		--name=$${page%.*} $< $@.tmp && mv -f $@.tmp $@
