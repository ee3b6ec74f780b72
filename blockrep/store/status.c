/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What is said of a store. */
#include "blockrep/store/store-priv.h"

const char *colo_store_state_name(ColoStoreState state)
{
    static const char *const names[] = {"empty", "standby", "promoted"};

    g_assert((guint)state < G_N_ELEMENTS(names));
    return names[state];
}

static guint64 log_bytes(GPtrArray *list)
{
    guint64 n = 0;

    for (guint i = 0; i < list->len; i++) {
        n += ((StoreLayer *)list->pdata[i])->log->end - STORE_LOG_START;
    }
    return n;
}

void colo_store_status(ColoStore *s, ColoStoreStatus *st)
{
    guint64 last = 0;

    g_mutex_lock(&s->lock);
    *st = (ColoStoreStatus){
        .state = s->state,
        .epoch = s->epoch,
        .loaded = s->loaded,
        .durable = s->durable,
        .pending_bytes = log_bytes(s->pending),
        .active_bytes = log_bytes(s->active),
        .sealed_bytes = log_bytes(s->sealed),
        .merged_bytes = s->merged_bytes,
        .index_bytes = s->index_bytes,
        .max_index_bytes = s->o.max_index_bytes,
        .full = s->full,
        .merged = s->direct && s->state == COLO_STORE_PROMOTED,
        .lost = s->lost,
        .error = g_strdup(s->error ? s->error : s->merge_error),
    };
    for (guint i = 0; i < s->sealed->len; i++) {
        const StoreLayer *l = s->sealed->pdata[i];

        st->sealed += l->epoch != last;
        last = l->epoch;
    }
    g_mutex_unlock(&s->lock);
}

JsonNode *colo_store_status_json(ColoStore *s)
{
    g_autoptr(JsonBuilder) b = json_builder_new();
    ColoStoreStatus st;

    colo_store_status(s, &st);
    const struct {
        const char *name;
        guint64 value;
    } numbers[] = {
        {"size", s->base.size},
        {"epoch", st.epoch},
        {"loaded", st.loaded},
        {"durable", st.durable},
        {"sealed", st.sealed},
        {"pending-bytes", st.pending_bytes},
        {"active-bytes", st.active_bytes},
        {"sealed-bytes", st.sealed_bytes},
        {"merged-bytes", st.merged_bytes},
        {"index-bytes", st.index_bytes},
        {"max-index-bytes", st.max_index_bytes},
    };

    json_builder_begin_object(b);
    json_builder_set_member_name(b, "base");
    json_builder_add_string_value(b, s->base_path);
    json_builder_set_member_name(b, "folder");
    json_builder_add_string_value(b, s->folder_path);
    json_builder_set_member_name(b, "state");
    json_builder_add_string_value(b, colo_store_state_name(st.state));
    for (guint i = 0; i < G_N_ELEMENTS(numbers); i++) {
        json_builder_set_member_name(b, numbers[i].name);
        json_builder_add_int_value(b, (gint64)numbers[i].value);
    }
    json_builder_set_member_name(b, "full");
    json_builder_add_boolean_value(b, st.full);
    json_builder_set_member_name(b, "merged");
    json_builder_add_boolean_value(b, st.merged);
    json_builder_set_member_name(b, "lost");
    json_builder_add_boolean_value(b, st.lost);
    if (st.error) {
        json_builder_set_member_name(b, "error");
        json_builder_add_string_value(b, st.error);
    }
    json_builder_end_object(b);
    g_free(st.error);
    return json_builder_get_root(b);
}
