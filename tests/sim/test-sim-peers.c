/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Wrong peers and wrong options: colod says clearly what is wrong, stays in
 * a defined state, and the guest does not notice.
 */
#include "colo/names.h"
#include "tests/sim/ft-peer.h"
#include "tests/sim/rig-check.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

enum { TIMES = 8, RETRY_MS = 200 };

static Rig *new_rig(const char *sim_sec, const char *colod_sec)
{
    RigOptions o = {.sim_sec = sim_sec, .colod_sec = colod_sec};

    return rig_new(&o);
}

/* --- What the secondary makes of a primary --- */

/* Send it a hello and return the text of its refusal. */
static char *refusal(Rig *r, const FtHello *hello, guint32 code)
{
    int fd = ft_peer_connect(r->ft_port);
    g_autofree char *payload = NULL;
    FtHeader h;
    FtNote note;

    g_assert_cmpint(fd, >=, 0);
    g_assert_true(ft_peer_send_hello(fd, hello));
    g_assert_true(ft_peer_read(fd, SOON_MS, &h, &payload));
    g_assert_cmpint(h.cmd, ==, FT_CMD_NACK);
    g_assert_null(ft_note_get(&h, (guint8 *)payload, &note));
    g_assert_cmpuint(note.code, ==, code);
    g_assert_true(ft_peer_is_closed(fd, SOON_MS));
    close(fd);
    return g_strdup(note.text);
}

static void start_secondary(Rig *r)
{
    rig_start_qemu(r, &r->sec);
    rig_start_colod(r, &r->sec);
    check_state(r, &r->sec, "waiting", SOON_MS);
}

static void test_primary_version(void)
{
    Rig *r = new_rig(NULL, NULL);
    FtHello h = {
        .version_min = 98,
        .version_max = 99,
        .name = (char *)"vm0",
        .codings = 1,
        .description = (char *)"{}",
    };
    g_autofree char *text = NULL;

    h.instance = colo_new_id();
    start_secondary(r);
    text = refusal(r, &h, FT_TRANS_ERR_VERSION);
    g_assert_nonnull(strstr(text, "versions 98 to 99"));
    check_said(r, &r->sec, "versions 98 to 99", SOON_MS);
    check_state(r, &r->sec, "waiting", 0);
    g_free(h.instance);
    check_end(r);
}

static void test_primary_other_vm(void)
{
    Rig *r = new_rig(NULL, NULL);
    FtHello h = {
        .version_min = FT_VERSION,
        .version_max = FT_VERSION,
        .name = (char *)"vm0",
        .codings = 1,
    };
    static const struct {
        const char *name, *description, *says;
    } cases[] = {
        {"other", "{}", "--name"},
        {"vm0", "{}", "differ"},
        {"vm0", "[[[[[[[[[[", "no usable description"},
        {"vm0", "{\"qemu\":\"7.2.22\",\"ram\":{\"a\":1}}", "differ"},
    };

    h.instance = colo_new_id();
    start_secondary(r);
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *text = NULL;

        h.name = (char *)cases[i].name;
        h.description = (char *)cases[i].description;
        text = refusal(r, &h, FT_TRANS_ERR_MISMATCH);
        if (!strstr(text, cases[i].says)) {
            g_error("case %u: \"%s\" lacks \"%s\"", i, text, cases[i].says);
        }
    }
    check_state(r, &r->sec, "waiting", 0);
    g_free(h.instance);
    check_end(r);
}

/* Strangers talk to the ft port, before and while a pair is protected. */
static void garbage(Rig *r)
{
    guint8 noise[20000];

    for (guint i = 0; i < sizeof(noise); i++) {
        noise[i] = (guint8)g_test_rand_int();
    }
    for (int i = 0; i < 8; i++) {
        FtHeader h = {.cmd = FT_CMD_CONTINUE, .payload_len = 0xffffffff};
        guint8 raw[FT_HEADER_LEN];
        int fd = ft_peer_connect(r->ft_port);

        g_assert_cmpint(fd, >=, 0);
        switch (i % 4) {
        case 0: /* noise */
            (void)!send(fd, noise, sizeof(noise), MSG_NOSIGNAL);
            break;
        case 1: /* an oversized frame */
            ft_header_put(&h, raw);
            (void)!send(fd, raw, sizeof(raw), MSG_NOSIGNAL);
            break;
        case 2: /* INIT that is no JSON */
            ft_peer_send(fd, FT_CMD_INIT, noise, 1000);
            break;
        default: /* half a header, and gone */
            (void)!send(fd, noise, 5, MSG_NOSIGNAL);
            shutdown(fd, SHUT_WR);
        }
        g_assert_true(ft_peer_is_closed(fd, SOON_MS));
        close(fd);
    }
}

