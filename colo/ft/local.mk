# SPDX-License-Identifier: GPL-2.0-or-later
noinst_LTLIBRARIES += libcoloft.la
libcoloft_la_SOURCES = \
	colo/ft/ft-proto.h colo/ft/ft-proto.c \
	colo/ft/ft-states.h colo/ft/ft-states.c \
	colo/ft/ft-hello.h colo/ft/ft-hello.c \
	colo/ft/ft-io.h colo/ft/ft-io.c \
	colo/ft/ft-coding.h colo/ft/ft-coding.c \
	colo/ft/ft-hold.h colo/ft/ft-hold.c \
	colo/ft/ft-log.h colo/ft/ft-log.c \
	colo/ft/ft-receiver.h colo/ft/ft-receiver.c \
	colo/ft/ft-sender.h colo/ft/ft-sender-priv.h \
	colo/ft/ft-sender.c colo/ft/ft-sender-frames.c colo/ft/ft-pool.c
libcoloft_la_LIBADD = $(LZ4_LIBS) $(ZSTD_LIBS)
