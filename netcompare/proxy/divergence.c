/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The packets of each divergence in a pcap file. */
#include "netcompare/proxy/divergence.h"
#include "colo/log.h"

#include <errno.h>
#include <pcap/pcap.h>
#include <stdio.h>
#include <sys/time.h>

#define RECORD_HEADER 16

struct DivergenceFile {
    pcap_t *pcap;
    pcap_dumper_t *out;
    char *path;
    gsize left;   /* bytes that may still be written */
};

DivergenceFile *divergence_file_new(const char *path, gsize max, GError **error)
{
    DivergenceFile *f = g_new0(DivergenceFile, 1);
    g_autofree char *old = g_strdup_printf("%s.1", path);

    if (rename(path, old) < 0 && errno != ENOENT) {
        g_set_error(error, G_IO_ERROR, (gint)g_io_error_from_errno(errno),
                    "cannot move %s to %s: %s", path, old, g_strerror(errno));
        g_free(f);
        return NULL;
    }
    f->path = g_strdup(path);
    f->left = max;
    f->pcap = pcap_open_dead(DLT_RAW, 65535 + 40);
    f->out = f->pcap ? pcap_dump_open(f->pcap, path) : NULL;
    if (!f->out) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_FAILED,
                    "cannot write divergences to %s: %s", path,
                    f->pcap ? pcap_geterr(f->pcap) : "no memory");
        divergence_file_free(f);
        return NULL;
    }
    return f;
}

void divergence_file_free(DivergenceFile *f)
{
    if (f) {
        g_clear_pointer(&f->out, pcap_dump_close);
        g_clear_pointer(&f->pcap, pcap_close);
        g_free(f->path);
        g_free(f);
    }
}

static void add(DivergenceFile *f, const NetPacket *p)
{
    struct pcap_pkthdr h = {.caplen = p->len, .len = p->len};

    gettimeofday(&h.ts, NULL);
    pcap_dump((u_char *)f->out, &h, p->data);
    f->left -= RECORD_HEADER + p->len;
}

void divergence_file_add(DivergenceFile *f, const NetPacket *pvm,
                         const NetPacket *svm)
{
    gsize need = (pvm ? RECORD_HEADER + pvm->len : 0) +
                 (svm ? RECORD_HEADER + svm->len : 0);

    if (!f->out || !need) {
        return;
    }
    if (need > f->left) {
        colo_log_warn("%s is full: no more divergences are written", f->path);
        g_clear_pointer(&f->out, pcap_dump_close);
        return;
    }
    if (pvm) {
        add(f, pvm);
    }
    if (svm) {
        add(f, svm);
    }
    if (pcap_dump_flush(f->out) < 0) {
        colo_log_warn("cannot write to %s: %s; no more divergences are written",
                      f->path, g_strerror(errno));
        g_clear_pointer(&f->out, pcap_dump_close);
    }
}
