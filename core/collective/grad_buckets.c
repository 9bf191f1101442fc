/* grad_buckets.c: cut the gradients into buckets, and start the sum of each when it is full. */
#include "core/collective/grad_buckets.h"

#include "core/base/alloc.h"
#include "core/base/clock.h"

#include <assert.h>
#include <string.h>

#define MAX_BUCKETS 64 /* core/comm.h allows so many sums under way */

typedef struct bucket {
    int64_t first, n; /* elements */
    bool exact;
    int64_t n_parts, n_missing; /* parts; parts not reported yet in this step */
    dt_comm_request *request;
} bucket;

struct dt_grad_buckets {
    dt_comm *comm;
    float *grads;
    int64_t n_parts;
    int *bucket_of_part;
    bool *reported;
    dt_dtype wire;
    bucket buckets[MAX_BUCKETS]; /* from the end of the vector on, which is the order of backward */
    int64_t n_buckets;
};

static dt_status check_parts(const dt_grad_part *parts, int64_t n_parts, int64_t n_elems, dt_error *err)
{
    int64_t at = 0;
    for (int64_t i = 0; i < n_parts; i++) {
        if (parts[i].first != at || parts[i].n < 0)
            return dt_fail(err, DT_ERR_INTERNAL, "part %lld of the gradients begins at %lld, expected %lld",
                           (long long)i, (long long)parts[i].first, (long long)at);
        at += parts[i].n;
    }
    if (at != n_elems)
        return dt_fail(err, DT_ERR_INTERNAL, "the parts of the gradients cover %lld of %lld elements",
                       (long long)at, (long long)n_elems);
    return DT_OK;
}

/* Cut the vector into buckets, from the last part on. Except for the first, small one, any two neighbours
 * together have more than bucket_elems elements. So there are at most 1 + 63 buckets where bucket_elems is at
 * least a 32nd of the vector, or a 31st where exact parts take one more bucket. */
static void cut(dt_grad_buckets *b, const dt_grad_part *parts, int64_t bucket_elems)
{
    for (int64_t i = b->n_parts - 1; i >= 0; i--) {
        bucket *last = b->n_buckets ? &b->buckets[b->n_buckets - 1] : NULL;
        const bool exact = parts[i].exact || b->wire == DT_F32;
        /* a bucket of exact parts at the end does not count as the first one */
        const bool exact_first = b->wire != DT_F32 && b->n_buckets > 0 && b->buckets[0].exact;
        int64_t max_elems = b->n_buckets - exact_first == 1 ? bucket_elems / 8 : bucket_elems;
        if (!last || (last->n + parts[i].n > max_elems && last->n > 0) || last->exact != exact) {
            assert(b->n_buckets < MAX_BUCKETS);
            last = &b->buckets[b->n_buckets++];
            *last = (bucket){.first = parts[i].first + parts[i].n, .exact = exact};
        }
        last->first = parts[i].first;
        last->n += parts[i].n;
        last->n_parts++;
        b->bucket_of_part[i] = (int)(b->n_buckets - 1);
    }
}

dt_status dt_grad_buckets_create(dt_comm *comm, float *grads, int64_t n_elems, const dt_grad_part *parts,
                                 int64_t n_parts, int64_t bucket_bytes, dt_dtype wire,
                                 dt_grad_buckets **buckets, dt_error *err)
{
    DT_TRY(check_parts(parts, n_parts, n_elems, err));
    dt_grad_buckets *b = dt_calloc(1, sizeof *b);
    if (!b)
        return dt_fail_memory(err, sizeof *b, "the gradient buckets");
    b->comm = comm;
    b->grads = grads;
    b->n_parts = n_parts;
    b->wire = wire;
    b->bucket_of_part = dt_calloc((size_t)n_parts + 1, sizeof *b->bucket_of_part);
    b->reported = dt_calloc((size_t)n_parts + 1, sizeof *b->reported);
    if (!b->bucket_of_part || !b->reported) {
        dt_grad_buckets_destroy(b);
        return dt_fail_memory(err, (size_t)n_parts * sizeof *b->bucket_of_part, "the gradient buckets");
    }
    int64_t bucket_elems = bucket_bytes / (int64_t)sizeof(float),
            least = n_elems / (MAX_BUCKETS / 2 - (wire != DT_F32));
    cut(b, parts, bucket_elems > least ? bucket_elems : least);
    dt_grad_buckets_begin(b);
    *buckets = b;
    return DT_OK;
}

void dt_grad_buckets_destroy(dt_grad_buckets *b)
{
    if (!b)
        return;
    dt_free(b->bucket_of_part);
    dt_free(b->reported);
    dt_free(b);
}

void dt_grad_buckets_begin(dt_grad_buckets *b)
{
    memset(b->reported, 0, (size_t)b->n_parts * sizeof *b->reported);
    for (int64_t i = 0; i < b->n_buckets; i++) {
        b->buckets[i].n_missing = b->buckets[i].n_parts;
        b->buckets[i].request = NULL;
    }
}

bool dt_grad_buckets_starts_sum(const dt_grad_buckets *b, int64_t part)
{
    return b->comm->size > 1 && part >= 0 && part < b->n_parts &&
           b->buckets[b->bucket_of_part[part]].n_missing == 1;
}

dt_status dt_grad_buckets_ready(dt_grad_buckets *b, int64_t part, dt_error *err)
{
    if (part < 0 || part >= b->n_parts || b->reported[part])
        return dt_fail(err, DT_ERR_INTERNAL,
                       "part %lld of the gradients was reported twice, or is not one of the %lld parts",
                       (long long)part, (long long)b->n_parts);
    b->reported[part] = true;
    const bool starts_sum = dt_grad_buckets_starts_sum(b, part);
    bucket *k = &b->buckets[b->bucket_of_part[part]];
    k->n_missing--;
    if (starts_sum)
        DT_TRY(b->comm->ops->all_reduce_start(b->comm, b->grads + k->first, k->n, k->exact ? DT_F32 : b->wire,
                                              &k->request, err));
    return b->comm->ops->progress(b->comm, err);
}

dt_status dt_grad_buckets_finish(dt_grad_buckets *b, double *wait_s, dt_error *err)
{
    double start = dt_clock_s();
    for (int64_t i = 0; i < b->n_buckets; i++) {
        bucket *k = &b->buckets[i];
        if (k->n_missing > 0)
            return dt_fail(err, DT_ERR_INTERNAL, "%lld parts of gradient bucket %lld were never reported",
                           (long long)k->n_missing, (long long)i);
        if (k->request)
            DT_TRY(b->comm->ops->wait(b->comm, k->request, err));
        k->request = NULL;
    }
    if (wait_s)
        *wait_s = dt_clock_s() - start;
    return DT_OK;
}

int64_t dt_grad_buckets_count(const dt_grad_buckets *b)
{
    return b->n_buckets;
}
