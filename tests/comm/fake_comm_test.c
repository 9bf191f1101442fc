/* tests/fakes/fake_comm, on which other tests rely: threads as ranks. */
#include "tests/fakes/fake_comm.h"
#include "tests/testing.h"

#include <string.h>

enum { MAX_RANKS = 5 };

typedef struct run {
    int what; /* which misuse */
    dt_status got[MAX_RANKS];
    dt_error error[MAX_RANKS];
    float sum[MAX_RANKS];
    int gathered[MAX_RANKS][MAX_RANKS], from_last[MAX_RANKS];
    double least[MAX_RANKS];
    int64_t most[MAX_RANKS];
} run;

static void all_collectives(dt_comm *comm, void *context)
{
    run *r = context;
    int me = comm->rank, last = me;
    const float terms[MAX_RANKS] = {1e8f, 3.0f, -1e8f, 3.0f, 1e-3f}; /* the order of additions shows */
    dt_comm_request *first, *second;
    float a = terms[me], b = 1.0f;
    r->least[me] = -me;
    r->most[me] = 10 * me;
    dt_status s = comm->ops->all_reduce_start(comm, &a, 1, DT_F32, &first, NULL);
    s = s ? s : comm->ops->all_reduce_start(comm, &b, 1, DT_F32, &second, NULL);
    s = s ? s : comm->ops->barrier(comm, NULL);
    s = s ? s : comm->ops->broadcast(comm, &last, sizeof last, comm->size - 1, NULL);
    s = s ? s : comm->ops->all_gather(comm, &me, sizeof me, r->gathered[me], NULL);
    s = s ? s : comm->ops->all_reduce(comm, &r->least[me], 1, DT_F64, DT_REDUCE_MIN, NULL);
    s = s ? s : comm->ops->all_reduce(comm, &r->most[me], 1, DT_I64, DT_REDUCE_MAX, NULL);
    s = s ? s : comm->ops->progress(comm, NULL);
    s = s ? s : comm->ops->wait(comm, second, NULL);
    s = s ? s : comm->ops->wait(comm, first, NULL);
    r->sum[me] = a;
    r->from_last[me] = last;
    r->got[me] = s;
}

static void every_collective_works_for_any_number_of_ranks(void)
{
    for (int size = 1; size <= MAX_RANKS; size++) {
        run r = {0};
        const float terms[MAX_RANKS] = {1e8f, 3.0f, -1e8f, 3.0f, 1e-3f};
        volatile float sum = terms[0];
        for (int i = 1; i < size; i++)
            sum += terms[i];
        fake_comm_run(size, all_collectives, &r);
        for (int i = 0; i < size; i++) {
            DT_CHECK_INT(r.got[i], DT_OK);
            DT_CHECK(r.sum[i] == sum && r.least[i] == 1 - size);
            DT_CHECK_INT(r.most[i], 10 * (size - 1));
            DT_CHECK_INT(r.from_last[i], size - 1);
            for (int q = 0; q < size; q++)
                DT_CHECK_INT(r.gathered[i][q], q);
        }
    }
}

static void misuse(dt_comm *comm, void *context)
{
    run *r = context;
    int me = comm->rank;
    double v[2] = {0};
    switch (r->what) {
    case 0: /* rank 1 calls another collective */
        r->got[me] = me == 1 ? comm->ops->broadcast(comm, v, sizeof v, 0, &r->error[me])
                             : comm->ops->barrier(comm, &r->error[me]);
        break;
    case 1: /* rank 1 passes another size */
        r->got[me] = comm->ops->all_reduce(comm, v, me == 1 ? 2 : 1, DT_F64, DT_REDUCE_SUM, &r->error[me]);
        break;
    default: /* rank 1 leaves */
        r->got[me] = me == 1 ? DT_ERR_PEER : comm->ops->barrier(comm, &r->error[me]);
    }
}

static void misuse_fails_on_all_ranks_and_hangs_on_none(void)
{
    for (int what = 0; what < 3; what++) {
        run r = {.what = what};
        fake_comm_run(3, misuse, &r);
        for (int i = 0; i < 3; i++)
            DT_CHECK_INT(r.got[i], what < 2 ? DT_ERR_COMM : DT_ERR_PEER);
        DT_CHECK_CONTAINS(r.error[0].message, what < 2 ? "different collectives" : "a rank has left");
    }
}

static const dt_test tests[] = {DT_TEST(every_collective_works_for_any_number_of_ranks),
                                DT_TEST(misuse_fails_on_all_ranks_and_hangs_on_none)};

DT_TEST_MAIN("comm/fake_comm", tests)
