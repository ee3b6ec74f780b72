/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The test guest's disk: what service.h says about it, and the load.
 *
 * What was acknowledged is known three times: on the disk, in this program's
 * memory, and by the client.  A disk and a memory of different moments show in
 * "check", which reads past the page cache, and in the load, which looks for
 * what it has just synced.
 */
#define _GNU_SOURCE
#include "guest.h"
#include "service.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#define DEVICE     "/dev/vda"
#define FOLDER     "/disk"
#define APPEARS_MS 5000u
#define PAGE       4096u
#define READ_BYTES 65536u
#define MIB        1048576u
#define LOOKS      16u /* pages of each round of the load */
#define BACKLOG    64

/* One file of records: a line of the client behind the hash up to it. */
typedef struct Records {
    pthread_mutex_t lock;
    int fd; /* -1: not open */
    uint64_t count, hash;
} Records;

static Records files[SERVICE_FILES];
/* Held by whoever uses the disk; for writing by the one who takes it away. */
static pthread_rwlock_t in_use = PTHREAD_RWLOCK_INITIALIZER;
static bool mounted; /* under in_use */

static pthread_mutex_t load_lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t load_changed = PTHREAD_COND_INITIALIZER;
static unsigned load_mib; /* under load_lock */

/* Everything, or false with errno. */
static bool put(int fd, const void *data, size_t len, off_t at)
{
    const char *p = data;

    while (len) {
        ssize_t n = pwrite(fd, p, len, at);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return false;
        p += n;
        at += n;
        len -= (size_t)n;
    }
    return true;
}

/* --- Records ------------------------------------------------------------ */

static void name_of(unsigned id, char *path, size_t size)
{
    snprintf(path, size, FOLDER "/records-%u", id);
}

/* What is really there; "" or what is wrong with it. */
static const char *read_records(unsigned id, uint64_t *count, uint64_t *hash)
{
    static const char digits[] = "0123456789abcdef";
    const char *wrong = "";
    char path[64], line[SERVICE_LINE_MAX + 32], *data;
    size_t len = 0;
    ssize_t n;
    int fd;

    *count = 0;
    *hash = SERVICE_HASH_START;
    name_of(id, path, sizeof(path));
    data = aligned_alloc(PAGE, READ_BYTES);
    fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
    if (fd < 0 || data == NULL)
        wrong = "it cannot be opened";
    while (*wrong == '\0' && (n = read(fd, data, READ_BYTES)) != 0) {
        if (n < 0)
            wrong = "it cannot be read";
        for (ssize_t i = 0; i < n && *wrong == '\0'; i++) {
            uint64_t said = 0;

            line[len++] = data[i];
            if (data[i] != '\n' && len < sizeof(line))
                continue;
            for (size_t k = 0; k < 16 && len > 17; k++) {
                const char *d = strchr(digits, line[k]);

                said = said << 4 | (uint64_t)(d && *d ? d - digits : 0);
            }
            *count += 1;
            *hash = service_hash(*hash, line + 17, len > 17 ? len - 17 : 0);
            if (said != *hash)
                wrong = "a record is damaged";
            len = 0;
        }
    }
    if (*wrong == '\0' && len)
        wrong = "the last record is not whole";
    if (fd >= 0)
        close(fd);
    free(data);
    return wrong;
}

/* The answer to check: of the disk, if memory says the same. */
static void check_records(unsigned id, Records *r, char *answer, size_t size)
{
    uint64_t count, hash;
    const char *wrong = read_records(id, &count, &hash);

    if (*wrong == '\0' && (count != r->count || hash != r->hash))
        wrong = "disk and memory are not of one moment";
    if (*wrong == '\0') {
        snprintf(answer, size, "%llu %016llx\n", (unsigned long long)count,
                 (unsigned long long)hash);
        return;
    }
    snprintf(answer, size,
             "wrong: %s: disk %llu %016llx, memory %llu %016llx\n", wrong,
             (unsigned long long)count, (unsigned long long)hash,
             (unsigned long long)r->count, (unsigned long long)r->hash);
    say("DISK BROKEN file %u %s", id, answer);
}

