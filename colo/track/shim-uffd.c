/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * libcolotrack.so: userfaultfd.
 *
 * One descriptor for the whole process, kept open as long as it lives:
 * closing it would end the write protection.  In asynchronous mode nobody
 * ever reads from it; the kernel resolves each fault by itself.
 */
#include "config.h"
#include "colo/track/shim.h"
#include "colo/track/kernel-abi.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/ioctl.h>
#include <sys/syscall.h>
#include <unistd.h>

/* Both guarded by the lock of shim-ranges.c. */
static int uffd = -1;
static pid_t uffd_owner;

static int open_uffd(const char **why)
{
    struct uffdio_api api = {
        .api = UFFD_API,
        .features = COLO_UFFD_WP_ASYNC | COLO_UFFD_WP_UNPOPULATED |
                    COLO_UFFD_WP_HUGETLBFS_SHMEM,
    };
    /*
     * User mode only needs no privilege, and is no limit here: faults in
     * the kernel (read(2) into guest RAM) are resolved there as well.
     */
    int fd = (int)syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK |
                                               COLO_UFFD_USER_MODE_ONLY);

    if (fd < 0) {
        *why = errno == EINVAL || errno == ENOSYS
                   ? "the kernel has no userfaultfd for this (Linux 6.7)"
               : errno == EPERM ? "userfaultfd is forbidden to this process "
                                  "(seccomp or a security module)"
                                : "userfaultfd failed";
        return -1;
    }
    if (ioctl(fd, UFFDIO_API, &api) < 0) {
        *why = "the kernel has no asynchronous write protection by "
               "userfaultfd (Linux 6.7)";
        close(fd);
        return -1;
    }
    return fd;
}

int shim_uffd(const char **why)
{
    if (uffd >= 0 && uffd_owner != getpid()) {
        /* Forked: the descriptor acts on our parent's memory. */
        close(uffd);
        uffd = -1;
    }
    if (uffd < 0) {
        uffd = open_uffd(why);
        uffd_owner = getpid();
    }
    return uffd;
}

int shim_uffd_register(uintptr_t addr, size_t len, const char **why)
{
    struct uffdio_register reg = {
        .range = {.start = addr, .len = len},
        .mode = UFFDIO_REGISTER_MODE_WP,
    };
    int fd = shim_uffd(why);

    if (fd < 0) {
        return -1;
    }
    if (ioctl(fd, UFFDIO_REGISTER, &reg) < 0) {
        *why = errno == EBUSY    ? "registered with another userfaultfd"
               : errno == EPERM  ? "the mapping may not be written"
               : errno == EINVAL ? "this kind of memory cannot be registered"
               : errno == ENOMEM ? "out of memory"
                                 : "UFFDIO_REGISTER failed";
        return -1;
    }
    return 0;
}
