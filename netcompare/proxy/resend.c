/* SPDX-License-Identifier: GPL-2.0-or-later */
/* After a takeover: what of the guest's last frames is worth sending again. */
#include "netcompare/proxy/resend.h"
#include "netcompare/packet/packet.h"

typedef struct Stream {
    NetKey key;
    guint32 ack;         /* the highest */
    const guint8 *frame; /* the last one with it */
} Stream;

typedef struct Resend {
    GHashTable *streams; /* NetKey in Stream: Stream */
    RecentFunc func;
    gpointer user;
} Resend;

static gboolean parse(NetPacket *p, const NetFrame *frame)
{
    return net_packet_parse_frame(p, frame->data, frame->len, 0) ==
               NET_KIND_TCP &&
           p->flags & NET_TCP_ACK;
}

static gboolean is_empty(const NetPacket *p)
{
    return !p->payload_len &&
           !(p->flags & (NET_TCP_SYN | NET_TCP_FIN | NET_TCP_RST));
}

static void note(const NetFrame *frame, gpointer user)
{
    Resend *r = user;
    NetPacket p;
    Stream *s;

    if (!parse(&p, frame)) {
        return;
    }
    s = g_hash_table_lookup(r->streams, &p.key);
    if (!s) {
        s = g_new(Stream, 1);
        *s = (Stream){.key = p.key, .ack = p.ack};
        g_hash_table_insert(r->streams, &s->key, s);
    }
    if (net_seq_le(s->ack, p.ack)) {
        s->ack = p.ack;
        s->frame = frame->data;
    }
}

static void choose(const NetFrame *frame, gpointer user)
{
    Resend *r = user;
    const Stream *s;
    NetPacket p;

    if (parse(&p, frame) && is_empty(&p)) {
        s = g_hash_table_lookup(r->streams, &p.key);
        if (s->frame != frame->data ||
            net_packet_has_option(&p, NET_TCPOPT_SACK)) {
            return;
        }
    }
    r->func(frame, r->user);
}

void resend_foreach(const RecentFrames *r, gint64 since_us, RecentFunc func,
                    gpointer user)
{
    g_autoptr(GHashTable) streams =
        g_hash_table_new_full(net_key_hash, net_key_equal, NULL, g_free);
    Resend resend = {.streams = streams, .func = func, .user = user};

    recent_foreach(r, since_us, note, &resend);
    recent_foreach(r, since_us, choose, &resend);
}
