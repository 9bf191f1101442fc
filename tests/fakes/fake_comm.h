/* fake_comm.h: threads as ranks: core/comm.h for N ranks inside one test program.
 *
 *   static void rank_main(dt_comm *comm, void *context) { ... }
 *   fake_comm_run(4, rank_main, &context);       returns when all four have returned
 *
 * Sums are taken in the order of the ranks, so they are the same bits everywhere. Collectives that do not
 * match (another kind or size) fail on all ranks with DT_ERR_COMM. A rank that leaves while others wait in a
 * collective makes those fail too. abort ends the test program.
 */
#ifndef DTRAIN_TESTS_FAKE_COMM_H
#define DTRAIN_TESTS_FAKE_COMM_H

#include "core/comm.h"

typedef void fake_comm_rank(dt_comm *comm, void *context);

/* Hosts are called host0, host1, ... with two ranks each. */
void fake_comm_run(int size, fake_comm_rank *rank_main, void *context);
/* The same with per_host ranks on each; the last host has what is left. */
void fake_comm_run_on_hosts(int size, int per_host, fake_comm_rank *rank_main, void *context);

/* This rank is gone, as if its process had been killed: whoever waits for it gets DT_ERR_PEER, and so does
 * every collective of its own. */
void fake_comm_leave(dt_comm *comm);

int64_t fake_comm_progress_calls(const dt_comm *comm); /* of this rank, so far */
/* Of a communicator that fake_comm_run made: another one over the same ranks, whose collectives do not get
 * mixed up with those of the first, from whatever thread they come: what a GPU's library has. */
dt_comm *fake_comm_second(dt_comm *comm);

#endif
