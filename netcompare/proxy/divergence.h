/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The packets of each divergence in a pcap file that an operator can open
 * (tcpdump -r, wireshark): first the primary's, then the secondary's.  Linktype
 * RAW: they begin with their IP header.
 */
#ifndef COLO_PROXY_DIVERGENCE_H
#define COLO_PROXY_DIVERGENCE_H

#include <gio/gio.h>

#include "netcompare/packet/packet.h"

typedef struct DivergenceFile DivergenceFile;

/* A new file (an old one of that name goes to PATH.1); max: bytes. */
DivergenceFile *divergence_file_new(const char *path, gsize max,
                                    GError **error);
void divergence_file_free(DivergenceFile *f);
/* Either may be NULL. */
void divergence_file_add(DivergenceFile *f, const NetPacket *pvm,
                         const NetPacket *svm);

#endif
