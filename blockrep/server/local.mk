# SPDX-License-Identifier: GPL-2.0-or-later
noinst_LTLIBRARIES += libcolodiskserver.la
libcolodiskserver_la_SOURCES = \
	blockrep/server/server.h blockrep/server/server-priv.h \
	blockrep/server/server.c \
	blockrep/server/listener.c \
	blockrep/server/nbdkit.c \
	blockrep/server/watch.c
