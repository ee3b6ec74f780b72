/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The sanitizers' runtimes for programs of others.  See sanitizers.h. */
#include "tests/common/sanitizers.h"

#include <string.h>

#ifdef __SANITIZE_ADDRESS__
/* Of a library that this program has loaded; NULL: it has none such. */
static char *path_of(const char *library)
{
    g_autofree char *maps = NULL, *pattern = NULL;
    g_autoptr(GMatchInfo) match = NULL;
    g_autoptr(GRegex) regex = NULL;

    pattern = g_strdup_printf("/\\S*%s\\S*", library);
    regex = g_regex_new(pattern, 0, 0, NULL);
    g_assert_true(g_file_get_contents("/proc/self/maps", &maps, NULL, NULL));
    return g_regex_match(regex, maps, 0, &match) ? g_match_info_fetch(match, 0)
                                                 : NULL;
}
#endif

char **sanitizers_variables(void)
{
    g_autoptr(GStrvBuilder) b = g_strv_builder_new();
#ifdef __SANITIZE_ADDRESS__
    g_autofree char *asan = path_of("libasan\\.so");
    g_autofree char *ubsan = path_of("libubsan\\.so");
    g_autofree char *preload = NULL;

    g_assert_nonnull(asan);
    preload = g_strconcat("LD_PRELOAD=", asan, ubsan ? ":" : NULL, ubsan, NULL);
    g_strv_builder_add(b, preload);
    /* The program's own would be found, too. */
    g_strv_builder_add(b, "ASAN_OPTIONS=detect_leaks=0");
#endif
    return g_strv_builder_end(b);
}

char **sanitizers_environ(void)
{
    g_auto(GStrv) variables = sanitizers_variables();
    char **env = g_get_environ();

    for (char **v = variables; *v; v++) {
        g_auto(GStrv) pair = g_strsplit(*v, "=", 2);

        env = g_environ_setenv(env, pair[0], pair[1], TRUE);
    }
    return env;
}
