/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Makes an epoch store for a shell script, step by step:
 *   store-make IMAGE STEP...
 * Steps: pvm OFFSET LENGTH SEED, svm OFFSET LENGTH SEED (writes of noise, in
 * pieces of 128 KiB), seal N, load N, promote, show pvm|svm FILE (what that
 * guest sees), version N (the state file shall have that format), hold (say
 * "ready", until standard input ends).
 *
 * Merging into the image is as good as stopped, and the end is as sudden as by
 * kill -9: what is left is for another program.
 */
#include "blockrep/store/format.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PIECE (128 * 1024)

static ColoStore *s;
static const char *image;
static char **words; /* what is left of the command line */

static const char *word(void)
{
    if (!*words) {
        fprintf(stderr, "store-make: a word is missing\n");
        exit(2);
    }
    return *words++;
}

static guint64 number(void)
{
    guint64 n;

    if (!g_ascii_string_to_unsigned(word(), 10, 0, G_MAXINT64, &n, NULL)) {
        fprintf(stderr, "store-make: %s is no number\n", words[-1]);
        exit(2);
    }
    return n;
}

static void must(const char *what, int r)
{
    if (r) {
        fprintf(stderr, "store-make: %s: %s\n", what, g_strerror(-r));
        exit(1);
    }
}

static void noise(ColoStoreView v)
{
    guint64 off = number(), end = off + number();
    g_autoptr(GRand) rand = g_rand_new_with_seed((guint32)number());
    g_autofree guint32 *buf = g_malloc(PIECE);

    while (off < end) {
        guint32 n = (guint32)MIN(PIECE, end - off);

        for (guint i = 0; i < PIECE / sizeof(*buf); i++) {
            buf[i] = g_rand_int(rand);
        }
        must("write", colo_store_write(s, v, buf, n, off, FALSE));
        off += n;
    }
}

static void show(void)
{
    ColoStoreView v =
        strcmp(word(), "pvm") ? COLO_STORE_SECONDARY : COLO_STORE_PRIMARY;
    FILE *f = fopen(word(), "w");
    g_autofree char *buf = g_malloc(PIECE);
    guint64 off = 0, size = colo_store_size(s);

    while (f && off < size) {
        guint32 n = (guint32)MIN(PIECE, size - off);

        must("read", colo_store_read(s, v, buf, n, off));
        if (fwrite(buf, n, 1, f) != 1) {
            break;
        }
        off += n;
    }
    if (!f || fclose(f) || off < size) {
        perror("store-make: cannot write what is seen");
        exit(1);
    }
}

static void put_le(guint8 *p, guint64 value, int bytes)
{
    for (int i = 0; i < bytes; i++) {
        p[i] = (guint8)(value >> (8 * i));
    }
}

static void set_version(void)
{
    g_autofree char *path = g_strconcat(image, ".colo/state", NULL);
    FILE *f = fopen(path, "r+");
    guint8 h[STORE_HEADER];

    if (!f || fread(h, sizeof(h), 1, f) != 1) {
        perror("store-make: cannot read the state");
        exit(1);
    }
    put_le(h + 8, number(), 4);
    put_le(h + 56, store_data_sum(h, 56), 8);
    rewind(f);
    if (fwrite(h, sizeof(h), 1, f) != 1 || fclose(f)) {
        perror("store-make: cannot write the state");
        exit(1);
    }
}

static void step(const char *what)
{
    if (!strcmp(what, "pvm")) {
        noise(COLO_STORE_PRIMARY);
    } else if (!strcmp(what, "svm")) {
        noise(COLO_STORE_SECONDARY);
    } else if (!strcmp(what, "seal")) {
        must(what, colo_store_seal(s, number()));
    } else if (!strcmp(what, "load")) {
        must(what, colo_store_load(s, number()));
    } else if (!strcmp(what, "promote")) {
        must(what, colo_store_promote(s));
    } else if (!strcmp(what, "show")) {
        show();
    } else if (!strcmp(what, "version")) {
        set_version();
    } else if (!strcmp(what, "hold")) {
        puts("ready");
        fflush(stdout);
        while (getchar() != EOF) {
        }
    } else {
        fprintf(stderr, "store-make: unknown step %s\n", what);
        exit(2);
    }
}

int main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;
    ColoStoreOptions o;

    words = argv + 1;
    colo_store_options_default(&o);
    o.base = image = word();
    o.merge_bytes_per_s = 1;
    s = colo_store_open(&o, &error);
    if (!s) {
        fprintf(stderr, "store-make: %s\n", error->message);
        return 1;
    }
    while (*words) {
        step(*words++);
    }
    _exit(0);
}
