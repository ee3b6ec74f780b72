/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Checks the test guest's console log: recomputes the hash chain and compares
 * every line with it.  Several logs are read one after the other, as one
 * guest's life on several hosts.
 *
 * A seam is a place where the log does not go on with the next step: a load
 * of another state, or the change to the next log.  A line cut by a load is
 * told by its check sum and is part of a seam; a whole line with a wrong hash
 * never is.
 */
#include "config.h"
#include "chain.h"

#include <errno.h>
#include <getopt.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define N_MAX (UINT64_C(1) << 26)
#define ANY   UINT64_MAX

typedef struct Model {
    uint32_t n_pages;
    uint64_t picks, seed;
    uint64_t *values; /* after step n */
    uint64_t *hashes; /* [0..n], room for size */
    uint64_t n, size;
} Model;

typedef struct Checker {
    Model m;
    uint64_t seams_allowed, back_allowed;
    bool restarts_allowed;
    const char *file;
    uint64_t line;
    bool any;       /* a chain line was seen */
    bool open_seam; /* the log changed or a line was torn */
    uint64_t first, last, lines, seams, torn, restarts, back;
} Checker;

static const char usage[] =
    "Usage: chain-check [OPTIONS] LOG...\n"
    "  --seams N|any   so many jumps and torn lines are allowed (0)\n"
    "  --back N|any    how many steps a jump may go back (0)\n"
    "  --restarts      the guest may have been reset\n"
    "  --lines N       at least so many lines must be there (1)\n"
    "  --reach N       the last step must be at least this\n"
    "  --mib N --picks N --seed N   the chain, unless the log says so\n"
    "  --print N       print the first N lines of the chain and exit\n"
    "Exit status: 0 unbroken, 1 broken, 2 wrong usage.\n";

__attribute__((noreturn, format(printf, 2, 3))) static void
broken(const Checker *c, const char *format, ...)
{
    va_list ap;
    printf("chain broken: %s:%" PRIu64 ": ", c->file, c->line);
    va_start(ap, format);
    vprintf(format, ap);
    va_end(ap);
    putchar('\n');
    exit(1);
}

static void *must(void *p)
{
    if (p == NULL) {
        fprintf(stderr, "chain-check: out of memory\n");
        exit(2);
    }
    return p;
}

static void model_start(Model *m)
{
    free(m->values);
    m->values = must(calloc(m->n_pages, sizeof(*m->values)));
    for (uint32_t p = 0; p < m->n_pages; p++)
        m->values[p] = chain_first_value(m->seed, p);
    m->n = 0;
    m->size = 1024;
    m->hashes = must(realloc(m->hashes, m->size * sizeof(*m->hashes)));
    m->hashes[0] = chain_first_hash(m->seed);
}

/* HASH(n); every hash up to the highest asked for is kept. */
static uint64_t model_hash(Model *m, uint64_t n)
{
    while (m->n < n) {
        uint64_t h = m->hashes[m->n], next = m->n + 1;
        for (uint64_t k = 0; k < m->picks; k++) {
            uint32_t page = chain_pick(h, k, m->n_pages);
            uint64_t old = m->values[page];
            uint64_t v = chain_next_value(h, old, next);
            m->values[page] = v;
            h = chain_fold(h, old, v);
        }
        if (next == m->size) {
            m->size *= 2;
            m->hashes = must(realloc(m->hashes, m->size * sizeof(*m->hashes)));
        }
        m->hashes[next] = h;
        m->n = next;
    }
    return m->hashes[n];
}

static void take_step(Checker *c, uint64_t n, uint64_t hash)
{
    if (n == 0 || n > N_MAX)
        broken(c, "step %" PRIu64 " is out of range", n);
    uint64_t expected = model_hash(&c->m, n);
    if (hash != expected) {
        broken(c,
               "step %" PRIu64 " has hash %016" PRIx64 ", expected %016" PRIx64,
               n, hash, expected);
    }
    if (!c->any)
        c->first = n;
    bool jump = c->any && n != c->last + 1;
    if (jump || c->open_seam)
        c->seams++;
    if (jump && n <= c->last) {
        uint64_t back = c->last + 1 - n;
        if (back > c->back)
            c->back = back;
        if (back > c->back_allowed) {
            broken(c, "went back from step %" PRIu64 " to %" PRIu64, c->last,
                   n);
        }
    }
    if (c->seams > c->seams_allowed) {
        broken(c,
               "went from step %" PRIu64 " to %" PRIu64 ": %" PRIu64
               " seams, allowed %" PRIu64,
               c->last, n, c->seams, c->seams_allowed);
    }
    c->any = true;
    c->open_seam = false;
    c->last = n;
    c->lines++;
}

static void take_start(Checker *c, const char *text)
{
    uint64_t mib, picks, seed;
    if (sscanf(text,
               "chain start mib %" SCNu64 " picks %" SCNu64 " seed %" SCNu64,
               &mib, &picks, &seed) != 3)
        return;
    if (mib < 1 || mib > CHAIN_MIB_MAX || picks < 1 || picks > CHAIN_PICK_MAX)
        broken(c, "not a chain that this program knows: %s", text);
    if (c->any) {
        if (!c->restarts_allowed)
            broken(c, "the guest was started again");
        c->restarts++;
    }
    c->m.n_pages = (uint32_t)mib * (1048576 / CHAIN_PAGE_SIZE);
    c->m.picks = picks;
    c->m.seed = seed;
    model_start(&c->m);
    c->any = false;
    c->open_seam = false;
}

