/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The machine as text, and comparing two of them.
 *
 * Only what the guest can see and what device state depends on; nothing of
 * the host (paths, interfaces), nothing that firmware or guest set (bus
 * numbers, BARs), so that a guest that ran for a year and one that waits
 * with -S have the same description.
 */
#include "colo/vm/vm-internal.h"

#include <string.h>

#define MAX_DESCRIPTION (64 * 1024)
#define MAX_DEPTH       4
#define MAX_SHOWN       120 /* of a value in a message */

/* A property that not every object has: NULL without error then. */
static JsonNode *optional(ColoVm *vm, const char *path, const char *property,
                          GError **error)
{
    g_autoptr(GError) e = NULL;
    JsonNode *node = colo_vm_qom_get(vm, path, property, &e);

    if (!node && !g_error_matches(e, COLO_VM_ERROR, COLO_VM_ERROR_FAILED)) {
        g_propagate_error(error, g_steal_pointer(&e));
    }
    return node;
}

/* child<TYPE> as TYPE, or NULL. */
static char *child_type(JsonObject *o)
{
    const char *type = o ? colo_json_get_string(o, "type") : NULL;

    if (!type || !g_str_has_prefix(type, "child<") ||
        !g_str_has_suffix(type, ">")) {
        return NULL;
    }
    return g_strndup(type + 6, strlen(type) - 7);
}

/* Where a peripheral sits: " on BUS at SLOT.FUNCTION", as far as it has. */
static char *place(ColoVm *vm, const char *path, GError **error)
{
    g_autoptr(JsonNode) bus = NULL, addr = NULL;
    g_autoptr(GError) e = NULL;
    GString *s = g_string_new(NULL);

    bus = optional(vm, path, "parent_bus", &e);
    addr = e ? NULL : optional(vm, path, "addr", &e);
    if (e) {
        g_propagate_error(error, g_steal_pointer(&e));
        g_string_free(s, TRUE);
        return NULL;
    }
    if (bus && JSON_NODE_HOLDS_VALUE(bus) &&
        json_node_get_value_type(bus) == G_TYPE_STRING) {
        g_string_append_printf(s, " on %s", json_node_get_string(bus));
    }
    if (addr && JSON_NODE_HOLDS_VALUE(addr) &&
        json_node_get_value_type(addr) == G_TYPE_INT64) {
        guint devfn = json_node_get_int(addr) & 0xff;

        g_string_append_printf(s, " at %02x.%x", devfn >> 3, devfn & 7);
    }
    return g_string_free(s, FALSE);
}

/* The devices of the command line (or hot-plugged) under a container. */
static gboolean add_peripherals(ColoVm *vm, const char *container,
                                JsonObject *devices, GError **error)
{
    g_autoptr(JsonNode) node = colo_vm_call(
        vm, "qom-list", colo_vm_strings("path", container, NULL), error);
    JsonArray *a = colo_vm_node_array(node);

    if (!node) {
        return FALSE;
    }
    for (guint i = 0; a && i < json_array_get_length(a); i++) {
        JsonObject *o = colo_vm_element(a, i);
        g_autofree char *type = child_type(o), *path = NULL, *where = NULL;
        g_autofree char *text = NULL;
        const char *name = o ? colo_json_get_string(o, "name") : NULL;

        if (!type || !name) {
            continue;
        }
        if (g_str_has_prefix(type, "vhost-") ||
            g_str_has_prefix(type, "vfio-")) {
            g_set_error(error, COLO_VM_ERROR, COLO_VM_ERROR_UNPROTECTABLE,
                        "device %s (%s) writes the guest's RAM from outside "
                        "QEMU: use a device that QEMU serves itself",
                        name, type);
            return FALSE;
        }
        path = g_strdup_printf("%s/%s", container, name);
        where = place(vm, path, error);
        if (!where) {
            return FALSE;
        }
        text = g_strconcat(type, where, NULL);
        json_object_set_string_member(devices, name, text);
    }
    return TRUE;
}