static void test_garbage(void)
{
    Rig *r = new_rig(NULL, NULL);
    gint64 before;

    start_secondary(r);
    garbage(r);
    check_said(r, &r->sec, "does not speak the ft protocol", SOON_MS);
    check_state(r, &r->sec, "waiting", 0);

    rig_start_qemu(r, &r->pri);
    rig_start_colod(r, &r->pri);
    check_active(r);
    before = check_stat(&r->pri, "failed");
    garbage(r);
    check_active(r);
    g_assert_cmpint(check_stat(&r->pri, "failed"), ==, before);
    check_guest(r, &r->pri);
    check_end(r);
}

/* A silent connection holds up nobody. */
static void test_silent(void)
{
    Rig *r = new_rig(NULL, NULL);
    int fd[4];

    start_secondary(r);
    for (guint i = 0; i < G_N_ELEMENTS(fd); i++) {
        fd[i] = ft_peer_connect(r->ft_port);
        g_assert_cmpint(fd[i], >=, 0);
    }
    rig_start_qemu(r, &r->pri);
    rig_start_colod(r, &r->pri);
    check_active(r);
    for (guint i = 0; i < G_N_ELEMENTS(fd); i++) {
        close(fd[i]);
    }
    check_end(r);
}

/* A byte now and then to each of n sockets, until *end. */
typedef struct Trickle {
    int fd[8];
    gint end;
} Trickle;

static gpointer trickle(gpointer data)
{
    Trickle *t = data;

    while (!g_atomic_int_get(&t->end)) {
        for (guint i = 0; i < G_N_ELEMENTS(t->fd); i++) {
            if (send(t->fd[i], " ", 1, MSG_NOSIGNAL | MSG_DONTWAIT) < 0) {
                continue; /* that was ended, as it should be */
            }
        }
        g_usleep(200000);
    }
    return NULL;
}

/* Nor do as many as are served at a time, by an INIT that never ends. */
static void test_trickle(void)
{
    Rig *r = new_rig(NULL, NULL);
    FtHeader h = {.cmd = FT_CMD_INIT, .payload_len = 4000};
    guint8 raw[FT_HEADER_LEN];
    GThread *thread;
    Trickle t = {0};

    start_secondary(r);
    ft_header_put(&h, raw);
    for (guint i = 0; i < G_N_ELEMENTS(t.fd); i++) {
        t.fd[i] = ft_peer_connect(r->ft_port);
        g_assert_cmpint(t.fd[i], >=, 0);
        g_assert_cmpint(send(t.fd[i], raw, sizeof(raw), MSG_NOSIGNAL), ==,
                        sizeof(raw));
    }
    thread = g_thread_new("trickle", trickle, &t);
    for (guint i = 0; i < G_N_ELEMENTS(t.fd); i++) {
        g_assert_true(ft_peer_is_closed(t.fd[i], SOON_MS));
    }
    g_atomic_int_set(&t.end, TRUE);
    g_thread_join(thread);
    for (guint i = 0; i < G_N_ELEMENTS(t.fd); i++) {
        close(t.fd[i]);
    }
    rig_start_qemu(r, &r->pri);
    rig_start_colod(r, &r->pri);
    check_active(r);
    check_end(r);
}

/* The time of processors that a process has used, in ms. */
static gint64 cpu_ms(pid_t pid)
{
    struct timespec ts;
    clockid_t clock;

    g_assert_cmpint(clock_getcpuclockid(pid, &clock), ==, 0);
    g_assert_cmpint(clock_gettime(clock, &ts), ==, 0);
    return ts.tv_sec * 1000 + ts.tv_nsec / 1000000;
}

