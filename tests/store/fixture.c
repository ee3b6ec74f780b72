/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A folder with an image, and a store on it. */
#include "tests/store/fixture.h"
#include "tests/common/scratch.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <unistd.h>

char *test_dir_new(void)
{
    const char *where = g_getenv("COLO_STORE_DIR");
    g_autofree char *template = NULL;

    if (!where) {
        where = g_access("/dev/shm", W_OK) == 0 ? "/dev/shm" : g_get_tmp_dir();
    }
    template = g_build_filename(where, "colo-store-XXXXXX", NULL);
    g_assert_nonnull(g_mkdtemp(template));
    return g_steal_pointer(&template);
}

static void on_event(gpointer user, const char *what, const char *detail)
{
    Fixture *f = user;

    g_assert_nonnull(detail);
    g_mutex_lock(&f->lock);
    g_string_append_printf(f->events, "%s ", what);
    g_cond_broadcast(&f->cond);
    g_mutex_unlock(&f->lock);
}

gboolean fixture_wait_event(Fixture *f, const char *what)
{
    gint64 until = g_get_monotonic_time() + 20 * G_USEC_PER_SEC;
    gboolean found;

    g_mutex_lock(&f->lock);
    while (!(found = strstr(f->events->str, what) != NULL)) {
        if (!g_cond_wait_until(&f->cond, &f->lock, until)) {
            break;
        }
    }
    g_mutex_unlock(&f->lock);
    return found;
}

Fixture *fixture_new(guint64 size)
{
    Fixture *f = g_new0(Fixture, 1);
    int fd;

    f->dir = test_dir_new();
    f->base = g_build_filename(f->dir, "disk.raw", NULL);
    f->folder = g_build_filename(f->dir, "disk.raw.colo", NULL);
    f->events = g_string_new(NULL);
    g_mutex_init(&f->lock);
    g_cond_init(&f->cond);
    fd = open(f->base, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(ftruncate(fd, (off_t)size), ==, 0);
    close(fd);
    colo_store_options_default(&f->o);
    f->o.base = f->base;
    f->o.event = on_event;
    f->o.user = f;
    return f;
}

void fixture_open(Fixture *f)
{
    g_autoptr(GError) error = NULL;

    f->s = colo_store_open(&f->o, &error);
    g_assert_no_error(error);
    g_assert_nonnull(f->s);
}

void fixture_close(Fixture *f)
{
    colo_store_close(g_steal_pointer(&f->s));
}

void fixture_reboot(Fixture *f)
{
    static guint boots;
    g_autofree char *path = g_build_filename(f->dir, "boot_id", NULL);
    g_autofree char *id = g_strdup_printf("%032x", ++boots);

    g_assert_true(g_file_set_contents(path, id, -1, NULL));
    store_boot_id_path = g_intern_string(path);
}

void fixture_free(Fixture *f)
{
    colo_store_close(f->s);
    store_boot_id_path = "/proc/sys/kernel/random/boot_id";
    scratch_remove(f->dir);
    g_string_free(f->events, TRUE);
    g_mutex_clear(&f->lock);
    g_cond_clear(&f->cond);
    g_free(f->dir);
    g_free(f->base);
    g_free(f->folder);
    g_free(f);
}

void check_write(Fixture *f, ColoStoreView v, guint64 off, guint32 len,
                 char fill)
{
    g_autofree char *buf = g_malloc(len);

    memset(buf, fill, len);
    g_assert_cmpint(colo_store_write(f->s, v, buf, len, off, FALSE), ==, 0);
}

static void check_is(const char *buf, guint32 len, char fill)
{
    for (guint32 i = 0; i < len; i++) {
        if (buf[i] != fill) {
            g_error("byte %u is %02x, not %02x", i, (guint8)buf[i],
                    (guint8)fill);
        }
    }
}

void check_filled(Fixture *f, ColoStoreView v, guint64 off, guint32 len,
                  char fill)
{
    g_autofree char *buf = g_malloc(len);

    memset(buf, ~fill, len);
    g_assert_cmpint(colo_store_read(f->s, v, buf, len, off), ==, 0);
    check_is(buf, len, fill);
}

void check_base(Fixture *f, guint64 off, guint32 len, char fill)
{
    g_autofree char *buf = g_malloc(len);
    int fd = open(f->base, O_RDONLY | O_CLOEXEC);

    g_assert_cmpint(fd, >=, 0);
    g_assert_cmpint(pread(fd, buf, len, (off_t)off), ==, len);
    close(fd);
    check_is(buf, len, fill);
}

ColoStoreStatus fixture_status(Fixture *f)
{
    ColoStoreStatus st;

    colo_store_status(f->s, &st);
    g_clear_pointer(&st.error, g_free);
    return st;
}

void fixture_wait_durable(Fixture *f, guint64 epoch)
{
    gint64 until = g_get_monotonic_time() + 20 * G_USEC_PER_SEC;

    g_mutex_lock(&f->s->lock);
    while (f->s->durable < epoch) {
        g_assert_true(g_cond_wait_until(&f->s->changed, &f->s->lock, until));
    }
    g_mutex_unlock(&f->s->lock);
}
