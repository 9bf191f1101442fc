/* layers/cpu's optimizer beside ref's, step after step: what a step finds in the gradients is its own. */
#include "tests/cpu_cases.h"
#include "tests/testing.h"

#include <math.h>
#include <string.h>

/* 208 lines of 16 elements: no multiple of the parts in which layers/cpu inspects them. */
enum { N_SEGMENTS = 3, N = 16 * (5 + 200 + 3), STEPS = 5 };
static const dt_update_segment segments[N_SEGMENTS] = {{0, 16 * 5, DT_UPDATE_LARS, 1e-4F},
                                                       {16 * 5, 16 * 200, DT_UPDATE_LARS, 0.0F},
                                                       {16 * 205, 16 * 3, DT_UPDATE_SGD, 0.1F}};
static const dt_optimizer_desc desc = {.momentum = 0.9F,
                                       .lars_trust = 0.1F,
                                       .lars_eps = 1e-8F,
                                       .loss_scaling = true,
                                       .growth = 2.0F,
                                       .backoff = 0.5F,
                                       .growth_interval = 2};

typedef struct side {
    dt_kernels *k;
    dt_optimizer *optimizer;
    dt_step_state state;
    float values[N], momentum[N];
} side;

static void open_side(side *s, dt_kernels *k)
{
    dt_error err = {0};
    *s = (side){.k = k, .state = {.loss_scale = 8.0F}};
    dt_test_fill_random(s->values, N, 1);
    DT_REQUIRE_MSG(k->ops->optimizer_create(k, &desc, segments, N_SEGMENTS, &s->optimizer, &err) == DT_OK,
                   "%s", err.message);
}

static void step(side *s, const float *grads)
{
    dt_error err = {0};
    const dt_optimizer_vectors v = {s->values, grads, s->momentum, NULL};
    const dt_step_inputs inputs = {.lr = 0.1F};
    DT_CHECK_INT(s->k->ops->optimizer_step(s->k, s->optimizer, &v, &inputs, &s->state, &err), DT_OK);
}

/* In step `bad` the gradient at `at` is not finite. */
static void check_steps(int bad, int64_t at)
{
    static side cpu, ref;
    static float grads[N], before[N];
    dt_cpu_pair pair = dt_cpu_pair_create(2);
    open_side(&cpu, pair.cpu);
    open_side(&ref, pair.ref);
    for (int k = 0; k < STEPS; k++) {
        dt_test_fill_random(grads, N, (uint64_t)k + 2);
        if (k == bad)
            grads[at] = INFINITY;
        memcpy(before, cpu.values, sizeof before);
        step(&cpu, grads);
        step(&ref, grads);
        DT_CHECK_NEAR(cpu.values, ref.values, N, 1e-5);
        DT_CHECK_INT(memcmp(before, cpu.values, sizeof before) == 0, k == bad);
        DT_CHECK_INT(cpu.state.found_inf, k == bad);
        DT_CHECK_BYTES(&cpu.state, &ref.state, sizeof cpu.state);
    }
    DT_CHECK_INT(cpu.state.n_skipped, bad < STEPS);
    pair.cpu->ops->optimizer_destroy(pair.cpu, cpu.optimizer);
    pair.ref->ops->optimizer_destroy(pair.ref, ref.optimizer);
    dt_cpu_pair_destroy(&pair);
}

static void each_step_has_findings_of_its_own(void)
{
    check_steps(STEPS, 0);
    check_steps(1, 0);
    check_steps(0, 16 * 5 + 16 * 100);
}

static void the_last_gradient_is_inspected(void)
{
    check_steps(2, N - 1);
    check_steps(2, 16 * 205 - 1);
}

static const dt_test tests[] = {
    DT_TEST(each_step_has_findings_of_its_own),
    DT_TEST(the_last_gradient_is_inspected),
};
DT_TEST_MAIN("layers/cpu_optimizer", tests)
