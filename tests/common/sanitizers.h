/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Programs of others that load what was built with the sanitizers. */
#ifndef TESTS_COMMON_SANITIZERS_H
#define TESTS_COMMON_SANITIZERS_H

#include <glib.h>

/*
 * The variables, as NAME=VALUE, with which such a program (nbdkit with our
 * plugin) has the sanitizers' runtimes before anything else; none: this build
 * is without them.
 */
char **sanitizers_variables(void);
/* This program's environment with them. */
char **sanitizers_environ(void);

#endif
