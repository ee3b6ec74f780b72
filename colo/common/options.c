/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Options of a program, from the command line and a key file. */
#include <config.h>

#include "colo/options.h"
#include "colo/names.h"
#include "colo/sockaddr.h"

#include <locale.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

/* A key file is small; a device or a mistaken image is not read whole. */
enum { MAX_FILE = 1024 * 1024 };

/* Names of the options found by the last parse; of the main thread. */
static GHashTable *given;

typedef struct Parse {
    const ColoOptions *o;
    char *config;
    gboolean version;
} Parse;

gboolean colo_parse_int(const char *text, gint64 min, gint64 max,
                        const char *unit, gint64 *value, GError **error)
{
    if (g_ascii_string_to_signed(text, 10, min, max, value, NULL)) {
        return TRUE;
    }
    g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE,
                "must be %" G_GINT64_FORMAT " to %" G_GINT64_FORMAT "%s%s%s",
                min, max, unit ? " (" : "", unit ? unit : "", unit ? ")" : "");
    return FALSE;
}

static const ColoOption *find(const ColoOptions *o, const char *name)
{
    for (const ColoOption *opt = o->list; opt->name; opt++) {
        if (g_str_equal(opt->name, name)) {
            return opt;
        }
    }
    return NULL;
}

static gboolean is_list(const ColoOption *opt)
{
    return opt->type == COLO_OPT_LIST || opt->type == COLO_OPT_ADDR_LIST;
}

static gboolean bad_value(GError **error, const char *why)
{
    g_set_error_literal(error, G_OPTION_ERROR, G_OPTION_ERROR_BAD_VALUE, why);
    return FALSE;
}

static gboolean set_choice(const ColoOption *opt, const char *text,
                           GError **error)
{
    g_autoptr(GString) all = g_string_new("must be ");

    for (int i = 0; opt->choices[i]; i++) {
        if (g_str_equal(opt->choices[i], text)) {
            *(int *)opt->value = i;
            return TRUE;
        }
        g_string_append_printf(all, "%s%s",
                               i == 0                ? ""
                               : opt->choices[i + 1] ? ", "
                                                     : " or ",
                               opt->choices[i]);
    }
    return bad_value(error, all->str);
}

static gboolean set_address(const ColoOption *opt, const char *text,
                            GError **error)
{
    ColoAddr *a = colo_addr_parse(text, error);

    if (!a) {
        return FALSE;
    }
    if (opt->type == COLO_OPT_ADDR) {
        colo_addr_free(*(ColoAddr **)opt->value);
        *(ColoAddr **)opt->value = a;
    } else {
        GPtrArray **list = opt->value;

        if (!*list) {
            *list =
                g_ptr_array_new_with_free_func((GDestroyNotify)colo_addr_free);
        }
        g_ptr_array_add(*list, a);
    }
    return TRUE;
}

static void append_string(char ***list, const char *text)
{
    guint n = *list ? g_strv_length(*list) : 0;

    *list = g_renew(char *, *list, n + 2);
    (*list)[n] = g_strdup(text);
    (*list)[n + 1] = NULL;
}

static void clear_value(const ColoOption *opt)
{
    switch (opt->type) {
    case COLO_OPT_STRING:
        g_clear_pointer((char **)opt->value, g_free);
        break;
    case COLO_OPT_LIST:
        g_clear_pointer((char ***)opt->value, g_strfreev);
        break;
    case COLO_OPT_ADDR:
        g_clear_pointer((ColoAddr **)opt->value, colo_addr_free);
        break;
    case COLO_OPT_ADDR_LIST:
        g_clear_pointer((GPtrArray **)opt->value, g_ptr_array_unref);
        break;
    case COLO_OPT_FLAG:
    case COLO_OPT_INT:
    case COLO_OPT_CHOICE:
        break;
    }
}

