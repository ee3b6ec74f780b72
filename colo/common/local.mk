# SPDX-License-Identifier: GPL-2.0-or-later
noinst_LTLIBRARIES += libcolocommon.la
libcolocommon_la_SOURCES = \
	include/colo/bitmap.h \
	include/colo/bytes.h \
	include/colo/log.h \
	include/colo/names.h \
	include/colo/options.h \
	include/colo/sockaddr.h \
	include/colo/histogram.h \
	include/colo/qmp-client.h \
	include/colo/qmp-server.h \
	colo/common/bitmap.c \
	colo/common/histogram.c \
	colo/common/log.c \
	colo/common/names.c \
	colo/common/options.c \
	colo/common/qmp-client.c \
	colo/common/qmp-dispatch.c \
	colo/common/qmp-dispatch.h \
	colo/common/qmp-error.c \
	colo/common/qmp-server.c \
	colo/common/qmp-wire.c \
	colo/common/qmp-wire.h \
	colo/common/sockaddr.c \
	colo/common/unix-socket.c \
	colo/common/unix-socket.h
libcolocommon_la_LIBADD = -lm
