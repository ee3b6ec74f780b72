# SPDX-License-Identifier: GPL-2.0-or-later
noinst_LTLIBRARIES += libcolovm.la
libcolovm_la_SOURCES = \
	colo/vm/vm.h \
	colo/vm/vm.c \
	colo/vm/vm-internal.h \
	colo/vm/vm-blocks.c \
	colo/vm/vm-capture.c \
	colo/vm/vm-clock.c \
	colo/vm/vm-clock.h \
	colo/vm/vm-describe.c \
	colo/vm/vm-disk-reads.c \
	colo/vm/vm-fdset.c \
	colo/vm/vm-sched.c \
	colo/vm/vm-load.c \
	colo/vm/vm-ram.c \
	colo/vm/vm-timer.c \
	colo/vm/vm-sections.h \
	colo/vm/vm-timer.h \
	colo/vm/vm-vmstate.c \
	colo/vm/vm-vmstate.h
