/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The part of the bench service that is about the guest's disk. */
#ifndef COLO_TESTS_BENCH_SERVICE_DISK_H
#define COLO_TESTS_BENCH_SERVICE_DISK_H

#include "tests/bench/bench.h"

/* Measures each for so long, and prints lines. */
void service_disk(const RigOptions *options, int seconds);

#endif
