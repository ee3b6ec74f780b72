/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The primary's disk travels encrypted, by pre-shared keys and by certificates:
 * guests are protected and taken over as without.  A primary that has not the
 * right key gets nothing of the disk, and both operators read why.
 */
#include "tests/disk/disk.h"

#include <glib/gstdio.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>

#define SESSIONS 4

/* A primary's option that must not do, and the words for it. */
typedef struct Wrong {
    const char *option, *file; /* NULL: no TLS */
    const char *primary;       /* its status says */
    const char *secondary;     /* its log says */
} Wrong;

typedef struct Case {
    void (*make)(const char *folder); /* the credentials */
    const char *option, *file;
    Wrong wrong[2];
} Case;

/* --- Credentials --------------------------------------------------------- */

static void sh(const char *folder, const char *line)
{
    if (!rig_sh(-1, NULL, "cd %s && { %s; } >>log 2>&1", folder, line)) {
        rig_die("cannot make credentials in %s: %s", folder, line);
    }
}

static void make_keys(const char *folder)
{
    sh(folder, "mkdir right other");
    sh(folder, "psktool -u colo -p right/keys.psk");
    sh(folder, "psktool -u colo -p other/keys.psk");
}

static void authority(const char *folder, const char *name)
{
    g_autofree char *line = g_strdup_printf(
        "printf 'cn = %s\\nca\\ncert_signing_key\\n' >%s.cfg && "
        "certtool --generate-privkey --ecc --outfile %s.key && "
        "certtool --generate-self-signed --load-privkey %s.key "
        "--template %s.cfg --outfile %s.pem",
        name, name, name, name, name, name);

    sh(folder, line);
}

/* In a folder of its own or shared; use: server or client. */
static void certificate(const char *folder, const char *to, const char *ca,
                        const char *use)
{
    g_autofree char *line = g_strdup_printf(
        "mkdir -p %s && cp right.pem %s/ca-cert.pem && "
        "printf 'cn = %s\\nip_address = 10.77.1.2\\nsigning_key\\n"
        "tls_www_%s\\n' >%s.cfg && "
        "certtool --generate-privkey --ecc --outfile %s/%s-key.pem && "
        "certtool --generate-certificate --load-privkey %s/%s-key.pem "
        "--load-ca-certificate %s.pem --load-ca-privkey %s.key "
        "--template %s.cfg --outfile %s/%s-cert.pem",
        to, to, use, use, use, to, use, to, use, ca, ca, use, to, use);

    sh(folder, line);
}

static void make_certificates(const char *folder)
{
    authority(folder, "right");
    authority(folder, "other");
    certificate(folder, "right", "right", "server");
    certificate(folder, "right", "right", "client");
    certificate(folder, "other", "other", "client");
}

/* --- The test ------------------------------------------------------------ */

/* For the colods that are started from now on. */
static void use(Rig *r, const char *option, const char *file)
{
    static char *options;

    g_free(options);
    options = option
                  ? g_strdup_printf("%s %s tls/%s",
                                    load_options(FALSE, 0).colod, option, file)
                  : g_strdup(load_options(FALSE, 0).colod);
    r->o.colod = options;
}

static gboolean log_says(const RigSide *s, const char *words)
{
    g_autofree char *text = NULL;

    return g_file_get_contents(s->log, &text, NULL, NULL) &&
           strstr(text, words);
}

static void expect_refused(RigSide *primary, RigSide *secondary, const Wrong *w)
{
    gint64 end = g_get_monotonic_time() + RIG_PATIENCE_S * G_USEC_PER_SEC;

    for (;;) {
        g_autoptr(JsonNode) detail = disk_member(primary, "detail");
        const char *text = detail ? json_node_get_string(detail) : "";

        if (strstr(text, w->primary) && log_says(secondary, w->secondary)) {
            g_test_message("%s", text);
            return;
        }
        if (g_get_monotonic_time() > end) {
            rig_die("the disk is \"%s\", not \"%s\", or the secondary's log "
                    "has no \"%s\"",
                    text, w->primary, w->secondary);
        }
        rig_qmp_pump(&primary->ctl, 20);
    }
}

/* QEMU's own connection, too */
static void expect_encrypted(RigSide *s)
{
    g_autoptr(JsonNode) credentials =
        rig_qmp(&s->mon, "qom-list", "{\"path\": \"/objects/colo-disk-tls\"}");

    g_assert_cmpuint(json_array_get_length(json_node_get_array(credentials)), >,
                     0);
}

static void encrypted(gconstpointer data)
{
    const Case *c = data;
    RigOptions o = disk_options(FALSE, 400);
    Rig *r = rig_new(&o);
    g_autofree char *folder = g_build_filename(r->dir, "tls", NULL);
    g_autofree char *before = g_get_current_dir();
    RigClient *client;

    g_assert_true(rig_sh(-1, NULL, "mkdir %s", folder));
    c->make(folder);
    use(r, c->option, c->file);
    rig_start_qemu(&r->pri);
    /* Names are those of colod's folder, which is not the one of QEMU. */
    g_assert_cmpint(g_chdir(r->dir), ==, 0);
    rig_start_qemu(&r->sec); /* without TLS, by loopback */
    rig_wait_boot(&r->pri);
    for (gsize i = 0; i < G_N_ELEMENTS(c->wrong); i++) {
        const Wrong *w = &c->wrong[i];

        if (w->primary) {
            use(r, w->option, w->file);
            rig_start_colod(&r->pri);
            expect_refused(&r->pri, &r->sec, w);
            rig_kill_colod(&r->pri, SIGTERM);
        }
    }
    use(r, c->option, c->file);
    rig_protect(r);
    expect_encrypted(&r->pri);

    client = rig_client_start(r, "--record 4 --pace 5");
    load_checkpoint(r);
    load_mark(client);
    load_take_over(r);
    disk_mark(client, &r->sec);
    disk_examine_survivor(r, client, SESSIONS);
    g_assert_cmpint(g_chdir(before), ==, 0);
    rig_free(r);
    use(r, NULL, NULL);
}

int main(int argc, char **argv)
{
    static const Case psk = {
        .make = make_keys,
        .option = "--tls-psk",
        .file = "right/keys.psk",
        .wrong = {{NULL, NULL, "give that here, too", "uses no TLS"},
                  {"--tls-psk", "other/keys.psk", "must have the same key",
                   "gnutls_handshake"}},
    };
    static const Case x509 = {
        .make = make_certificates,
        .option = "--tls-certificates",
        .file = "right",
        .wrong = {{"--tls-certificates", "other", "be of one authority",
                   "Error in the certificate"}},
    };
    static const char *const tools[] = {"psktool", "certtool"};

    rig_test_init(&argc, &argv);
    for (gsize i = 0; i < G_N_ELEMENTS(tools); i++) {
        g_autofree char *path = g_find_program_in_path(tools[i]);

        if (!path) {
            printf("1..0 # SKIP %s is missing: install Debian's package "
                   "gnutls-bin\n",
                   tools[i]);
            return 0;
        }
    }
    g_test_add_data_func("/tls/keys", &psk, encrypted);
    g_test_add_data_func("/tls/certificates", &x509, encrypted);
    return g_test_run();
}
