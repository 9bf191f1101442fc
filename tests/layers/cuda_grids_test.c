/* How many blocks the kernels of layers/cuda have on a GPU with 132 multiprocessors (H100, H200). Launches
 * are recorded and do not run. */
#include "layers/cuda/launch.h"
#include "tests/emulator/emulator.h"
#include "tests/testing.h"

#include <stdio.h>
#include <string.h>

enum { MULTIPROCESSORS = 132 };

static dt_emulator_index grid;
static char kernel[64];

/* Keep the grid of the first launch since kernel[0] was cleared. */
static int record(void *context, void *stream, const dt_emulator_work *work)
{
    (void)context, (void)stream;
    if (kernel[0] == '\0') {
        grid = work->grid;
        snprintf(kernel, sizeof kernel, "%s", work->kernel);
    }
    dt_emulator_free(work);
    return 0;
}

void dt_test_set_up(void)
{
    dt_emulator_set_multiprocessors(MULTIPROCESSORS);
    dt_emulator_set_queue(record, NULL);
}

void dt_test_tear_down(void)
{
    dt_emulator_set_queue(NULL, NULL);
}

static dt_tensor tensor_of(int64_t c, int64_t size)
{
    return (dt_tensor){.dtype = DT_F16, .n = 256, .c = c, .h = size, .w = size};
}

typedef enum pass {
    SUMS,
    MATERIALIZE,
    REDUCE,
    APPLY,
    APPLY_MASKED,
    ADD,
    JOIN,
    JOIN_BACKWARD,
    POOL,
    POOL_BACKWARD
} pass;

/* Launch a pass over 256 images of size x size with c channels. */
static int launch(pass which, int64_t c, int64_t size)
{
    const dt_tensor t = tensor_of(c, size), pooled = tensor_of(c, size / 2);
    const dt_act x = {.raw = t};
    const dt_act relu = {.raw = t, .relu = true};
    const dt_bn_backward bn = {.x = &x};
    const dt_bn_backward_apply apply = {.c = c, .count = 256 * size * size};
    const dt_pool_desc pool = {3, 2, 1};
    switch (which) {
    case SUMS:
        return dt_cuda_bn_sums(NULL, &t, NULL, NULL);
    case MATERIALIZE:
        return dt_cuda_act_materialize(NULL, &x, &t);
    case REDUCE:
        return dt_cuda_bn_backward_reduce(NULL, &bn, &t, NULL, &t);
    case APPLY:
    case APPLY_MASKED:
        return dt_cuda_bn_backward_apply(NULL, &apply, which == APPLY ? &x : &relu, &t, &t);
    case ADD:
        return dt_cuda_tensor_add(NULL, &t, &t);
    case JOIN:
        return dt_cuda_residual_forward(NULL, &x, &x, &t, NULL);
    case JOIN_BACKWARD:
        return dt_cuda_residual_backward(NULL, &t, NULL, &bn, NULL, NULL, &t);
    case POOL:
        return dt_cuda_max_pool_forward(NULL, &pool, &x, &pooled, NULL);
    case POOL_BACKWARD:
        return dt_cuda_max_pool_backward(NULL, &pool, &pooled, NULL, &bn, NULL, &t);
    }
    return -1;
}

typedef struct expected {
    pass which;
    const char *kernel;
    int64_t c, size;
    int per_multiprocessor; /* blocks that one holds at once */
    unsigned rows, pieces;  /* the grid */
} expected;

/* Check that the scratch memory suffices for the parts of each quantity that the kernel sums: one of each
 * channel from each row of blocks. */
static void check_scratch(pass which, int64_t c)
{
    const bool sums = which == SUMS || which == REDUCE || which == POOL_BACKWARD || which == JOIN_BACKWARD;
    const int n_quantities = which == JOIN_BACKWARD ? 3 : 2; /* of a join with two BatchNorms */
    const int64_t bytes = n_quantities * (int64_t)grid.x * c * (int64_t)sizeof(float);
    DT_CHECK(!sums || bytes <= dt_cuda_sums_scratch_bytes(c));
}

/* A grid has up to 4 times the blocks that the GPU holds at once, or 2 times where the kernel computes sums,
 * and at least 8 rows a thread. */