/* What the machine brings along: how many of each type. */
static gboolean add_onboard(ColoVm *vm, JsonObject *description, GError **error)
{
    g_autoptr(JsonNode) node = colo_vm_call(
        vm, "qom-list", colo_vm_strings("path", "/machine/unattached", NULL),
        error);
    JsonArray *a = colo_vm_node_array(node);
    JsonObject *onboard;

    if (!node) {
        return FALSE;
    }
    onboard = json_object_new();
    json_object_set_object_member(description, "onboard", onboard);
    for (guint i = 0; a && i < json_array_get_length(a); i++) {
        JsonObject *o = colo_vm_element(a, i);
        g_autofree char *type = child_type(o);
        const char *name = o ? colo_json_get_string(o, "name") : NULL;
        gint64 n = 0;

        if (type && name && g_str_has_prefix(name, "device[")) {
            colo_json_get_int(onboard, type, &n);
            json_object_set_int_member(onboard, type, n + 1);
        }
    }
    return TRUE;
}

/* The devices of the first PCI bus; those behind bridges are peripherals. */
static gboolean add_pci(ColoVm *vm, JsonObject *description, GError **error)
{
    g_autoptr(JsonNode) node = colo_vm_call(vm, "query-pci", NULL, error);
    JsonArray *buses = colo_vm_node_array(node), *a;
    JsonObject *bus, *pci;

    if (!node) {
        return FALSE;
    }
    pci = json_object_new();
    json_object_set_object_member(description, "pci", pci);
    bus = buses && json_array_get_length(buses) ? colo_vm_element(buses, 0)
                                                : NULL;
    a = bus ? colo_json_get_array(bus, "devices") : NULL;
    for (guint i = 0; a && i < json_array_get_length(a); i++) {
        JsonObject *o = colo_vm_element(a, i);
        JsonObject *id = o ? colo_json_get_object(o, "id") : NULL;
        JsonObject *class = o ? colo_json_get_object(o, "class_info") : NULL;
        gint64 slot, function, vendor = 0, device = 0, sub_vendor = 0, sub = 0,
                               class_id = 0;
        g_autofree char *name = NULL, *text = NULL;

        if (!id || !colo_json_get_int(o, "slot", &slot) ||
            !colo_json_get_int(o, "function", &function)) {
            continue;
        }
        colo_json_get_int(id, "vendor", &vendor);
        colo_json_get_int(id, "device", &device);
        colo_json_get_int(id, "subsystem-vendor", &sub_vendor);
        colo_json_get_int(id, "subsystem", &sub);
        if (class) {
            colo_json_get_int(class, "class", &class_id);
        }
        name = g_strdup_printf("%02x.%x", (guint)slot, (guint)function);
        text = g_strdup_printf("%04x:%04x (%04x:%04x) class %04x",
                               (guint)vendor, (guint)device, (guint)sub_vendor,
                               (guint)sub, (guint)class_id);
        json_object_set_string_member(pci, name, text);
    }
    return TRUE;
}

/* The first CPU's features as CPUID shows them to the guest. */
static gboolean add_features(ColoVm *vm, const char *cpu,
                             JsonObject *description, GError **error)
{
    g_autoptr(GError) e = NULL;
    g_autoptr(JsonNode) node = optional(vm, cpu, "feature-words", &e);
    JsonArray *a = colo_vm_node_array(node);
    JsonObject *features;

    if (e) {
        g_propagate_error(error, g_steal_pointer(&e));
        return FALSE;
    }
    features = json_object_new();
    json_object_set_object_member(description, "cpu-features", features);
    for (guint i = 0; a && i < json_array_get_length(a); i++) {
        JsonObject *o = colo_vm_element(a, i);
        const char *reg = o ? colo_json_get_string(o, "cpuid-register") : NULL;
        g_autofree char *name = NULL, *text = NULL;
        gint64 eax, ecx = 0, word;

        if (!reg || !colo_json_get_int(o, "cpuid-input-eax", &eax) ||
            !colo_json_get_int(o, "features", &word) || !word) {
            continue;
        }
        colo_json_get_int(o, "cpuid-input-ecx", &ecx);
        name = g_strdup_printf("CPUID %x.%x %s", (guint)eax, (guint)ecx, reg);
        text = g_strdup_printf("%08x", (guint)word);
        json_object_set_string_member(features, name, text);
    }
    return TRUE;
}

