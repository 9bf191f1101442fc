/* ref_optimizer_test.c: the optimizer of layers/ref against PyTorch's formula and the paper of LARS. */
#include "tests/gradients.h"
#include "tests/testing.h"

#include <math.h>
#include <string.h>

/* torch.optim.SGD written out, in double: p.grad + weight_decay * p; buf = momentum * buf + grad; nesterov:
 * grad + momentum * buf. */
static void torch_sgd(double *p, double *buf, double grad, double lr, double weight_decay, double momentum,
                      bool nesterov)
{
    grad = grad + weight_decay * *p;
    *buf = momentum * *buf + grad;
    *p = *p - lr * (nesterov ? grad + momentum * *buf : *buf);
}

static void ten_steps_of_sgd_match_pytorch(void)
{
    static const dt_update_segment segments[] = {
        {.first = 0, .n = 16, .rule = DT_UPDATE_SGD, .weight_decay = 0.05F},
        {.first = 32, .n = 32, .rule = DT_UPDATE_SGD},
        {.first = 64, .n = 16, .rule = DT_UPDATE_RUNNING_AVERAGE, .weight_decay = 0.05F}};
    for (int nesterov = 0; nesterov <= 1; nesterov++) {
        dt_optimizer_desc desc = {.momentum = 0.9F, .nesterov = nesterov != 0, .running_average_rate = 0.1F};
        variable w = random_variable("w", 96, -1, 1);
        float *momentum = allocate(96, sizeof *momentum);
        double *buf = allocate(96, sizeof *buf);
        dt_optimizer *optimizer = NULL;
        OK(ref->ops->optimizer_create(ref, &desc, segments, 3, &optimizer, &gradient_error));
        for (int step = 0; step < 10; step++) {
            variable g = random_variable("g", 96, -1, 1);
            const dt_optimizer_vectors vectors = {w.floats, g.floats, momentum, NULL};
            dt_step_inputs inputs = {.lr = 0.1F / (float)(step + 1)};
            dt_step_state state = {.loss_scale = 4};
            OK(ref->ops->optimizer_step(ref, optimizer, &vectors, &inputs, &state, &gradient_error));
            for (int i = 0; i < 64; i++)
                if (i < 16 || i >= 32)
                    torch_sgd(&w.values[i], &buf[i], 0.25 * g.values[i], (double)inputs.lr,
                              i < 16 ? (double)0.05F : 0, (double)0.9F, nesterov != 0);
            for (int i = 64; i < 80; i++)
                w.values[i] = (1 - (double)0.1F) * w.values[i] + (double)0.1F * g.values[i];
        }
        check_near("values", w.floats, w.values, 96); /* elements outside of all segments are unchanged */
        check_near("momentum", momentum, buf, 96);
        ref->ops->optimizer_destroy(ref, optimizer);
        release();
    }
}

/* -- LARS ------------------------------------------------------------------------------------------------ */

static double two_norm(const double *x, int64_t n, double factor)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += factor * x[i] * factor * x[i];
    return sqrt(sum);
}

/* Algorithm 1 of You, Gitman and Ginsburg (2017), with the decay inside the velocity as MLPerf has it, in
 * double. */
static void reference_lars(double *w, double *v, const double *g, int64_t n, double scale, double lr,
                           double decay, double momentum, double trust, double eps)
{
    double w_norm = two_norm(w, n, 1), g_norm = two_norm(g, n, 1 / scale);
    double local = w_norm > 0 && g_norm > 0 ? trust * w_norm / (g_norm + decay * w_norm + eps) : trust;
    for (int64_t i = 0; i < n; i++) {
        v[i] = momentum * v[i] + local * (g[i] / scale + decay * w[i]);
        w[i] -= lr * v[i];
    }
}

/* Two tensors have their own rates; the third is a bias; a tensor that starts at zero and one without a
 * gradient change too. */
static void ten_steps_of_lars_match_the_paper(void)
{
    static const dt_update_segment segments[] = {
        {.first = 0, .n = 32, .rule = DT_UPDATE_LARS, .weight_decay = 5e-3F},
        {.first = 32, .n = 64, .rule = DT_UPDATE_LARS},
        {.first = 96, .n = 16, .rule = DT_UPDATE_SGD, .weight_decay = 5e-3F},
        {.first = 112, .n = 16, .rule = DT_UPDATE_LARS, .weight_decay = 5e-3F},
        {.first = 128, .n = 16, .rule = DT_UPDATE_LARS, .weight_decay = 5e-3F}};
    const dt_optimizer_desc desc = {.momentum = 0.9F, .lars_trust = 0.02F, .lars_eps = 1e-3F};
    variable w = random_variable("w", 144, -1, 1);
    float *momentum = allocate(144, sizeof *momentum);
    double *v = allocate(144, sizeof *v);
    dt_optimizer *optimizer = NULL;
    memset(w.floats + 112, 0, 16 * sizeof *w.floats);
    memset(w.values + 112, 0, 16 * sizeof *w.values);
    OK(ref->ops->optimizer_create(ref, &desc, segments, 5, &optimizer, &gradient_error));
    for (int step = 0; step < 10; step++) {
        variable g = random_variable("g", 144, step % 2 ? -100 : -10, step % 2 ? 100 : 10);
        memset(g.floats + 128, 0, 16 * sizeof *g.floats);
        memset(g.values + 128, 0, 16 * sizeof *g.values);
        const dt_optimizer_vectors vectors = {w.floats, g.floats, momentum, NULL};
        const dt_step_inputs inputs = {.lr = 2};
        dt_step_state state = {.loss_scale = 128};
        OK(ref->ops->optimizer_step(ref, optimizer, &vectors, &inputs, &state, &gradient_error));
        for (int s = 0; s < 5; s++) {
            const int64_t first = segments[s].first;
            const double decay = (double)segments[s].weight_decay;
            if (segments[s].rule == DT_UPDATE_LARS)
                reference_lars(w.values + first, v + first, g.values + first, segments[s].n, 128, 2, decay,
                               (double)0.9F, (double)0.02F, (double)1e-3F);
            for (int64_t i = first; segments[s].rule == DT_UPDATE_SGD && i < first + segments[s].n; i++)
                torch_sgd(&w.values[i], &v[i], g.values[i] / 128, 2, decay, (double)0.9F, false);
        }
    }
    check_near("values", w.floats, w.values, 144);
    check_near("momentum", momentum, v, 144);
    ref->ops->optimizer_destroy(ref, optimizer);
    release();
}

