/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Options of a program: a table, read from the command line and from the
 * key file named by --config, or the VM's own.
 *
 * A key in the file is the long option without its dashes, in the group
 * named like the program; other groups are other programs' business.  What
 * the command line says wins over the file.
 *
 *     [colod]
 *     checkpoint-delay=500
 *     heartbeat=10.0.0.2:7000;10.1.0.2:7000
 *     debug=true
 */
#ifndef COLO_OPTIONS_H
#define COLO_OPTIONS_H

#include <glib.h>

typedef enum ColoOptionType {
    COLO_OPT_FLAG,      /* gboolean; no argument, true or false in the file */
    COLO_OPT_STRING,    /* char *, not empty */
    COLO_OPT_LIST,      /* char ** (GStrv); may be repeated, ";" in the file */
    COLO_OPT_INT,       /* gint64 from min to max */
    COLO_OPT_CHOICE,    /* int, the index of one of choices */
    COLO_OPT_ADDR,      /* ColoAddr * */
    COLO_OPT_ADDR_LIST, /* GPtrArray * of ColoAddr; as COLO_OPT_LIST */
} ColoOptionType;

typedef struct ColoOption {
    const char *name; /* "checkpoint-delay" */
    ColoOptionType type;
    /*
     * Where the value goes; untouched when the option is not given, so it
     * holds the default before.  A string, list or address there must be
     * NULL or allocated; colo_options_clear() frees it.
     */
    gpointer value;
    const char *arg;            /* what the help calls the argument: "MS" */
    const char *help;           /* one line, names the default */
    gint64 min, max;            /* COLO_OPT_INT */
    const char *unit;           /* COLO_OPT_INT, for messages: "ms"; or NULL */
    const char *const *choices; /* COLO_OPT_CHOICE, ends with NULL */
} ColoOption;

typedef struct ColoOptions {
    const char *program;    /* "colod": for messages, and the file's group */
    const char *usage;      /* what follows "colod [OPTION...]", or NULL */
    const char *summary;    /* what the program is for */
    gboolean words;         /* words that are no options stay in argv */
    const ColoOption *list; /* ends with a NULL name */
    gboolean own_file;      /* without --config read the VM's, if there is one:
                               NAME.conf in $COLO_CONFIG_DIR or CONFIGDIR, by
                               the option "name" (vm0); its group may miss */
} ColoOptions;

/*
 * Read the command line, then the file if it names one.  --config, --help
 * and --version need no table entry.  Returns -1 when the program shall
 * run; otherwise what had to be printed was, and it shall exit with what
 * is returned: 0 after --version, 2 after a wrong option (said on stderr).
 * --help exits by itself.
 */
int colo_options_parse(const ColoOptions *o, int *argc, char ***argv);

/* TRUE when the last colo_options_parse() found the option anywhere. */
gboolean colo_options_given(const ColoOptions *o, const char *name);

/* Free and clear the values of strings, lists and addresses. */
void colo_options_clear(const ColoOptions *o);

/* Complain about a combination of options as about a wrong one; returns 2. */
int colo_options_wrong(const ColoOptions *o, const char *fmt, ...)
    G_GNUC_PRINTF(2, 3);

/*
 * A decimal integer from min to max.  The error, G_OPTION_ERROR_BAD_VALUE,
 * reads "must be 10 to 3600000 (ms)": put what was wrong before it.
 */
gboolean colo_parse_int(const char *text, gint64 min, gint64 max,
                        const char *unit, gint64 *value, GError **error);

#endif
