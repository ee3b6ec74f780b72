# SPDX-License-Identifier: GPL-2.0-or-later
noinst_LTLIBRARIES += libcoloattach.la
libcoloattach_la_SOURCES = \
	blockrep/attach/attach.h \
	blockrep/attach/attach.c \
	blockrep/attach/attach-priv.h \
	blockrep/attach/attach-steps.c \
	blockrep/attach/block-graph.c \
	blockrep/attach/break-sockets.h \
	blockrep/attach/break-sockets.c \
	blockrep/attach/cut.h \
	blockrep/attach/cut.c \
	blockrep/attach/nbd-link.h \
	blockrep/attach/nbd-link.c \
	blockrep/attach/peer.h \
	blockrep/attach/qemu-disk.h \
	blockrep/attach/qemu-disk.c \
	blockrep/attach/watch.h \
	blockrep/attach/watch.c
libcoloattach_la_CPPFLAGS = $(AM_CPPFLAGS) $(NBD_CFLAGS)
libcoloattach_la_LIBADD = $(NBD_LIBS)