static void a_grid_has_several_times_the_blocks_that_fit(void)
{
    static const expected rows[] = {
        {SUMS, "bn_sums", 64, 112, 3, 792, 1},
        {MATERIALIZE, "act_materialize", 64, 56, 4, 2112, 1},
        {MATERIALIZE, "act_materialize", 256, 56, 4, 2112, 1},
        {REDUCE, "bn_backward_reduce", 256, 56, 3, 792, 1},
        {REDUCE, "bn_backward_reduce", 512, 28, 3, 396, 2},
        {APPLY, "bn_backward_apply", 256, 56, 4, 2112, 1},
        {APPLY, "bn_backward_apply", 512, 28, 4, 1056, 2},
        {APPLY, "bn_backward_apply", 1024, 14, 4, 528, 4},
        {APPLY, "bn_backward_apply", 2048, 7, 4, 132, 8},
        {APPLY, "bn_backward_apply", 512, 7, 4, 264, 2},
        {APPLY_MASKED, "bn_backward_apply", 256, 56, 3, 1584, 1},
        {ADD, "tensor_add", 256, 56, 4, 2112, 1},
        {JOIN, "residual_forward", 256, 56, 3, 1584, 1},
        {JOIN, "residual_forward", 512, 28, 3, 792, 2},
        {JOIN, "residual_forward", 1024, 14, 3, 396, 4},
        {JOIN, "residual_forward", 2048, 7, 3, 196, 8},
        {JOIN_BACKWARD, "residual_backward", 256, 56, 3, 792, 1},
        {JOIN_BACKWARD, "residual_backward", 1024, 14, 3, 198, 4},
        {JOIN_BACKWARD, "residual_backward", 2048, 7, 3, 98, 8},
        {POOL, "max_pool_forward", 64, 112, 3, 1584, 1},
        {POOL_BACKWARD, "max_pool_backward_stem", 64, 112, 2, 528, 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const expected *e = &rows[i];
        kernel[0] = '\0';
        DT_REQUIRE(launch(e->which, e->c, e->size) == 0);
        DT_CHECK_MSG(strstr(kernel, e->kernel) != NULL, "%s was launched, expected %s", kernel, e->kernel);
        DT_CHECK_MSG(grid.x == e->rows && grid.y == e->pieces,
                     "%s, %lld channels: %u x %u blocks, expected %u x %u", e->kernel, (long long)e->c,
                     grid.x, grid.y, e->rows, e->pieces);
        check_scratch(e->which, e->c);
        const unsigned places = MULTIPROCESSORS * (unsigned)e->per_multiprocessor;
        DT_CHECK_MSG(grid.x >= places / grid.y, "%s, %lld channels: %u blocks for %u places", e->kernel,
                     (long long)e->c, grid.x * grid.y, places);
    }
}

/* The 396 blocks that the GPU holds are divided among the 8 pieces of a row of 2048 channels: 49 for each,
 * rounded down. With 50, 4 of the 400 blocks would begin when all others end. Small tensors have fewer
 * blocks. */
static void blocks_that_fit_at_once_are_rounded_down(void)
{
    static const unsigned expected_rows[] = {32, 49, 49, 49, 98, 98, 196};
    for (int size = 1; size <= 7; size++) {
        kernel[0] = '\0';
        DT_REQUIRE(launch(JOIN, 2048, size) == 0);
        DT_CHECK_INT(grid.x, expected_rows[size - 1]);
        DT_CHECK_INT(grid.y, 8);
    }
}

/* A GPU of one multiprocessor holds fewer blocks than a row of 2048 channels has pieces. */
static void every_piece_of_a_row_has_a_block(void)
{
    dt_emulator_set_multiprocessors(1);
    for (int which = SUMS; which <= JOIN_BACKWARD; which++) {
        kernel[0] = '\0';
        DT_REQUIRE(launch((pass)which, 2048, 7) == 0);
        DT_CHECK_INT(grid.y, 8);
        DT_CHECK(grid.x >= 1);
        check_scratch((pass)which, 2048);
    }
}

static const dt_test tests[] = {DT_TEST(a_grid_has_several_times_the_blocks_that_fit),
                                DT_TEST(blocks_that_fit_at_once_are_rounded_down),
                                DT_TEST(every_piece_of_a_row_has_a_block)};
DT_TEST_MAIN("layers/cuda_grids", tests)
