/* Sums of gradients in buckets over real ranks, which are threads. */
#include "core/collective/grad_buckets.h"
#include "tests/fakes/fake_comm.h"
#include "tests/testing.h"

#include <stdlib.h>
#include <string.h>

enum { RANKS = 4, PARTS = 23, STEPS = 4, MAX_ELEMS = PARTS * 400 };

typedef struct job {
    int64_t bucket_bytes;
    dt_grad_part parts[PARTS];
    int64_t n;
    float sums[RANKS][STEPS][MAX_ELEMS];
    dt_status status[RANKS];
} job;

/* Steps report the parts in different orders, each the same on all ranks. */
static void steps_main(dt_comm *comm, void *context)
{
    job *j = context;
    float *grads = malloc(MAX_ELEMS * sizeof *grads);
    dt_grad_buckets *buckets = NULL;
    dt_status status = !grads ? DT_ERR_MEMORY
                              : dt_grad_buckets_create(comm, grads, j->n, j->parts, PARTS, j->bucket_bytes,
                                                       DT_F32, &buckets, NULL);
    for (int step = 0; step < STEPS && status == DT_OK; step++) {
        dt_grad_buckets_begin(buckets);
        for (int i = 0; i < PARTS && status == DT_OK; i++) {
            const dt_grad_part *p = &j->parts[step % 2 ? i * 5 % PARTS : PARTS - 1 - i];
            dt_test_fill_random(grads + p->first, p->n,
                                (uint64_t)(step * 1000 + comm->rank * 100) + (uint64_t)(p - j->parts));
            status = dt_grad_buckets_ready(buckets, p - j->parts, NULL);
        }
        if (status == DT_OK)
            status = dt_grad_buckets_finish(buckets, NULL, NULL);
        memcpy(j->sums[comm->rank][step], grads, (size_t)j->n * sizeof *grads);
    }
    j->status[comm->rank] = status;
    dt_grad_buckets_destroy(buckets);
    free(grads);
}

static void every_gradient_is_summed_over_all_ranks_for_any_cut(void)
{
    static job a, b;
    const int64_t bucket_bytes[] = {4, 1000, 4000, 1 << 20};
    for (int i = 0; i < PARTS; i++) {
        a.parts[i] = (dt_grad_part){a.n, i * 173 % 400, false};
        a.n += a.parts[i].n;
    }
    for (size_t k = 0; k < sizeof bucket_bytes / sizeof *bucket_bytes; k++)
        for (int ranks = 1; ranks <= RANKS; ranks++) {
            a.bucket_bytes = bucket_bytes[k];
            fake_comm_run(ranks, steps_main, &a);
            for (int r = 0; r < ranks; r++) {
                DT_CHECK_INT(a.status[r], DT_OK);
                DT_CHECK_BYTES(a.sums[r], a.sums[0], sizeof a.sums[0]);
            }
            /* The expected sums, added in the order of the ranks. */
            for (int step = 0; step < STEPS; step++)
                for (int i = 0; i < PARTS; i++)
                    for (int r = 0; r < ranks; r++) {
                        float own[400];
                        const dt_grad_part *p = &a.parts[i];
                        dt_test_fill_random(own, p->n, (uint64_t)(step * 1000 + r * 100 + i));
                        for (int64_t e = 0; e < p->n; e++)
                            b.sums[0][step][p->first + e] =
                                own[e] + (r ? b.sums[0][step][p->first + e] : 0.0f);
                    }
            for (int step = 0; step < STEPS; step++)
                DT_CHECK_BYTES(a.sums[0][step], b.sums[0][step], (size_t)a.n * sizeof(float));
        }
}

static const dt_test tests[] = {DT_TEST(every_gradient_is_summed_over_all_ranks_for_any_cut)};

DT_TEST_MAIN("core/collective/grad_buckets_sum", tests)
