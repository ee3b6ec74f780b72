/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Puts old memory into a running guest, as a wrong checkpoint would:
 *   ram-tear QMP-SOCKET PID
 * Copies the guest's RAM, lets it run for a second, stops it and writes back
 * one page of its chain that has changed since.
 */
#include "config.h"

#include "../guest/chain.h"
#include "colo/qmp-client.h"

#include <fcntl.h>
#include <glib/gstdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define TIMEOUT_US          (5 * G_USEC_PER_SEC)
#define CHECKPOINT_APART_US G_USEC_PER_SEC

/* The guest's RAM: the memfd that QEMU names after the backend's type. */
static guint8 *map_ram(const char *pid, gsize *len, GError **error)
{
    g_autofree char *fds = g_build_filename("/proc", pid, "fd", NULL);
    g_autoptr(GDir) dir = g_dir_open(fds, 0, error);
    const char *name;

    while (dir != NULL && (name = g_dir_read_name(dir)) != NULL) {
        g_autofree char *path = g_build_filename(fds, name, NULL);
        g_autofree char *target = g_file_read_link(path, NULL);
        struct stat st;
        if (target == NULL || strstr(target, "memory-backend-memfd") == NULL)
            continue;
        int fd = open(path, O_RDWR | O_CLOEXEC);
        if (fd < 0 || fstat(fd, &st) != 0)
            break;
        *len = (gsize)st.st_size;
        guint8 *ram =
            mmap(NULL, *len, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
        close(fd);
        if (ram != MAP_FAILED)
            return ram;
        break;
    }
    if (error != NULL && *error == NULL)
        g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_NOENT,
                    "cannot map the memory-backend-memfd of process %s", pid);
    return NULL;
}

static gboolean run(ColoQmpClient *c, const char *command, GError **error)
{
    g_autoptr(JsonNode) result =
        colo_qmp_client_call(c, command, NULL, TIMEOUT_US, error);
    return result != NULL;
}

static gboolean is_chain_page(const guint8 *page)
{
    guint64 w[CHAIN_PAGE_WORDS];
    memcpy(w, page, sizeof(w));
    for (guint64 i = 0; i < CHAIN_PAGE_WORDS; i++) {
        if (w[0] == 0 || w[i] != chain_word(w[0], i))
            return FALSE;
    }
    return TRUE;
}

static gboolean tear_page(guint8 *ram, const guint8 *old, gsize len,
                          GError **error)
{
    for (gsize at = 0; at < len; at += CHAIN_PAGE_SIZE) {
        if (memcmp(ram + at, old + at, CHAIN_PAGE_SIZE) != 0 &&
            is_chain_page(ram + at) && is_chain_page(old + at)) {
            memcpy(ram + at, old + at, CHAIN_PAGE_SIZE);
            return TRUE;
        }
    }
    g_set_error(error, G_FILE_ERROR, G_FILE_ERROR_FAILED,
                "no page of the guest's chain has changed");
    return FALSE;
}

static gboolean tear(const char *qmp, const char *pid, GError **error)
{
    gsize len;
    guint8 *ram = map_ram(pid, &len, error);
    if (ram == NULL)
        return FALSE;
    g_autofree guint8 *old = g_malloc(len);
    g_autoptr(ColoQmpClient) c =
        colo_qmp_client_connect(qmp, TIMEOUT_US, NULL, NULL, error);
    if (c == NULL || !run(c, "stop", error))
        return FALSE;
    memcpy(old, ram, len);
    if (!run(c, "cont", error))
        return FALSE;
    g_usleep(CHECKPOINT_APART_US);
    if (!run(c, "stop", error) || !tear_page(ram, old, len, error))
        return FALSE;
    return run(c, "cont", error);
}

int main(int argc, char **argv)
{
    g_autoptr(GError) error = NULL;

    if (argc != 3) {
        g_printerr("Usage: ram-tear QMP-SOCKET PID\n");
        return 2;
    }
    if (!tear(argv[1], argv[2], &error)) {
        g_printerr("ram-tear: %s\n", error->message);
        return 1;
    }
    return 0;
}
