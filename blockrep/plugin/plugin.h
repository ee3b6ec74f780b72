/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the callbacks that nbdkit calls share. */
#ifndef COLO_PLUGIN_PLUGIN_H
#define COLO_PLUGIN_PLUGIN_H

#include "blockrep/plugin/checkpoint.h"
#include "blockrep/plugin/control.h"

#define NBDKIT_API_VERSION 2
#include <nbdkit-plugin.h>

typedef struct Plugin {
    DiskSet *set;
    char *folder, *control_path;
    int parent;           /* dies with this process; 0: with none */
    gboolean tls_primary; /* hosts other than this one must use TLS */
    Control *control;
    Checkpoint *checkpoint;
} Plugin;

extern Plugin the_plugin;

/* One client's connection to one export */
typedef struct Connection {
    Disk *disk; /* NULL: to "checkpoint" */
    ColoStoreView view;
    char *host;
    WriterClaim claim;
} Connection;

/* --- exports.c: names and rights -------------------------------------------
 */

int exports_list(int readonly, int is_tls, struct nbdkit_exports *exports);
void *exports_open(int readonly);
void exports_close(void *handle);
const char *exports_description(void *handle);

/* --- requests.c -------------------------------------------------------------
 */

int64_t request_size(void *handle);
int request_block_size(void *handle, uint32_t *minimum, uint32_t *preferred,
                       uint32_t *maximum);
/* What only disks can */
int request_is_disk(void *handle);
int request_can_fua(void *handle);
int request_can_fast_zero(void *handle);
int request_read(void *handle, void *buf, uint32_t count, uint64_t offset,
                 uint32_t flags);
int request_write(void *handle, const void *buf, uint32_t count,
                  uint64_t offset, uint32_t flags);
int request_zero(void *handle, uint32_t count, uint64_t offset, uint32_t flags);
int request_trim(void *handle, uint32_t count, uint64_t offset, uint32_t flags);
int request_flush(void *handle, uint32_t flags);
int request_extents(void *handle, uint32_t count, uint64_t offset,
                    uint32_t flags, struct nbdkit_extents *extents);

#endif
