/* ref_optimizer_test.c: the optimizer of layers/ref against PyTorch's formula and the paper of LARS. */
#include "tests/gradients.h"
#include "tests/testing.h"

#include <math.h>
#include <string.h>

/* -- 16 steps in float64 --------------------------------------------------------------------------------- */

enum { N_SEGMENTS = 7, N = 176, STEPS = 16 };
static const double MOMENTUM = 0.9F, TRUST = 0.02F, EPS = 0.05F, RATE = 0.1F, SCALE = 128;

/* Two tensors with weight decay, one without, one whose weights start at 0, one without a gradient, one with
 * neither, and statistics. */
static const dt_update_segment tensors[N_SEGMENTS] = {
    {.first = 0, .n = 32, .rule = DT_UPDATE_LARS, .weight_decay = 5e-3F},
    {.first = 32, .n = 48, .rule = DT_UPDATE_LARS},
    {.first = 96, .n = 16, .rule = DT_UPDATE_SGD, .weight_decay = 5e-3F}, /* after a gap */
    {.first = 112, .n = 16, .rule = DT_UPDATE_LARS, .weight_decay = 5e-3F},
    {.first = 128, .n = 16, .rule = DT_UPDATE_LARS, .weight_decay = 5e-3F},
    {.first = 144, .n = 16, .rule = DT_UPDATE_LARS, .weight_decay = 5e-3F},
    {.first = 160, .n = 16, .rule = DT_UPDATE_RUNNING_AVERAGE, .weight_decay = 5e-3F}};
enum { ZERO_WEIGHTS = 3, ZERO_GRADIENTS = 4, BOTH_ZERO = 5 };

typedef struct form {
    const char *name;
    bool lars, in_velocity, nesterov;
} form;

typedef struct reference {
    double w[N], v[N], ema[N];
} reference;

static double two_norm(const double *x, int64_t n)
{
    double sum = 0;
    for (int64_t i = 0; i < n; i++)
        sum += x[i] * x[i];
    return sqrt(sum);
}

/* The factor of You, Gitman and Ginsburg (2017), or trust where there is no ratio of norms. */
static double local_rate(const double *w, const double *g, int64_t n, double decay)
{
    const double w_norm = two_norm(w, n), g_norm = two_norm(g, n) / SCALE;
    return w_norm > 0 && g_norm > 0 ? TRUST * w_norm / (g_norm + decay * w_norm + EPS) : TRUST;
}

/* torch.optim.SGD: d = grad + weight_decay * p; buf = momentum * buf + d;
 * p -= lr * (nesterov ? d + momentum * buf : buf). With in_velocity as the paper of LARS and MLPerf have it:
 * buf = momentum * buf + lr * d; p -= nesterov ? lr * d + momentum * buf : buf. LARS multiplies d by the
 * tensor's factor. */
static void reference_update(const form *f, const dt_update_segment *s, const double *g, double lr,
                             reference *x)
{
    double *w = x->w + s->first, *v = x->v + s->first;
    const double decay = s->weight_decay;
    const double local = f->lars && s->rule == DT_UPDATE_LARS ? local_rate(w, g + s->first, s->n, decay) : 1;
    for (int64_t i = 0; i < s->n; i++) {
        const double d = local * (g[s->first + i] / SCALE + decay * w[i]);
        if (f->in_velocity) {
            v[i] = MOMENTUM * v[i] + lr * d;
            w[i] -= f->nesterov ? lr * d + MOMENTUM * v[i] : v[i];
        } else {
            v[i] = MOMENTUM * v[i] + d;
            w[i] -= lr * (f->nesterov ? d + MOMENTUM * v[i] : v[i]);
        }
    }
}

static void reference_step(const form *f, const double *g, const dt_step_inputs *inputs, reference *x)
{
    for (int k = 0; k < N_SEGMENTS; k++) {
        const dt_update_segment *s = &tensors[k];
        if (s->rule != DT_UPDATE_RUNNING_AVERAGE)
            reference_update(f, s, g, inputs->lr, x);
        for (int64_t i = s->first; i < s->first + s->n; i++) {
            if (s->rule == DT_UPDATE_RUNNING_AVERAGE)
                x->w[i] = (1 - RATE) * x->w[i] + RATE * g[i]; /* a statistic has no loss scale */
            x->ema[i] = inputs->ema_decay * x->ema[i] + (1 - (double)inputs->ema_decay) * x->w[i];
        }
    }
}

