/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The plugin's QMP socket, on a thread of its own. */
#ifndef COLO_PLUGIN_CONTROL_H
#define COLO_PLUGIN_CONTROL_H

#include "blockrep/plugin/disk.h"
#include "colo/qmp-server.h"

/* What the commands work on */
typedef struct ControlTarget {
    DiskSet *set;
    void (*quit)(void); /* asks the server to end; returns at once */
} ControlTarget;

/* For a ControlTarget */
extern const ColoQmpCommand control_commands[];

typedef struct Control Control;

/*
 * Events of the disks are told there from now on, to whoever listens: so this
 * comes before the disks are opened.
 */
Control *control_new(const char *path, const ControlTarget *target);
gboolean control_start(Control *c, GError **error);
/* No command is carried out any more; then the disks can be closed. */
void control_stop(Control *c);
/* No disk tells anything any more. */
void control_free(Control *c);

#endif
