# SPDX-License-Identifier: GPL-2.0-or-later
#
# All but what nbdkit calls is in a library of its own, for the tests.
noinst_LTLIBRARIES += libcoloplugin.la
libcoloplugin_la_SOURCES = \
	blockrep/plugin/checkpoint.h blockrep/plugin/checkpoint.c \
	blockrep/plugin/commands.c \
	blockrep/plugin/control.h blockrep/plugin/control.c \
	blockrep/plugin/disk.h blockrep/plugin/disk.c \
	blockrep/plugin/peer.h blockrep/plugin/peer.c \
	blockrep/plugin/steps.c \
	blockrep/plugin/takeover.c \
	blockrep/plugin/writer.h blockrep/plugin/writer.c

nbdkitplugin_LTLIBRARIES += nbdkit-colo-plugin.la
nbdkit_colo_plugin_la_SOURCES = \
	blockrep/plugin/exports.c \
	blockrep/plugin/plugin.h blockrep/plugin/plugin.c \
	blockrep/plugin/requests.c
nbdkit_colo_plugin_la_CFLAGS = $(AM_CFLAGS) $(NBDKIT_CFLAGS)
# GLib stays when nbdkit takes the plugin out of memory, and so do we.
nbdkit_colo_plugin_la_LDFLAGS = $(AM_LDFLAGS) -module -avoid-version -shared \
	-Wl,-z,nodelete -export-symbols-regex '^plugin_init$$'
nbdkit_colo_plugin_la_LIBADD = libcoloplugin.la libcolostore.la $(COMMON_LIBS)
