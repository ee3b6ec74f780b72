/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Taps as QEMU has them, with this process in QEMU's place: what is written
 * to one comes from its guest.
 */
#ifndef COLO_TESTS_CAPTURE_TAPS_H
#define COLO_TESTS_CAPTURE_TAPS_H

#include <glib.h>
#include <linux/virtio_net.h>

typedef struct TapFrame {
    struct virtio_net_hdr vnet;
    GByteArray *bytes;
} TapFrame;

/* NULL: they can be made; else what is missing. */
const char *taps_missing(void);

/*
 * A namespace of our own for this thread, with nothing that speaks by itself;
 * the one before it is gone.
 */
void taps_fresh_namespace(void);
void taps_run(const char *format, ...) G_GNUC_PRINTF(1, 2); /* ip(8) */

/* Up.  offloads: the guest takes large frames and unfinished checksums. */
int taps_open(const char *name, guint mtu, gboolean offloads);

/* By the guest. */
void taps_write(int fd, const TapFrame *f);
/* By the guest's QEMU; FALSE: there is none within ms.  Freed by the caller. */
gboolean taps_read(int fd, guint ms, TapFrame *f);

/* Of the interface: a line of /proc/net/dev. */
typedef struct TapCounters {
    guint64 rx_packets, tx_packets, tx_dropped;
} TapCounters;
TapCounters taps_counters(const char *name);

/* --- Frames ------------------------------------------------------------- */

/* With the sum of the pseudo header where the checksum goes. */
TapFrame taps_tcp_gso(guint16 ethertype, const char *tags, guint payload,
                      guint16 gso_size);
TapFrame taps_udp_gso(guint16 ethertype, guint payload, guint16 gso_size);
TapFrame taps_udp_unfinished(guint16 ethertype, const char *tags,
                             guint payload);
/* Finished; to another MAC address if dst is not NULL. */
TapFrame taps_udp(const char *dst, const char *tags, guint16 ethertype,
                  guint payload);
void taps_frame_clear(TapFrame *f);
/* hdr_len is a hint of how much is in one piece, and left out. */
void taps_assert_same(const TapFrame *a, const struct virtio_net_hdr *vnet,
                      const guint8 *data, gsize len);

#endif