/* -- loss scale and averages ----------------------------------------------------------------------------- */

/* w = 1 and g = 0 at every step, except where a NaN is planted. */
static void the_scale_grows_backs_off_and_stays_in_its_range(void)
{
    static const dt_update_segment segment = {.n = 16, .rule = DT_UPDATE_SGD};
    const dt_optimizer_desc desc = {.loss_scaling = true, .growth = 2, .backoff = 0.5F, .growth_interval = 3};
    float w[16] = {1}, v[16] = {0}, g[16] = {0};
    dt_step_state state = {.loss_scale = 4194304}; /* 2^22 */
    const dt_step_inputs inputs = {.lr = 1};
    const dt_optimizer_vectors vectors = {w, g, v, NULL};
    dt_optimizer *optimizer = NULL;
    OK(ref->ops->optimizer_create(ref, &desc, &segment, 1, &optimizer, &gradient_error));
    for (int step = 1; step <= 12; step++) {
        OK(ref->ops->optimizer_step(ref, optimizer, &vectors, &inputs, &state, &gradient_error));
        DT_CHECK_CLOSE((double)state.loss_scale, step < 3 ? 4194304.0 : step < 6 ? 8388608.0 : 16777216.0, 0);
        DT_CHECK_INT(state.n_good, step % 3);
    }
    /* n_good is 1 */
    OK(ref->ops->optimizer_step(ref, optimizer, &vectors, &inputs, &state, &gradient_error));
    g[7] = NAN;
    for (int step = 1; step <= 30; step++) {
        OK(ref->ops->optimizer_step(ref, optimizer, &vectors, &inputs, &state, &gradient_error));
        DT_CHECK_CLOSE((double)state.loss_scale, step < 24 ? 16777216.0 / pow(2, step) : 1, 0);
        DT_CHECK_INT(state.n_good, 0);
        DT_CHECK_INT(state.n_skipped, step);
        DT_CHECK_INT(state.found_inf, 1);
    }
    DT_CHECK(w[0] == 1 && v[7] == 0);
    ref->ops->optimizer_destroy(ref, optimizer);
}

static void averages_follow_weights_and_statistics(void)
{
    static const dt_update_segment segments[] = {{.n = 16, .rule = DT_UPDATE_SGD},
                                                 {.first = 16, .n = 16, .rule = DT_UPDATE_RUNNING_AVERAGE}};
    const dt_optimizer_desc desc = {.running_average_rate = 0.5F};
    float w[32], v[16] = {0}, g[32], ema[32];
    for (int i = 0; i < 32; i++) {
        w[i] = 1;
        g[i] = 2;
        ema[i] = 1;
    }
    dt_step_state state = {.loss_scale = 1};
    const dt_step_inputs inputs = {.lr = 0.25F, .ema_decay = 0.75F};
    const dt_optimizer_vectors vectors = {w, g, v, ema};
    dt_optimizer *optimizer = NULL;
    OK(ref->ops->optimizer_create(ref, &desc, segments, 2, &optimizer, &gradient_error));
    OK(ref->ops->optimizer_step(ref, optimizer, &vectors, &inputs, &state, &gradient_error));
    DT_CHECK(w[3] == 0.5F && ema[3] == 0.875F && w[20] == 1.5F && ema[20] == 1.125F);
    OK(ref->ops->optimizer_step(ref, optimizer, &vectors, &inputs, &state, &gradient_error));
    DT_CHECK(w[3] == 0.0F && ema[3] == 0.65625F && w[20] == 1.75F && ema[20] == 1.28125F);
    ref->ops->optimizer_destroy(ref, optimizer);
}

static const dt_test tests[] = {
    DT_TEST(ten_steps_of_sgd_match_pytorch),
    DT_TEST(ten_steps_of_lars_match_the_paper),
    DT_TEST(the_scale_grows_backs_off_and_stays_in_its_range),
    DT_TEST(averages_follow_weights_and_statistics),
};
DT_TEST_MAIN("layers/ref_optimizer", tests)
