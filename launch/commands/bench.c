/* dtrain bench: measures on this machine what `dtrain plan` needs to plan for it. */
#include "config.h"

#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/units.h"
#include "core/collective/agreement.h"
#include "launch/commands/bench_report.h"
#include "launch/commands/commands.h"
#include "launch/show/output.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

static const dt_command_usage usage = {
    .name = "dtrain bench",
    .bit = DT_COMMAND_BENCH,
    .doc =
        "Measure this machine: how fast the network trains and evaluates, how fast images are decoded and "
        "read, how long a checkpoint and a start take. Start it as the training will be started.\n\n"
        "  mpirun -np 8 dtrain bench --data imagenet --arch resnet50 --batch 256 --output rates.json\n"
        "  dtrain plan --here --rates rates.json --config imagenet.conf\v"
        "Everything is measured with the training's own parts, in a folder that is removed at the end. The "
        "file of --output marks each figure as measured, with the machine, the versions and the date.",
};

/* The parts, of which a download may be one. */
typedef struct progress {
    const dt_session *session;
    int number, n_parts;
} progress;

static void begin(progress *p, const char *what, double seconds)
{
    p->number++;
    if (p->session->comm->rank == 0)
        dt_log_info("%d/%d measuring %s: about %.0f s", p->number, p->n_parts, what, ceil(seconds));
}

static dt_status measure_download(progress *at, dt_bench_parts *p, dt_bench_figures *f, dt_error *err)
{
    const dt_options *o = p->options;
    const double start_s = dt_clock_s();
    if (!o->url[0])
        return DT_OK;
    begin(at, "the download", o->seconds);
    const dt_status status = dt_bench_measure_download(p->session, o->url, o->seconds, f, err);
    p->preparing_s = dt_clock_s() - start_s;
    return status;
}

static dt_status measure(progress *at, dt_bench_parts *p, dt_bench_figures *f, dt_error *err)
{
    const double seconds = p->options->seconds;
    begin(at, "the start, and steps on random pixels", seconds);
    DT_TRY(dt_bench_measure_steps(p, seconds, f, err));
    begin(at, "steps on images, with checkpoints, and an evaluation", 3 * seconds);
    DT_TRY(dt_bench_measure_training(p, seconds, f, err));
    begin(at, "the loader, on one core and on all", seconds);
    DT_TRY(dt_bench_measure_loader(p, seconds / 2, f, err));
    begin(at, "the disk", seconds / 2);
    return dt_bench_measure_disk(p, seconds / 2, f, err);
}

/* Rank 0. A plan would take a busy machine's figures for those of an idle one. */
static void warn_if_busy(const dt_session *s)
{
    const double n_cores = (double)s->affinity.n_cores * s->comm->local_size, much = 0.25;
    double load = 0.0;
    if (getloadavg(&load, 1) == 1 && load >= much * n_cores)
        dt_log_warn("the load average is %.1f on %.0f core%s: other programs use them, and the figures are "
                    "those of a busy machine",
                    load, n_cores, DT_PLURAL((int)n_cores));
}

/* Rank 0. Figures that cannot be printed do not keep the file from being written. */
static dt_status report(const dt_bench_parts *p, const dt_bench_figures *f, dt_error *err)
{
    const char *output = p->options->output;
    dt_status status = DT_OK;
    if (output[0])
        status = dt_bench_report_write(p, f, output, err);
    if (status == DT_OK)
        status = dt_bench_report_print(p, f, stdout, err);
    if (status == DT_OK && fflush(stdout) != 0)
        status = dt_fail_errno(err, "cannot print the figures");
    if (status == DT_OK && output[0])
        dt_log_info("the rates are in %s; dtrain plan --here --rates %s plans for this machine", output,
                    output);
    return status;
}

static dt_status run(dt_options *options, dt_session *s, dt_error *err)
{
    static dt_bench_parts parts; /* static, because it is large */
    dt_bench_figures figures;
    progress at = {.session = s, .n_parts = options->url[0] ? 5 : 4};
    dt_status status = DT_OK;
    dt_bench_figures_init(&figures);
    parts = (dt_bench_parts){.session = s, .options = options};
    if (s->comm->rank == 0 && options->output[0])
        status = dt_output_check_writable("output", options->output, err);
    DT_TRY(dt_agree(s->comm, status, err));
    if (s->comm->rank == 0)
        warn_if_busy(s);
    DT_TRY(measure_download(&at, &parts, &figures, err));
    DT_TRY(dt_bench_open(&parts, s, options, err));
    status = dt_session_show(s, options, DT_COMMAND_BENCH, err);
    if (status == DT_OK)
        status = measure(&at, &parts, &figures, err);
    if (dt_comm_device_is_lost(s->comm, status))
        return status;
    if (status == DT_OK)
        status = dt_agree(s->comm, s->comm->rank == 0 ? report(&parts, &figures, err) : DT_OK, err);
    dt_bench_close(&parts);
    return status;
}

dt_status dt_command_bench(int argc, char **argv, dt_session *session, dt_error *err)
{
    static dt_options options; /* static, because it is large; a process runs one command */
    dt_error parse_error = {0};
    const dt_status parsed = dt_options_parse(&usage, argc, argv, &options, &parse_error);
    DT_TRY(dt_session_open(&options, DT_COMMAND_BENCH, parsed, &parse_error, session, err));
    options.config.precision = session->kernels->dtype;
    const dt_status status = run(&options, session, err);
    return status == DT_ERR_USAGE ? dt_options_locate(&options, DT_COMMAND_BENCH, err) : status;
}
