/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What begins each part of a device state's stream: one byte.  Source:
 * QEMU_VM_* in QEMU's migration/savevm.h.
 */
#ifndef COLO_VM_SECTIONS_H
#define COLO_VM_SECTIONS_H

enum {
    SECTION_EOF = 0x00,
    SECTION_FULL = 0x04,
    SECTION_VMDESCRIPTION = 0x06,
    SECTION_CONFIGURATION = 0x07,
    SECTION_FOOTER = 0x7e,
};

#endif
