/* kill_calls.c: kills the program that it is linked into, with tests/calls.c, at the n-th call that changes
 * the files of a folder.
 *
 *   DT_KILL_UNDER=checkpoints DT_KILL_AT=12 DT_KILL_RANK=1 kill_job ...
 *
 * Counted are calls on paths (or descriptors of files) with DT_KILL_UNDER in their name: mkdir, open for
 * writing, write, pwrite, fallocate, ftruncate, fsync, fdatasync, close of a file that was opened for writing
 * or of a folder, rename, renameat2, unlink, rmdir. At call number DT_KILL_AT the process dies before the
 * call; a write of more than one byte has then written half of its bytes. At its end a process writes the
 * number of its calls to DT_KILL_COUNT.RANK. */
#include "tests/calls.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static atomic_long n_calls;
static const char *under;
static long kill_at;
static int is_our_rank, rank;
static _Thread_local bool dies; /* after the half of a write that this thread is making */

__attribute__((constructor)) static void begin(void)
{
    const char *at = getenv("DT_KILL_AT"), *of = getenv("DT_KILL_RANK"),
               *mine = getenv("OMPI_COMM_WORLD_RANK");
    mine = mine ? mine : getenv("PMI_RANK"); /* MPICH */
    under = getenv("DT_KILL_UNDER");
    kill_at = at ? atol(at) : 0;
    rank = mine ? atoi(mine) : 0;
    is_our_rank = !of || atoi(of) == rank;
}

__attribute__((destructor)) static void end(void)
{
    const char *prefix = getenv("DT_KILL_COUNT");
    char path[4096];
    if (!prefix || !under || n_calls == 0)
        return;
    snprintf(path, sizeof path, "%s.%d", prefix, rank);
    FILE *f = fopen(path, "w");
    if (f) {
        fprintf(f, "%ld\n", (long)n_calls);
        fclose(f);
    }
}

static void die(void)
{
    kill(getpid(), SIGKILL);
    for (;;)
        pause();
}

static bool is_counted(const call *c)
{
    static const char *const others[] = {"read", "pread", "lock", "flock"};
    for (size_t i = 0; i < sizeof others / sizeof *others; i++)
        if (strcmp(c->name, others[i]) == 0)
            return false;
    return under && is_our_rank && c->changes && strstr(c->path, under);
}

call_action call_before(const call *c, int *error)
{
    (void)error;
    if (!is_counted(c) || atomic_fetch_add(&n_calls, 1) + 1 != kill_at)
        return CALL_MAKE;
    dies = strcmp(c->name, "write") == 0 || strcmp(c->name, "pwrite") == 0;
    if (!dies)
        die();
    return CALL_HALF;
}

void call_after(const call *c, int error)
{
    (void)c;
    (void)error;
    if (dies)
        die();
}
