/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Circular lists through links inside of what is listed: nothing is allocated,
 * and a member leaves without knowing its list.
 */
#ifndef COLO_NET_COMPARE_LIST_H
#define COLO_NET_COMPARE_LIST_H

#include <glib.h>

typedef struct CmpLink {
    struct CmpLink *prev, *next;
} CmpLink;

#define CMP_ENTRY(link, type, member)                                          \
    ((type *)(void *)((guint8 *)(link)-G_STRUCT_OFFSET(type, member)))

/* An empty list, or a link that is in none. */
static inline void cmp_link_init(CmpLink *l)
{
    l->prev = l->next = l;
}

static inline gboolean cmp_list_empty(const CmpLink *list)
{
    return list->next == list;
}

/* Before at: with the list itself as at, at the end. */
static inline void cmp_link_before(CmpLink *at, CmpLink *l)
{
    l->prev = at->prev;
    l->next = at;
    at->prev->next = l;
    at->prev = l;
}

static inline void cmp_unlink(CmpLink *l)
{
    l->prev->next = l->next;
    l->next->prev = l->prev;
    cmp_link_init(l);
}

/* All of from to the end of list. */
static inline void cmp_list_move(CmpLink *list, CmpLink *from)
{
    if (!cmp_list_empty(from)) {
        from->next->prev = list->prev;
        list->prev->next = from->next;
        from->prev->next = list;
        list->prev = from->prev;
        cmp_link_init(from);
    }
}

#endif
