/* SPDX-License-Identifier: GPL-2.0-or-later */
/* nbdkit as a child: its command line, its start, its words, its end. */
#include "blockrep/server/server-priv.h"

#include "colo/log.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#define MAX_LINE 400
#define MAX_FD   1024
#define KILLED_US (2 * G_USEC_PER_SEC)

/* Tests and uninstalled programs have their own. */
static const char *program(void)
{
    const char *env = g_getenv("COLO_NBDKIT");

    return env ? env : "nbdkit";
}

/* Where it was installed, or where nbdkit looks for it. */
static const char *plugin(void)
{
    static const char installed[] = NBDKITPLUGINDIR "/nbdkit-colo-plugin.so";
    const char *env = g_getenv("COLO_NBDKIT_PLUGIN");

    if (env) {
        return env;
    }
    return access(installed, R_OK) == 0 ? installed : "colo";
}

static int number_of(const char *config, const char *key)
{
    g_autofree char *line = g_strdup_printf("\n%s=", key);
    const char *at = strstr(config, line);

    return at ? atoi(at + strlen(line)) : 0;
}

/*
 * Before 1.34 nbdkit can abort when a client vanishes with several requests
 * under way, unless it serves one at a time.
 */
static gboolean needs_one_thread(gboolean *one, GError **error)
{
    const char *argv[] = {program(), "--dump-config", NULL};
    g_autofree char *out = NULL, *config = NULL;
    g_autoptr(GError) e = NULL;
    int status = 0, major, minor;

    if (!g_spawn_sync(NULL, (char **)argv, NULL,
                      G_SPAWN_SEARCH_PATH | G_SPAWN_STDERR_TO_DEV_NULL, NULL,
                      NULL, &out, NULL, &status, &e)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_FOUND,
                    "cannot run nbdkit, which serves the disks (Debian: "
                    "nbdkit): %s",
                    e->message);
        return FALSE;
    }
    config = g_strconcat("\n", out, NULL);
    major = number_of(config, "version_major");
    minor = number_of(config, "version_minor");
    if (status || major < 1 || (major == 1 && minor < 32)) {
        g_set_error(error, G_IO_ERROR, G_IO_ERROR_NOT_SUPPORTED,
                    "nbdkit %d.%d is too old to serve the disks: 1.32 or "
                    "newer is needed",
                    major, minor);
        return FALSE;
    }
    *one = major == 1 && minor < 34;
    return TRUE;
}

static void add(GPtrArray *argv, const char *fmt, ...) G_GNUC_PRINTF(2, 3);

static void add(GPtrArray *argv, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    g_ptr_array_add(argv, g_strdup_vprintf(fmt, ap));
    va_end(ap);
}

static void add_tls(GPtrArray *argv, const ColoDiskServerOptions *o)
{
    if (!o->tls_certificates && !o->tls_psk) {
        return;
    }
    /* The guest's QEMU here does without; the plugin asks others for it. */
    add(argv, "--tls=on");
    if (o->tls_psk) {
        add(argv, "--tls-psk=%s", o->tls_psk);
    } else {
        add(argv, "--tls-certificates=%s", o->tls_certificates);
        add(argv, "--tls-verify-peer");
    }
}

char **nbdkit_argv(const ColoDiskServerOptions *o, GError **error)
{
    GPtrArray *argv;
    gboolean one;

    if (!needs_one_thread(&one, error)) {
        return NULL;
    }
    argv = g_ptr_array_new();
    add(argv, "%s", program());
    add(argv, "--foreground");
    if (one) {
        add(argv, "--threads=1");
    }
    add_tls(argv, o);
    add(argv, "%s", plugin());
    for (guint i = 0; i < o->n_disks; i++) {
        add(argv, "disk=%s=%s", o->disks[i].name, o->disks[i].path);
    }
    if (o->folder) {
        add(argv, "folder=%s", o->folder);
    }
    add(argv, "durability=%s", o->flush ? "flush" : "epoch");
    add(argv, "control=%s", o->control);
    add(argv, "parent=%d", (int)getpid());
    if (o->tls_certificates || o->tls_psk) {
        add(argv, "tls-primary=on");
    }
    g_ptr_array_add(argv, NULL);
    return (char **)g_ptr_array_free(argv, FALSE);
}

