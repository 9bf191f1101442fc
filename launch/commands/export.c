/* dtrain export: a checkpoint's weights as a .safetensors file, without training. */
#include "config.h"

#include "core/base/alloc.h"
#include "core/base/log.h"
#include "launch/checkpoints/reader.h"
#include "launch/checkpoints/weights.h"
#include "launch/commands/commands.h"
#include "launch/show/output.h"

#include <stdio.h>
#include <string.h>

static const dt_command_usage usage = {
    .name = "dtrain export",
    .args_doc = "DIR",
    .bit = DT_COMMAND_EXPORT,
    .doc = "Write the weights of a checkpoint to a .safetensors file, under torchvision's names. DIR is a "
           "run's folder, a folder of checkpoints or one checkpoint's folder.\n\n"
           "  dtrain export runs/demo --output demo.safetensors\vThe file is the one that --export writes at "
           "the end of a training; where that was with --ema, it is the one of --ema here.",
};

/* Reads the options of the training. The caller frees *trained. */
static dt_status read_configuration(const dt_manifest *m, dt_options **trained, dt_error *err)
{
    dt_options *o = dt_calloc(1, sizeof *o);
    if (!o)
        return dt_fail_memory(err, sizeof *o, "the options of the training");
    dt_options_set_defaults(o, DT_COMMAND_TRAIN);
    o->config.image_size = m->image_size;
    dt_error why = {0};
    if (dt_options_read_trained(m->config_text, DT_COMMAND_TRAIN, o, &why) != DT_OK) {
        dt_log_warn(
            "the checkpoint of step %lld: %s: exporting with the default --eval-crop and --eval-resize",
            (long long)m->step, why.message);
        dt_options_set_defaults(o, DT_COMMAND_TRAIN);
        o->config.image_size = m->image_size;
    }
    *trained = o;
    return DT_OK;
}

static dt_status write_file(const dt_options *options, dt_checkpoint_reader *reader, dt_error *err)
{
    const dt_manifest *m = dt_checkpoint_reader_manifest(reader);
    const dt_state_layout layout = {.n_tensors = m->n_tensors, .tensors = m->tensors};
    const dt_state_io io = {.context = reader, .get = dt_checkpoint_reader_get};
    char config_text[DT_WEIGHTS_CONFIG_BYTES];
    dt_options *trained = NULL;
    DT_TRY(read_configuration(m, &trained, err));
    dt_weights_config_text(trained, config_text);
    const dt_weights_export_options o = {.arch = m->arch,
                                         .config_text = config_text,
                                         .class_names = &m->class_names,
                                         .n_batches = m->step * trained->config.accumulate,
                                         .ema = options->ema,
                                         .fp16 = options->fp16};
    dt_free(trained);
    dt_status status = dt_weights_export(&layout, &io, options->output, &o, err);
    if (status == DT_ERR_USAGE && options->ema)
        return dt_error_prefix(err, "--ema: the checkpoint of step %lld", (long long)m->step);
    if (status == DT_OK)
        dt_log_info("the weights of step %lld are in %s", (long long)m->step, options->output);
    return status;
}

dt_status dt_command_export(int argc, char **argv, dt_session *session, dt_error *err)
{
    static dt_options options; /* static, because it is large */
    dt_checkpoints g = {0};
    dt_checkpoint_reader *reader = NULL;
    (void)session;
    DT_TRY(dt_options_parse(&usage, argc, argv, &options, err));
    if (!options.output[0])
        return dt_fail(err, DT_ERR_USAGE, "--output is missing: the .safetensors file to write");
    DT_TRY(dt_output_check_writable("output", options.output, err));
    DT_TRY(dt_checkpoints_open(options.arguments[0], &g, err));
    dt_status status = dt_checkpoints_newest_whole(&g, options.step, &reader, err);
    if (status == DT_OK)
        status = write_file(&options, reader, err);
    dt_checkpoint_reader_close(reader);
    dt_checkpoints_close(&g);
    return status;
}
