/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The test guest's only program, run by the kernel as /init: the hash chain,
 * load on demand, and commands from the serial line.
 *
 * Kernel command line: colo.mib= colo.picks= colo.ms= colo.seed= (the chain),
 * colo.load=MIB,MS colo.fill=1 colo.net=1 colo.blk=1 (modules), colo.chain=0.
 * colo.ip=ADDRESS/BITS colo.ip6= colo.gw= (of the first card; with one of the
 * first two the services of service.h are started).  colo.disk=1: the first
 * disk is mounted, and served to the network, too.
 * Commands, one a line on ttyS0: load MIB MS | fill random | idle | pace MS |
 * fsync MIB | disk off | modules NAME | clock | run COMMAND | poweroff |
 * reboot | panic.  Each command is answered by a line.
 */
#define _GNU_SOURCE
#include "chain.h"
#include "guest.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/reboot.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>
#include <time.h>
#include <unistd.h>

#define LOAD_MIB_MAX 65536u

static pthread_mutex_t console_lock = PTHREAD_MUTEX_INITIALIZER;

void say(const char *format, ...)
{
    char line[512];
    va_list ap;
    va_start(ap, format);
    int n = vsnprintf(line, sizeof(line) - 1, format, ap);
    va_end(ap);
    if (n < 0)
        return;
    size_t len = (size_t)n < sizeof(line) - 2 ? (size_t)n : sizeof(line) - 2;
    line[len++] = '\n';

    pthread_mutex_lock(&console_lock);
    for (size_t done = 0; done < len;) {
        ssize_t w = write(STDOUT_FILENO, line + done, len - done);
        if (w <= 0)
            break;
        done += (size_t)w;
    }
    pthread_mutex_unlock(&console_lock);
}

void sleep_ms(unsigned ms)
{
    struct timespec t = {.tv_sec = ms / 1000,
                         .tv_nsec = (long)(ms % 1000) * 1000000};
    nanosleep(&t, NULL);
}

void load_modules(const char *name)
{
    char path[96], line[256];
    snprintf(path, sizeof(path), "/modules/%s.list", name);
    FILE *f = fopen(path, "re");
    if (f == NULL) {
        say("modules %s: cannot open %s: %m", name, path);
        return;
    }
    while (fgets(line, sizeof(line), f) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        int fd = open(line, O_RDONLY | O_CLOEXEC);
        if (fd < 0 ||
            (syscall(SYS_finit_module, fd, "", 0) != 0 && errno != EEXIST)) {
            say("modules %s: cannot load %s: %m", name, line);
        }
        if (fd >= 0)
            close(fd);
    }
    fclose(f);
    say("modules %s loaded", name);
}

static void run(const char *command)
{
    pid_t pid = fork();
    if (pid == 0) {
        signal(SIGCHLD, SIG_DFL);
        setenv("PATH", "/bin", 1);
        execl("/bin/sh", "sh", "-c", command, (char *)NULL);
        _exit(127);
    }
    int status = 0;
    if (pid < 0 || waitpid(pid, &status, 0) != pid)
        say("run: %m");
    else
        say("run ended %d", WIFEXITED(status) ? WEXITSTATUS(status) : -1);
}

/* As an HTTP server would say it in its Date, to the microsecond. */
static void clock_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_REALTIME, &t);
    say("clock %lld%06ld", (long long)t.tv_sec, t.tv_nsec / 1000);
}

static void panic(void)
{
    int fd = open("/proc/sysrq-trigger", O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, "c", 1) != 1)
        say("panic: %m");
    if (fd >= 0)
        close(fd);
}

static void command(const char *line)
{
    unsigned mib, ms;
    if (sscanf(line, "load %u %u", &mib, &ms) == 2) {
        if (mib > LOAD_MIB_MAX || ms == 0)
            say("load: MIB is 0 to %u and MS at least 1", LOAD_MIB_MAX);
        else
            load_set(mib, ms);
    } else if (strcmp(line, "fill random") == 0) {
        fill_random();
    } else if (strcmp(line, "idle") == 0) {
        load_set(0, 1);
        fill_free();
        say("idle");
    } else if (sscanf(line, "pace %u", &ms) == 1 && ms > 0) {
        chain_set_pace(ms);
        say("pace %u", ms);
    } else if (sscanf(line, "fsync %u", &mib) == 1) {
        if (mib > LOAD_MIB_MAX)
            say("fsync: MIB is 0 to %u", LOAD_MIB_MAX);
        else
            disk_set_load(mib);
    } else if (strcmp(line, "disk off") == 0) {
        disk_umount();
    } else if (strncmp(line, "modules ", 8) == 0) {
        load_modules(line + 8);
    } else if (strcmp(line, "clock") == 0) {
        clock_now();
    } else if (strncmp(line, "run ", 4) == 0) {
        run(line + 4);
    } else if (strcmp(line, "poweroff") == 0) {
        say("poweroff");
        tcdrain(STDOUT_FILENO);
        reboot(RB_POWER_OFF);
    } else if (strcmp(line, "reboot") == 0) {
        say("reboot");
        tcdrain(STDOUT_FILENO);
        reboot(RB_AUTOBOOT);
    } else if (strcmp(line, "panic") == 0) {
        say("panic");
        tcdrain(STDOUT_FILENO);
        panic();
    } else if (*line != '\0') {
        say("unknown command: %s", line);
    }
}

