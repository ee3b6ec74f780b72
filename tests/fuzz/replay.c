/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Runs a fuzz target on files: those named, or else on its corpus and on
 * every cut of each of its files (a stream may end anywhere).  TAP.
 */
#include "fuzz.h"

#include <glib.h>

enum { MAX_CUTS = 256 };

static void replay(const char *path, gboolean cuts)
{
    g_autoptr(GError) error = NULL;
    g_autofree char *bytes = NULL;
    gsize size, step;

    g_assert_true(g_file_get_contents(path, &bytes, &size, &error));
    LLVMFuzzerTestOneInput((const uint8_t *)bytes, size);
    step = size / MAX_CUTS + 1;
    for (gsize n = 0; cuts && n < size; n += step) {
        /* A copy of its own, for the sanitizers to guard its end. */
        g_autofree uint8_t *cut = g_memdup2(bytes, n);

        LLVMFuzzerTestOneInput(cut, n);
    }
}

static void replay_corpus(void)
{
    const char *srcdir = g_getenv("COLO_SRCDIR");
    g_autofree char *folder = g_build_filename(
        srcdir ? srcdir : ".", "tests", "fuzz", "corpus", fuzz_corpus, NULL);
    g_autoptr(GError) error = NULL;
    g_autoptr(GDir) dir = g_dir_open(folder, 0, &error);
    const char *name;
    guint n = 0;

    g_assert_no_error(error);
    while ((name = g_dir_read_name(dir))) {
        g_autofree char *path = g_build_filename(folder, name, NULL);

        replay(path, TRUE);
        n++;
    }
    g_test_message("%u files of %s", n, folder);
    g_assert_cmpuint(n, >, 0);
}

int main(int argc, char **argv)
{
    g_autofree char *name = g_strconcat("/fuzz/", fuzz_corpus, NULL);

    g_test_init(&argc, &argv, NULL);
    for (int i = 1; i < argc; i++) {
        replay(argv[i], FALSE);
    }
    if (argc > 1) {
        return 0;
    }
    g_test_add_func(name, replay_corpus);
    return g_test_run();
}