static void clear(variable *x, int segment)
{
    const dt_update_segment *s = &tensors[segment];
    memset(x->floats + s->first, 0, (size_t)s->n * sizeof *x->floats);
    memset(x->values + s->first, 0, (size_t)s->n * sizeof *x->values);
}

static void check_segments(const form *f, const float *w, const float *v, const float *ema,
                           const reference *x)
{
    for (int k = 0; k < N_SEGMENTS; k++) {
        const int64_t first = tensors[k].first, n = tensors[k].n;
        check_near(f->name, w + first, x->w + first, n);
        check_near(f->name, v + first, x->v + first, n);
        check_near(f->name, ema + first, x->ema + first, n);
    }
    check_near("gap", w + 80, x->w + 80, 16);
}

static void check_16_steps(const form *f)
{
    const dt_optimizer_desc desc = {.momentum = (float)MOMENTUM,
                                    .nesterov = f->nesterov,
                                    .rate_in_velocity = f->in_velocity,
                                    .running_average_rate = (float)RATE,
                                    .lars_trust = (float)TRUST,
                                    .lars_eps = (float)EPS};
    variable w = random_variable("w", N, -1, 1);
    float *v = allocate(N, sizeof *v), *ema = allocate(N, sizeof *ema);
    reference *x = allocate(1, sizeof *x);
    dt_update_segment mine[N_SEGMENTS];
    dt_optimizer *optimizer = NULL;
    clear(&w, ZERO_WEIGHTS);
    clear(&w, BOTH_ZERO);
    memcpy(x->w, w.values, sizeof x->w);
    memcpy(x->ema, w.values, sizeof x->ema);
    memcpy(ema, w.floats, sizeof *ema * N);
    for (int k = 0; k < N_SEGMENTS; k++) {
        mine[k] = tensors[k];
        if (!f->lars && mine[k].rule == DT_UPDATE_LARS)
            mine[k].rule = DT_UPDATE_SGD;
    }
    OK(ref->ops->optimizer_create(ref, &desc, mine, N_SEGMENTS, &optimizer, &gradient_error));
    for (int t = 1; t <= STEPS; t++) {
        variable g = random_variable("g", N, t % 2 ? -100 : -10, t % 2 ? 100 : 10);
        clear(&g, ZERO_GRADIENTS);
        clear(&g, BOTH_ZERO);
        /* a warm-up of the rate, then a drop; a warm-up of the averages up to 0.5 */
        const dt_step_inputs inputs = {.lr = t <= 8 ? 0.25F * (float)t : 0.25F,
                                       .ema_decay = fminf(0.5F, (1.0F + (float)t) / (10.0F + (float)t))};
        const dt_optimizer_vectors vectors = {w.floats, g.floats, v, ema};
        dt_step_state scale = {.loss_scale = (float)SCALE};
        OK(ref->ops->optimizer_step(ref, optimizer, &vectors, &inputs, &scale, &gradient_error));
        reference_step(f, g.values, &inputs, x);
    }
    check_segments(f, w.floats, v, ema, x);
    ref->ops->optimizer_destroy(ref, optimizer);
    release();
}

static void sixteen_steps_match_the_formulas(void)
{
    static const form forms[] = {{"sgd", false, false, false},
                                 {"sgd nesterov", false, false, true},
                                 {"sgd, rate in the velocity", false, true, false},
                                 {"lars torch", true, false, false},
                                 {"lars torch nesterov", true, false, true},
                                 {"lars paper", true, true, false},
                                 {"lars paper nesterov", true, true, true}};
    for (size_t i = 0; i < sizeof forms / sizeof *forms; i++)
        check_16_steps(&forms[i]);
}

