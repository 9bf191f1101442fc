/* mpi_sum.c: sums (and minima, maxima) over all ranks, in place, by nonblocking messages.
 *
 * A sum is cut into slices. A few slices are under way at a time, each in one of these stages (n elements, L
 * ranks on each host, H hosts):
 *
 *   SUM_HERE     Each rank owns 1/L of the slice. Every rank sends each other rank of its host the part that
 *                the other one owns, and adds up the parts that it receives.
 *   SUM_HOSTS    The same with that 1/L, among the ranks that own it on the H hosts: each now owns 1/H of it.
 *   SHARE_HOSTS  Every rank sends the part that it has the whole sum of to those same ranks.
 *   SHARE_HERE   Every rank sends the 1/L that it now has the whole sum of to the ranks of its host.
 *
 * So n (H - 1) / H elements enter and leave a host in each of the two stages between hosts, however many
 * ranks it has. That is the least possible, and no rank adds up more than another. Where hosts have different
 * numbers of ranks, all ranks are treated as one host (H = 1).
 *
 * The bits are the same on all ranks, because one rank adds an element up and sends the result to all. They
 * are the same from run to run, because it adds in the order of the ranks in their group, whatever arrives
 * first. They are the same for any cut into buckets, because that order does not depend on the element's
 * index.
 */
#include "comm/mpi_internal.h"
#include "core/base/alloc.h"

#include <string.h>

enum { SUM_HERE, SUM_HOSTS, SHARE_HOSTS, SHARE_HERE, DONE };

#define TAGS 4096 /* slices with different tags; no rank is more than DT_MPI_SLICES slices ahead of another */

/* -- arithmetic ------------------------------------------------------------------------------------------ */

/* `out` may be the same array as `a` or `b`. Without this hint the compiler tests for overlap at run time,
 * and runs its slow loop where it finds one. The hint says that no element depends on another one. */
#ifndef __clang__
#    define INDEPENDENT_ELEMENTS _Pragma("GCC ivdep")
#elif __has_feature(address_sanitizer) || __has_feature(undefined_behavior_sanitizer)
/* The sanitizers' checks prevent vector code, and clang would warn about the hint. */
#    define INDEPENDENT_ELEMENTS
#else
#    define INDEPENDENT_ELEMENTS _Pragma("clang loop vectorize(assume_safety)")
#endif
#define DEFINE_COMBINE(name, type, value)                                                                    \
    static void name(void *out_bytes, const void *a_bytes, const void *b_bytes, int64_t n)                   \
    {                                                                                                        \
        type *out = out_bytes;                                                                               \
        const type *a = a_bytes, *b = b_bytes;                                                               \
        INDEPENDENT_ELEMENTS for (int64_t i = 0; i < n; i++) out[i] = (value);                               \
    }

DEFINE_COMBINE(sum_f32, float, a[i] + b[i])
DEFINE_COMBINE(min_f32, float, a[i] < b[i] ? a[i] : b[i])
DEFINE_COMBINE(max_f32, float, a[i] > b[i] ? a[i] : b[i])
DEFINE_COMBINE(sum_f64, double, a[i] + b[i])
DEFINE_COMBINE(min_f64, double, a[i] < b[i] ? a[i] : b[i])
DEFINE_COMBINE(max_f64, double, a[i] > b[i] ? a[i] : b[i])
DEFINE_COMBINE(sum_i64, int64_t, a[i] + b[i])
DEFINE_COMBINE(min_i64, int64_t, a[i] < b[i] ? a[i] : b[i])
DEFINE_COMBINE(max_i64, int64_t, a[i] > b[i] ? a[i] : b[i])

static const struct {
    dt_dtype dtype;
    void (*combine[3])(void *out, const void *a, const void *b, int64_t n);
} arithmetic[] = {
    {DT_F32, {[DT_REDUCE_SUM] = sum_f32, [DT_REDUCE_MIN] = min_f32, [DT_REDUCE_MAX] = max_f32}},
    {DT_F64, {[DT_REDUCE_SUM] = sum_f64, [DT_REDUCE_MIN] = min_f64, [DT_REDUCE_MAX] = max_f64}},
    {DT_I64, {[DT_REDUCE_SUM] = sum_i64, [DT_REDUCE_MIN] = min_i64, [DT_REDUCE_MAX] = max_i64}},
};