/* A connection that cannot be accepted costs nothing, and waits. */
static void test_no_descriptors(void)
{
    Rig *r = new_rig(NULL, NULL);
    /* Fewer than it has open, and as many as it polls. */
    struct rlimit few = {.rlim_cur = 10}, all;
    pid_t pid;
    gint64 used;
    int fd;

    start_secondary(r);
    pid = r->sec.colod->pid;
    g_assert_cmpint(prlimit(pid, RLIMIT_NOFILE, NULL, &all), ==, 0);
    few.rlim_max = all.rlim_max;
    g_assert_cmpint(prlimit(pid, RLIMIT_NOFILE, &few, NULL), ==, 0);
    fd = ft_peer_connect(r->ft_port);
    g_assert_cmpint(fd, >=, 0);
    check_said(r, &r->sec, "cannot accept a connection", SOON_MS);
    used = cpu_ms(pid);
    g_usleep(2 * G_USEC_PER_SEC);
    g_assert_cmpint(cpu_ms(pid) - used, <, 500);
    g_assert_cmpint(prlimit(pid, RLIMIT_NOFILE, &all, NULL), ==, 0);
    rig_start_qemu(r, &r->pri);
    rig_start_colod(r, &r->pri);
    check_active(r);
    close(fd);
    check_end(r);
}

/* --- What the primary makes of a secondary --- */

static Rig *start_primary_with(RigOptions o, const char *more, int *listener)
{
    static char options[128];
    guint16 port;
    Rig *r;

    *listener = ft_peer_listen(&port);
    g_snprintf(options, sizeof(options), "--peer 127.0.0.1:%u%s", port, more);
    o.colod_pri = options;
    r = rig_new(&o);
    rig_start_qemu(r, &r->pri);
    rig_start_colod(r, &r->pri);
    return r;
}

static Rig *start_primary(int *listener)
{
    return start_primary_with((RigOptions){0}, "", listener);
}

/* The next connection of the primary, and its INIT. */
static int next_connection(int listener)
{
    int fd = ft_peer_accept(listener, SOON_MS);
    g_autofree char *payload = NULL;
    FtHeader h;

    g_assert_cmpint(fd, >=, 0);
    g_assert_true(ft_peer_read(fd, SOON_MS, &h, &payload));
    g_assert_cmpint(h.cmd, ==, FT_CMD_INIT);
    return fd;
}

static void test_secondary_wrong(void)
{
    static const char *const noise[] = {
        "HTTP/1.1 400 Bad Request\r\nServer: something else entirely\r\n",
        "\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff",
    };
    int listener, fd;
    Rig *r = start_primary(&listener);

    /* It refuses */
    fd = next_connection(listener);
    g_assert_true(ft_peer_send_nack(fd, FT_TRANS_ERR_VERSION,
                                    "install the same release"));
    close(fd);
    check_detail(r, &r->pri, "install the same release", SOON_MS);
    check_state(r, &r->pri, "waiting", 0);

    /* It is something else */
    for (guint i = 0; i < G_N_ELEMENTS(noise); i++) {
        fd = next_connection(listener);
        (void)!send(fd, noise[i], strlen(noise[i]), MSG_NOSIGNAL);
        check_detail(r, &r->pri, "does not speak the ft protocol", SOON_MS);
        close(fd);
    }

    /* It hangs up, and it says nothing */
    close(next_connection(listener));
    fd = next_connection(listener);
    check_state(r, &r->pri, "waiting", 0);
    check_guest(r, &r->pri);
    close(fd);
    close(listener);
    check_end(r);
}

/*
 * The next connection of the primary, taken as a secondary would; epoch: it
 * goes on from there with a session.  Returns if the primary had asked for one.
 */
