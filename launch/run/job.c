#include "config.h"

#include "launch/run/job.h"

#include "core/base/file.h"
#include "io/durable.h"

#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static const struct {
    const char *system, *id, *n_restarts;
} systems[] = {
    {"dtrain-run", "DTRAIN_RUN_ID", "DTRAIN_RUN_START"}, /* it restarts within the others' jobs, too */
    {"Slurm", "SLURM_JOB_ID", "SLURM_RESTART_COUNT"},    /* not set before the first restart */
    {"AWS Batch", "AWS_BATCH_JOB_ID", "AWS_BATCH_JOB_ATTEMPT"},
};

static bool is_job_id(const char *id)
{
    static const char allowed[] = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz-_:.#";
    const size_t n = strlen(id);
    return n > 0 && n <= 64 && strspn(id, allowed) == n;
}

/* 0: not set, or not a number. */
static int64_t read_count(const char *variable)
{
    const char *text = getenv(variable);
    char *end;
    const long long n = text ? strtoll(text, &end, 10) : 0;
    return text && end != text && !*end && n > 0 ? n : 0;
}

void dt_job_read(dt_job *job)
{
    *job = (dt_job){.n_restarts = 0};
    for (size_t i = 0; i < sizeof systems / sizeof systems[0]; i++) {
        const char *id = getenv(systems[i].id);
        if (!id || !is_job_id(id))
            continue;
        snprintf(job->name, sizeof job->name, "%s job %s", systems[i].system, id);
        job->n_restarts = read_count(systems[i].n_restarts);
        return;
    }
}

dt_status dt_job_write(const dt_job *job, const char *path, dt_error *err)
{
    char text[160];
    int fd = -1;
    const int n = snprintf(text, sizeof text, "%" PRId64 " %s\n", job->n_restarts, job->name);
    DT_TRY(dt_file_open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666, &fd, err));
    dt_status status = dt_durable_write(fd, path, text, n, 0, err);
    if (status == DT_OK)
        status = dt_durable_sync(fd, path, err);
    if (dt_file_close(fd) != 0 && status == DT_OK)
        status = dt_fail_errno(err, "%s: cannot write it", path);
    return status;
}

bool dt_job_is_restart(const dt_job *job, const char *path)
{
    char text[160], name[sizeof text];
    int64_t n_restarts = 0;
    FILE *file = NULL;
    if (!job->name[0] || dt_file_open_stream(path, &file, NULL) != DT_OK)
        return false;
    const bool is_read = fgets(text, sizeof text, file) != NULL;
    (void)fclose(file);
    return is_read && sscanf(text, "%" SCNd64 " %95[^\n]", &n_restarts, name) == 2 &&
           strcmp(name, job->name) == 0 && job->n_restarts > n_restarts;
}
