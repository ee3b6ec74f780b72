# SPDX-License-Identifier: GPL-2.0-or-later
noinst_LTLIBRARIES += libcolotracker.la
libcolotracker_la_SOURCES = \
	colo/track/tracker.h \
	colo/track/tracker.c \
	colo/track/tracker-impl.h \
	colo/track/kernel-abi.h \
	colo/track/uffd.c \
	colo/track/soft-dirty.c \
	colo/track/compare.c \
	colo/track/page-hash.h \
	colo/track/page-hash.c \
	colo/track/ram-extents.h \
	colo/track/ram-extents.c \
	colo/track/direct-io.h \
	colo/track/direct-io.c \
	colo/track/discard-log.h \
	colo/track/discard-reader.h \
	colo/track/discard-reader.c
libcolotracker_la_LIBADD = $(XXHASH_LIBS)

# Lives in QEMU: neither the sanitizers' runtime nor GLib comes along
pkglib_LTLIBRARIES += libcolotrack.la
libcolotrack_la_SOURCES = \
	colo/track/discard-log.h \
	colo/track/kernel-abi.h \
	colo/track/shim.h \
	colo/track/shim.c \
	colo/track/shim-ranges.c \
	colo/track/shim-start.c \
	colo/track/shim-uffd.c
libcolotrack_la_CFLAGS = -std=gnu11 -O2 -g $(WARN_CFLAGS) -pthread \
	-fvisibility=hidden
libcolotrack_la_LDFLAGS = -module -avoid-version -shared -pthread

bin_PROGRAMS += colo-qemu
colo_qemu_SOURCES = colo/track/colo-qemu.c
colo_qemu_LDADD = $(GLIB_LIBS)