/* One value of one option, from wherever it came. */
static gboolean set_value(const ColoOption *opt, const char *text,
                          GError **error)
{
    if (!*text) {
        return bad_value(error, "must not be empty");
    }
    switch (opt->type) {
    case COLO_OPT_FLAG:
        if (!g_str_equal(text, "true") && !g_str_equal(text, "false")) {
            return bad_value(error, "must be true or false");
        }
        *(gboolean *)opt->value = g_str_equal(text, "true");
        return TRUE;
    case COLO_OPT_STRING:
        clear_value(opt);
        *(char **)opt->value = g_strdup(text);
        return TRUE;
    case COLO_OPT_LIST:
        append_string(opt->value, text);
        return TRUE;
    case COLO_OPT_INT:
        return colo_parse_int(text, opt->min, opt->max, opt->unit, opt->value,
                              error);
    case COLO_OPT_CHOICE:
        return set_choice(opt, text, error);
    case COLO_OPT_ADDR:
    case COLO_OPT_ADDR_LIST:
        return set_address(opt, text, error);
    }
    g_return_val_if_reached(FALSE);
}

/* GOption's callback for each option of the table; name is "--name". */
static gboolean on_option(const char *name, const char *text, gpointer data,
                          GError **error)
{
    Parse *p = data;
    const ColoOption *opt = find(p->o, name + strlen("--"));

    if (g_hash_table_add(given, (gpointer)opt->name) && is_list(opt)) {
        clear_value(opt); /* a default list is replaced, not extended */
    }
    if (!set_value(opt, opt->type == COLO_OPT_FLAG ? "true" : text, error)) {
        g_prefix_error(error, "%s %s: ", name, text ? text : "");
        return FALSE;
    }
    return TRUE;
}

/* One key of the file. */
static gboolean set_from_file(const ColoOption *opt, GKeyFile *file,
                              const char *group, GError **error)
{
    g_auto(GStrv) values = NULL;

    if (is_list(opt)) {
        values =
            g_key_file_get_string_list(file, group, opt->name, NULL, error);
    } else {
        values = g_new0(char *, 2);
        values[0] = g_key_file_get_string(file, group, opt->name, error);
    }
    if (!values || (error && *error)) {
        return FALSE;
    }
    if (!values[0]) {
        return bad_value(error, "must not be empty");
    }
    if (is_list(opt)) {
        clear_value(opt);
    }
    for (char **v = values; *v; v++) {
        if (!set_value(opt, *v, error)) {
            return FALSE;
        }
    }
    return TRUE;
}

static gboolean read_file(const ColoOptions *o, const char *path,
                          gboolean need_group, GError **error)
{
    g_autoptr(GKeyFile) file = g_key_file_new();
    g_autofree char *text = NULL;
    g_auto(GStrv) keys = NULL;
    FILE *f = fopen(path, "re");
    gsize len;

    if (!f) {
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_FAILED,
                    "cannot open the configuration file %s: %m", path);
        return FALSE;
    }
    text = g_malloc(MAX_FILE);
    len = fread(text, 1, MAX_FILE, f);
    if (ferror(f) || len == MAX_FILE) {
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_FAILED,
                    "cannot read the configuration file %s: %s", path,
                    len == MAX_FILE ? "the file is too large" : "read error");
        fclose(f);
        return FALSE;
    }
    fclose(f);
    if (!g_key_file_load_from_data(file, text, len, G_KEY_FILE_NONE, error)) {
        g_prefix_error(error, "%s: ", path);
        return FALSE;
    }
    keys = g_key_file_get_keys(file, o->program, NULL, NULL);
    if (!keys && !need_group) {
        return TRUE;
    }
    if (!keys) {
        g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_FAILED,
                    "%s: there is no group [%s]", path, o->program);
        return FALSE;
    }
    for (char **key = keys; *key; key++) {
        const ColoOption *opt = find(o, *key);

        if (!opt) {
            g_set_error(error, G_OPTION_ERROR, G_OPTION_ERROR_UNKNOWN_OPTION,
                        "%s: unknown key %s in group [%s]", path, *key,
                        o->program);
            return FALSE;
        }
        if (g_hash_table_contains(given, opt->name)) {
            continue; /* the command line wins */
        }
        g_hash_table_add(given, (gpointer)opt->name);
        if (!set_from_file(opt, file, o->program, error)) {
            g_autofree char *raw =
                g_key_file_get_value(file, o->program, *key, NULL);

            g_prefix_error(error, "%s: %s=%s: ", path, *key, raw);
            return FALSE;
        }
    }
    return TRUE;
}