static gboolean add_cpus(ColoVm *vm, JsonObject *description, GError **error)
{
    g_autoptr(JsonNode) node = colo_vm_call(vm, "query-cpus-fast", NULL, error);
    JsonArray *a = colo_vm_node_array(node);
    JsonObject *o;
    const char *cpu;
    g_autofree char *type = NULL;

    if (!node) {
        return FALSE;
    }
    o = a && json_array_get_length(a) ? colo_vm_element(a, 0) : NULL;
    cpu = o ? colo_json_get_string(o, "qom-path") : NULL;
    if (!cpu) {
        g_set_error(error, COLO_VM_ERROR, COLO_VM_ERROR_FAILED,
                    "QEMU at %s lists no CPU", vm->qmp_path);
        return FALSE;
    }
    type = colo_vm_qom_string(vm, cpu, "type", error);
    if (!type) {
        return FALSE;
    }
    json_object_set_int_member(description, "cpus", json_array_get_length(a));
    json_object_set_string_member(description, "cpu-type", type);
    return add_features(vm, cpu, description, error);
}

/* Sockets, cores and threads. */
static gboolean add_layout(ColoVm *vm, JsonObject *description, GError **error)
{
    g_autoptr(GError) e = NULL;
    g_autoptr(JsonNode) node = optional(vm, "/machine", "smp", &e);
    JsonObject *smp = colo_vm_node_object(node);

    if (e) {
        g_propagate_error(error, g_steal_pointer(&e));
        return FALSE;
    }
    if (smp) {
        json_object_set_object_member(description, "smp", json_object_ref(smp));
    }
    return TRUE;
}

/* A copy with the members of every object sorted by name. */
static JsonNode *canonical(JsonNode *node)
{
    g_autoptr(GList) names = NULL;
    JsonObject *from = colo_vm_node_object(node), *to;
    JsonNode *copy;

    if (!from) {
        return json_node_copy(node);
    }
    to = json_object_new();
    names = g_list_sort(json_object_get_members(from), (GCompareFunc)strcmp);
    for (GList *l = names; l; l = l->next) {
        json_object_set_member(
            to, l->data, canonical(json_object_get_member(from, l->data)));
    }
    copy = json_node_new(JSON_NODE_OBJECT);
    json_node_take_object(copy, to);
    return copy;
}

gboolean colo_vm_describe(ColoVm *vm, GError **error)
{
    g_autoptr(JsonObject) d = json_object_new();
    g_autoptr(JsonNode) root = json_node_new(JSON_NODE_OBJECT), sorted = NULL;
    g_autoptr(JsonNode) kvm = colo_vm_call(vm, "query-kvm", NULL, error);
    g_autofree char *text = NULL;
    JsonObject *devices, *o = colo_vm_node_object(kvm);
    gboolean enabled = FALSE;

    if (!kvm) {
        return FALSE;
    }
    if (o) {
        colo_json_get_bool(o, "enabled", &enabled);
    }
    vm->kvm = enabled;
    devices = json_object_new();
    json_object_set_object_member(d, "devices", devices);
    json_object_set_string_member(d, "qemu", vm->version);
    json_object_set_string_member(d, "machine", vm->machine);
    json_object_set_string_member(d, "accel", enabled ? "kvm" : "tcg");
    json_object_set_int_member(d, "ram", vm->ram.bytes);
    if (!add_cpus(vm, d, error) || !add_layout(vm, d, error) ||
        !add_pci(vm, d, error) || !add_onboard(vm, d, error) ||
        !add_peripherals(vm, "/machine/peripheral", devices, error) ||
        !add_peripherals(vm, "/machine/peripheral-anon", devices, error)) {
        return FALSE;
    }
    json_node_set_object(root, d);
    sorted = canonical(root);
    text = json_to_string(sorted, FALSE);
    if (strlen(text) > MAX_DESCRIPTION) {
        g_set_error(error, COLO_VM_ERROR, COLO_VM_ERROR_UNPROTECTABLE,
                    "the guest has too many devices to be described to the "
                    "other host in %d bytes",
                    MAX_DESCRIPTION);
        return FALSE;
    }
    g_free(vm->description);
    vm->description = g_steal_pointer(&text);
    return TRUE;
}

/* --- Comparing --- */

/* How the top-level fields are called in messages, in the order checked. */
static const struct {
    const char *field, *text;
} fields[] = {
    {"qemu", "QEMU's version"},
    {"machine", "the machine type (-machine)"},
    {"accel", "the accelerator (-accel)"},
    {"ram", "the RAM size in bytes (-m)"},
    {"cpus", "the number of CPUs (-smp)"},
    {"smp", "the CPU topology (-smp)"},
    {"cpu-type", "the CPU model (-cpu)"},
    {"cpu-features", "the CPU features (-cpu)"},
    {"devices", "device"},
    {"pci", "PCI device"},
    {"onboard", "the number of onboard devices"},
};