static bool open_records(unsigned id, Records *r, bool anew)
{
    char path[64];

    if (r->fd >= 0 && !anew)
        return true;
    name_of(id, path, sizeof(path));
    if (r->fd >= 0)
        close(r->fd);
    r->fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC | (anew ? O_TRUNC : 0),
                 0644);
    if (r->fd < 0 || (anew && fsync(r->fd) < 0))
        return false;
    /* What an earlier boot has left is taken as it is. */
    read_records(id, &r->count, &r->hash);
    return true;
}

static bool append(Records *r, const char *line)
{
    char record[SERVICE_LINE_MAX + 32];
    uint64_t hash = service_hash(r->hash, line, strlen(line));
    int len = snprintf(record, sizeof(record), "%016llx %s",
                       (unsigned long long)hash, line);

    if (!put(r->fd, record, (size_t)len, lseek(r->fd, 0, SEEK_END)) ||
        fdatasync(r->fd) < 0)
        return false;
    r->hash = hash;
    r->count++;
    return true;
}

/* --- What costs a disk its time ----------------------------------------- */

static bool sync_pages(unsigned n)
{
    static char page[PAGE];
    int fd = open(FOLDER "/pages", O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    bool ok = fd >= 0;

    for (unsigned i = 0; i < n && ok; i++)
        ok = put(fd, page, sizeof(page), (off_t)(i % 256) * PAGE) &&
             fdatasync(fd) == 0;
    if (fd >= 0)
        close(fd);
    return ok;
}

static void fill_page(uint64_t *page, uint64_t round, unsigned number)
{
    for (unsigned i = 0; i < PAGE / 8; i++)
        page[i] = service_chain(round, number) + i;
}

/* A file written from its start, and synced at its end. */
static bool write_file(const char *path, uint64_t pages, uint64_t round)
{
    static __thread uint64_t page[PAGE / 8];
    int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0644);
    bool ok = fd >= 0;

    for (unsigned p = 0; p < pages && ok; p++) {
        fill_page(page, round, p);
        ok = put(fd, page, sizeof(page), (off_t)p * PAGE);
    }
    ok = ok && fdatasync(fd) == 0;
    if (fd >= 0)
        close(fd);
    return ok;
}

/* Some pages of what was just synced, from the disk itself. */
static bool look_at_file(const char *path, unsigned pages, uint64_t round)
{
    uint64_t right[PAGE / 8], *data = aligned_alloc(PAGE, PAGE);
    int fd = open(path, O_RDONLY | O_DIRECT | O_CLOEXEC);
    bool ok = fd >= 0 && data != NULL;

    for (unsigned i = 0; i < LOOKS && ok; i++) {
        unsigned p = (unsigned)(service_chain(round, i) % pages);

        fill_page(right, round, p);
        ok = pread(fd, data, PAGE, (off_t)p * PAGE) == PAGE &&
             memcmp(data, right, PAGE) == 0;
        if (!ok)
            say("DISK BROKEN load round %llu page %u",
                (unsigned long long)round, p);
    }
    if (fd >= 0)
        close(fd);
    free(data);
    return ok;
}

static void *load_thread(void *unused)
{
    static const char path[] = FOLDER "/load";
    unsigned was = 0;

    for (uint64_t round = 1;; round++) {
        pthread_mutex_lock(&load_lock);
        while (load_mib == 0 && was == 0)
            pthread_cond_wait(&load_changed, &load_lock);
        unsigned mib = load_mib;
        pthread_mutex_unlock(&load_lock);
        if (mib != was)
            say("fsync %u MiB", mib);
        was = mib;
        if (mib == 0)
            continue;
        pthread_rwlock_rdlock(&in_use);
        unsigned pages = mib * (MIB / PAGE);
        bool ok = mounted && write_file(path, pages, round);
        if (mounted && !ok)
            say("DISK BROKEN cannot write %s: %m", path);
        ok = ok && look_at_file(path, pages, round);
        pthread_rwlock_unlock(&in_use);
        if (!ok)
            return NULL;
    }
}

void disk_set_load(unsigned mib)
{
    static bool started; /* only the command's thread */
    pthread_t t;

    pthread_mutex_lock(&load_lock);
    load_mib = mib;
    if (!started && mib != 0)
        started = pthread_create(&t, NULL, load_thread, NULL) == 0;
    pthread_cond_signal(&load_changed);
    pthread_mutex_unlock(&load_lock);
}

/* --- The service -------------------------------------------------------- */

