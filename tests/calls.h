/* calls.h: wrappers of the functions of libc that read, write and rename files, for tests that record these
 * calls, let them fail, do not return from them, or end the process at one of them.
 *
 * A program links calls.c and a file that defines call_before: tests/call_script.c (unit tests),
 * tests/program/kill_calls.c or tests/program/hang_calls.c. Streams (fopen) do not pass through the wrappers.
 */
#ifndef DTRAIN_TESTS_CALLS_H
#define DTRAIN_TESTS_CALLS_H

#include <stdbool.h>
#include <stddef.h>

enum { CALL_PATH_BYTES = 8192 };

typedef struct call {
    /* open (also openat), create (the same with O_CREAT), read, pread, write, pwrite, close, fsync,
     * fdatasync, ftruncate, fallocate, rename, exchange (renameat2), mkdir, rmdir, unlink (also unlinkat),
     * lock (fcntl), flock, opendir, stat (fstatat) */
    const char *name;
    bool changes;                /* the call changes files, or the descriptor can: it was opened for writing,
                                  * or is a folder's */
    char path[CALL_PATH_BYTES];  /* of the file, or of the descriptor; absolute if it is known */
    char other[CALL_PATH_BYTES]; /* the new name of a rename; else "" */
} call;

typedef enum call_action {
    CALL_MAKE, /* make the call */
    CALL_SKIP, /* return 0 without making it; fsync, fdatasync, read and pread (the end of the file) only */
    CALL_FAIL, /* fail with *error; a close still closes */
    CALL_HALF, /* read or write half of the bytes */
    CALL_FLIP, /* write another last byte; return another last byte than was read */
} call_action;

/* What a call does. Called in the thread that makes it. */
call_action call_before(const call *c, int *error);

/* Called after a call, with the errno of one that failed, else 0. calls.c has a weak one that does
 * nothing. */
void call_after(const call *c, int error);

#endif
