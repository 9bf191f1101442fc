/* lock_owner.h: the line in a lock's file: who owns the lock, and the heartbeat.
 *
 *   HOST PID START COUNT v2 ID BOOT PID_NAMESPACE LOCKED
 *   node7 4711 81512 00000000000000000042 v2 5f0c...e1 0d7e6f5c-... 4026531836 1
 *
 * The first four fields are all that dtrain 0.1.0's first builds wrote and read. More fields may follow in
 * newer versions. The length does not depend on COUNT: a heartbeat needs no space on the disk.
 */
#ifndef DT_LAUNCH_RUN_LOCK_OWNER_H
#define DT_LAUNCH_RUN_LOCK_OWNER_H

#include <stdbool.h>

#define DT_LOCK_TEXT_BYTES 320

typedef struct dt_lock_owner {
    char host[65];
    long long pid;            /* in the owner's PID namespace */
    unsigned long long start; /* of the process, in clock ticks since that host was booted; 0: unknown */
    unsigned long long count; /* the heartbeat */
    char id[33];   /* random, for each acquisition; "": the first format, without the fields below */
    char boot[40]; /* of the kernel since it was booted; "-": unknown */
    unsigned long long pid_namespace; /* 0: unknown */
    bool locked;                      /* the owner holds the kernel's lock on the file, too */
} dt_lock_owner;

/* This process, with a new id. */
void dt_lock_owner_self(dt_lock_owner *self);

/* Write the line; returns its length. */
int dt_lock_owner_format(const dt_lock_owner *owner, char text[DT_LOCK_TEXT_BYTES]);
/* Read the first line of a text. False: it is none of ours. */
bool dt_lock_owner_parse(const char *text, dt_lock_owner *owner);

/* Whether both are the same acquisition. */
bool dt_lock_owner_is(const dt_lock_owner *a, const dt_lock_owner *b);
/* Whether both processes run, or ran, on the same kernel since it was booted. */
bool dt_lock_owner_same_boot(const dt_lock_owner *a, const dt_lock_owner *b);

typedef enum dt_lock_life { DT_LOCK_DEAD, DT_LOCK_ALIVE, DT_LOCK_UNKNOWN } dt_lock_life;

/* Does the owner's process run? Unknown if it is not in this process's PID namespace, or not on this kernel.
 * A zombie is dead: it writes nothing any more. */
dt_lock_life dt_lock_owner_life(const dt_lock_owner *owner, const dt_lock_owner *self);

#endif
