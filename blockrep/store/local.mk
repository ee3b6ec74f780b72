# SPDX-License-Identifier: GPL-2.0-or-later
noinst_LTLIBRARIES += libcolostore.la
libcolostore_la_SOURCES = \
	blockrep/store/store.h blockrep/store/store-priv.h \
	blockrep/store/base.h blockrep/store/base.c \
	blockrep/store/check.c \
	blockrep/store/copy.c \
	blockrep/store/durable.c \
	blockrep/store/epoch.c \
	blockrep/store/extents.c \
	blockrep/store/file-io.h blockrep/store/file-io.c \
	blockrep/store/format.h blockrep/store/format.c \
	blockrep/store/index.h blockrep/store/index.c \
	blockrep/store/io.c \
	blockrep/store/keeper.c \
	blockrep/store/layer.c \
	blockrep/store/log.h blockrep/store/log.c \
	blockrep/store/merge.c \
	blockrep/store/recover.c \
	blockrep/store/replay.c \
	blockrep/store/snapshot.c \
	blockrep/store/statefile.h blockrep/store/statefile.c \
	blockrep/store/status.c \
	blockrep/store/store.c
libcolostore_la_LIBADD = $(XXHASH_LIBS)