/* word: new, + or check; its answer, or false with errno */
static bool use_records(const char *word, unsigned id, const char *line,
                        char *answer, size_t size)
{
    Records *r = &files[id];
    bool anew = strcmp(word, "new") == 0, check = strcmp(word, "check") == 0;

    pthread_mutex_lock(&r->lock);
    bool ok = open_records(id, r, anew) && (anew || check || append(r, line));
    if (ok && check)
        check_records(id, r, answer, size);
    else if (ok)
        snprintf(answer, size, "%llu %016llx\n", (unsigned long long)r->count,
                 (unsigned long long)r->hash);
    pthread_mutex_unlock(&r->lock);
    return ok;
}

static bool command(const char *line, char *answer, size_t size)
{
    unsigned long long n;
    char word[8];

    errno = mounted ? EINVAL : ENODEV;
    if (!mounted || sscanf(line, "%7s %llu", word, &n) != 2)
        return false;
    snprintf(answer, size, "%llu\n", n);
    if (strcmp(word, "fsync") == 0)
        return n <= UINT32_MAX && sync_pages((unsigned)n);
    if (strcmp(word, "write") == 0)
        return write_file(FOLDER "/write", n / PAGE, 0);
    return n < SERVICE_FILES &&
           (strcmp(word, "new") == 0 || strcmp(word, "+") == 0 ||
            strcmp(word, "check") == 0) &&
           use_records(word, (unsigned)n, line, answer, size);
}

static void *serve(void *arg)
{
    FILE *in = arg;
    char line[SERVICE_LINE_MAX + 1], answer[256];

    while (fgets(line, sizeof(line), in) != NULL &&
           strchr(line, '\n') != NULL) {
        pthread_rwlock_rdlock(&in_use);
        if (!command(line, answer, sizeof(answer)))
            snprintf(answer, sizeof(answer), "error: %s\n", strerror(errno));
        pthread_rwlock_unlock(&in_use);
        if (send(fileno(in), answer, strlen(answer), MSG_NOSIGNAL) < 0)
            break;
    }
    fclose(in);
    return NULL;
}

static void *accept_thread(void *arg)
{
    int fd = *(int *)arg, one = 1;

    for (;;) {
        int c = accept4(fd, NULL, NULL, SOCK_CLOEXEC);
        FILE *in = c < 0 ? NULL : fdopen(c, "r");
        pthread_t t;

        if (in == NULL) {
            say("disk: cannot accept: %m");
            sleep_ms(100);
            continue;
        }
        setsockopt(c, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
        if (pthread_create(&t, NULL, serve, in) != 0)
            fclose(in);
        else
            pthread_detach(t);
    }
    return NULL;
}

bool disk_serve(void)
{
    struct sockaddr_in6 a = {.sin6_family = AF_INET6,
                             .sin6_port = htons(SERVICE_DISK_PORT)};
    static int fd;
    int off = 0;
    pthread_t t;

    fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 ||
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &off, sizeof(off)) < 0 ||
        bind(fd, (struct sockaddr *)&a, sizeof(a)) < 0 ||
        listen(fd, BACKLOG) < 0 ||
        pthread_create(&t, NULL, accept_thread, &fd) != 0) {
        say("disk: cannot open port %u: %m", SERVICE_DISK_PORT);
        return false;
    }
    return true;
}

/* --- On and off --------------------------------------------------------- */

void disk_mount(void)
{
    for (unsigned i = 0; i < SERVICE_FILES; i++) {
        files[i].fd = -1;
        pthread_mutex_init(&files[i].lock, NULL);
    }
    mkdir(FOLDER, 0755);
    for (unsigned ms = 0; access(DEVICE, F_OK) < 0 && ms < APPEARS_MS; ms += 10)
        sleep_ms(10);
    mounted = mount(DEVICE, FOLDER, "ext4", MS_NOATIME, NULL) == 0;
    if (!mounted)
        say("disk: cannot mount " DEVICE ": %m");
    else
        say("disk ready");
}

void disk_umount(void)
{
    disk_set_load(0);
    pthread_rwlock_wrlock(&in_use);
    for (unsigned i = 0; i < SERVICE_FILES; i++) {
        if (files[i].fd >= 0)
            close(files[i].fd);
        files[i].fd = -1;
    }
    if (mounted && umount(FOLDER) < 0)
        say("disk: cannot unmount: %m");
    else
        say("disk off");
    mounted = false;
    pthread_rwlock_unlock(&in_use);
}
