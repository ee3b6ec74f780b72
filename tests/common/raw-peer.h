/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The other end of a QMP socket, byte by byte: a server that follows a
 * script, and a client that sends what no honest one would.
 */
#ifndef COLO_TEST_RAW_PEER_H
#define COLO_TEST_RAW_PEER_H

#include <glib.h>

/* A new folder for sockets; removed, with its sockets, by raw_folder_free. */
char *raw_folder_new(void);
void raw_folder_free(char *folder);

/* One step of a script. */
typedef struct RawStep {
    enum {
        RAW_END,
        RAW_SEND,    /* text, all at once */
        RAW_TRICKLE, /* text, one byte a write */
        RAW_FILL,    /* n bytes 'x' */
        RAW_FLOOD,   /* text, again and again until the peer closes */
        RAW_EXPECT,  /* a line that contains text */
        RAW_HOLD,    /* wait until raw_server_release() */
        RAW_CLOSE,   /* close the connection */
    } what;
    const char *text;
    gsize n;
} RawStep;

/* Serves one connection, on a thread of its own. */
typedef struct RawServer RawServer;
RawServer *raw_server_start(const char *path, const RawStep *steps);
void raw_server_release(RawServer *s);
void raw_server_join(RawServer *s); /* frees; fails the test if a step did */

#define RAW_GREETING                                                           \
    "{\"QMP\": {\"version\": {\"qemu\": {\"micro\": 22, \"minor\": 2, "        \
    "\"major\": 7}, \"package\": \"test\"}, \"capabilities\": [\"oob\"]}}\r\n"
#define RAW_NEGOTIATE                                                          \
    {RAW_SEND, RAW_GREETING}, {RAW_EXPECT, "qmp_capabilities"},                \
    {                                                                          \
        RAW_SEND, "{\"return\": {}, \"id\": 1}\r\n"                            \
    }

/* A client: each call fails the test after ten seconds. */
int raw_connect(const char *path);
/* FALSE when the peer closed. */
gboolean raw_write(int fd, const void *bytes, gsize n);
/* The next line without its end; NULL when the peer closed. */
char *raw_read_line(int fd);

#endif
