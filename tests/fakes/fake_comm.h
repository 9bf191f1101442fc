/* fake_comm.h: core/comm.h for N ranks inside one test program. Ranks are threads.
 *
 *   static void rank_main(dt_comm *comm, void *context) { ... }
 *   fake_comm_run(4, rank_main, &context);       returns when all four have returned
 *
 * Sums add in the order of the ranks, so they have the same bits on all. Collectives that do not match
 * (another kind or size) fail on all ranks with DT_ERR_COMM. If a rank leaves while others wait in a
 * collective, theirs fails with DT_ERR_PEER. abort ends the test program.
 */
#ifndef DTRAIN_TESTS_FAKE_COMM_H
#define DTRAIN_TESTS_FAKE_COMM_H

#include "core/comm.h"

typedef void fake_comm_rank(dt_comm *comm, void *context);

/* Run rank_main on `size` ranks. Hosts are called host0, host1, ... and have two ranks each. */
void fake_comm_run(int size, fake_comm_rank *rank_main, void *context);
/* The same with per_host ranks on each host; the last host has the rest. */
void fake_comm_run_on_hosts(int size, int per_host, fake_comm_rank *rank_main, void *context);

/* Make this rank leave, as if its process had been killed. Ranks that wait for it get DT_ERR_PEER, and so
 * does every later collective of this rank. */
void fake_comm_leave(dt_comm *comm);

int64_t fake_comm_progress_calls(const dt_comm *comm); /* of this rank, so far */
/* A second communicator over the same ranks, for a communicator that fake_comm_run made. It stands for the
 * one of a GPU's library: any thread may call it, and its collectives are independent of those of the
 * first. */
dt_comm *fake_comm_second(dt_comm *comm);

#endif
