/* The way of the configuration to the kernels and to the sums over ranks: each field of what a step is made
 * with has the configured value, or the constant that the documents give. */
#include "core/base/alloc.h"
#include "tests/fakes/fake_comm.h"
#include "tests/fakes/fake_store.h"
#include "tests/fakes/trainer_job.h"
#include "tests/testing.h"

#include <string.h>

/* -- what rank 0's kernels and its communicator are called with ------------------------------------------ */

#define MAX_SEGMENTS 16

static struct {
    dt_kernels_ops ops;
    const dt_kernels_ops *true_ops;
    dt_optimizer_desc desc;
    dt_update_segment segments[MAX_SEGMENTS];
    int64_t n_segments, n_optimizers;
    float smoothing, grad_scale, loss_scale, stat_weight, lr[64], ema_decay[64];
    int64_t n_losses, n_steps;
} seen;

static dt_status record_optimizer(dt_kernels *k, const dt_optimizer_desc *desc,
                                  const dt_update_segment *segments, int64_t n_segments,
                                  dt_optimizer **optimizer, dt_error *err)
{
    DT_REQUIRE(n_segments <= MAX_SEGMENTS);
    seen.desc = *desc;
    seen.n_segments = n_segments;
    seen.n_optimizers++;
    memcpy(seen.segments, segments, (size_t)n_segments * sizeof *segments);
    return seen.true_ops->optimizer_create(k, desc, segments, n_segments, optimizer, err);
}

static dt_status record_loss(dt_kernels *k, const dt_tensor *logits, const int32_t *labels, float smoothing,
                             float grad_scale, const float *loss_scale, const dt_tensor *dlogits,
                             dt_loss_sums *sums, dt_error *err)
{
    if (dlogits) {
        seen.smoothing = smoothing;
        seen.grad_scale = grad_scale;
        seen.loss_scale = *loss_scale;
        seen.n_losses++;
    } else {
        DT_CHECK_CLOSE(smoothing, 0, 0); /* an evaluation's loss is that of the labels */
    }
    return seen.true_ops->softmax_loss(k, logits, labels, smoothing, grad_scale, loss_scale, dlogits, sums,
                                       err);
}

static dt_status record_update(dt_kernels *k, dt_optimizer *o, const dt_optimizer_vectors *v,
                               const dt_step_inputs *inputs, dt_step_state *state, dt_error *err)
{
    seen.lr[seen.n_steps % 64] = inputs->lr;
    seen.ema_decay[seen.n_steps++ % 64] = inputs->ema_decay;
    return seen.true_ops->optimizer_step(k, o, v, inputs, state, err);
}

static dt_status record_statistics(dt_kernels *k, const dt_bn_forward *bn, dt_error *err)
{
    seen.stat_weight = bn->stat_weight;
    return seen.true_ops->bn_finalize(k, bn, err);
}

static void record(dt_kernels *kernels)
{
    seen.true_ops = kernels->ops;
    seen.ops = *kernels->ops;
    seen.ops.optimizer_create = record_optimizer;
    seen.ops.softmax_loss = record_loss;
    seen.ops.optimizer_step = record_update;
    seen.ops.bn_finalize = record_statistics;
    kernels->ops = &seen.ops;
}

static job recorded_job(void)
{
    job j = new_job(1);
    memset(&seen, 0, sizeof seen);
    j.config.steps = 1;
    j.change_kernels = record;
    return j;
}

static void train(job *j)
{
    run(j);
    check_all(j, DT_OK);
    DT_CHECK_INT(seen.n_optimizers, 1);
    free_job(j);
}

/* -- tests ----------------------------------------------------------------------------------------------- */

static void the_optimizer_gets_the_configured_values(void)
{
    job j = recorded_job();
    j.config.momentum = 0.75;
    j.config.lars_trust = 0.0625;
    j.config.ema_decay = 0.875;
    train(&j);
    DT_CHECK_CLOSE(seen.desc.momentum, 0.75, 0);
    DT_CHECK_CLOSE(seen.desc.lars_trust, 0.0625, 0);
    DT_CHECK_CLOSE(seen.ema_decay[0], 0.875, 0);
    DT_CHECK(!seen.desc.nesterov && !seen.desc.loss_scaling && !seen.desc.rate_in_velocity);
    j = recorded_job();
    j.config.nesterov = true;
    train(&j);
    DT_CHECK(seen.desc.nesterov);
    DT_CHECK_CLOSE(seen.ema_decay[0], 0, 0);
    for (int form = DT_LARS_PAPER; form <= DT_LARS_TORCH; form++) {
        j = recorded_job();
        strcpy(j.config.optimizer, "lars");
        j.config.lars_form = (dt_lars_form)form;
        train(&j);
        DT_CHECK_INT(seen.desc.rate_in_velocity, form == DT_LARS_PAPER);
    }
}