/* -- parts of a slice ------------------------------------------------------------------------------------ */

typedef struct span {
    int64_t first, n;
} span;

/* Part i when n elements are divided by `count`. Parts are multiples of 16 elements, at least a cache line,
 * so that the first rank alone adds up a small sum. */
static span part(int64_t n, int count, int i)
{
    int64_t each = ((n + count - 1) / count + 15) / 16 * 16, first = i * each < n ? i * each : n;
    return (span){first, n - first < each ? n - first : each};
}

static const dt_mpi_group *group_of(const dt_mpi_sum *sum, int stage)
{
    return &sum->hosts[stage == SUM_HOSTS || stage == SHARE_HOSTS];
}

/* The elements of the slice that the group of this stage divides among its members. */
static span region(const dt_mpi_sum *sum, const dt_mpi_slice *s, int stage)
{
    if (group_of(sum, stage) == &sum->hosts[0])
        return (span){0, s->n};
    return part(s->n, sum->hosts[0].size, sum->hosts[0].me);
}

static span member_part(const dt_mpi_sum *sum, const dt_mpi_slice *s, int stage, int member)
{
    span whole = region(sum, s, stage), p = part(whole.n, group_of(sum, stage)->size, member);
    return (span){whole.first + p.first, p.n};
}

/* The scratch memory that receives `bytes` bytes from this member, to be added up by this rank (`me`). */
static unsigned char *arrived_at(dt_mpi_sum *sum, const dt_mpi_slice *s, int member, int me, int64_t bytes)
{
    int slot = member < me ? member : member - 1;
    return sum->scratch + (s - sum->slices) * sum->scratch_bytes + slot * bytes;
}

/* -- stages ---------------------------------------------------------------------------------------------- */

/* Start one message of the slice. */
static dt_status post(dt_comm_mpi *c, dt_mpi_slice *s, bool send, int rank, unsigned char *data,
                      int64_t bytes, dt_error *err)
{
    dt_mpi_sum *sum = &c->sum;
    int64_t at = (s - sum->slices) * sum->n_messages + s->n_open;
    int tag = s->tag * DONE + s->stage, code;
    if (bytes == 0)
        return DT_OK;
    if (send)
        code = MPI_Isend(data, (int)bytes, MPI_BYTE, rank, tag, c->data, &sum->messages[at]);
    else
        code = MPI_Irecv(data, (int)bytes, MPI_BYTE, rank, tag, c->data, &sum->messages[at]);
    if (code != MPI_SUCCESS)
        return dt_mpi_fail(c, code, "an all-reduce", err);
    sum->expected[at] = send ? -1 : (int)bytes;
    s->n_open++;
    return DT_OK;
}

/* Start all messages of the slice's stage: receive from each other member of the group, send to each. */
static dt_status post_stage(dt_comm_mpi *c, dt_mpi_slice *s, dt_error *err)
{
    dt_mpi_sum *sum = &c->sum;
    const dt_mpi_group *g = group_of(sum, s->stage);
    const int64_t elem = s->owner->elem_bytes;
    const bool adds = s->stage == SUM_HERE || s->stage == SUM_HOSTS;
    const span mine = member_part(sum, s, s->stage, g->me);
    s->n_open = 0;
    for (int i = 1; i < g->size; i++) {
        int from = (g->me + g->size - i) % g->size;
        span theirs = member_part(sum, s, s->stage, from);
        if (adds)
            DT_TRY(post(c, s, false, g->ranks[from], arrived_at(sum, s, from, g->me, mine.n * elem),
                        mine.n * elem, err));
        else
            DT_TRY(post(c, s, false, g->ranks[from], s->data + theirs.first * elem, theirs.n * elem, err));
    }
    /* Each rank sends to a different one first. */
    for (int i = 1; i < g->size; i++) {
        int to = (g->me + i) % g->size;
        span sent = adds ? member_part(sum, s, s->stage, to) : mine;
        DT_TRY(post(c, s, true, g->ranks[to], s->data + sent.first * elem, sent.n * elem, err));
    }
    return DT_OK;
}

