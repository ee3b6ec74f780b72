/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What QEMU prints of its block graph, and what it might print. */
#include "blockrep/attach/qemu-disk.h"

static void test_export(void)
{
    static const char *const cases[][2] = {
        {"nbd://10.0.0.2:8889/vda/primary", "vda/primary"},
        {"nbd://::1:8889/vda", "vda"},
        {"nbd+unix:///vda/primary?socket=/run/a/b", "vda/primary"},
        {"nbd+unix://?socket=/run/nbd", ""},
        {"nbd://host:1", ""},
        {"/images/vda/primary", ""},
        {"json:{\"driver\": \"nbd\", \"export\": \"vda\"}", "vda"},
        {"json:{\"driver\": \"nbd\", \"export\": 7}", ""},
        {"json:{\"driver\"", ""},
        {"json:", ""},
        {"", ""},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *got = nbd_export_of(cases[i][0]);

        g_assert_cmpstr(got, ==, cases[i][1]);
    }
}

static JsonObject *parse(const char *text)
{
    g_autoptr(GError) error = NULL;
    g_autoptr(JsonNode) node = json_from_string(text, &error);

    g_assert_no_error(error);
    return json_object_ref(json_node_get_object(node));
}

static void test_related(void)
{
    /* A device on a quorum of local and far; another disk on its own */
    g_autoptr(JsonObject) g = parse(
        "{\"nodes\": ["
        " {\"id\": 1, \"name\": \"/machine/d0\", \"type\": \"block-backend\"},"
        " {\"id\": 2, \"name\": \"vda\", \"type\": \"block-driver\"},"
        " {\"id\": 3, \"name\": \"local\", \"type\": \"block-driver\"},"
        " {\"id\": 4, \"name\": \"far\", \"type\": \"block-driver\"},"
        " {\"id\": 5, \"name\": \"vdb\", \"type\": \"block-driver\"}],"
        "\"edges\": ["
        " {\"parent\": 1, \"child\": 2}, {\"parent\": 2, \"child\": 3},"
        " {\"parent\": 2, \"child\": 4}]}");

    g_assert_true(block_graph_related(g, "vda", "far"));
    g_assert_true(block_graph_related(g, "local", "far"));
    g_assert_false(block_graph_related(g, "vdb", "far"));
    g_assert_false(block_graph_related(g, "vda", "nothing"));
    g_assert_cmpstr(block_graph_below(g, "vda"), ==, "local");
    g_assert_null(block_graph_below(g, "far"));
    g_assert_null(block_graph_below(g, "nothing"));
}

static void test_nonsense(void)
{
    static const char *const texts[] = {
        "{}",
        "{\"nodes\": 7, \"edges\": {}}",
        "{\"nodes\": [7, null, {}], \"edges\": [[], {\"parent\": \"x\"}]}",
        "{\"nodes\": [{\"name\": \"vda\", \"type\": \"block-driver\"}]}",
        /* in a circle */
        "{\"nodes\": [{\"id\": 1, \"name\": \"vda\", \"type\": "
        "\"block-driver\"}], \"edges\": [{\"parent\": 1, \"child\": 1}]}",
    };

    for (guint i = 0; i < G_N_ELEMENTS(texts); i++) {
        g_autoptr(JsonObject) g = parse(texts[i]);

        block_graph_below(g, "vda");
        g_assert_false(block_graph_related(g, "vda", "far"));
    }
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/block-graph/export", test_export);
    g_test_add_func("/block-graph/related", test_related);
    g_test_add_func("/block-graph/nonsense", test_nonsense);
    return g_test_run();
}