static gboolean next_session(int listener, guint64 epoch, int *taken)
{
    int fd = ft_peer_accept(listener, SOON_MS);
    g_autofree char *payload = NULL, *instance = colo_new_id();
    g_autofree char *session = colo_new_id();
    g_autoptr(FtHello) hello = NULL;
    g_autoptr(GError) error = NULL;
    FtHello answer = {
        .version_min = FT_VERSION,
        .version_max = FT_VERSION,
        .name = (char *)"vm0",
        .instance = instance,
        .session = session,
        .codings = 1,
        .heartbeat_key = 77,
        .resumed = epoch != 0,
        .epoch = epoch,
    };
    FtHeader h;

    *taken = fd;
    g_assert_cmpint(fd, >=, 0);
    g_assert_true(ft_peer_read(fd, SOON_MS, &h, &payload));
    g_assert_cmpint(h.cmd, ==, FT_CMD_INIT);
    hello = ft_hello_get(payload, h.payload_len, &error);
    g_assert_no_error(error);
    answer.description = hello->description;
    g_assert_true(ft_peer_send_hello(fd, &answer));
    return hello->session != NULL;
}

/* It accepts us, and then it takes nothing more; it is not missed otherwise. */
static void test_secondary_stops_reading(void)
{
    RigOptions patient = {.heartbeat_timeout_ms = 60000};
    int listener, fd, again;
    Rig *r = start_primary_with(patient, " --ft-timeout 500", &listener);

    g_assert_false(next_session(listener, 0, &fd));
    check_said(r, &r->pri, "copying the guest's RAM", SOON_MS);
    check_guest(r, &r->pri);
    /* Given up, and tried anew. */
    check_said(r, &r->pri, "the peer did not", SOON_MS);
    check_state(r, &r->pri, "unprotected|paused", SOON_MS);
    again = ft_peer_accept(listener, SOON_MS);
    g_assert_cmpint(again, >=, 0);
    check_guest(r, &r->pri);
    close(again);
    close(fd);
    close(listener);
    check_end(r);
}

/* However fast it hangs up, it is tried again, but not all the time. */
static void test_secondary_hangs_up(void)
{
    gint64 begin = g_get_monotonic_time();
    int listener, fd;
    Rig *r = start_primary(&listener);

    for (int i = 0; i < TIMES; i++) {
        next_session(listener, 0, &fd);
        close(fd);
    }
    g_assert_cmpint(g_get_monotonic_time() - begin, >=,
                    (TIMES - 1) * RETRY_MS * G_TIME_SPAN_MILLISECOND);
    check_guest(r, &r->pri);
    close(listener);
    check_end(r);
}

/* It goes on with a session that is not the primary's: a new one is begun. */
static void test_other_session(void)
{
    int listener, fd, again;
    Rig *r = start_primary(&listener);

    g_assert_false(next_session(listener, 5, &fd));
    g_assert_true(ft_peer_is_closed(fd, SOON_MS));
    g_assert_cmpuint(rig_full_copies(r), ==, 0);
    g_assert_false(next_session(listener, 0, &again));
    check_said(r, &r->pri, "copying the guest's RAM", SOON_MS);
    check_guest(r, &r->pri);
    close(again);
    close(fd);
    close(listener);
    check_end(r);
}

static void test_other_machine(void)
{
    static const struct {
        const char *sim, *says;
    } cases[] = {
        {"--ram=17", "RAM size"},
        {"--extra-devices=1", "PCI device"},
        {"--machine=pc-q35-7.2", "machine type"},
        {"--qemu-version=7.2.21", "QEMU's version"},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        Rig *r = new_rig(cases[i].sim, NULL);

        rig_start(r);
        check_detail(r, &r->pri, cases[i].says, SOON_MS);
        check_state(r, &r->pri, "waiting", 0);
        check_state(r, &r->sec, "waiting", SOON_MS);
        check_guest(r, &r->pri);
        check_end(r);
    }
}

/* --- Too many --- */

