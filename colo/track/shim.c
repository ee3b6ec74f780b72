/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libcolotrack.so: preloaded into QEMU by colo-qemu.
 *
 * Wraps the calls that make, replace, remove or empty shared mappings.
 * Each wrapper does the system call first, exactly as it was asked to, and
 * only then tells shim-ranges.c; errno is the system call's.  The calls are
 * made directly instead of through dlsym(RTLD_NEXT): that is safe before
 * the C library is initialised and inside of other preloaded libraries.
 */
#include "config.h"
#include "colo/track/shim.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Everything else is hidden (-fvisibility). */
#define EXPORT __attribute__((visibility("default")))

_Static_assert(sizeof(long) == 8 && sizeof(off_t) == 8,
               "libcolotrack.so is for 64 bit hosts");

void *shim_sys_mmap(void *addr, size_t len, int prot, int flags, int fd,
                    off_t offset)
{
#ifdef __s390x__
    long args[6] = {(long)addr, (long)len, prot, flags, fd, offset};

    return (void *)syscall(SYS_mmap, args);
#else
    return (void *)syscall(SYS_mmap, addr, len, prot, flags, fd, offset);
#endif
}

static bool is_shared(int flags)
{
    int type = flags & MAP_TYPE;

    return type == MAP_SHARED || type == MAP_SHARED_VALIDATE;
}

/* Guest RAM is large, shared and written; code buffers are executed. */
static bool may_be_ram(size_t len, int prot, int flags)
{
    return len >= SHIM_MIN_BYTES && is_shared(flags) && (prot & PROT_WRITE) &&
           !(prot & PROT_EXEC);
}

static void *do_mmap(void *addr, size_t len, int prot, int flags, int fd,
                     off_t offset)
{
    void *p = shim_sys_mmap(addr, len, prot, flags, fd, offset);
    int saved = errno;

    if (p == MAP_FAILED) {
        return p;
    }
    if (may_be_ram(len, prot, flags)) {
        if (flags & MAP_ANONYMOUS) {
            fd = -1;
        }
        /* QEMU reserves addresses first and maps the RAM over them. */
        shim_range_gone((uintptr_t)p, len);
        shim_range_mapped((uintptr_t)p, len, fd, (uint64_t)offset);
    } else if ((flags & MAP_FIXED) && shim_tracking()) {
        if (is_shared(flags)) {
            shim_range_replaced((uintptr_t)p, len);
        } else {
            shim_range_gone((uintptr_t)p, len);
        }
    }
    errno = saved;
    return p;
}

EXPORT void *mmap(void *addr, size_t len, int prot, int flags, int fd,
                  off_t offset)
{
    return do_mmap(addr, len, prot, flags, fd, offset);
}

EXPORT void *mmap64(void *addr, size_t len, int prot, int flags, int fd,
             off64_t offset)
{
    return do_mmap(addr, len, prot, flags, fd, offset);
}

EXPORT int munmap(void *addr, size_t len)
{
    int r = (int)syscall(SYS_munmap, addr, len), saved = errno;

    if (r == 0 && shim_tracking()) {
        shim_range_gone((uintptr_t)addr, len);
    }
    errno = saved;
    return r;
}

EXPORT void *mremap(void *addr, size_t old_len, size_t new_len, int flags, ...)
{
    void *to = NULL, *p;
    int saved;

    if (flags & (MREMAP_FIXED | MREMAP_DONTUNMAP)) {
        va_list ap;

        va_start(ap, flags);
        to = va_arg(ap, void *);
        va_end(ap);
    }
    p = (void *)syscall(SYS_mremap, addr, old_len, new_len, flags, to);
    saved = errno;
    if (p != MAP_FAILED && shim_tracking()) {
        shim_range_gone((uintptr_t)addr, old_len);
        if (p != addr) {
            shim_range_gone((uintptr_t)p, new_len);
        }
    }
    errno = saved;
    return p;
}

/* Advice after which pages are zero or their written state is forgotten. */
static bool drops_pages(int advice)
{
    switch (advice) {
    case MADV_DONTNEED:
    case MADV_REMOVE:
#ifdef MADV_DONTNEED_LOCKED
    case MADV_DONTNEED_LOCKED:
#endif
        return true;
    default:
        return false;
    }
}

EXPORT int madvise(void *addr, size_t len, int advice)
{
    int r, saved;

    /*
     * Huge pages would be tracked, and sent, 2 MiB at a time; and when the
     * kernel splits one that was written it forgets that it was.
     */
    if (advice == MADV_HUGEPAGE && shim_tracking() &&
        shim_is_tracked((uintptr_t)addr, len)) {
        return 0;
    }
    r = (int)syscall(SYS_madvise, addr, len, advice);
    saved = errno;
    if (drops_pages(advice) && shim_tracking()) {
        /* Also after a failure, which may come after part was done. */
        shim_discarded((uintptr_t)addr, len);
    }
    errno = saved;
    return r;
}

static int do_fallocate(int fd, int mode, off_t offset, off_t len)
{
    int r = (int)syscall(SYS_fallocate, fd, mode, offset, len);
    int saved = errno;

    if ((mode & ~FALLOC_FL_KEEP_SIZE) && offset >= 0 && len > 0 &&
        shim_tracking()) {
        shim_file_discarded(fd, (uint64_t)offset, (uint64_t)len);
    }
    errno = saved;
    return r;
}

EXPORT int fallocate(int fd, int mode, off_t offset, off_t len)
{
    return do_fallocate(fd, mode, offset, len);
}

EXPORT int fallocate64(int fd, int mode, off64_t offset, off64_t len)
{
    return do_fallocate(fd, mode, offset, len);
}

__attribute__((constructor)) static void start(void)
{
    shim_start();
}
