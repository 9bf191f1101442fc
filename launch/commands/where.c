/* dtrain where: where a training with these options writes, and after which step it would go on. dtrain-run
 * (launch/deploy/) asks this before each start. */
#include "config.h"

#include "core/base/alloc.h"
#include "io/durable.h"
#include "launch/checkpoints/check.h"
#include "launch/commands/commands.h"
#include "launch/commands/run_log.h"
#include "launch/run/run_folder.h"
#ifdef DT_WITH_CUDA
#    include "layers/cuda/gpu_info_cuda.h"
#endif

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const dt_command_usage usage = {
    .name = "dtrain where",
    .bit = DT_COMMAND_TRAIN,
    .doc =
        "Show where a training with these options would write, and from where it would go on. Reads no "
        "data and starts nothing. For dtrain-run and other scripts.\n\n"
        "  dtrain where --config imagenet.conf"
        "\vOne line each, NAME VALUE: out, the run's folder (no such line: a measurement, which writes "
        "nothing); step, that of its newest checkpoint, whose shards have the right sizes (0: none); "
        "resume, as a start would do now; gpus, that a training can use on this host; launcher, of the MPI "
        "that dtrain was built with. New lines may be added.",
};

/* Sets *newest to the step of the newest checkpoint in the folder that is not damaged, if it is later. */
static dt_status find_newest(const char *path, int64_t *newest, dt_error *err)
{
    dt_checkpoints g = {0};
    int64_t *steps = NULL, n = 0;
    bool found = false;
    if (!path[0] || !dt_durable_is_folder(path))
        return DT_OK;
    DT_TRY(dt_checkpoints_open(path, &g, err));
    dt_status status = DT_OK;
    if (!(steps = dt_alloc(DT_CHECKPOINTS_MAX * sizeof *steps)))
        status = dt_fail_memory(err, DT_CHECKPOINTS_MAX * sizeof *steps, "a list of checkpoints");
    if (status == DT_OK)
        status = dt_checkpoints_list(&g, 0, steps, &n, err);
    for (int64_t i = 0; i < n && status == DT_OK && !found; i++) {
        dt_checkpoint_check_result r = {0};
        status = dt_checkpoint_check(&g, 0, steps[i], false, &r, err);
        found = status == DT_OK && (r.state == DT_CHECKPOINT_COMPLETE || r.state == DT_CHECKPOINT_PARTIAL);
        if (found && steps[i] > *newest)
            *newest = steps[i];
        dt_checkpoint_check_result_clear(&r);
    }
    dt_free(steps);
    dt_checkpoints_close(&g);
    return status;
}

static int count_gpus(const dt_options *o)
{
#ifdef DT_WITH_CUDA
    char why[256];
    if (strcmp(o->backend, "auto") == 0 || strcmp(o->backend, "cuda") == 0)
        return dt_device_cuda_count(why, sizeof why);
#else
    (void)o;
#endif
    return 0;
}

/* --resume never in a restart of the batch job that began the run resumes it, as in train.c. */
static const char *resume_name(const dt_options *o, const dt_run_folder *folder)
{
    dt_job job;
    dt_job_read(&job);
    if (o->config.resume == DT_RESUME_NEVER && !dt_run_folder_is_restart(folder, &job))
        return "never";
    return o->config.resume == DT_RESUME_MUST ? "must" : "auto";
}

static dt_status print_where(const dt_options *o, dt_error *err)
{
    dt_run_folder folder = {.lock = NULL};
    int64_t step = 0;
    dt_run_folder_name(o->out, &folder);
    if (!dt_run_log_only_measures(o)) {
        DT_TRY(find_newest(o->checkpoint_dir[0] ? o->checkpoint_dir : folder.checkpoints, &step, err));
        DT_TRY(find_newest(o->checkpoint_mirror, &step, err));
        printf("out %s\nstep %" PRId64 "\nresume %s\n", o->out, step, resume_name(o, &folder));
    }
    printf("gpus %d\nlauncher " DT_MPIRUN_NAME "\n", count_gpus(o));
    return fflush(stdout) == 0 ? DT_OK : dt_fail_errno(err, "cannot print the result");
}

dt_status dt_command_where(int argc, char **argv, dt_session *session, dt_error *err)
{
    static dt_options options; /* static, because it is large */
    (void)session;
    DT_TRY(dt_options_parse(&usage, argc, argv, &options, err));
    return print_where(&options, err);
}