static void the_optimizer_gets_the_documented_constants(void)
{
    job j = recorded_job();
    train(&j);
    DT_CHECK_CLOSE(seen.desc.running_average_rate, 0.1f, 0);
    DT_CHECK_CLOSE(seen.desc.lars_eps, 1e-9f, 0);
    DT_CHECK_CLOSE(seen.desc.growth, 2, 0);
    DT_CHECK_CLOSE(seen.desc.backoff, 0.5, 0);
    DT_CHECK_INT(seen.desc.growth_interval, 2000);
}

/* The net has a convolution, BatchNorm's scale and shift, the linear layer's weight and bias, and two running
 * statistics, in this order. */
static void check_segments(dt_update_rule of_weights, const float decays[5])
{
    static const int64_t n[] = {432, 16, 16, 64, 16, 16, 16}; /* a bias of 4 is padded to 16 */
    static const bool is_weight[] = {true, false, false, true, false};
    int64_t first = 0;
    DT_CHECK_INT(seen.n_segments, 7);
    for (int i = 0; i < 7; i++) {
        const dt_update_segment *s = &seen.segments[i];
        DT_CHECK_INT(s->first, first);
        DT_CHECK_INT(s->n, n[i]);
        DT_CHECK_INT(s->rule, i >= 5 ? DT_UPDATE_RUNNING_AVERAGE : is_weight[i] ? of_weights : DT_UPDATE_SGD);
        DT_CHECK_CLOSE(s->weight_decay, i >= 5 ? 0 : decays[i], 0);
        first += s->n;
    }
}

static void each_parameter_gets_its_rule_and_decay(void)
{
    job j = recorded_job();
    j.config.weight_decay = 0.25;
    train(&j);
    check_segments(DT_UPDATE_SGD, (const float[]){0.25, 0.25, 0.25, 0.25, 0.25});
    j = recorded_job();
    j.config.weight_decay = 0.25;
    j.config.bn_decay = false;
    train(&j);
    check_segments(DT_UPDATE_SGD, (const float[]){0.25, 0, 0, 0.25, 0.25});
    j = recorded_job();
    j.config.weight_decay = 0.25;
    j.config.bias_decay = false; /* BatchNorm's bias too, as torchvision's --bias-weight-decay */
    train(&j);
    check_segments(DT_UPDATE_SGD, (const float[]){0.25, 0.25, 0, 0.25, 0});
    j = recorded_job();
    j.config.weight_decay = 0.25;
    strcpy(j.config.optimizer, "lars");
    train(&j);
    check_segments(DT_UPDATE_LARS, (const float[]){0.25, 0.25, 0.25, 0.25, 0.25});
}

static void the_loss_gets_the_smoothing_and_the_share_of_an_image(void)
{
    job j = recorded_job();
    j.config.label_smoothing = 0.375;
    train(&j);
    DT_CHECK_CLOSE(seen.smoothing, 0.375, 0);
    DT_CHECK_CLOSE(seen.grad_scale, 0.25, 0); /* a batch of 4 */
    DT_CHECK_CLOSE(seen.stat_weight, 1, 0);
    DT_CHECK_CLOSE(seen.loss_scale, 1, 0);
    DT_CHECK_INT(seen.n_losses, 1);
    j = recorded_job();
    j.config.label_smoothing = 0;
    j.config.accumulate = 2;
    train(&j);
    DT_CHECK_CLOSE(seen.smoothing, 0, 0);
    DT_CHECK_CLOSE(seen.grad_scale, 0.125, 0);
    DT_CHECK_CLOSE(seen.stat_weight, 0.5, 0);
    DT_CHECK_INT(seen.n_losses, 2);
}

static void only_fp16_has_a_loss_scale(void)
{
    static const dt_dtype types[] = {DT_F32, DT_F16, DT_BF16, DT_TF32};
    for (int i = 0; i < 4; i++) {
        job j = recorded_job();
        j.config.precision = types[i];
        j.config.loss_scale_init = 512;
        train(&j);
        DT_CHECK_INT(seen.desc.loss_scaling, types[i] == DT_F16);
        DT_CHECK_CLOSE(seen.loss_scale, types[i] == DT_F16 ? 512 : 1, 0);
    }
}

static void each_step_gets_the_scheduled_rate(void)
{
    job j = recorded_job(); /* 16 steps an epoch */
    j.config.steps = 0;
    j.config.lr = 0.5;
    j.config.warmup_epochs = 0.5;
    j.config.schedule = DT_SCHEDULE_STEP;
    train(&j);
    DT_CHECK_INT(seen.n_steps, 32);
    for (int i = 0; i < 32; i++)
        DT_CHECK_CLOSE(seen.lr[i],
                       i < 8    ? 0.0625 * (i + 1)
                       : i < 11 ? 0.5
                       : i < 22 ? 0.05
                       : i < 29 ? 5e-3
                                : 5e-4,
                       1e-7);
}