static void test_second_primary(void)
{
    Rig *r = new_rig(NULL, NULL), *other = new_rig(NULL, NULL);
    g_autofree char *peer = g_strdup_printf("--peer 127.0.0.1:%u", r->ft_port);

    rig_start(r);
    check_active(r);
    other->o.colod_pri = peer;
    rig_start_qemu(other, &other->pri);
    rig_start_colod(other, &other->pri);
    check_detail(other, &other->pri, "serves the primary", SOON_MS);
    check_state(other, &other->pri, "waiting", 0);
    check_guest(other, &other->pri);
    check_active(r);
    check_guest(r, &r->pri);
    check_end(other);
    check_end(r);
}

/* A second secondary at each of the first one's addresses. */
static void test_taken(void)
{
    Rig *r = new_rig(NULL, NULL);
    static char more[128];
    struct {
        char *option;
        const char *says;
    } cases[] = {
        {g_strdup_printf("--listen 127.0.0.1:%u", r->ft_port), "in use"},
        {g_strdup_printf("--heartbeat 127.0.0.1:%u", r->hb_port), "in use"},
        {g_strdup_printf("--control %s", r->sec.control), "listens there"},
    };

    rig_start(r);
    check_active(r);
    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        Rig *other = new_rig(NULL, more);

        /* The last of two options counts; of heartbeats, all do. */
        g_strlcpy(more, cases[i].option, sizeof(more));
        rig_start_qemu(other, &other->sec);
        rig_start_colod(other, &other->sec);
        check_exit(other, &other->sec, 1, cases[i].says);
        check_end(other);
        g_free(cases[i].option);
    }
    check_active(r);

    /* The same VM twice: the state folder is taken. */
    {
        Rig *other = new_rig(NULL, more);

        g_snprintf(more, sizeof(more), "--state-dir %s", r->sec.state_dir);
        rig_start_qemu(other, &other->sec);
        rig_start_colod(other, &other->sec);
        check_exit(other, &other->sec, 1, "vm0");
        check_end(other);
    }
    check_active(r);
    check_guest(r, &r->pri);
    check_end(r);
}

static void test_no_qemu(void)
{
    Rig *r = new_rig(NULL, NULL);

    rig_start_colod(r, &r->sec);
    check_exit(r, &r->sec, 1, "cannot reach QEMU");
    check_end(r);
}

/* QEMU's socket, as it is when QEMU was killed or has not come to listen(2). */
static void bind_only(const char *path)
{
    struct sockaddr_un sa = {.sun_family = AF_UNIX};
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

    g_assert_cmpint(strlen(path), <, sizeof(sa.sun_path));
    strcpy(sa.sun_path, path);
    g_assert_cmpint(bind(fd, (struct sockaddr *)&sa, sizeof(sa)), ==, 0);
    close(fd);
}

static void test_qemu_begins(void)
{
    Rig *r = new_rig(NULL, NULL);
    Side *const sides[] = {&r->sec, &r->pri};

    for (guint i = 0; i < G_N_ELEMENTS(sides); i++) {
        bind_only(sides[i]->qmp);
        rig_start_colod(r, sides[i]);
        check_said(r, sides[i], "cannot reach QEMU", SOON_MS);
    }
    for (guint i = 0; i < G_N_ELEMENTS(sides); i++) {
        rig_start_qemu(r, sides[i]);
    }
    check_active(r);
    check_guest(r, &r->pri);
    check_end(r);
}

