/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Names of VMs, and identities of runs and sessions. */
#include "colo/names.h"

#include <string.h>

gboolean colo_name_is_valid(const char *name)
{
    return *name && strlen(name) <= 64 && name[0] != '.' &&
           strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                        "0123456789._-") == strlen(name);
}

char *colo_new_id(void)
{
    g_autofree char *uuid = g_uuid_string_random();
    GString *id = g_string_new(NULL);

    for (const char *p = uuid; *p; p++) {
        if (*p != '-') {
            g_string_append_c(id, *p);
        }
    }
    return g_string_free(id, FALSE);
}
