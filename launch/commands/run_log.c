#include "config.h"

#include "launch/commands/run_log.h"

#include "core/base/log.h"
#include "core/base/units.h"

#include <errno.h>
#include <string.h>

/* Tensor cores multiply in pieces of 8; cuDNN pads what is left over, or takes slower kernels. */
static void log_advice(const dt_session *s, const dt_config *c, int64_t n_classes)
{
    enum { PIECE = 8, MANY_CLASSES = 256 };
    dt_device_info device = {0};
    s->device->ops->info(s->device, &device);
    if (device.is_host || c->precision == DT_F32)
        return;
    const int64_t below = c->batch / PIECE * PIECE;
    if (c->batch % PIECE != 0 && below > 0)
        dt_log_info(
            "--batch %lld is no multiple of 8, in which tensor cores compute: %lld or %lld may be faster",
            (long long)c->batch, (long long)below, (long long)below + PIECE);
    else if (c->batch < PIECE)
        dt_log_info(
            "--batch %lld: tensor cores compute in multiples of 8, and a small batch leaves most of a "
            "GPU idle; --batch auto takes what fits",
            (long long)c->batch);
    if (n_classes % PIECE != 0 && n_classes > MANY_CLASSES)
        dt_log_info("the number of classes, %lld, is no multiple of 8: the last layer takes slower kernels, "
                    "which matters "
                    "little beside the convolutions",
                    (long long)n_classes);
}

void dt_run_log_start(const dt_run_log *t)
{
    const dt_session *s = t->session;
    const dt_options *o = t->options;
    const dt_config *c = &o->config;
    dt_net_info net;
    dt_source_info train = {0}, val = {0};
    dt_net_get_info(t->net, &net);
    t->train->ops->info(t->train, &train);
    if (t->val)
        t->val->ops->info(t->val, &val);
    if (o->config_file[0])
        dt_log_info("options that the command line does not set are read from %s", o->config_file);
    dt_log_info("%s: %.2f million parameters, %.2f GMAC an image at %lld pixels", o->arch,
                (double)net.n_params / 1e6, (double)net.forward_macs / 1e9, (long long)c->image_size);
    dt_log_info("memory of each rank, at its peak: %.2f GiB of %.2f free: %.0f MiB for activations, %.0f for "
                "parameters, %.0f for the backend, %.0f for images, %.0f for the snapshot of a checkpoint",
                DT_TO_GIB(t->memory->total_bytes - t->memory->reserve_bytes),
                DT_TO_GIB(t->memory->free_bytes), DT_TO_MIB(t->memory->activation_bytes),
                DT_TO_MIB(t->memory->parameter_bytes), DT_TO_MIB(t->memory->backend_bytes),
                DT_TO_MIB(t->memory->input_bytes), DT_TO_MIB(t->memory->snapshot_bytes));
    const bool is_random = o->input == DT_INPUT_SYNTHETIC;
    const int64_t global_batch = c->batch * c->accumulate * s->comm->size;
    dt_log_info("%s%s: %lld image%s to train on, %lld to evaluate on, %lld class%s; global batch %lld",
                is_random ? "random pixels, in the numbers of " : "",
                is_random && !c->data[0] ? "ImageNet" : c->data, (long long)train.n_samples,
                DT_PLURAL(train.n_samples), (long long)val.n_samples, (long long)train.n_classes,
                train.n_classes == 1 ? "" : "es", (long long)global_batch);
    if (o->origin[dt_options_find("lr", DT_COMMAND_TRAIN)] == DT_ORIGIN_DEFAULT && global_batch != 256 &&
        strcmp(c->optimizer, "sgd") == 0 && !dt_run_log_only_measures(o))
        dt_log_info(
            "--lr is at its default, %g, for a global batch of 256; in proportion, one of %lld has --lr %g",
            c->lr, (long long)global_batch, c->lr * (double)global_batch / 256.0);
    log_advice(s, c, train.n_classes);
    dt_log_info("communication: %s", s->comm->detail); /* for NCCL the network too */
    if (dt_run_log_only_measures(o))
        dt_log_info("a measurement: nothing is written");
    else
        dt_log_info("writing to %s", o->out);
}

void dt_run_log_end(const dt_options *o, bool is_demo)
{
    const dt_config *c = &o->config;
    dt_log_info("the run is in %s: metrics.jsonl, %sconfig.conf; --config %s/config.conf --resume never does "
                "it again",
                o->out, o->checkpoint_dir[0] ? "" : "checkpoints/, and ", o->out);
    if (o->checkpoint_dir[0])
        dt_log_info("its checkpoints are in %s", o->checkpoint_dir);
    if (!is_demo)
        return;
    const char *program = program_invocation_name; /* "./dtrain": a line to copy */
    dt_log_info("that was the built-in demo. What to do next:");
    dt_log_info("  %s eval --data %s --weights %s", program, c->data, o->out);
    dt_log_info("      evaluates what was just trained");
    dt_log_info("  " DT_MPIRUN_NAME " -np 2 %s --data DIR --arch resnet18 --image-size 64", program);
    dt_log_info("      trains on your images: DIR/train/CLASS/*.jpg and DIR/val/CLASS/*.jpg");
    dt_log_info("  %s --help", program);
    dt_log_info(
        "      lists every option; a file can hold them too: %s --config %s/config.conf --resume never",
        program, o->out);
}
