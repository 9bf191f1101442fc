/* Checkpoints that ranks write together, without waiting for a disk in a collective. Threads are ranks, two
 * to a host. */
#include "core/checkpoint/writer.h"

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "tests/fakes/fake_comm.h"
#include "tests/fakes/fake_state.h"
#include "tests/fakes/fake_store.h"
#include "tests/testing.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MAX_RANKS 4

typedef struct job {
    int size;
    bool per_host;
    dt_store *stores[2]; /* of the two hosts; without per_host, all ranks use the first */
    fake_state states[MAX_RANKS];
    int slow_rank, failing_rank; /* its shard takes a while, or fails; -1: none */
    int unprepared_rank;         /* its dt_writer_start fails; -1: none */
    double until_s;              /* dt_writer_finish waits so long; 0: for ever */
    double step_s;               /* ranks sleep so long after the first votes */
    bool writes_again;           /* after the first checkpoint, another */
    bool in_steps;               /* ranks vote first, as in a training, and then call without waiting */
    dt_status status[MAX_RANKS];
    dt_error error[MAX_RANKS];
    dt_writer_progress progress[MAX_RANKS];
    int n_votes[MAX_RANKS]; /* until it had finished */
} job;

typedef struct rank_context {
    job *j;
    dt_comm *comm;
} rank_context;

static dt_status make_shard(void *context, dt_manifest *manifest, dt_shard_entry *entry, dt_error *err)
{
    const rank_context *c = context;
    const int r = c->comm->rank;
    fake_state *state = &c->j->states[r];
    dt_store *store = c->j->stores[c->j->per_host ? r / 2 : 0];
    if (r == c->j->slow_rank)
        dt_clock_sleep_s(0.3);
    if (r == c->j->failing_rank)
        return dt_fail(err, DT_ERR_IO, "the disk of rank %d is full", r);
    entry->n_elems = state->layout.n_elems / c->comm->size;
    entry->first = entry->n_elems * r;
    snprintf(entry->file, sizeof entry->file, "shard-%d", r);
    snprintf(entry->xxh3_128, sizeof entry->xxh3_128, "%032d", r);
    return store->ops->write_shard(store, manifest->step, &state->layout, &state->io, entry, err);
}

/* Vote until all ranks are ready. */
static void vote(dt_comm *comm, dt_writer *w, int *n_votes)
{
    for (int64_t n_ready = 0; n_ready < comm->size; ++*n_votes) {
        n_ready = dt_writer_is_ready(w);
        DT_REQUIRE(comm->ops->all_reduce(comm, &n_ready, 1, DT_I64, DT_REDUCE_SUM, NULL) == DT_OK);
        dt_clock_sleep_s(0.001);
    }
    DT_CHECK(dt_writer_is_ready(w));
}

static dt_status prepare(void *context, dt_manifest *manifest, dt_error *err)
{
    const rank_context *c = context;
    (void)manifest;
    return c->comm->rank == c->j->unprepared_rank ? dt_fail(err, DT_ERR_DEVICE, "no copy of the state")
                                                  : DT_OK;
}

static dt_status start(dt_comm *comm, dt_writer *w, dt_error *err)
{
    dt_manifest m = fake_manifest(5);
    m.n_shards = comm->size;
    m.shards = dt_calloc((size_t)comm->size, sizeof *m.shards);
    DT_REQUIRE(m.shards != NULL);
    const dt_status status = dt_writer_start(w, &m, err);
    dt_manifest_clear(&m); /* the writer has its own */
    return status;
}

/* Every rank knows every shard. */
static void check_shards(const job *j, const dt_manifest *m, int64_t bytes)
{
    int64_t sum = 0;
    for (int i = 0; i < j->size; i++) {
        DT_CHECK_INT(m->shards[i].first, j->states[0].layout.n_elems / j->size * i);
        DT_CHECK_INT(strtol(m->shards[i].xxh3_128, NULL, 10), i);
        sum += m->shards[i].bytes;
    }
    DT_CHECK_INT(bytes, sum);
}

/* Until it has finished, no checkpoint of the writer is whole. */
static void write_again(dt_comm *comm, dt_writer *w)
{
    DT_CHECK(dt_writer_get_manifest(w) != NULL);
    DT_CHECK_INT(start(comm, w, NULL), DT_OK);
    DT_CHECK(dt_writer_get_manifest(w) == NULL);
    DT_CHECK_INT(dt_writer_finish(w, INFINITY, NULL, NULL), DT_OK);
    DT_CHECK(dt_writer_get_manifest(w) != NULL);
}

