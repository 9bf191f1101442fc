/* races.h: finds two accesses to the same byte in one launch, at least one of them a write, that nothing
 * orders. Two accesses are ordered if one thread makes both, or if both threads are in one block and a
 * barrier of the whole block lies between them. Blocks are never ordered; launches always are, so that a
 * missing wait between two streams is not found.
 *
 * Every access is compared with the last write and the last reads before it, whatever the order in which the
 * emulator ran the threads: a race is found even where the result is right.
 */
#ifndef DTRAIN_TESTS_PTX_RACES_H
#define DTRAIN_TESTS_PTX_RACES_H

#include <stdbool.h>
#include <stdint.h>

typedef struct dt_race_access {
    uintptr_t address; /* shared memory: the offset */
    unsigned n_bytes;  /* 1, 2, 4, 8 or 16; the address is a multiple of it */
    bool is_write;
    int64_t launch;
    unsigned block, thread; /* their numbers in the grid, in the block */
    unsigned n_barriers;    /* that the block has passed */
} dt_race_access;

/* The earlier access of a race. */
typedef struct dt_race {
    bool is_write;
    bool several_blocks; /* other blocks than `block` have read, too */
    unsigned block, thread;
} dt_race;

/* Record an access. Return true and describe the earlier one if they race. */
bool dt_race_find(const dt_race_access *access, bool is_shared, dt_race *race);

#endif
