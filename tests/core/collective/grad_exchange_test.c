/* The type and the buckets in which gradients are sent. */
#include "core/collective/grad_buckets.h"
#include "core/collective/grad_exchange.h"
#include "tests/testing.h"

#include <stdlib.h>
#include <string.h>

static dt_status device_wait(dt_comm *comm, dt_device *device, dt_event *event, dt_error *err)
{
    (void)comm;
    (void)device;
    (void)event;
    (void)err;
    return DT_OK;
}

static const dt_comm_ops on_host = {.name = "mpi"}, on_device = {.name = "nccl", .device_wait = device_wait};

static dt_dtype wire(dt_wire_kind kind, dt_dtype precision, int n_ranks)
{
    const dt_comm comm = {.ops = &on_device, .size = n_ranks};
    return dt_grad_exchange_choose(kind, precision, &comm).wire;
}

static void auto_sends_bf16_as_float32_from_32_ranks_on(void)
{
    static const int ranks[] = {1, 31, 32, 1024};
    for (int i = 0; i < 4; i++) {
        DT_CHECK_INT(wire(DT_WIRE_AUTO, DT_BF16, ranks[i]), ranks[i] < 32 ? DT_BF16 : DT_F32);
        DT_CHECK_INT(wire(DT_WIRE_AUTO, DT_F16, ranks[i]), DT_F16);
        DT_CHECK_INT(wire(DT_WIRE_SAME, DT_BF16, ranks[i]), DT_BF16);
        DT_CHECK_INT(wire(DT_WIRE_SAME, DT_F16, ranks[i]), DT_F16);
        DT_CHECK_INT(wire(DT_WIRE_F32, DT_BF16, ranks[i]), DT_F32);
        DT_CHECK_INT(wire(DT_WIRE_F32, DT_F16, ranks[i]), DT_F32);
        for (int kind = DT_WIRE_AUTO; kind <= DT_WIRE_SAME; kind++) {
            DT_CHECK_INT(wire((dt_wire_kind)kind, DT_F32, ranks[i]), DT_F32);
            DT_CHECK_INT(wire((dt_wire_kind)kind, DT_TF32, ranks[i]), DT_F32);
        }
    }
}

static void buckets_follow_the_transport(void)
{
    const dt_comm host = {.ops = &on_host, .size = 2}, gpu = {.ops = &on_device, .size = 2};
    const dt_grad_exchange by_mpi = dt_grad_exchange_choose(DT_WIRE_AUTO, DT_BF16, &host),
                           by_nccl = dt_grad_exchange_choose(DT_WIRE_AUTO, DT_BF16, &gpu);
    char text[64];
    DT_CHECK_INT(by_mpi.bucket_bytes, 4 << 20);
    DT_CHECK_INT(by_nccl.bucket_bytes, 16 << 20);
    DT_CHECK_INT(dt_grad_exchange_sent(&by_mpi, &host), DT_F32);
    DT_CHECK_INT(dt_grad_exchange_sent(&by_nccl, &gpu), DT_BF16);
    dt_grad_exchange_describe(&by_nccl, text, sizeof text);
    DT_CHECK_STR(text, "16 MiB, sent as bf16");
}

/* -- ResNet-50, whose numbers comm/README.md has --------------------------------------------------------- */

enum { MAX_PARTS = 200, MAX_SUMS = 64 };

typedef struct counter {
    dt_comm head;
    int n;
    int64_t elems[MAX_SUMS];
} counter;

static dt_status start(dt_comm *comm, float *buffer, int64_t n, dt_dtype type, dt_comm_request **request,
                       dt_error *err)
{
    counter *c = (counter *)comm;
    (void)buffer;
    (void)type;
    (void)err;
    DT_REQUIRE(c->n < MAX_SUMS);
    c->elems[c->n++] = n;
    *request = NULL;
    return DT_OK;
}

static dt_status progress(dt_comm *comm, dt_error *err)
{
    (void)comm;
    (void)err;
    return DT_OK;
}

static int64_t n_parts, n_elems;
static dt_grad_part parts[MAX_PARTS];

static void add_part(int64_t n)
{
    DT_REQUIRE(n_parts < MAX_PARTS);
    parts[n_parts++] = (dt_grad_part){.first = n_elems, .n = n};
    n_elems += n;
}

static void add_convolution(int64_t weights, int64_t channels)
{
    add_part(weights);
    add_part(channels);
    add_part(channels);
}

static void add_resnet50(void)
{
    static const int64_t blocks[] = {3, 4, 6, 3};
    int64_t in = 64;
    n_parts = n_elems = 0;
    add_convolution(64 * 49 * 3, 64);
    for (int64_t stage = 0, mid = 64; stage < 4; stage++, mid *= 2)
        for (int64_t block = 0; block < blocks[stage]; block++, in = 4 * mid) {
            add_convolution(in * mid, mid);
            add_convolution(9 * mid * mid, mid);
            add_convolution(4 * mid * mid, 4 * mid);
            if (block == 0)
                add_convolution(4 * mid * in, 4 * mid);
        }
    add_part(2048 * 1000);
    add_part(1000);
    DT_CHECK_INT(n_elems, 25557032);
}

/* The sums of one step, and the bytes of the last one, which no layer hides. */
static void count_sums(const dt_comm_ops *transport, int *n_sums, int64_t *last_bytes)
{
    dt_comm_ops ops = *transport;
    dt_error err = {0};
    dt_grad_buckets *buckets = NULL;
    ops.all_reduce_start = start;
    ops.progress = progress;
    counter c = {.head = {.ops = &ops, .size = 8}};
    float *grads = calloc((size_t)n_elems, sizeof *grads);
    DT_REQUIRE(grads != NULL);
    const dt_grad_exchange e = dt_grad_exchange_choose(DT_WIRE_AUTO, DT_F16, &c.head);
    DT_REQUIRE(dt_grad_buckets_create(&c.head, grads, n_elems, parts, n_parts, e.bucket_bytes, e.wire,
                                      &buckets, &err) == DT_OK);
    for (int64_t i = n_parts - 1; i >= 0; i--)
        DT_REQUIRE(dt_grad_buckets_ready(buckets, i, &err) == DT_OK);
    *n_sums = c.n;
    *last_bytes = c.elems[c.n - 1] * 4;
    dt_grad_buckets_destroy(buckets);
    free(grads);
}

static void resnet50_has_9_sums_with_nccl_and_32_with_mpi(void)
{
    int n_sums = 0;
    int64_t last_bytes = 0;
    add_resnet50();
    count_sums(&on_device, &n_sums, &last_bytes);
    DT_CHECK_INT(n_sums, 9);
    DT_CHECK_MSG(last_bytes < 4 << 20, "the last sum has %lld bytes", (long long)last_bytes);
    count_sums(&on_host, &n_sums, &last_bytes);
    DT_CHECK_INT(n_sums, 32);
}

static const dt_test tests[] = {
    DT_TEST(auto_sends_bf16_as_float32_from_32_ranks_on),
    DT_TEST(buckets_follow_the_transport),
    DT_TEST(resnet50_has_9_sums_with_nccl_and_32_with_mpi),
};

DT_TEST_MAIN("core/collective/grad_exchange", tests)
