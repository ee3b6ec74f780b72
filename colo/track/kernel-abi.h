/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Kernel interfaces of dirty tracking that are newer than the headers of
 * supported distributions (Linux 6.7; Debian 12 ships 6.1's).  The names
 * with COLO_ stand for those of <linux/fs.h> and <linux/userfaultfd.h>.
 */
#ifndef COLO_TRACK_KERNEL_ABI_H
#define COLO_TRACK_KERNEL_ABI_H

#include <linux/ioctl.h>
#include <linux/userfaultfd.h>
#include <stdint.h>

/* ioctl(PAGEMAP_SCAN) on /proc/PID/pagemap */
struct colo_page_region {
    uint64_t start;
    uint64_t end;
    uint64_t categories;
};

struct colo_pm_scan_arg {
    uint64_t size; /* of this struct */
    uint64_t flags;
    uint64_t start;
    uint64_t end;
    uint64_t walk_end; /* set by the kernel */
    uint64_t vec;
    uint64_t vec_len;
    uint64_t max_pages;
    uint64_t category_inverted;
    uint64_t category_mask;
    uint64_t category_anyof_mask;
    uint64_t return_mask;
};

#define COLO_PAGEMAP_SCAN         _IOWR('f', 16, struct colo_pm_scan_arg)
#define COLO_PAGE_IS_WPALLOWED    (UINT64_C(1) << 0)
#define COLO_PAGE_IS_WRITTEN      (UINT64_C(1) << 1)
#define COLO_PM_SCAN_WP_MATCHING  (UINT64_C(1) << 0)
#define COLO_PM_SCAN_CHECK_WPASYNC (UINT64_C(1) << 1)

/* One entry of /proc/PID/pagemap */
#define COLO_PM_SOFT_DIRTY (UINT64_C(1) << 55)
#define COLO_PM_SWAPPED    (UINT64_C(1) << 62)
#define COLO_PM_PRESENT    (UINT64_C(1) << 63)

/* userfaultfd(2); the first is a flag of the call, the rest are features */
#define COLO_UFFD_USER_MODE_ONLY    1
#define COLO_UFFD_WP_HUGETLBFS_SHMEM (UINT64_C(1) << 12)
#define COLO_UFFD_WP_UNPOPULATED    (UINT64_C(1) << 13)
#define COLO_UFFD_WP_ASYNC          (UINT64_C(1) << 15)

#endif
