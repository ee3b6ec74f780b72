/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A fuzz target: one function and the name of its corpus.
 *
 * Linked with libFuzzer it searches for new inputs; linked with replay.c
 * it runs the kept ones, in every "make check".
 */
#ifndef COLO_TEST_FUZZ_H
#define COLO_TEST_FUZZ_H

#include <stddef.h>
#include <stdint.h>

/* The folder below tests/fuzz/corpus/. */
extern const char fuzz_corpus[];

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

#endif
