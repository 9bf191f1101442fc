/* dtrain stage SOURCE TARGET: copies data to a folder on each node's own disk. */
#include "config.h"

#include "core/collective/agreement.h"
#include "launch/commands/commands.h"
#include "launch/commands/stage_data.h"
#include "launch/show/output.h"
#include "launch/stage/report.h"

#include <stdio.h>
#include <string.h>

static const dt_command_usage usage = {
    .name = "dtrain stage",
    .bit = DT_COMMAND_STAGE,
    .args_doc = "SOURCE TARGET",
    .n_arguments = 2,
    .doc =
        "Copy data to the folder TARGET on each node's own disk. Each byte leaves the source once: nodes "
        "read "
        "different parts of it, and send them to each other. The same command goes on after a failure, and "
        "reads "
        "nothing again that is whole.\n\n"
        "  mpirun -np 2 --map-by node dtrain stage s3://bucket/imagenet /scratch/imagenet\n"
        "  dtrain stage https://host/shards/train-{000..146}.tar /scratch/shards\n"
        "  dtrain stage /shared/imagenet /scratch/imagenet\v"
        "SOURCE is s3://BUCKET/PREFIX, with the credentials that the AWS command line uses; the address of a "
        "file, "
        "or of many with a range in braces; or a folder. One rank of each node works. TARGET/.dtrain-stage "
        "belongs to dtrain.",
};

static dt_status parse(int argc, char **argv, dt_options *o, dt_error *err)
{
    DT_TRY(dt_options_parse(&usage, argc, argv, o, err));
    if (o->n_arguments < 2)
        return dt_fail(
            err, DT_ERR_USAGE,
            "dtrain stage takes a SOURCE and a TARGET, and only %s is given; for example dtrain stage "
            "s3://bucket/imagenet /scratch/imagenet",
            o->arguments[0]);
    if (dt_stage_is_address(o->arguments[1]))
        return dt_fail(err, DT_ERR_USAGE,
                       "%s: TARGET is a folder on each node's disk; dtrain stage does not upload",
                       o->arguments[1]);
    return DT_OK;
}

static dt_status print(const dt_stage_options *stage, const dt_stage_result *result, dt_error *err)
{
    char text[DT_PATH_BYTES * 2 + 512];
    dt_stage_report_result(stage, result, text, sizeof text);
    dt_output_line(stdout, "%s", text);
    if (stage->split && result->nodes > 1)
        dt_output_line(
            stdout,
            "Each node keeps a part of at most %.2f GB. A training by dtrain needs all of the data on "
            "every node: use the parts with a program that reads its own, or a shared folder",
            (double)result->part_bytes / 1e9);
    return fflush(stdout) == 0 ? DT_OK : dt_fail_errno(err, "cannot print the result");
}

dt_status dt_command_stage(int argc, char **argv, dt_session *session, dt_error *err)
{
    static dt_options options; /* static, because it is large; a process runs one command */
    dt_error parse_error = {0};
    dt_stage_options stage;
    dt_stage_result result;
    const dt_status parsed = parse(argc, argv, &options, &parse_error);
    DT_TRY(dt_session_open_ranks(&options, DT_COMMAND_STAGE, parsed, &parse_error, session, err));
    dt_stage_options_from(&options, &stage);
    stage.source = options.arguments[0];
    stage.folder = options.arguments[1];
    DT_TRY(dt_stage_run(session->comm, &stage, &result, err));
    return dt_agree(session->comm, session->comm->rank == 0 ? print(&stage, &result, err) : DT_OK, err);
}
