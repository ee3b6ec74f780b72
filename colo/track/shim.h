/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Inside of libcolotrack.so: the ranges of guest RAM in this process.
 *
 * The library lives in QEMU: it takes no memory from malloc, uses no GLib,
 * and whatever fails costs tracking, never QEMU.  All calls may come from
 * any thread; they may change errno.
 */
#ifndef COLO_TRACK_SHIM_H
#define COLO_TRACK_SHIM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* Mappings smaller than this are not taken for guest RAM. */
#define SHIM_MIN_BYTES ((size_t)16 << 20)

/* When the library is loaded: reads COLO_TRACK_DEBUG, leaves LD_PRELOAD. */
void shim_start(void);

/* Is anything tracked at all?  Cheap; for the hot path of the wrappers. */
bool shim_tracking(void);

/* Is a part of this in a tracked range? */
bool shim_is_tracked(uintptr_t addr, size_t len);

/*
 * A new shared writable mapping: register it and make its discard log.
 * fd: the file, -1 if anonymous; offset: of the mapping in the file.
 */
void shim_range_mapped(uintptr_t addr, size_t len, int fd, uint64_t offset);

/* A part of a range was mapped anew: register that part again. */
void shim_range_replaced(uintptr_t addr, size_t len);

/* Unmapped, moved or mapped over. */
void shim_range_gone(uintptr_t addr, size_t len);

/* The content of these addresses, or of this part of a file, may be gone. */
void shim_discarded(uintptr_t addr, size_t len);
void shim_file_discarded(int fd, uint64_t offset, uint64_t len);

/* mmap(2) without the wrapper. */
void *shim_sys_mmap(void *addr, size_t len, int prot, int flags, int fd,
                    off_t offset);

/* Lines for QEMU's stderr; shim_debug() only with COLO_TRACK_DEBUG. */
void shim_log(const char *fmt, ...) __attribute__((format(printf, 1, 2)));
void shim_debug(const char *fmt, ...) __attribute__((format(printf, 1, 2)));

/* The userfaultfd of this process, made on first use; -1: see *why. */
int shim_uffd(const char **why);

/* Register for asynchronous write protection; 0, or -1 and *why. */
int shim_uffd_register(uintptr_t addr, size_t len, const char **why);

#endif