/* Add up the elements that all members have sent to this rank, in the order of the members. */
static void add_up(dt_mpi_sum *sum, const dt_mpi_slice *s)
{
    enum { BLOCK_BYTES = 8192 }; /* stays in the first-level cache */
    unsigned char partial[BLOCK_BYTES] __attribute__((aligned(DT_ALIGNMENT)));
    const dt_mpi_group *g = group_of(sum, s->stage);
    const int64_t elem = s->owner->elem_bytes, block = BLOCK_BYTES / elem;
    const span mine = member_part(sum, s, s->stage, g->me);
    unsigned char *own = s->data + mine.first * elem;
    for (int64_t at = 0; at < mine.n; at += block) {
        const int64_t n = mine.n - at < block ? mine.n - at : block;
        const unsigned char *so_far = NULL;
        for (int i = 0; i < g->size; i++) {
            const unsigned char *next =
                (i == g->me ? own : arrived_at(sum, s, i, g->me, mine.n * elem)) + at * elem;
            if (so_far)
                s->owner->combine(i == g->size - 1 ? own + at * elem : partial, so_far, next, n);
            so_far = so_far ? partial : next;
        }
    }
}

/* If all messages of the slice's stage are complete, go on to the next stage that has messages, or end the
 * slice. */
static dt_status advance(dt_comm_mpi *c, dt_mpi_slice *s, dt_error *err)
{
    while (s->n_open == 0 && s->owner) {
        if (s->stage == SUM_HERE || s->stage == SUM_HOSTS)
            add_up(&c->sum, s);
        if (++s->stage < DONE) {
            DT_TRY(post_stage(c, s, err));
        } else {
            s->owner->n_slices--;
            s->owner = NULL;
            c->sum.n_active--;
        }
    }
    return DT_OK;
}

/* Cut the next slice off the first request in the queue. */
static dt_status begin_slice(dt_comm_mpi *c, dt_mpi_slice *s, dt_error *err)
{
    dt_mpi_sum *sum = &c->sum;
    dt_comm_request *r = sum->first;
    int64_t most = DT_MPI_SLICE_BYTES / r->elem_bytes;
    *s = (dt_mpi_slice){.owner = r,
                        .data = r->data,
                        .n = r->n_left < most ? r->n_left : most,
                        .tag = (int)(sum->n_cut++ % TAGS),
                        .stage = SUM_HERE};
    r->data += s->n * r->elem_bytes;
    r->n_left -= s->n;
    r->n_slices++;
    sum->n_active++;
    if (r->n_left == 0) {
        sum->first = r->next;
        if (!sum->first)
            sum->last = NULL;
    }
    DT_TRY(post_stage(c, s, err));
    return advance(c, s, err);
}

static dt_status begin_slices(dt_comm_mpi *c, dt_error *err)
{
    dt_mpi_sum *sum = &c->sum;
    for (int i = 0; i < DT_MPI_SLICES && sum->first; i++)
        while (!sum->slices[i].owner && sum->first) /* a slice without messages ends at once */
            DT_TRY(begin_slice(c, &sum->slices[i], err));
    return DT_OK;
}

/* Check the size of a message that is complete. */
static dt_status check_message(dt_comm_mpi *c, int at, const MPI_Status *status, dt_error *err)
{
    int bytes = 0;
    if (c->sum.expected[at] < 0)
        return DT_OK;
    MPI_Get_count(status, MPI_BYTE, &bytes);
    if (bytes == c->sum.expected[at])
        return DT_OK;
    c->failed = true;
    return dt_fail(
        err, DT_ERR_COMM,
        "all-reduce: rank %d sent %d bytes where rank %d expected %d: they do not sum the same thing",
        status->MPI_SOURCE, bytes, c->head.rank, c->sum.expected[at]);
}