static void write_on_rank(dt_comm *comm, void *context)
{
    job *j = context;
    const int r = comm->rank;
    rank_context c = {j, comm};
    dt_store *store = j->stores[j->per_host ? r / 2 : 0];
    const bool commits = j->per_host ? comm->local_rank == 0 : r == 0;
    const dt_writer_job what = {.store = store,
                                .begins = commits,
                                .commits = commits,
                                .per_host = j->per_host,
                                .keep = 2,
                                .prepare = prepare,
                                .make_shard = make_shard,
                                .context = &c};
    dt_writer *w = NULL;
    DT_REQUIRE(dt_writer_create(comm, &what, &w, NULL) == DT_OK);
    DT_CHECK(!dt_writer_is_ready(w));
    j->status[r] = start(comm, w, &j->error[r]);
    if (j->status[r] != DT_OK) {
        DT_CHECK(!dt_writer_is_ready(w) && !dt_writer_get_manifest(w));
        dt_writer_destroy(w);
        return;
    }
    if (j->in_steps) {
        vote(comm, w, &j->n_votes[r]);
        dt_clock_sleep_s(j->step_s);
        DT_CHECK(comm->size == 1 || !dt_writer_has_exchanged(w));
        const double before = dt_clock_s();
        /* no time to wait, and nothing to wait for */
        DT_CHECK_INT(dt_writer_exchange_shards(w, before, NULL), DT_OK);
        DT_CHECK(dt_writer_has_exchanged(w));
        vote(comm, w, &j->n_votes[r]);
    }
    j->status[r] = dt_writer_finish(w,
                                    j->until_s > 0.0 ? dt_clock_s() + j->until_s
                                    : j->in_steps    ? dt_clock_s()
                                                     : INFINITY,
                                    &j->progress[r], &j->error[r]);
    DT_CHECK(!dt_writer_is_ready(w));
    const dt_manifest *m = dt_writer_get_manifest(w);
    DT_CHECK((m != NULL) == (j->status[r] == DT_OK));
    if (m)
        check_shards(j, m, j->progress[r].bytes);
    if (j->writes_again)
        write_again(comm, w);
    dt_writer_destroy(w);
}

static job *new_job(int size, bool per_host, const fake_store_options *second)
{
    static job j;
    memset(&j, 0, sizeof j);
    j.size = size;
    j.per_host = per_host;
    j.slow_rank = j.failing_rank = j.unprepared_rank = -1;
    j.stores[0] = fake_store_create(&(fake_store_options){0});
    j.stores[1] = fake_store_create(second ? second : &(fake_store_options){0});
    for (int r = 0; r < size; r++)
        fake_state_init(&j.states[r], 1);
    return &j;
}

static dt_status run(job *j)
{
    const int64_t live = dt_alloc_live_blocks();
    fake_comm_run(j->size, write_on_rank, j);
    DT_CHECK(dt_alloc_live_blocks() >= live); /* the stores keep what was committed */
    for (int r = 1; r < j->size; r++) {
        DT_CHECK_INT(j->status[r], j->status[0]);
        DT_CHECK_STR(j->error[r].message, j->error[0].message);
        DT_CHECK_INT(j->progress[r].bytes, j->progress[0].bytes);
    }
    return j->status[0];
}

static void end_job(job *j)
{
    for (int h = 0; h < 2; h++)
        j->stores[h]->ops->destroy(j->stores[h]);
    for (int r = 0; r < j->size; r++)
        fake_state_clear(&j->states[r]);
}

static int64_t count(dt_store *store)
{
    int64_t step, n = 0;
    DT_CHECK_INT(store->ops->list(store, &step, 1, &n, NULL), DT_OK);
    return n;
}

static void ranks_that_vote_first_do_not_wait_for_a_disk(void)
{
    for (int size = 1; size <= MAX_RANKS; size++) {
        job *j = new_job(size, false, NULL);
        j->in_steps = true;
        j->slow_rank = size - 1;
        DT_CHECK_INT(run(j), DT_OK);
        DT_CHECK_INT(count(j->stores[0]), 1);
        DT_CHECK_INT(fake_store_count(j->stores[0]), 1);
        DT_CHECK(j->n_votes[0] > 10); /* the other ranks went on voting while one was slow */
        DT_CHECK(j->progress[0].committed && j->progress[0].bytes > 0);
        end_job(j);
    }
}