static void take_line(Checker *c, char *text)
{
    static const char *const fatal[] = {"CHAIN BROKEN", "Kernel panic",
                                        "BUG: ", "Oops: "};
    uint64_t n, hash;
    unsigned sum;
    int end = 0;

    for (size_t i = 0; i < sizeof(fatal) / sizeof(*fatal); i++) {
        if (strstr(text, fatal[i]) != NULL)
            broken(c, "the guest says: %s", text);
    }
    /* A load may have put a new line behind the beginning of an old one. */
    char *at = NULL;
    for (char *p = text; (p = strstr(p, "chain ")) != NULL; p++)
        at = p;
    if (at == NULL)
        return;
    if (strncmp(at, "chain start ", 12) == 0) {
        take_start(c, at);
        return;
    }
    bool whole = sscanf(at, "chain %" SCNu64 " %16" SCNx64 " %4x%n", &n, &hash,
                        &sum, &end) == 3 &&
                 at[end] == '\0' && sum == chain_line_sum(n, hash);
    if (at != text || !whole) {
        c->torn++;
        c->open_seam = true;
        if (c->seams >= c->seams_allowed)
            broken(c, "torn line: %s", text);
    }
    if (whole)
        take_step(c, n, hash);
}

static void check_file(Checker *c, const char *name)
{
    char *text = NULL;
    size_t room = 0;
    ssize_t len;
    FILE *f = fopen(name, "re");

    if (f == NULL) {
        fprintf(stderr, "chain-check: cannot open %s: %s\n", name,
                strerror(errno));
        exit(2);
    }
    c->file = name;
    c->line = 0;
    c->open_seam = c->any;
    while ((len = getline(&text, &room, f)) > 0) {
        /* What the guest was still printing when it ended is no line. */
        if (text[len - 1] != '\n')
            break;
        text[len - 1] = '\0';
        c->line++;
        take_line(c, text);
    }
    free(text);
    fclose(f);
}

static uint64_t number(const char *option, const char *text, bool any_too)
{
    char *end;
    if (any_too && strcmp(text, "any") == 0)
        return ANY;
    errno = 0;
    unsigned long long v = strtoull(text, &end, 0);
    if (errno != 0 || *text == '\0' || *text == '-' || *end != '\0') {
        fprintf(stderr, "chain-check: --%s needs a number, not '%s'\n", option,
                text);
        exit(2);
    }
    return v;
}

static void print_chain(Model *m, uint64_t count)
{
    printf("chain start mib %u picks %" PRIu64 " seed %" PRIu64 "\n",
           m->n_pages * CHAIN_PAGE_SIZE / 1048576, m->picks, m->seed);
    for (uint64_t n = 1; n <= count; n++) {
        uint64_t h = model_hash(m, n);
        printf("chain %" PRIu64 " %016" PRIx64 " %04x\n", n, h,
               chain_line_sum(n, h));
    }
}

int main(int argc, char **argv)
{
    static const struct option options[] = {
        {"seams", required_argument, NULL, 's'},
        {"back", required_argument, NULL, 'b'},
        {"restarts", no_argument, NULL, 'r'},
        {"lines", required_argument, NULL, 'l'},
        {"reach", required_argument, NULL, 'R'},
        {"mib", required_argument, NULL, 'm'},
        {"picks", required_argument, NULL, 'p'},
        {"seed", required_argument, NULL, 'S'},
        {"print", required_argument, NULL, 'P'},
        {"help", no_argument, NULL, 'h'},
        {NULL, 0, NULL, 0},
    };
    Checker c = {.m = {.picks = CHAIN_PICK_DEFAULT, .seed = 1}};
    uint64_t mib = CHAIN_MIB_DEFAULT, min_lines = 1, reach = 0, print = 0;
    int o, which;

    while ((o = getopt_long(argc, argv, "", options, &which)) != -1) {
        const char *name = o == '?' ? "" : options[which].name;
        switch (o) {
        case 's':
            c.seams_allowed = number(name, optarg, true);
            break;
        case 'b':
            c.back_allowed = number(name, optarg, true);
            break;
        case 'r':
            c.restarts_allowed = true;
            break;
        case 'l':
            min_lines = number(name, optarg, false);
            break;
        case 'R':
            reach = number(name, optarg, false);
            break;
        case 'm':
            mib = number(name, optarg, false);
            break;
        case 'p':
            c.m.picks = number(name, optarg, false);
            break;
        case 'S':
            c.m.seed = number(name, optarg, false);
            break;
        case 'P':
            print = number(name, optarg, false);
            break;
        case 'h':
            fputs(usage, stdout);
            return 0;
        default:
            fputs(usage, stderr);
            return 2;
        }
    }
    if (mib < 1 || mib > CHAIN_MIB_MAX || c.m.picks < 1 ||
        c.m.picks > CHAIN_PICK_MAX || print > N_MAX ||
        (optind == argc && print == 0)) {
        fputs(usage, stderr);
        return 2;
    }
    c.m.n_pages = (uint32_t)mib * (1048576 / CHAIN_PAGE_SIZE);
    model_start(&c.m);
    if (print != 0) {
        print_chain(&c.m, print);
        return 0;
    }
    for (int i = optind; i < argc; i++)
        check_file(&c, argv[i]);
    if (c.lines < min_lines)
        broken(&c, "%" PRIu64 " lines, expected %" PRIu64, c.lines, min_lines);
    if (c.last < reach) {
        broken(&c, "ends at step %" PRIu64 ", expected %" PRIu64, c.last,
               reach);
    }
    printf("chain ok: lines %" PRIu64 " first %" PRIu64 " last %" PRIu64
           " seams %" PRIu64 " torn %" PRIu64 " back %" PRIu64
           " restarts %" PRIu64 "\n",
           c.lines, c.first, c.last, c.seams, c.torn, c.back, c.restarts);
    free(c.m.values);
    free(c.m.hashes);
    return 0;
}
