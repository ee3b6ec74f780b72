/* SPDX-License-Identifier: GPL-2.0-or-later */
/* From the text of one QMP request to the text of its reply. */
#ifndef COLO_QMP_DISPATCH_H
#define COLO_QMP_DISPATCH_H

#include "colo/qmp-server.h"

typedef struct ColoQmpTable ColoQmpTable;

/* As colo_qmp_server_new(). */
ColoQmpTable *colo_qmp_table_new(const char *product,
                                 const ColoQmpCommand *commands,
                                 gpointer user_data);
void colo_qmp_table_free(ColoQmpTable *t);
G_DEFINE_AUTOPTR_CLEANUP_FUNC(ColoQmpTable, colo_qmp_table_free)

/*
 * Carry out the request in line (line[len] is NUL).  *negotiated is the
 * client's state: FALSE until its qmp_capabilities succeeded.  Returns the
 * reply without line end (free with g_free); NULL for an empty line.
 */
char *colo_qmp_dispatch(ColoQmpTable *t, const char *line, gsize len,
                        gboolean *negotiated);

/* The greeting, an event stamped now, an error without an id; as above. */
char *colo_qmp_format_greeting(ColoQmpTable *t);
char *colo_qmp_format_event(const char *event, JsonObject *data);
char *colo_qmp_format_error(ColoQmpErrorCode code, const char *desc);

#endif
