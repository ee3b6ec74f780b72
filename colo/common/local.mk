# SPDX-License-Identifier: GPL-2.0-or-later
noinst_LTLIBRARIES += libcolocommon.la
libcolocommon_la_SOURCES = \
	include/colo/bitmap.h \
	include/colo/log.h \
	include/colo/sockaddr.h \
	include/colo/histogram.h \
	include/colo/qmp-client.h \
	include/colo/qmp-server.h \
	colo/common/bitmap.c