/* --- The process -------------------------------------------------------- */

/* What it is given; all of it is made before there is a child. */
typedef struct Inherited {
    char **argv;
    char **env;
    char *pid; /* in env: room for its own, after LISTEN_PID= */
    int null;
    int words;
    int listener;
    pid_t parent;
    sigset_t mask;
} Inherited;

/*
 * A listening socket is handed over as systemd does, sd_listen_fds(3): as
 * descriptor 3, and with the receiver's own pid in its environment.
 */
#define FIRST_FD   3
#define PID_DIGITS 10

static void inherit(Inherited *in, char **argv, int null, int words,
                    int listener)
{
    g_autofree char *room = g_strnfill(PID_DIGITS, '0');

    in->parent = getpid();
    in->argv = argv;
    in->env = g_environ_setenv(g_get_environ(), "LISTEN_FDS", "1", TRUE);
    in->env = g_environ_unsetenv(in->env, "LISTEN_FDNAMES");
    in->env = g_environ_setenv(in->env, "LISTEN_PID", room, TRUE);
    in->pid = (char *)g_environ_getenv(in->env, "LISTEN_PID");
    in->null = null;
    in->words = words;
    in->listener = listener;
}

/* Without leading zeros: they would make it octal. */
static void write_pid(char *to, pid_t pid)
{
    int n = 0;

    for (pid_t rest = pid; rest; rest /= 10) {
        n++;
    }
    for (to[n] = '\0'; pid; pid /= 10) {
        to[--n] = (char)('0' + pid % 10);
    }
}

/* No handler of ours runs in a child that has our memory. */
static void forget_handlers(void)
{
    for (int i = 1; i < NSIG; i++) {
        struct sigaction sa;

        if (sigaction(i, NULL, &sa) == 0 && sa.sa_handler != SIG_IGN &&
            sa.sa_handler != SIG_DFL) {
            signal(i, SIG_DFL);
        }
    }
}

/*
 * In the child, which has our memory: nothing is changed there but room that
 * is its own.  The plugin asks for the signal once more (parent=PID), for
 * nbdkit changes it.
 */
static G_NORETURN void become(const Inherited *in)
{
    forget_handlers();
    sigprocmask(SIG_SETMASK, &in->mask, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    /* Ctrl-C is for colod: nbdkit would answer ESHUTDOWN while it ends. */
    setpgid(0, 0);
    /* It may wait for us to read, rather than lose words. */
    fcntl(in->words, F_SETFL, 0);
    if (getppid() != in->parent || dup2(in->null, STDIN_FILENO) < 0 ||
        dup2(in->words, STDOUT_FILENO) < 0 ||
        dup2(in->words, STDERR_FILENO) < 0 ||
        (in->listener == FIRST_FD ? fcntl(FIRST_FD, F_SETFD, 0)
                                  : dup2(in->listener, FIRST_FD)) < 0) {
        _exit(126);
    }
    for (int fd = FIRST_FD + 1; fd < MAX_FD; fd++) {
        close(fd);
    }
    write_pid(in->pid, getpid());
    execvpe(in->argv[0], in->argv, in->env);
    _exit(127);
}

/*
 * Not by fork(2): while our address space is copied, every other thread that
 * touches its own waits, the ones that answer and that send heartbeats, too.
 * Signals wait until the child is another program.
 */
static pid_t spawn(Inherited *in)
{
    sigset_t all;
    pid_t pid;

    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &in->mask);
    pid = vfork();
    if (pid == 0) {
        become(in);
    }
    pthread_sigmask(SIG_SETMASK, &in->mask, NULL);
    return pid;
}

