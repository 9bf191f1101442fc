/* fleet.h: hosts with a fake disk each, and a mirror. Ranks, which are threads, load a checkpoint from them.
 *
 *   fleet *f = fleet_new(2, true);
 *   fake_shelf_put(f->disks[0], &(fake_checkpoint){...});
 *   fleet_check_loads(f, 4, 40, 7);          four ranks load step 40 with the state of seed 7
 *   fleet_end(f);
 */
#ifndef DTRAIN_TESTS_FLEET_H
#define DTRAIN_TESTS_FLEET_H

#include "tests/fakes/fake_shelf.h"
#include "tests/fakes/fake_state.h"

#define FLEET_MAX_HOSTS 4
#define FLEET_MAX_RANKS 8

/* The disks, and the result of a load on every rank. */
typedef struct fleet {
    dt_store *disks[FLEET_MAX_HOSTS]; /* "/nvme" of hosts 0, 1, ...; without per_host the first is
                                         "/shared" by all hosts */
    dt_store *mirror;                 /* "/fsx" */
    bool per_host, averages;          /* averages: the run has --ema */
    int ranks_per_host;               /* 2 at first */
    int leaving_rank, leaves_at;      /* this rank leaves in its operation number leaves_at; -1: none */

    int n_operations[FLEET_MAX_RANKS];     /* on shards */
    int64_t n_heartbeats[FLEET_MAX_RANKS]; /* calls of progress during the load */
    fake_state states[FLEET_MAX_RANKS];
    dt_status status[FLEET_MAX_RANKS];
    dt_error errors[FLEET_MAX_RANKS];
    bool found[FLEET_MAX_RANKS];
    int64_t steps[FLEET_MAX_RANKS];
    char log[16384];
} fleet;

/* Create empty disks for n_hosts hosts; 0: one folder shared by all hosts. There is one fleet at a time. */
fleet *fleet_new(int n_hosts, bool mirror);
void fleet_end(fleet *f);

/* Replace the disk of this host by an empty one. */
void fleet_replace_disk(fleet *f, int host);

/* Load on n_ranks ranks. Checks that all ranks, except one that leaves, return the same status and leak no
 * memory. Returns the status. */
dt_status fleet_load(fleet *f, int n_ranks);
/* Check that every rank loads the state of this step and seed. */
void fleet_check_loads(fleet *f, int n_ranks, int64_t step, uint64_t seed);
/* Check that the load fails with this status and a message that contains `message`. */
void fleet_check_refused(fleet *f, int n_ranks, dt_status expected, const char *message);

#endif