dt_status dt_mpi_sum_progress(dt_comm_mpi *c, bool *moved, dt_error *err)
{
    dt_mpi_sum *sum = &c->sum;
    *moved = false;
    for (;;) {
        int n_through = 0;
        DT_TRY(begin_slices(c, err));
        if (sum->n_active == 0)
            return DT_OK;
        int code = MPI_Testsome(DT_MPI_SLICES * sum->n_messages, sum->messages, &n_through, sum->indices,
                                sum->statuses);
        if (code == MPI_ERR_IN_STATUS)
            for (int i = 0; i < n_through && code == MPI_ERR_IN_STATUS; i++)
                if (sum->statuses[i].MPI_ERROR != MPI_SUCCESS &&
                    sum->statuses[i].MPI_ERROR != MPI_ERR_PENDING)
                    code = sum->statuses[i].MPI_ERROR;
        if (code != MPI_SUCCESS)
            return dt_mpi_fail(c, code, "an all-reduce", err);
        if (n_through <= 0) /* or MPI_UNDEFINED */
            return DT_OK;
        *moved = true;
        for (int i = 0; i < n_through; i++) {
            dt_mpi_slice *s = &sum->slices[sum->indices[i] / sum->n_messages];
            DT_TRY(check_message(c, sum->indices[i], &sum->statuses[i], err));
            s->n_open--;
        }
        for (int i = 0; i < DT_MPI_SLICES; i++)
            if (sum->slices[i].owner)
                DT_TRY(advance(c, &sum->slices[i], err));
    }
}

/* -- requests -------------------------------------------------------------------------------------------- */

dt_status dt_mpi_sum_start(dt_comm_mpi *c, void *data, int64_t n, dt_dtype dtype, dt_reduce_op op,
                           const dt_position *position, dt_comm_request **request, dt_error *err)
{
    dt_mpi_sum *sum = &c->sum;
    dt_comm_request *r = sum->free;
    size_t entry = 0;
    while (entry < sizeof arithmetic / sizeof *arithmetic && arithmetic[entry].dtype != dtype)
        entry++;
    if (entry == sizeof arithmetic / sizeof *arithmetic)
        return dt_fail(err, DT_ERR_INTERNAL, "all-reduce: no arithmetic for %s", dt_dtype_name(dtype));
    if (!r || (!r->next && position->kind == DT_POSITION_GRADIENTS)) /* the last is kept for blocking sums */
        return dt_fail(err, DT_ERR_INTERNAL, "all-reduce: more than %d are under way", DT_MPI_REQUESTS - 1);
    sum->free = r->next;
    *r = (dt_comm_request){.data = data,
                           .n_left = n,
                           .elem_bytes = dt_dtype_bytes(dtype),
                           .combine = arithmetic[entry].combine[op],
                           .position = *position,
                           .open = true};
    if (n > 0 && c->head.size > 1) {
        *(sum->last ? &sum->last->next : &sum->first) = r;
        sum->last = r;
    } else {
        r->n_left = 0;
    }
    *request = r;
    return DT_OK;
}

bool dt_mpi_sum_done(const dt_comm_request *r)
{
    return r->n_left == 0 && r->n_slices == 0;
}

void dt_mpi_sum_release(dt_comm_mpi *c, dt_comm_request *r)
{
    r->open = false;
    r->next = c->sum.free;
    c->sum.free = r;
}

bool dt_mpi_sum_idle(const dt_comm_mpi *c)
{
    for (int i = 0; i < DT_MPI_REQUESTS; i++)
        if (c->sum.requests[i].open)
            return false;
    return true;
}

/* -- groups ---------------------------------------------------------------------------------------------- */

/* Form the group of all ranks r with key[r] == key[me], in ascending order. */
static dt_status make_group(dt_mpi_group *g, const int *key, int size, int me, dt_error *err)
{
    g->ranks = dt_alloc((size_t)size * sizeof *g->ranks);
    if (!g->ranks)
        return dt_fail_memory(err, (size_t)size * sizeof *g->ranks, "the ranks' groups");
    for (int r = 0; r < size; r++)
        if (key[r] == key[me]) {
            if (r == me)
                g->me = g->size;
            g->ranks[g->size++] = r;
        }
    return DT_OK;
}