/* A file system with room for one page, which is taken. */
static gboolean mount_full(const char *folder, const char *filler)
{
    static const char page[4096];

    if (unshare(CLONE_NEWNS) < 0 ||
        mount("none", "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        g_mkdir_with_parents(folder, 0700) < 0 ||
        mount("none", folder, "tmpfs", 0, "size=4096") < 0) {
        return FALSE;
    }
    g_assert_true(g_file_set_contents(filler, page, sizeof(page), NULL));
    return TRUE;
}

/* It says so at once, and not when it has to remember something there. */
static void test_state_full(void)
{
    Rig *r = new_rig(NULL, NULL);
    g_autofree char *filler = g_build_filename(r->sec.state_dir, "page", NULL);

    if (!mount_full(r->sec.state_dir, filler)) {
        g_test_skip("no file system can be mounted");
        rig_free(r);
        return;
    }
    rig_start_qemu(r, &r->sec);
    rig_start_colod(r, &r->sec);
    check_exit(r, &r->sec, 1, "make room in the state file");
    unlink(filler);
    rig_start_colod(r, &r->sec);
    check_state(r, &r->sec, "waiting", SOON_MS);
    g_assert_cmpint(umount2(r->sec.state_dir, MNT_DETACH), ==, 0);
    check_end(r);
}

/* --- Options --- */

static void test_options(void)
{
    static const char *const wrong[] = {
        "",
        "--primary --secondary",
        "--primary",
        "--primary --peer :0",
        "--primary --peer nonsense",
        "--primary --peer h:1 --listen :2",
        "--secondary --peer h:1",
        "--secondary --listen x:99999",
        "--secondary --listen 127.0.0.1:0",
        "--secondary --heartbeat h:1 --heartbeat :0",
        "--primary --peer h:1 --heartbeat h:0",
        "--secondary --frobnicate",
        "--secondary --on-heartbeat-loss failover",
        "--secondary --on-heartbeat-loss maybe",
        "--secondary --fence true",
        "--primary --peer h:1 --mode sometimes",
        "--primary --peer h:1 --checkpoint-delay 5",
        "--primary --peer h:1 --checkpoint-delay many",
        "--primary --peer h:1 --compress rar",
        "--primary --peer h:1 --tracker magic",
        "--secondary --qmp-timeout 0",
        "--secondary --heartbeat-interval 100 --heartbeat-timeout 50",
        "--secondary --config /nonexistent",
        "--secondary surplus",
    };
    g_autofree char *colod = build_path("colod");
    g_autofree char *dir = g_dir_make_tmp("colo-options-XXXXXX", NULL);
    g_autofree char *output = g_build_filename(dir, "out", NULL);

    for (guint i = 0; i < G_N_ELEMENTS(wrong); i++) {
        g_autofree char *line =
            g_strdup_printf(*wrong[i] ? "%s %s" : "%s%s", colod, wrong[i]);
        g_auto(GStrv) argv = g_strsplit(line, " ", -1);
        g_autoptr(Proc) p = proc_start("colod", output, NULL, argv);
        g_autofree char *said = NULL;

        g_assert_true(proc_wait(p, SOON_MS));
        if (proc_code(p) != 2) {
            g_error("colod %s: exit code %d, not 2", wrong[i], proc_code(p));
        }
        g_assert_true(g_file_get_contents(output, &said, NULL, NULL));
        if (!strstr(said, "colod") || strlen(said) < 20) {
            g_error("colod %s: says only \"%s\"", wrong[i], said);
        }
        unlink(output);
    }
    rmdir(dir);
}

int main(int argc, char **argv)
{
    int status;

    if (rig_fence_main(argc, argv, &status)) {
        return status;
    }
    g_test_init(&argc, &argv, NULL);
    rig_set_up();
    g_test_add_func("/sim/peers/options", test_options);
    g_test_add_func("/sim/peers/no-qemu", test_no_qemu);
    g_test_add_func("/sim/peers/qemu-begins", test_qemu_begins);
    g_test_add_func("/sim/peers/primary-version", test_primary_version);
    g_test_add_func("/sim/peers/primary-other-vm", test_primary_other_vm);
    g_test_add_func("/sim/peers/garbage", test_garbage);
    g_test_add_func("/sim/peers/silent", test_silent);
    g_test_add_func("/sim/peers/trickle", test_trickle);
    g_test_add_func("/sim/peers/no-descriptors", test_no_descriptors);
    g_test_add_func("/sim/peers/secondary-wrong", test_secondary_wrong);
    g_test_add_func("/sim/peers/secondary-stops-reading",
                    test_secondary_stops_reading);
    g_test_add_func("/sim/peers/secondary-hangs-up", test_secondary_hangs_up);
    g_test_add_func("/sim/peers/other-session", test_other_session);
    g_test_add_func("/sim/peers/other-machine", test_other_machine);
    g_test_add_func("/sim/peers/second-primary", test_second_primary);
    g_test_add_func("/sim/peers/taken", test_taken);
    g_test_add_func("/sim/peers/state-full", test_state_full);
    return g_test_run();
}
