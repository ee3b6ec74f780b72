/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The tiny guest's machine: entry from a multiboot loader (as QEMU's -kernel
 * is), serial line, interrupts, timer.  One CPU, no paging.
 */
#include "chain-step.h"
#include "tiny.h"

#define COM1     0x3f8
#define LSR_DATA 0x01
#define LSR_FREE 0x20

#define PIC1         0x20
#define PIC2         0xa0
#define PIC_EOI      0x20
#define TIMER_VECTOR 32

#define PIT_HZ 1193182u

#define CODE_SEGMENT 8
#define DATA_SEGMENT 16

/* Multiboot 1: magic, flags, minus their sum; then the entry point. */
__asm__(".section .multiboot, \"ax\"\n"
        ".align 4\n"
        ".long 0x1badb002, 0, -0x1badb002\n"
        ".global _start\n"
        "_start:\n"
        "   cld\n"
        "   mov $tiny_stack_end, %esp\n"
        "   push %ebx\n"
        "   call tiny_main\n"
        "1: cli\n"
        "   hlt\n"
        "   jmp 1b\n"
        ".section .bss\n"
        ".align 16\n"
        "tiny_stack: .skip 16384\n"
        "tiny_stack_end:\n"
        ".text\n");

volatile uint32_t ticks;

typedef struct Gate {
    uint16_t offset_low, segment, flags, offset_high;
} Gate;

typedef struct __attribute__((packed)) TablePointer {
    uint16_t limit;
    uint32_t base;
} TablePointer;

static Gate gates[48];
static const uint64_t segments[] = {0, UINT64_C(0x00cf9a000000ffff),
                                    UINT64_C(0x00cf92000000ffff)};

void serial_start(void)
{
    port_out(COM1 + 1, 0);    /* no interrupts: the line is polled */
    port_out(COM1 + 3, 0x80); /* divisor 1: 115200 */
    port_out(COM1, 1);
    port_out(COM1 + 1, 0);
    port_out(COM1 + 3, 3); /* 8n1 */
    port_out(COM1 + 2, 7); /* FIFOs on and empty */
}

bool serial_getc(char *c)
{
    if (!(port_in(COM1 + 5) & LSR_DATA))
        return false;
    *c = (char)port_in(COM1);
    return true;
}

void puts_raw(const char *s)
{
    for (; *s; s++) {
        while (!(port_in(COM1 + 5) & LSR_FREE))
            ;
        port_out(COM1, (uint8_t)*s);
    }
}

void put_decimal(uint32_t v)
{
    char text[11];
    char *p = text + sizeof(text) - 1;
    *p = '\0';
    do {
        *--p = (char)('0' + v % 10);
        v /= 10;
    } while (v != 0);
    puts_raw(p);
}

void put_hex(uint64_t v, unsigned digits)
{
    char text[2] = "";
    while (digits-- > 0) {
        text[0] = "0123456789abcdef"[(v >> (4 * digits)) & 15];
        puts_raw(text);
    }
}

struct interrupt_frame;

__attribute__((interrupt)) static void on_timer(struct interrupt_frame *frame)
{
    (void)frame;
    ticks++;
    port_out(PIC1, PIC_EOI);
}

/* Never returns, so that it serves exceptions with and without a code. */
__attribute__((interrupt)) static void
on_exception(struct interrupt_frame *frame)
{
    (void)frame;
    puts_raw("\nCHAIN BROKEN exception\n");
    for (;;)
        __asm__ volatile("cli; hlt");
}

static void set_gate(unsigned vector, void (*handler)(struct interrupt_frame *))
{
    uint32_t at = (uint32_t)handler;
    gates[vector] =
        (Gate){(uint16_t)at, CODE_SEGMENT, 0x8e00, (uint16_t)(at >> 16)};
}

static void start_timer(void)
{
    uint32_t divisor = PIT_HZ * TICK_MS / 1000;

    /* Both controllers: vectors from 32, only the timer's line open */
    port_out(PIC1, 0x11);
    port_out(PIC2, 0x11);
    port_out(PIC1 + 1, TIMER_VECTOR);
    port_out(PIC2 + 1, TIMER_VECTOR + 8);
    port_out(PIC1 + 1, 4);
    port_out(PIC2 + 1, 2);
    port_out(PIC1 + 1, 1);
    port_out(PIC2 + 1, 1);
    port_out(PIC1 + 1, 0xfe);
    port_out(PIC2 + 1, 0xff);

    port_out(0x43, 0x34); /* channel 0, both bytes, rate generator */
    port_out(0x40, (uint8_t)divisor);
    port_out(0x40, (uint8_t)(divisor >> 8));
}

void machine_start(void)
{
    TablePointer gdt = {sizeof(segments) - 1, (uint32_t)segments};
    TablePointer idt = {sizeof(gates) - 1, (uint32_t)gates};

    for (unsigned i = 0; i < 48; i++)
        set_gate(i, on_exception);
    set_gate(TIMER_VECTOR, on_timer);
    __asm__ volatile("lgdt %0\n"
                     "ljmp %1, $1f\n"
                     "1: mov %2, %%eax\n"
                     "mov %%eax, %%ds\n"
                     "mov %%eax, %%es\n"
                     "mov %%eax, %%fs\n"
                     "mov %%eax, %%gs\n"
                     "mov %%eax, %%ss\n"
                     "lidt %3\n"
                     :
                     : "m"(gdt), "i"(CODE_SEGMENT), "i"(DATA_SEGMENT), "m"(idt)
                     : "eax", "memory");
    start_timer();
    __asm__ volatile("sti");
}

void machine_idle(void)
{
    __asm__ volatile("hlt" : : : "memory");
}

/* The keyboard controller's line to the CPU's reset pin */
void machine_reset(void)
{
    port_out(0x64, 0xfe);
    for (;;)
        machine_idle();
}