/* tf.train.ExponentialMovingAverage: with num_updates = t, the decay is min(decay, (1 + t) / (10 + t)).
 * t counts the steps of the training from 1, also after a resume. */
static void the_decay_of_averages_grows_with_the_steps(void)
{
    job j = recorded_job();
    j.config.steps = 5;
    j.config.ema_decay = 0.5;
    j.config.ema_warmup = true;
    j.store = fake_store_create(&(fake_store_options){0});
    train(&j);
    DT_CHECK_INT(seen.n_steps, 5);
    for (int t = 1; t <= 5; t++)
        DT_CHECK_CLOSE(seen.ema_decay[t - 1], (1.0 + t) / (10.0 + t), 1e-7);
    memset(&seen, 0, sizeof seen);
    j.config.steps = 12;
    run_again(&j);
    check_all(&j, DT_OK);
    DT_CHECK_INT(seen.n_steps, 7);
    for (int t = 6; t <= 12; t++)
        DT_CHECK_CLOSE(seen.ema_decay[t - 6], t < 8 ? (1.0 + t) / (10.0 + t) : 0.5, 1e-7);
    j.store->ops->destroy(j.store);
    free_job(&j);
}

/* -- sums over ranks ------------------------------------------------------------------------------------- */

static _Thread_local const dt_comm_ops *true_comm_ops; /* of this rank */
static int64_t n_sums[DT_I32 + 1];

static dt_status record_sum(dt_comm *comm, float *buffer, int64_t n, dt_dtype wire, dt_comm_request **request,
                            dt_error *err)
{
    if (comm->rank == 0)
        n_sums[wire]++;
    return true_comm_ops->all_reduce_start(comm, buffer, n, wire, request, err);
}

static void train_recorded(dt_comm *comm, void *context)
{
    dt_comm_ops ops = *comm->ops;
    true_comm_ops = comm->ops;
    ops.all_reduce_start = record_sum;
    comm->ops = &ops;
    run_as_rank(context, comm);
    comm->ops = true_comm_ops;
}

static void gradients_are_sent_in_the_type_of_the_precision(void)
{
    static const dt_dtype precisions[] = {DT_F32, DT_F16, DT_BF16, DT_TF32};
    for (int i = 0; i < 4; i++) {
        job j = new_job(2);
        j.config.precision = precisions[i];
        j.config.loss_scale_init = 8;
        j.config.steps = 1;
        memset(n_sums, 0, sizeof n_sums);
        fake_comm_run(2, train_recorded, &j);
        check_all(&j, DT_OK);
        /* statistics, loss and votes are always sent as float32 */
        DT_CHECK_INT(n_sums[DT_F32] > 0, 1);
        DT_CHECK_INT(n_sums[DT_F16] > 0, precisions[i] == DT_F16);
        DT_CHECK_INT(n_sums[DT_BF16] > 0, precisions[i] == DT_BF16);
        free_job(&j);
    }
}

static void wire_chooses_the_type_in_which_gradients_are_sent(void)
{
    static const dt_wire_kind kinds[] = {DT_WIRE_AUTO, DT_WIRE_F32, DT_WIRE_SAME};
    for (int i = 0; i < 3; i++) {
        job j = new_job(2);
        j.config.precision = DT_BF16;
        j.config.wire = kinds[i];
        j.config.steps = 1;
        memset(n_sums, 0, sizeof n_sums);
        fake_comm_run(2, train_recorded, &j);
        check_all(&j, DT_OK);
        DT_CHECK_INT(n_sums[DT_BF16] > 0, kinds[i] != DT_WIRE_F32);
        free_job(&j);
    }
}

static const dt_test tests[] = {
    DT_TEST(the_optimizer_gets_the_configured_values),
    DT_TEST(the_optimizer_gets_the_documented_constants),
    DT_TEST(each_parameter_gets_its_rule_and_decay),
    DT_TEST(the_loss_gets_the_smoothing_and_the_share_of_an_image),
    DT_TEST(only_fp16_has_a_loss_scale),
    DT_TEST(each_step_gets_the_scheduled_rate),
    DT_TEST(the_decay_of_averages_grows_with_the_steps),
    DT_TEST(gradients_are_sent_in_the_type_of_the_precision),
    DT_TEST(wire_chooses_the_type_in_which_gradients_are_sent),
};
DT_TEST_MAIN("core/training/step_options", tests)
