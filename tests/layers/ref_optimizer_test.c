/* ref_optimizer_test.c: the optimizer of layers/ref against PyTorch's formula. */
#include "tests/gradients.h"
#include "tests/testing.h"

/* torch.optim.SGD written out, in double: p.grad + weight_decay * p; buf = momentum * buf + grad; nesterov: grad + momentum * buf. */
static void torch_sgd(double *p, double *buf, double grad, double lr, double weight_decay, double momentum,
                      bool nesterov)
{
    grad = grad + weight_decay * *p;
    *buf = momentum * *buf + grad;
    *p = *p - lr * (nesterov ? grad + momentum * *buf : *buf);
}

static void ten_steps_of_sgd_are_those_of_pytorch(void)
{
    static const dt_update_segment segments[] = {
        {.first = 0, .n = 16, .rule = DT_UPDATE_SGD, .weight_decay = 0.05F},
        {.first = 32, .n = 32, .rule = DT_UPDATE_SGD},
        {.first = 64, .n = 16, .rule = DT_UPDATE_RUNNING_AVERAGE, .weight_decay = 0.05F}};
    for (int nesterov = 0; nesterov <= 1; nesterov++) {
        dt_optimizer_desc desc = {.momentum = 0.9F, .nesterov = nesterov != 0, .running_average_rate = 0.1F};
        variable w = random_variable("w", 96, -1, 1);
        float *momentum = take(96, sizeof *momentum);
        double *buf = take(96, sizeof *buf);
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
                    torch_sgd(&w.values[i], &buf[i], 0.25 * g.values[i], (double)inputs.lr, i < 16 ? (double)0.05F : 0,
                              (double)0.9F, nesterov != 0);
            for (int i = 64; i < 80; i++)
                w.values[i] = (1 - (double)0.1F) * w.values[i] + (double)0.1F * g.values[i];
        }
        check_near("values", w.floats, w.values, 96); /* what no segment names is still as it was */
        check_near("momentum", momentum, buf, 96);
        ref->ops->optimizer_destroy(ref, optimizer);
        release();
    }
}

static const dt_test tests[] = {DT_TEST(ten_steps_of_sgd_are_those_of_pytorch)};
DT_TEST_MAIN("layers/ref_optimizer", tests)
