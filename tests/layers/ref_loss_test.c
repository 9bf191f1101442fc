/* ref_loss_test.c: the loss of layers/ref: its values, which rows count as right, padding rows,
 * floating-point extremes. */
#include "tests/gradients.h"
#include "tests/naive.h"
#include "tests/testing.h"

#include <math.h>
#include <string.h>

enum { MAX_CLASSES = 16 };

/* Return the sums of one row alone. */
static dt_loss_sums one_row(const float *logits, int64_t n_classes, int32_t label, float smoothing)
{
    float row[MAX_CLASSES];
    dt_loss_sums sums = {0};
    memcpy(row, logits, (size_t)n_classes * sizeof *row);
    dt_tensor x = tensor_of(row, 1, n_classes, 1, 1);
    OK(ref->ops->softmax_loss(ref, &x, &label, smoothing, 1, NULL, NULL, &sums, &gradient_error));
    return sums;
}

static void check_rank(const float *logits, int64_t n_classes, int32_t label, int top1, int top5)
{
    dt_loss_sums sums = one_row(logits, n_classes, label, 0);
    DT_CHECK_INT(sums.top1, top1);
    DT_CHECK_INT(sums.top5, top5);
    DT_CHECK_INT(sums.n, 1);
}

static void losses_add_up_over_rows_and_calls(void)
{
    static const int32_t labels[5] = {0, 3, -1, 2, 2};
    for (int smoothed = 0; smoothed <= 1; smoothed++) {
        float smoothing = smoothed != 0 ? 0.1F : 0;
        variable x = random_variable("logits", 5 * 4, -3, 3);
        dt_tensor logits = tensor_of(x.floats, 5, 4, 1, 1);
        dt_loss_sums sums = {.loss = 10, .top1 = 20, .top5 = 30, .n = 40};
        OK(ref->ops->softmax_loss(ref, &logits, labels, smoothing, 1, NULL, NULL, &sums, &gradient_error));
        DT_CHECK_CLOSE(sums.loss, 10 + naive_loss(5, 4, x.values, labels, (double)smoothing), 3e-6);
        DT_CHECK_INT(sums.top5, 34); /* of four classes each label is among the first five */
        DT_CHECK_INT(sums.n, 44);
        release();
    }
}

static void the_loss_of_equal_logits_is_log_n(void)
{
    static const float logits[10] = {0};
    DT_CHECK_CLOSE(one_row(logits, 10, 4, 0).loss, log(10), 1e-6);
    DT_CHECK_CLOSE(one_row(logits, 10, 4, 0.1F).loss, log(10), 1e-6);
}

static void a_label_is_right_if_fewer_than_k_logits_rank_before_it(void)
{
    static const float rising[8] = {1, 2, 3, 4, 5, 6, 7, 8};
    check_rank(rising, 8, 7, 1, 1);
    check_rank(rising, 8, 6, 0, 1);
    check_rank(rising, 8, 3, 0, 1); /* four are greater */
    check_rank(rising, 8, 2, 0, 0); /* five are */
}

static void equal_logits_rank_by_index(void)
{
    static const float equal[8] = {0};
    check_rank(equal, 8, 0, 1, 1);
    check_rank(equal, 8, 1, 0, 1);
    check_rank(equal, 8, 4, 0, 1);
    check_rank(equal, 8, 5, 0, 0);
}

static void a_row_with_a_nan_is_never_right_and_makes_the_loss_nan(void)
{
    for (int position = 0; position < 4; position++) {
        float logits[4] = {9, 1, 2, 3};
        logits[position] = NAN;
        dt_loss_sums sums = one_row(logits, 4, 0, 0);
        DT_CHECK_MSG(isnan(sums.loss), "a NaN at %d was lost", position);
        DT_CHECK_INT(sums.top1, 0);
        DT_CHECK_INT(sums.top5, 0);
        DT_CHECK_INT(sums.n, 1);
    }
}

static void large_logits_do_not_overflow(void)
{
    static const float logits[3] = {1e4F, -1e4F, 9999};
    DT_CHECK_CLOSE(one_row(logits, 3, 0, 0).loss, log(1 + exp(-1)), 1e-6);
    DT_CHECK_CLOSE(one_row(logits, 3, 1, 0).loss, 2e4 + log(1 + exp(-1)), 1e-2);
    static const float one_impossible[3] = {0, -INFINITY, 0};
    DT_CHECK_CLOSE(one_row(one_impossible, 3, 0, 0).loss, log(2), 1e-6);
}

static void padding_rows_have_zero_gradient(void)
{
    static const int32_t labels[2] = {-1, 1};
    float x[4] = {5, NAN, 0, 0}, dx[4] = {NAN, NAN, NAN, NAN};
    dt_tensor logits = tensor_of(x, 2, 2, 1, 1), dlogits = tensor_of(dx, 2, 2, 1, 1);
    dt_loss_sums sums = {0};
    OK(ref->ops->softmax_loss(ref, &logits, labels, 0.2F, 8, NULL, &dlogits, &sums, &gradient_error));
    DT_CHECK(dx[0] == 0 && dx[1] == 0); /* for any content of the row */
    DT_CHECK_CLOSE(dx[2], 8 * (0.5 - 0.1), 1e-6);
    DT_CHECK_CLOSE(dx[3], 8 * (0.5 - 0.9), 1e-6);
    DT_CHECK_INT(sums.n, 1);
}

static const dt_test tests[] = {
    DT_TEST(losses_add_up_over_rows_and_calls),
    DT_TEST(the_loss_of_equal_logits_is_log_n),
    DT_TEST(a_label_is_right_if_fewer_than_k_logits_rank_before_it),
    DT_TEST(equal_logits_rank_by_index),
    DT_TEST(a_row_with_a_nan_is_never_right_and_makes_the_loss_nan),
    DT_TEST(large_logits_do_not_overflow),
    DT_TEST(padding_rows_have_zero_gradient),
};
DT_TEST_MAIN("layers/ref_loss", tests)
