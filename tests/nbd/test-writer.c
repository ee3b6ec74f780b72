/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Who may write, and after whom. */
#include "blockrep/plugin/writer.h"

#define A "192.0.2.1"
#define B "192.0.2.2"

typedef struct Two {
    Writer w;
    WriterClaim a, b;
} Two;

static WriterAnswer begin(Writer *w, WriterClaim *c, const char *host)
{
    g_autofree char *other = NULL;

    return writer_begin(w, c, host, &other);
}

static void write_once(Writer *w, WriterClaim *c, const char *host,
                       WriterAnswer answer)
{
    g_assert_cmpint(begin(w, c, host), ==, answer);
    if (answer == WRITER_OK || answer == WRITER_NEW) {
        writer_end(w, c);
    }
}

static void two_init(Two *t)
{
    *t = (Two){0};
    writer_init(&t->w);
    writer_open(&t->w, &t->a);
}

static void test_hosts(void)
{
    Two t;

    two_init(&t);
    writer_open(&t.w, &t.b);
    write_once(&t.w, &t.a, A, WRITER_NEW);
    write_once(&t.w, &t.b, B, WRITER_REFUSED_NEW);
    write_once(&t.w, &t.b, B, WRITER_REFUSED);
    write_once(&t.w, &t.a, A, WRITER_OK);
    writer_close(&t.w, &t.a);
    write_once(&t.w, &t.b, B, WRITER_NEW);
    writer_close(&t.w, &t.b);
    writer_clear(&t.w);
}

/* Both were open before either wrote: a client with two connections. */
static void test_several(void)
{
    Two t;

    two_init(&t);
    writer_open(&t.w, &t.b);
    for (int i = 0; i < 3; i++) {
        write_once(&t.w, &t.a, A, i ? WRITER_OK : WRITER_NEW);
        write_once(&t.w, &t.b, A, WRITER_OK);
    }
    writer_close(&t.w, &t.a);
    write_once(&t.w, &t.b, A, WRITER_OK);
    writer_close(&t.w, &t.b);
    writer_clear(&t.w);
}

static gpointer write_b(gpointer user)
{
    Two *t = user;

    write_once(&t->w, &t->b, A, WRITER_OK);
    return NULL;
}

/* Came back: what is under way ends first, and nothing follows it. */
static void test_superseded(void)
{
    GThread *thread;
    Two t;

    two_init(&t);
    g_assert_cmpint(begin(&t.w, &t.a, A), ==, WRITER_NEW);
    writer_open(&t.w, &t.b);
    thread = g_thread_new("b", write_b, &t);
    while (!g_atomic_int_get(&t.a.superseded)) {
        g_thread_yield();
    }
    g_usleep(20000); /* time for it to do what it must not */
    g_assert_cmpint(g_atomic_int_get(&t.b.serial), ==, 0);
    write_once(&t.w, &t.a, A, WRITER_SUPERSEDED);
    writer_end(&t.w, &t.a);
    g_thread_join(thread);
    write_once(&t.w, &t.a, A, WRITER_SUPERSEDED);
    write_once(&t.w, &t.b, A, WRITER_OK);

    /* The half-open one does not keep others out. */
    writer_close(&t.w, &t.b);
    writer_open(&t.w, &t.b);
    write_once(&t.w, &t.b, B, WRITER_NEW);
    writer_close(&t.w, &t.a);
    write_once(&t.w, &t.b, B, WRITER_OK);
    writer_close(&t.w, &t.b);
    writer_clear(&t.w);
}

static void test_forget(void)
{
    Two t;

    two_init(&t);
    writer_open(&t.w, &t.b);
    write_once(&t.w, &t.a, A, WRITER_NEW);
    writer_forget(&t.w);
    write_once(&t.w, &t.b, B, WRITER_NEW);
    write_once(&t.w, &t.a, A, WRITER_REFUSED_NEW);
    writer_close(&t.w, &t.a);
    write_once(&t.w, &t.b, B, WRITER_OK);
    writer_close(&t.w, &t.b);
    writer_clear(&t.w);
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/writer/hosts", test_hosts);
    g_test_add_func("/writer/several", test_several);
    g_test_add_func("/writer/superseded", test_superseded);
    g_test_add_func("/writer/forget", test_forget);
    return g_test_run();
}
