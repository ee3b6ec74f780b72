/* SPDX-License-Identifier: GPL-2.0-or-later */
/* QMP's error classes and the errors of a connection itself. */
#include "colo/qmp-client.h"

GQuark colo_qmp_error_quark(void)
{
    return g_quark_from_static_string("colo-qmp-error-quark");
}

static const char *const classes[] = {
    [COLO_QMP_ERROR_GENERIC] = "GenericError",
    [COLO_QMP_ERROR_COMMAND_NOT_FOUND] = "CommandNotFound",
    [COLO_QMP_ERROR_DEVICE_NOT_ACTIVE] = "DeviceNotActive",
    [COLO_QMP_ERROR_DEVICE_NOT_FOUND] = "DeviceNotFound",
    [COLO_QMP_ERROR_KVM_MISSING_CAP] = "KVMMissingCap",
};

const char *colo_qmp_error_class(ColoQmpErrorCode code)
{
    /* A connection's own errors have no class of their own. */
    return (guint)code < G_N_ELEMENTS(classes)
               ? classes[code]
               : classes[COLO_QMP_ERROR_GENERIC];
}

ColoQmpErrorCode colo_qmp_error_from_class(const char *text)
{
    for (guint i = 0; text && i < G_N_ELEMENTS(classes); i++) {
        if (g_str_equal(text, classes[i])) {
            return i;
        }
    }
    return COLO_QMP_ERROR_GENERIC;
}
