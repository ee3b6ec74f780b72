# SPDX-License-Identifier: GPL-2.0-or-later
noinst_LTLIBRARIES += libcolorewrite.la
libcolorewrite_la_SOURCES = \
	netcompare/rewrite/flows.h netcompare/rewrite/flows.c \
	netcompare/rewrite/rewrite.h netcompare/rewrite/rewrite.c
