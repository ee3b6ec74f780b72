/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the two files of the tiny guest share. */
#ifndef COLO_GUEST_TINY_H
#define COLO_GUEST_TINY_H

#include <stdbool.h>
#include <stdint.h>

#define TICK_MS 10u

/* Ticks of the timer since the start; grows in its interrupt. */
extern volatile uint32_t ticks;

void serial_start(void);
bool serial_getc(char *c);
void puts_raw(const char *s);
void put_decimal(uint32_t v);
void put_hex(uint64_t v, unsigned digits);

/* Segments, interrupt table and the timer; interrupts are on afterwards. */
void machine_start(void);

/* Sleep until the next interrupt. */
void machine_idle(void);

void machine_reset(void);

/* The program, called with the loader's information. */
void tiny_main(const void *multiboot);

#endif
