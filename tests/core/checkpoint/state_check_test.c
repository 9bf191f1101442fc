/* Values that nothing can be trained or evaluated with are found, wherever they are, and named. */
#include "tests/testing.h"

#include "core/checkpoint/state_check.h"

#include <math.h>

#define N 1000

static float values[N];
static dt_error err;

void dt_test_set_up(void)
{
    for (int i = 0; i < N; i++)
        values[i] = i % 2 ? -3.4e38F : 1e-42F; /* the largest, and a subnormal one */
}

void dt_test_tear_down(void)
{
}

static void finite_values_pass(void)
{
    DT_CHECK_INT(dt_state_check("param/fc.weight", values, N, &err), DT_OK);
    DT_CHECK_INT(dt_state_check("param/fc.weight", values, 0, &err), DT_OK);
    values[1] = values[N - 1] = -0.0F;
    DT_CHECK_INT(dt_state_check("buffer/bn1.running_var", values, 3, &err), DT_OK);
}

static void a_value_that_is_not_finite_is_named(void)
{
    static const float bad[] = {INFINITY, -INFINITY, NAN, -NAN};
    for (int i = 0; i < N; i++) {
        const float was = values[i];
        values[i] = bad[i % 4];
        DT_CHECK_INT(dt_state_check("momentum/fc.weight", values, N, &err), DT_ERR_NUMERIC);
        DT_CHECK_INT(dt_state_check("momentum/fc.weight", values, i, &err), DT_OK);
        values[i] = was;
    }
    values[7] = INFINITY;
    DT_CHECK_INT(dt_state_check_part("param/fc.weight", values, N, 1000000, &err), DT_ERR_NUMERIC);
    DT_CHECK_STR(err.message, "fc.weight is not finite: its element 1000007 is inf");
    DT_CHECK_INT(dt_state_check("param/fc.weight", values, N, &err), DT_ERR_NUMERIC);
    DT_CHECK_STR(err.message, "fc.weight is not finite: its element 7 is inf");
}

static void a_negative_variance_is_named(void)
{
    values[1] = -1.0F;
    DT_CHECK_INT(dt_state_check("ema/bn1.running_var", values, 2, &err), DT_ERR_NUMERIC);
    DT_CHECK_STR(err.message, "ema/bn1.running_var has a negative variance: its element 1 is -1");
    DT_CHECK_INT(dt_state_check_part("bn1.running_var", values, 2, 64, &err), DT_ERR_NUMERIC);
    DT_CHECK_CONTAINS(err.message, "its element 65 is -1");
    DT_CHECK_INT(dt_state_check("bn1.running_mean", values, 2, &err), DT_OK);
    values[1] = NAN;
    DT_CHECK_INT(dt_state_check("bn1.running_var", values, 2, &err), DT_ERR_NUMERIC);
}

static dt_status get(void *context, int64_t tensor, float *to, dt_error *why)
{
    (void)why;
    for (int i = 0; i < 2; i++)
        to[i] = tensor == *(const int64_t *)context ? NAN : 1.0F;
    return DT_OK;
}

static void the_first_bad_tensor_of_a_state_is_named(void)
{
    static const dt_state_tensor tensors[] = {{.name = "param/a", .n_elems = 2},
                                              {.name = "param/b", .n_elems = 2, .first = 2}};
    const dt_state_layout layout = {.n_tensors = 2, .n_elems = 4, .tensors = tensors};
    int64_t bad = -1;
    const dt_state_io io = {.context = &bad, .get = get};
    DT_CHECK_INT(dt_state_check_all(&layout, &io, &err), DT_OK);
    bad = 1;
    DT_CHECK_INT(dt_state_check_all(&layout, &io, &err), DT_ERR_NUMERIC);
    DT_CHECK_CONTAINS(err.message, "b is not finite: its element 0 is nan");
}

static const dt_test tests[] = {
    DT_TEST(finite_values_pass),
    DT_TEST(a_value_that_is_not_finite_is_named),
    DT_TEST(a_negative_variance_is_named),
    DT_TEST(the_first_bad_tensor_of_a_state_is_named),
};

DT_TEST_MAIN("core/state_check", tests)
