/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Log lines for operators.
 *
 * Lines go to stderr.  Under systemd (JOURNAL_STREAM names stderr) each
 * starts with its priority as in sd-daemon(3), "<4>"; elsewhere with the
 * time and the program's name.  One call is one write(2): lines of several
 * threads never mix.  Safe from every thread.
 */
#ifndef COLO_LOG_H
#define COLO_LOG_H

#include <glib.h>

/* ident: the program's name and, if any, the VM's ("colod vm0"), copied. */
void colo_log_init(const char *ident, gboolean debug);

/* For programs that a person runs: information goes nowhere. */
void colo_log_only_warnings(void);

void colo_log_error(const char *fmt, ...) G_GNUC_PRINTF(1, 2);
void colo_log_warn(const char *fmt, ...) G_GNUC_PRINTF(1, 2);
void colo_log_info(const char *fmt, ...) G_GNUC_PRINTF(1, 2);

/* Nothing is formatted unless --debug is in force. */
void colo_log_debug(const char *fmt, ...) G_GNUC_PRINTF(1, 2);

#endif