gboolean nbdkit_start(Nbdkit *n, char **argv, int listener, GError **error)
{
    int null = open("/dev/null", O_RDONLY | O_CLOEXEC);
    int words[2] = {-1, -1};
    Inherited in;

    n->pid = 0;
    if (null >= 0 && pipe2(words, O_CLOEXEC | O_NONBLOCK) == 0) {
        inherit(&in, argv, null, words[1], listener);
        n->pid = spawn(&in);
        g_strfreev(in.env);
    }
    if (n->pid > 0) {
        n->pidfd = (int)syscall(SYS_pidfd_open, n->pid, 0);
    }
    if (n->pid <= 0 || n->pidfd < 0) {
        g_set_error(error, G_IO_ERROR, g_io_error_from_errno(errno),
                    "cannot start nbdkit: %s", g_strerror(errno));
    }
    if (null >= 0) {
        close(null);
    }
    if (words[1] >= 0) {
        close(words[1]);
    }
    n->words = words[0];
    n->line = g_string_new(NULL);
    g_clear_pointer(&n->complaint, g_free);
    if (n->pid > 0 && n->pidfd >= 0) {
        return TRUE;
    }
    g_free(nbdkit_end(n, 0));
    return FALSE;
}

static void say(Nbdkit *n)
{
    GString *line = n->line;

    for (char *p = line->str; *p; p++) {
        if (g_ascii_iscntrl(*p)) {
            *p = '?';
        }
    }
    if (strstr(line->str, "error: ")) {
        g_free(n->complaint);
        n->complaint = g_strdup(strstr(line->str, "error: "));
    }
    if (line->len) {
        colo_log_info("%s%s",
                      g_str_has_prefix(line->str, "nbdkit") ? "" : "nbdkit: ",
                      line->str);
    }
    g_string_truncate(line, 0);
}

gboolean nbdkit_read(Nbdkit *n)
{
    char buf[4096];
    ssize_t got;

    while ((got = read(n->words, buf, sizeof(buf))) > 0) {
        for (ssize_t i = 0; i < got; i++) {
            if (buf[i] == '\n' || n->line->len == MAX_LINE) {
                say(n);
            }
            if (buf[i] != '\n') {
                g_string_append_c(n->line, buf[i]);
            }
        }
    }
    if (got < 0 && (errno == EAGAIN || errno == EINTR)) {
        return TRUE;
    }
    say(n);
    return FALSE;
}

/* Wait for its end; its words are read meanwhile, or it could not end. */
static gboolean await_end(Nbdkit *n, gint64 patience_us)
{
    gint64 end = g_get_monotonic_time() + patience_us;
    struct pollfd p[2] = {
        {.fd = n->pidfd, .events = POLLIN},
        {.fd = n->words, .events = POLLIN},
    };

    for (;;) {
        gint64 left = end - g_get_monotonic_time();

        if (poll(p, 2, left > 0 ? (int)(left / 1000) + 1 : 0) < 0) {
            g_assert(errno == EINTR);
            continue;
        }
        if (p[0].revents) {
            return TRUE;
        }
        if (p[1].revents && !nbdkit_read(n)) {
            p[1].fd = -1;
        }
        if (left <= 0) {
            return FALSE;
        }
    }
}

static char *reap(Nbdkit *n, gint64 patience_us)
{
    int status;

    if (n->pidfd >= 0) {
        await_end(n, patience_us);
    }
    kill(n->pid, SIGKILL); /* not reaped yet: it is still ours */
    if (n->pidfd >= 0 && !await_end(n, KILLED_US)) {
        return g_strdup("killed, but a disk does not let go of it");
    }
    if (waitpid(n->pid, &status, n->pidfd < 0 ? 0 : WNOHANG) != n->pid) {
        return g_strdup_printf("lost: %s", g_strerror(errno));
    }
    return WIFSIGNALED(status)
               ? g_strdup_printf("killed by signal %d", WTERMSIG(status))
               : g_strdup_printf("exit status %d", WEXITSTATUS(status));
}

char *nbdkit_end(Nbdkit *n, gint64 patience_us)
{
    char *how = n->pid > 0 ? reap(n, patience_us) : NULL;

    n->pid = 0;
    if (n->words >= 0) {
        nbdkit_read(n);
        close(n->words);
        n->words = -1;
    }
    if (n->pidfd >= 0) {
        close(n->pidfd);
        n->pidfd = -1;
    }
    if (n->line) {
        g_string_free(n->line, TRUE);
        n->line = NULL;
    }
    return how;
}