/* A value fit for a message, whatever the peer sent. */
static char *show(JsonNode *node)
{
    g_autofree char *text = NULL, *safe = NULL;

    if (!node) {
        return g_strdup("nothing");
    }
    text = JSON_NODE_HOLDS_VALUE(node) &&
                   json_node_get_value_type(node) == G_TYPE_STRING
               ? g_strdup(json_node_get_string(node))
               : json_to_string(node, FALSE);
    safe = g_strescape(text, NULL);
    return strlen(safe) > MAX_SHOWN
               ? g_strdup_printf("%.*s...", MAX_SHOWN, safe)
               : g_steal_pointer(&safe);
}

static gboolean differ(const char *what, const char *name, JsonNode *ours,
                       JsonNode *theirs, GError **error)
{
    g_autofree char *a = show(ours), *b = show(theirs);
    g_autofree char *label = name ? g_strescape(name, NULL) : g_strdup("");

    g_set_error(error, COLO_VM_ERROR, COLO_VM_ERROR_MISMATCH,
                "the two guests differ in %s%s%.*s: %s here, %s on the other "
                "host; start both from the same configuration",
                what, *label ? " " : "", MAX_SHOWN, label, a, b);
    return FALSE;
}

static gboolean same_value(JsonNode *a, JsonNode *b)
{
    g_autofree char *x = a ? json_to_string(a, FALSE) : NULL;
    g_autofree char *y = b ? json_to_string(b, FALSE) : NULL;

    return g_strcmp0(x, y) == 0;
}

static gboolean compare_field(const char *what, JsonNode *ours,
                              JsonNode *theirs, GError **error)
{
    JsonObject *a = colo_vm_node_object(ours), *b = colo_vm_node_object(theirs);
    g_autoptr(GList) names = NULL, more = NULL;

    if (!a || !b) {
        return same_value(ours, theirs) ||
               differ(what, NULL, ours, theirs, error);
    }
    names = json_object_get_members(a);
    more = json_object_get_members(b);
    for (int round = 0; round < 2; round++) {
        for (GList *l = round ? more : names; l; l = l->next) {
            JsonNode *x = json_object_get_member(a, l->data);
            JsonNode *y = json_object_get_member(b, l->data);

            if (!same_value(x, y)) {
                return differ(what, l->data, x, y, error);
            }
        }
    }
    return TRUE;
}

gboolean colo_vm_check_same_text(const char *ours, const char *theirs,
                                 GError **error)
{
    g_autoptr(JsonParser) p = json_parser_new(), q = json_parser_new();
    g_autoptr(JsonNode) a = NULL, b = NULL;
    g_autoptr(GError) e = NULL;
    gsize len = strnlen(theirs, MAX_DESCRIPTION + 1);
    JsonObject *x, *y;

    a = colo_qmp_parse(p, ours, strlen(ours), MAX_DEPTH, FALSE, &e);
    if (a && len <= MAX_DESCRIPTION) {
        b = colo_qmp_parse(q, theirs, len, MAX_DEPTH, FALSE, &e);
    }
    if (!b) {
        g_set_error(error, COLO_VM_ERROR, COLO_VM_ERROR_MISMATCH,
                    "the other host sent no usable description of its guest: "
                    "%s",
                    e ? e->message : "it is too long");
        return FALSE;
    }
    x = colo_vm_node_object(a);
    y = colo_vm_node_object(b);
    for (guint i = 0; i < G_N_ELEMENTS(fields); i++) {
        if (!compare_field(fields[i].text,
                           json_object_get_member(x, fields[i].field),
                           json_object_get_member(y, fields[i].field), error)) {
            return FALSE;
        }
    }
    /* Fields that another version of this program would add. */
    if (json_object_get_size(x) != json_object_get_size(y)) {
        g_set_error(error, COLO_VM_ERROR, COLO_VM_ERROR_MISMATCH,
                    "the other host describes its guest in another form: run "
                    "the same version of colod on both");
        return FALSE;
    }
    return TRUE;
}

gboolean colo_vm_check_same(ColoVm *vm, const char *theirs, GError **error)
{
    return colo_vm_check_same_text(vm->description, theirs, error);
}