/* By hand: lr 2, trust 1/8, decay 1/4, loss scale 4, no momentum, eps 0. */
static void lars_of_a_tensor_without_a_norm_is_sgd_at_the_rate_times_trust(void)
{
    static const dt_update_segment hand[] = {
        {.first = 0, .n = 16, .rule = DT_UPDATE_LARS, .weight_decay = 0.25F},
        {.first = 16, .n = 16, .rule = DT_UPDATE_LARS, .weight_decay = 0.25F},
        {.first = 32, .n = 16, .rule = DT_UPDATE_LARS, .weight_decay = 0.25F},
        {.first = 48, .n = 16, .rule = DT_UPDATE_LARS, .weight_decay = 0.25F}};
    const dt_step_inputs inputs = {.lr = 2};
    for (int in_velocity = 0; in_velocity <= 1; in_velocity++) {
        const dt_optimizer_desc desc = {.rate_in_velocity = in_velocity != 0, .lars_trust = 0.125F};
        float w[64] = {0}, g[64] = {0}, v[64] = {0};
        dt_optimizer *optimizer = NULL;
        dt_step_state scale = {.loss_scale = 4};
        for (int i = 0; i < 16; i++) {
            w[i] = w[32 + i] = 1;
            g[i] = g[16 + i] = 2;
        }
        OK(ref->ops->optimizer_create(ref, &desc, hand, 4, &optimizer, &gradient_error));
        OK(ref->ops->optimizer_step(ref, optimizer, &(dt_optimizer_vectors){w, g, v, NULL}, &inputs, &scale,
                                    &gradient_error));
        for (int i = 0; i < 16; i++) {
            /* |w| = 4, |g| = 4 * 0.5 = 2: trust 4 / (2 + 0.25 * 4) = 1/6; 1 - 2 / 6 * (0.5 + 0.25) */
            DT_CHECK_CLOSE(w[i], 0.75, 1e-7);
            DT_CHECK_CLOSE(w[16 + i], -0.125, 0); /* - 2 * 1/8 * 0.5 */
            DT_CHECK_CLOSE(w[32 + i], 0.9375, 0); /* 1 - 2 * 1/8 * 0.25 */
            DT_CHECK(w[48 + i] == 0 && v[48 + i] == 0);
        }
        ref->ops->optimizer_destroy(ref, optimizer);
    }
}

/* A rate that falls from 1 to 0.125 after the first step, gradients 1 and 0, momentum 0.5, decay 0. */
static void the_forms_differ_where_the_rate_changes(void)
{
    static const dt_update_segment one = {.n = 16, .rule = DT_UPDATE_SGD};
    /* outside: v = 1, w = -1; v = 0.5, w = -1 - 0.125 * 0.5. inside: v = 1, w = -1; v = 0.5, w = -1.5 */
    static const float expected[2] = {-1.0625F, -1.5F};
    for (int in_velocity = 0; in_velocity <= 1; in_velocity++) {
        const dt_optimizer_desc desc = {.momentum = 0.5F, .rate_in_velocity = in_velocity != 0};
        float w[16] = {0}, g[16] = {1}, v[16] = {0};
        dt_optimizer *optimizer = NULL;
        dt_step_state scale = {.loss_scale = 1};
        const dt_optimizer_vectors vectors = {w, g, v, NULL};
        OK(ref->ops->optimizer_create(ref, &desc, &one, 1, &optimizer, &gradient_error));
        OK(ref->ops->optimizer_step(ref, optimizer, &vectors, &(dt_step_inputs){.lr = 1}, &scale,
                                    &gradient_error));
        g[0] = 0;
        OK(ref->ops->optimizer_step(ref, optimizer, &vectors, &(dt_step_inputs){.lr = 0.125F}, &scale,
                                    &gradient_error));
        DT_CHECK_CLOSE(w[0], expected[in_velocity], 0);
        ref->ops->optimizer_destroy(ref, optimizer);
    }
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
    DT_TEST(sixteen_steps_match_the_formulas),
    DT_TEST(lars_of_a_tensor_without_a_norm_is_sgd_at_the_rate_times_trust),
    DT_TEST(the_forms_differ_where_the_rate_changes),
    DT_TEST(the_scale_grows_backs_off_and_stays_in_its_range),
    DT_TEST(averages_follow_weights_and_statistics),
};
DT_TEST_MAIN("layers/ref_optimizer", tests)