static void *command_thread(void *unused)
{
    char line[512];
    for (;;) {
        if (fgets(line, sizeof(line), stdin) == NULL) {
            /* Nobody is connected: the line hung up. */
            clearerr(stdin);
            sleep_ms(200);
            continue;
        }
        line[strcspn(line, "\r\n")] = '\0';
        command(line);
    }
    return NULL;
}

static void open_console(void)
{
    struct termios t;
    int fd = open("/dev/ttyS0", O_RDWR | O_NOCTTY);
    if (fd < 0)
        return;
    for (int i = 0; i < 3; i++)
        dup2(fd, i);
    if (fd > 2)
        close(fd);
    if (tcgetattr(STDIN_FILENO, &t) == 0) {
        t.c_lflag = ICANON;
        t.c_oflag &= ~(tcflag_t)OPOST;
        t.c_cflag |= CLOCAL;
        cfsetspeed(&t, B115200);
        tcsetattr(STDIN_FILENO, TCSANOW, &t);
    }
}

/* The value of key= on the kernel's command line, or dflt. */
static unsigned long long option(const char *cmdline, const char *key,
                                 unsigned long long dflt)
{
    const char *at = strstr(cmdline, key);
    return at ? strtoull(at + strlen(key), NULL, 0) : dflt;
}

/* The word after key= on the kernel's command line; too long: none. */
static void word(const char *cmdline, const char *key, char *out, size_t size)
{
    const char *at = strstr(cmdline, key);
    size_t len = at ? strcspn(at + strlen(key), " \n") : 0;
    if (len >= size)
        len = 0;
    if (len)
        memcpy(out, at + strlen(key), len);
    out[len] = '\0';
}

static unsigned clamp(unsigned long long v, unsigned max)
{
    return v < 1 ? 1 : v > max ? max : (unsigned)v;
}

int main(void)
{
    char cmdline[2048] = "";
    pthread_t t;

    mkdir("/dev", 0755);
    mkdir("/proc", 0755);
    mkdir("/sys", 0755);
    mkdir("/tmp", 01777);
    mount("dev", "/dev", "devtmpfs", 0, NULL);
    open_console();
    say("boot ok");
    mount("proc", "/proc", "proc", 0, NULL);
    mount("sys", "/sys", "sysfs", 0, NULL);

    FILE *f = fopen("/proc/cmdline", "re");
    if (f != NULL) {
        size_t n = fread(cmdline, 1, sizeof(cmdline) - 1, f);
        cmdline[n] = '\0';
        fclose(f);
    }
    if (option(cmdline, "colo.net=", 0))
        load_modules("net");
    bool disk = option(cmdline, "colo.disk=", 0);
    if (disk || option(cmdline, "colo.blk=", 0))
        load_modules("blk");
    if (disk)
        disk_mount();
    NetOptions net;
    word(cmdline, "colo.ip=", net.ip, sizeof(net.ip));
    word(cmdline, "colo.ip6=", net.ip6, sizeof(net.ip6));
    word(cmdline, "colo.gw=", net.gw, sizeof(net.gw));
    if ((*net.ip || *net.ip6) && net_configure(&net) &&
        (!disk || disk_serve()))
        service_start();
    unsigned mib, ms;
    const char *load = strstr(cmdline, "colo.load=");
    if (load && sscanf(load, "colo.load=%u,%u", &mib, &ms) == 2 && ms > 0)
        load_set(clamp(mib, LOAD_MIB_MAX), ms);
    pthread_create(&t, NULL, command_thread, NULL);
    if (option(cmdline, "colo.fill=", 0))
        fill_random();

    ChainOptions o = {
        .mib = clamp(option(cmdline, "colo.mib=", CHAIN_MIB_DEFAULT),
                     CHAIN_MIB_MAX),
        .picks = clamp(option(cmdline, "colo.picks=", CHAIN_PICK_DEFAULT),
                       CHAIN_PICK_MAX),
        .seed = option(cmdline, "colo.seed=", 1),
    };
    chain_set_pace(clamp(option(cmdline, "colo.ms=", CHAIN_MS_DEFAULT), 60000));
    if (option(cmdline, "colo.chain=", 1))
        chain_run(&o);
    for (;;)
        pause();
}
