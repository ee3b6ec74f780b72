/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Options: the command line, the key file, which wins, and what is wrong. */
#include "colo/options.h"

#include "capture.h"
#include "colo/sockaddr.h"

#include <glib/gstdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static gboolean debug;
static char *name, **words;
static gint64 delay;
static int mode;
static ColoAddr *peer;
static GPtrArray *heartbeats;

static const char *const modes[] = {"colo", "periodic", "off", NULL};
static const ColoOption list[] = {
    {"debug", COLO_OPT_FLAG, &debug, NULL, "log more"},
    {"name", COLO_OPT_STRING, &name, "NAME", "the VM's name"},
    {"word", COLO_OPT_LIST, &words, "WORD", "a word; may be repeated"},
    {"delay", COLO_OPT_INT, &delay, "MS", "default 7", 10, 3600000, "ms"},
    {"mode", COLO_OPT_CHOICE, &mode, "MODE", "how", .choices = modes},
    {"peer", COLO_OPT_ADDR, &peer, "ADDR", "the other side"},
    {"heartbeat", COLO_OPT_ADDR_LIST, &heartbeats, "ADDR", "may be repeated"},
    {NULL},
};
static ColoOptions options = {"prog", NULL, "Does things.", FALSE, list};

/* Parse the words of line; what stays of them goes to *rest if not NULL. */
static int parse(const char *line, char **rest)
{
    g_autofree char *full = g_strconcat("prog ", line, NULL);
    g_auto(GStrv) copy = NULL;
    g_autofree char **argv = NULL;
    int argc, code;

    colo_options_clear(&options);
    debug = FALSE;
    delay = 7;
    mode = 1;
    g_assert_true(g_shell_parse_argv(full, &argc, &copy, NULL));
    argv = g_memdup2(copy, (argc + 1) * sizeof(char *));
    char **args = argv;

    code = colo_options_parse(&options, &argc, &args);
    if (rest) {
        *rest = g_strjoinv(" ", args + 1);
    }
    return code;
}

static char *write_file(const char *text)
{
    g_autoptr(GError) error = NULL;
    char *path = NULL;
    int fd = g_file_open_tmp("colo-options-XXXXXX", &path, &error);

    g_assert_no_error(error);
    close(fd);
    g_assert_true(g_file_set_contents(path, text, -1, NULL));
    return path;
}

static char *addresses(void)
{
    GString *all = g_string_new(NULL);

    for (guint i = 0; heartbeats && i < heartbeats->len; i++) {
        g_autofree char *text = colo_addr_format(heartbeats->pdata[i]);

        g_string_append_printf(all, "%s ", text);
    }
    return g_string_free(all, FALSE);
}

static void test_command_line(void)
{
    g_autofree char *all = NULL;

    g_assert_cmpint(parse("", NULL), ==, -1);
    g_assert_null(name);
    g_assert_cmpint(delay, ==, 7);
    g_assert_cmpint(mode, ==, 1);
    g_assert_false(colo_options_given(&options, "delay"));

    g_assert_cmpint(parse("--debug --name a --name=b --word x --word 'y;z' "
                          "--delay 10 --mode off --peer sec:8888 "
                          "--heartbeat :1 --heartbeat [::1]:2",
                          NULL),
                    ==, -1);
    g_assert_true(debug);
    g_assert_cmpstr(name, ==, "b");
    g_assert_cmpint(g_strv_length(words), ==, 2);
    g_assert_cmpstr(words[1], ==, "y;z");
    g_assert_cmpint(delay, ==, 10);
    g_assert_cmpint(mode, ==, 2);
    g_assert_cmpstr(peer->host, ==, "sec");
    all = addresses();
    g_assert_cmpstr(all, ==, ":1 [::1]:2 ");
    g_assert_true(colo_options_given(&options, "delay"));
}

static void test_file(void)
{
    g_autofree char *path = write_file("# ours\n"
                                       "[other]\nnonsense=1\n"
                                       "[prog]\ndebug=true\nname=vm 1\n"
                                       "word=a;b\ndelay=3600000\n"
                                       "mode=colo\npeer=sec:1\n"
                                       "heartbeat=h1:1;h2:2;\n");
    g_autofree char *line = g_strdup_printf("--config %s", path);
    g_autofree char *more = g_strdup_printf(
        "--heartbeat x:9 --config %s --name cmd --word c --delay 20", path);
    g_autofree char *all = NULL, *winner = NULL;

    g_assert_cmpint(parse(line, NULL), ==, -1);
    g_assert_true(debug);
    g_assert_cmpstr(name, ==, "vm 1");
    g_assert_cmpint(g_strv_length(words), ==, 2);
    g_assert_cmpint(delay, ==, 3600000);
    g_assert_cmpint(mode, ==, 0);
    all = addresses();
    g_assert_cmpstr(all, ==, "h1:1 h2:2 ");
    g_assert_true(colo_options_given(&options, "mode"));

    /* The command line wins, wherever --config stands; lists too. */
    g_assert_cmpint(parse(more, NULL), ==, -1);
    g_assert_cmpstr(name, ==, "cmd");
    g_assert_cmpint(g_strv_length(words), ==, 1);
    g_assert_cmpint(delay, ==, 20);
    g_assert_cmpint(mode, ==, 0);
    winner = addresses();
    g_assert_cmpstr(winner, ==, "x:9 ");
    g_unlink(path);
}

/* line must be refused with code 2 and a message that holds text. */
static void refused(const char *line, const char *text)
{
    g_autofree char *said = NULL;
    int code;

    capture_start();
    code = parse(line, NULL);
    said = capture_end();
    if (code != 2 || !strstr(said, text) ||
        !strstr(said, "Try 'prog --help'")) {
        g_error("'%s' returned %d and said: %s", line, code, said);
    }
}