/* Whether every host has the same number of ranks. */
static bool even(const int *local_sizes, int size)
{
    for (int r = 1; r < size; r++)
        if (local_sizes[r] != local_sizes[0])
            return false;
    return true;
}

static dt_status make_groups(dt_comm_mpi *c, const int *leaders, const int *local_sizes, dt_error *err)
{
    dt_mpi_sum *sum = &c->sum;
    const int size = c->head.size;
    int *key = dt_calloc((size_t)size, sizeof *key);
    if (!key)
        return dt_fail_memory(err, (size_t)size * sizeof *key, "the ranks' groups");
    const bool one = !even(local_sizes, size);
    dt_status status = make_group(&sum->hosts[0], one ? key : leaders, size, c->head.rank, err);
    /* The key of the second group is the local rank: the number of lower ranks with the same leader. Where
     * all ranks are one group it is the rank, so that each is alone in its second group. */
    for (int r = 0; r < size; r++)
        for (int q = 0; q < r; q++)
            key[r] += one || leaders[q] == leaders[r];
    if (status == DT_OK)
        status = make_group(&sum->hosts[1], key, size, c->head.rank, err);
    dt_free(key);
    return status;
}

/* Bytes for the elements that the other members send to this rank, in the larger of the two summing
 * stages. */
static int64_t scratch_bytes(const dt_mpi_sum *sum)
{
    const int64_t elem = (int64_t)sizeof(double); /* the largest: parts are rounded up to elements */
    const int64_t here = part(DT_MPI_SLICE_BYTES / elem, sum->hosts[0].size, 0).n;
    const int64_t others = part(here, sum->hosts[1].size, 0).n;
    const int64_t most = here * (sum->hosts[0].size - 1) > others * (sum->hosts[1].size - 1)
                             ? here * (sum->hosts[0].size - 1)
                             : others * (sum->hosts[1].size - 1);
    return most * elem;
}

dt_status dt_mpi_sum_create(dt_comm_mpi *c, const int *leaders, const int *local_sizes, dt_error *err)
{
    dt_mpi_sum *sum = &c->sum;
    DT_TRY(make_groups(c, leaders, local_sizes, err));
    const int widest = sum->hosts[0].size > sum->hosts[1].size ? sum->hosts[0].size : sum->hosts[1].size;
    sum->scratch_bytes = scratch_bytes(sum);
    sum->n_messages = 2 * (widest - 1);
    const size_t n = (size_t)DT_MPI_SLICES * (size_t)sum->n_messages,
                 bytes = (size_t)(DT_MPI_SLICES * sum->scratch_bytes);
    sum->scratch = dt_alloc(bytes);
    sum->messages = dt_calloc(n, sizeof *sum->messages);
    sum->expected = dt_calloc(n, sizeof *sum->expected);
    sum->statuses = dt_calloc(n, sizeof *sum->statuses);
    sum->indices = dt_calloc(n, sizeof *sum->indices);
    if (!sum->scratch || !sum->messages || !sum->expected || !sum->statuses || !sum->indices)
        return dt_fail_memory(err, bytes, "the buffers of the all-reduce");
    for (size_t i = 0; i < n; i++)
        sum->messages[i] = MPI_REQUEST_NULL;
    for (int i = DT_MPI_REQUESTS - 1; i >= 0; i--)
        dt_mpi_sum_release(c, &sum->requests[i]);
    return DT_OK;
}

void dt_mpi_sum_destroy(dt_mpi_sum *sum)
{
    dt_free(sum->hosts[0].ranks);
    dt_free(sum->hosts[1].ranks);
    dt_free(sum->scratch);
    dt_free(sum->messages);
    dt_free(sum->expected);
    dt_free(sum->statuses);
    dt_free(sum->indices);
    memset(sum, 0, sizeof *sum);
}