/* The trainer decides by this time how often to save, and whether there is time for it. */
static void write_s_leaves_out_the_steps_between_phases(void)
{
    job *j = new_job(2, false, NULL);
    j->in_steps = true;
    j->slow_rank = 1;
    j->step_s = 2.0;
    DT_CHECK_INT(run(j), DT_OK);
    DT_CHECK_MSG(j->progress[1].write_s >= 0.3 && j->progress[1].write_s < 1.9, "%g s",
                 j->progress[1].write_s);
    DT_CHECK_MSG(j->progress[0].write_s < 1.9, "%g s", j->progress[0].write_s);
    end_job(j);
}

static void without_votes_ranks_wait_and_get_the_same_checkpoint(void)
{
    job *j = new_job(3, false, NULL);
    j->slow_rank = 2;
    DT_CHECK_INT(run(j), DT_OK);
    DT_CHECK_INT(count(j->stores[0]), 1);
    end_job(j);
}

static void a_checkpoint_under_way_is_not_whole(void)
{
    for (int size = 1; size <= 2; size++) {
        job *j = new_job(size, false, NULL);
        j->writes_again = true;
        DT_CHECK_INT(run(j), DT_OK);
        DT_CHECK_INT(fake_store_commits(j->stores[0]), 2);
        end_job(j);
    }
}

static void a_failing_shard_is_the_error_of_all_ranks_and_nothing_is_left(void)
{
    for (int size = 1; size <= MAX_RANKS; size++)
        for (int steps = 0; steps < 2; steps++) {
            job *j = new_job(size, false, NULL);
            j->in_steps = steps;
            j->failing_rank = size - 1;
            DT_CHECK_INT(run(j), DT_ERR_IO);
            DT_CHECK_CONTAINS(j->error[0].message, "is full");
            DT_CHECK_INT(fake_store_count(j->stores[0]), 0);
            end_job(j);
        }
}

static void a_start_that_fails_on_one_rank_fails_on_all_and_nothing_is_left(void)
{
    for (int unprepared = 0; unprepared < 2; unprepared++) {
        job *j = new_job(2, false, NULL);
        j->unprepared_rank = unprepared;
        DT_CHECK_INT(run(j), DT_ERR_DEVICE);
        DT_CHECK_CONTAINS(j->error[0].message,
                          unprepared ? "rank 1 on host0: no copy" : "rank 0 on host0: no copy");
        DT_CHECK_INT(fake_store_count(j->stores[0]), 0);
        end_job(j);
    }
}

static void each_host_commits_in_its_own_folder(void)
{
    job *j = new_job(4, true, NULL);
    j->in_steps = true;
    DT_CHECK_INT(run(j), DT_OK);
    DT_CHECK_INT(count(j->stores[0]), 1);
    DT_CHECK_INT(count(j->stores[1]), 1);
    DT_CHECK(j->progress[0].committed && !j->progress[1].committed && j->progress[2].committed);
    end_job(j);
}

static void a_checkpoint_that_one_host_cannot_commit_is_removed_on_the_others(void)
{
    job *j = new_job(4, true, &(fake_store_options){.fail_commit_from = 1});
    DT_CHECK_INT(run(j), DT_ERR_IO);
    DT_CHECK_CONTAINS(j->error[0].message, "rank 2 on host1: the fake disk is full");
    DT_CHECK_INT(fake_store_count(j->stores[0]), 0);
    DT_CHECK_INT(fake_store_count(j->stores[1]), 0);
    end_job(j);
}

static void finish_gives_up_when_the_time_is_over(void)
{
    for (int size = 2; size <= 3; size++) {
        job *j = new_job(size, false, NULL);
        j->slow_rank = size - 1;
        j->until_s = 0.05;
        DT_CHECK_INT(run(j), DT_ERR_TIMEOUT);
        DT_CHECK_CONTAINS(j->error[0].message, "there was not enough time left");
        DT_CHECK_INT(count(j->stores[0]), 0);
        end_job(j);
    }
}

static const dt_test tests[] = {
    DT_TEST(ranks_that_vote_first_do_not_wait_for_a_disk),
    DT_TEST(write_s_leaves_out_the_steps_between_phases),
    DT_TEST(without_votes_ranks_wait_and_get_the_same_checkpoint),
    DT_TEST(a_checkpoint_under_way_is_not_whole),
    DT_TEST(a_failing_shard_is_the_error_of_all_ranks_and_nothing_is_left),
    DT_TEST(a_start_that_fails_on_one_rank_fails_on_all_and_nothing_is_left),
    DT_TEST(each_host_commits_in_its_own_folder),
    DT_TEST(a_checkpoint_that_one_host_cannot_commit_is_removed_on_the_others),
    DT_TEST(finish_gives_up_when_the_time_is_over),
};
DT_TEST_MAIN("core/writer", tests)