static gboolean read_files(const ColoOptions *o, const char *named,
                           GError **error)
{
    const char *dir = g_getenv("COLO_CONFIG_DIR"), *name = NULL;
    g_autofree char *path = NULL;

    if (named) {
        return read_file(o, named, TRUE, error);
    }
    if (!o->own_file) {
        return TRUE;
    }
    name = *(char *const *)find(o, "name")->value;
    if (name && !colo_name_is_valid(name)) {
        return TRUE; /* the program says so */
    }
    path = g_strdup_printf("%s/%s.conf", dir ? dir : CONFIGDIR,
                           name ? name : "vm0");
    return access(path, F_OK) != 0 || read_file(o, path, FALSE, error);
}

static GOptionContext *make_context(Parse *p)
{
    GOptionContext *context = g_option_context_new(p->o->usage);
    GOptionGroup *group = g_option_group_new(p->o->program, "", "", p, NULL);
    GOptionEntry own[] = {
        {"config", 0, 0, G_OPTION_ARG_FILENAME, &p->config,
         "read options from this key file", "FILE"},
        {"version", 0, 0, G_OPTION_ARG_NONE, &p->version,
         "show the version and exit", NULL},
        {NULL},
    };

    for (const ColoOption *opt = p->o->list; opt->name; opt++) {
        GOptionEntry entry[] = {
            {.long_name = opt->name,
             .flags = opt->type == COLO_OPT_FLAG ? G_OPTION_FLAG_NO_ARG
                                                 : G_OPTION_FLAG_FILENAME,
             .arg = G_OPTION_ARG_CALLBACK,
             .arg_data = (gpointer)on_option,
             .description = opt->help,
             .arg_description = opt->arg},
            {NULL},
        };

        g_option_group_add_entries(group, entry); /* copies it */
    }
    g_option_group_add_entries(group, own);
    g_option_context_set_main_group(context, group);
    g_option_context_set_summary(context, p->o->summary);
    return context;
}

int colo_options_wrong(const ColoOptions *o, const char *fmt, ...)
{
    g_autofree char *text = NULL;
    va_list ap;

    va_start(ap, fmt);
    text = g_strdup_vprintf(fmt, ap);
    va_end(ap);
    fprintf(stderr,
            "%s: %s\nUsage: %s [OPTION...]%s%s\n"
            "Try '%s --help' for the options.\n",
            o->program, text, o->program, o->usage ? " " : "",
            o->usage ? o->usage : "", o->program);
    return 2;
}

int colo_options_parse(const ColoOptions *o, int *argc, char ***argv)
{
    Parse p = {.o = o};
    g_autoptr(GOptionContext) context = make_context(&p);
    g_autoptr(GError) error = NULL;
    int code = -1;

    /* Paths, and GLib's own words in the help, are not all ASCII. */
    setlocale(LC_CTYPE, "");
    g_clear_pointer(&given, g_hash_table_unref);
    given = g_hash_table_new(g_str_hash, g_str_equal);
    if (!g_option_context_parse(context, argc, argv, &error)) {
        code = colo_options_wrong(o, "%s", error->message);
    } else if (p.version) {
        printf("%s (%s) %s\n", o->program, PACKAGE_NAME, PACKAGE_VERSION);
        code = 0;
    } else if (!read_files(o, p.config, &error)) {
        code = colo_options_wrong(o, "%s", error->message);
    } else if (!o->words && *argc > 1) {
        code = colo_options_wrong(o, "unexpected argument %s", (*argv)[1]);
    }
    g_free(p.config);
    return code;
}

gboolean colo_options_given(const ColoOptions *o, const char *name)
{
    g_return_val_if_fail(find(o, name), FALSE);
    return given && g_hash_table_contains(given, name);
}

void colo_options_clear(const ColoOptions *o)
{
    for (const ColoOption *opt = o->list; opt->name; opt++) {
        clear_value(opt);
    }
    g_clear_pointer(&given, g_hash_table_unref);
}