/* The VM's own file: only where it is and has something for us. */
static void test_own_file(void)
{
    static const char *const texts[] = {"[prog]\ndelay=30\nmode=off\n",
                                        "[other]\ndelay=30\n"};
    g_autofree char *dir = g_dir_make_tmp("colo-options-XXXXXX", NULL);
    g_autofree char *vm0 = g_build_filename(dir, "vm0.conf", NULL);
    g_autofree char *vm7 = g_build_filename(dir, "vm7.conf", NULL);
    g_autofree char *named = g_strdup_printf("--config %s", vm7);

    g_setenv("COLO_CONFIG_DIR", dir, TRUE);
    options.own_file = TRUE;
    g_assert_cmpint(parse("--mode colo", NULL), ==, -1);
    g_assert_cmpint(delay, ==, 7);
    g_file_set_contents(vm0, texts[0], -1, NULL);
    g_file_set_contents(vm7, texts[1], -1, NULL);
    g_assert_cmpint(parse("--mode colo", NULL), ==, -1);
    g_assert_cmpint(delay, ==, 30);
    g_assert_cmpint(mode, ==, 0);
    g_assert_cmpint(parse("--name vm7", NULL), ==, -1);
    g_assert_cmpint(delay, ==, 7);
    g_assert_cmpint(parse("--name ../vm0", NULL), ==, -1);
    g_assert_cmpint(delay, ==, 7);
    refused(named, "there is no group [prog]");
    g_file_set_contents(vm0, "[prog]\ndelay=x\n", -1, NULL);
    refused("--mode colo", vm0);
    options.own_file = FALSE;
    g_assert_cmpint(parse("--mode colo", NULL), ==, -1);
    g_unlink(vm0);
    g_unlink(vm7);
    g_rmdir(dir);
    g_unsetenv("COLO_CONFIG_DIR");
}

static void test_wrong_line(void)
{
    refused("--nonsense", "Unknown option --nonsense");
    refused("--delay", "Missing argument for --delay");
    refused("--delay 5", "prog: --delay 5: must be 10 to 3600000 (ms)");
    refused("--delay 3600001", "--delay 3600001: must be 10 to 3600000 (ms)");
    refused("--delay 1e3", "must be 10");
    refused("--delay 99999999999999999999", "must be 10");
    refused("--delay -50", "must be 10");
    refused("--delay ''", "must not be empty");
    refused("--mode x", "--mode x: must be colo, periodic or off");
    refused("--name=", "must not be empty");
    refused("--peer sec", "--peer sec: invalid address \"sec\"");
    refused("--heartbeat a:1 --heartbeat b", "invalid address \"b\"");
    refused("word", "unexpected argument word");
    refused("--config /does/not/exist",
            "cannot open the configuration file /does/not/exist: No such");
    refused("--config /dev/zero", "too large");
}

static void test_wrong_file(void)
{
    static const char *const cases[][2] = {
        {"[prog]\ncolour=red\n", "unknown key colour in group [prog]"},
        {"[prog]\nconfig=x\n", "unknown key config"},
        {"[prgo]\nname=x\n", "there is no group [prog]"},
        {"", "there is no group [prog]"},
        {"name=x\n", "does not start with a group"},
        {"[prog]\nname\n", "Key file contains line"},
        {"[prog]\ndelay=5\n", "delay=5: must be 10 to 3600000 (ms)"},
        {"[prog]\ndebug=1\n", "debug=1: must be true or false"},
        {"[prog]\nname=\n", "name=: must not be empty"},
        {"[prog]\nword=\n", "word=: must not be empty"},
        {"[prog]\nmode=none\n", "mode=none: must be colo"},
        {"[prog]\nheartbeat=a:1;b\n", "heartbeat=a:1;b: invalid address"},
    };

    for (guint i = 0; i < G_N_ELEMENTS(cases); i++) {
        g_autofree char *path = write_file(cases[i][0]);
        g_autofree char *line = g_strdup_printf("--config %s", path);

        refused(line, cases[i][1]);
        refused(line, path);
        g_unlink(path);
    }
}

static void test_words(void)
{
    g_autofree char *rest = NULL;

    options.words = TRUE;
    g_assert_cmpint(parse("--debug set --name x a=1", &rest), ==, -1);
    g_assert_cmpstr(rest, ==, "set a=1");
    g_assert_cmpstr(name, ==, "x");
    options.words = FALSE;
}

static void test_printed(void)
{
    if (g_test_subprocess()) {
        exit(parse("--version --name x", NULL));
    }
    g_test_trap_subprocess(NULL, 0, 0);
    g_test_trap_assert_passed();
    g_test_trap_assert_stdout("*prog (colo) ?*.?*.?*");
}

static void test_help(void)
{
    if (g_test_subprocess()) {
        exit(1 + parse("--help", NULL));
    }
    g_test_trap_subprocess(NULL, 0, 0);
    g_test_trap_assert_passed();
    g_test_trap_assert_stdout("*Does things.*--delay=MS*default 7*--config=*");
}

int main(int argc, char **argv)
{
    g_test_init(&argc, &argv, NULL);
    g_test_add_func("/options/command-line", test_command_line);
    g_test_add_func("/options/file", test_file);
    g_test_add_func("/options/own-file", test_own_file);
    g_test_add_func("/options/wrong-line", test_wrong_line);
    g_test_add_func("/options/wrong-file", test_wrong_file);
    g_test_add_func("/options/words", test_words);
    g_test_add_func("/options/version", test_printed);
    g_test_add_func("/options/help", test_help);
    return g_test_run();
}
