#include "config.h"

#include "launch/run/run_folder.h"

#include "core/base/alloc.h"
#include "core/base/file.h"
#include "core/base/log.h"
#include "io/durable.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void dt_run_folder_name(const char *out, dt_run_folder *folder)
{
    snprintf(folder->config, sizeof folder->config, "%s/config.conf", out);
    snprintf(folder->new_config, sizeof folder->new_config, "%s/config.conf.tmp", out);
    snprintf(folder->metrics, sizeof folder->metrics, "%s/metrics.jsonl", out);
    snprintf(folder->checkpoints, sizeof folder->checkpoints, "%s/checkpoints", out);
    snprintf(folder->job, sizeof folder->job, "%s/job", out);
    snprintf(folder->out, sizeof folder->out, "%s", out);
    for (size_t n = strlen(folder->out); n > 1 && folder->out[n - 1] == '/'; n--)
        folder->out[n - 1] = '\0';
}

static bool exists(const char *path)
{
    struct stat status;
    return lstat(path, &status) == 0;
}

/* mkdir -p. Sets folder->n_kept, also where it fails. */
static dt_status make_folders(dt_run_folder *folder, dt_error *err)
{
    const char *out = folder->out;
    char path[DT_PATH_BYTES];
    snprintf(path, sizeof path, "%s", out);
    folder->n_kept = strlen(out);
    for (char *p = path + 1;; p++) {
        bool at_end = *p == '\0';
        if (*p != '/' && !at_end)
            continue;
        *p = '\0';
        const bool made = mkdir(path, 0777) == 0;
        if (!made && errno != EEXIST)
            return dt_fail_errno(err, "--out %s: cannot make the folder %s", out, path);
        if (made && strlen(path) <= folder->n_kept) {
            const char *slash = strrchr(path, '/');
            folder->n_kept = slash ? (size_t)(slash - path) : 0;
        }
        if (made) /* else a power cut could remove OUT with its checkpoints */
            DT_TRY(dt_durable_sync_parent(path, err));
        if (!dt_durable_is_folder(path))
            return dt_fail(err, DT_ERR_USAGE, "--out %s: %s is not a folder", out, path);
        if (at_end)
            return DT_OK;
        *p = '/';
    }
}

/* With the folder's lock, which goes along. */
static dt_status put_aside(dt_run_folder *folder, dt_error *err)
{
    char old[sizeof folder->older];
    if (!exists(folder->config) && !exists(folder->metrics) && !exists(folder->checkpoints))
        return DT_OK;
    for (int i = 1;; i++) {
        snprintf(old, sizeof old, "%s.old-%d", folder->out, i);
        if (!exists(old))
            break;
    }
    if (dt_run_lock_rename_folder(folder->lock, old, err) != DT_OK)
        return dt_error_prefix(err, "--resume never");
    snprintf(folder->older, sizeof folder->older, "%s", old);
    dt_log_info("the older run is %s now", old);
    return DT_OK;
}

/* -- undo ------------------------------------------------------------------------------------------------ */

static void remove_if_empty(const char *file)
{
    struct stat st;
    if (lstat(file, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 0)
        unlink(file);
}

/* Removes OUT and the folders above it as far as this start made them and they are empty. */
static void remove_folders(const dt_run_folder *folder)
{
    char path[DT_PATH_BYTES];
    snprintf(path, sizeof path, "%s", folder->out);
    while (strlen(path) > folder->n_kept && rmdir(path) == 0) {
        char *slash = strrchr(path, '/');
        if (!slash)
            return;
        *slash = '\0';
    }
}

/* Without the lock the files are another run's. */
static void undo(dt_run_folder *folder)
{
    if (folder->lock && dt_run_lock_check(folder->lock, NULL) == DT_OK) {
        unlink(folder->new_config);
        if (!folder->had_metrics)
            remove_if_empty(folder->metrics);
        if (!folder->had_checkpoints)
            rmdir(folder->checkpoints);
    }
    dt_run_lock_release(folder->lock);
    folder->lock = NULL;
    remove_folders(folder);
    if (!folder->older[0])
        return;
    if (!exists(folder->out) && rename(folder->older, folder->out) == 0)
        dt_log_info("the new run has not begun: the older run is %s again", folder->out);
    else
        dt_log_warn("the older run stays in %s", folder->older);
    folder->older[0] = '\0';
}

/* -- config.conf ----------------------------------------------------------------------------------------- */

/* Logs the options that differ; nothing if the old file cannot be read. */
static void compare_files(const char *out, const char *old_path, const char *new_path, dt_options *before,
                          dt_options *now)
{
    char was[DT_PATH_BYTES], is[DT_PATH_BYTES];
    dt_options_set_defaults(before, DT_COMMAND_TRAIN);
    dt_options_set_defaults(now, DT_COMMAND_TRAIN);
    if (access(old_path, R_OK) != 0 ||
        dt_options_read_file(old_path, DT_COMMAND_TRAIN, before, NULL) != DT_OK ||
        dt_options_read_file(new_path, DT_COMMAND_TRAIN, now, NULL) != DT_OK)
        return;
    for (int row = 0; row < dt_options_count(); row++) {
        const dt_option *o = dt_options_at(row);
        if (!(o->commands & DT_COMMAND_TRAIN) || o->per_rank || o->one_start)
            continue;
        dt_option_format(before, row, was, sizeof was);
        dt_option_format(now, row, is, sizeof is);
        if (strcmp(was, is) == 0)
            continue;
        if (was[0] && before->origin[row] == DT_ORIGIN_DEFAULT) /* the file would have it: it is older */
            dt_log_warn("--%s is %s now; the dtrain that last started the run in %s did not have this option",
                        o->name, is, out);
        else
            dt_log_warn("--%s is %s now; the run in %s was last started with %s", o->name,
                        is[0] ? is : "not given", out, was[0] ? was : "none");
    }
}

static void log_differences(const char *out, const dt_run_folder *folder)
{
    dt_options *before = dt_calloc(1, sizeof *before), *now = dt_calloc(1, sizeof *now);
    if (before && now)
        compare_files(out, folder->config, folder->new_config, before, now);
    dt_free(before);
    dt_free(now);
}

static dt_status write_file(const char *path, const char *text, dt_error *err)
{
    int fd = -1;
    DT_TRY(dt_file_open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666, &fd, err));
    dt_status status = dt_durable_write(fd, path, text, (int64_t)strlen(text), 0, err);
    if (status == DT_OK)
        status = dt_durable_sync(fd, path, err);
    if (dt_file_close(fd) != 0 && status == DT_OK)
        status = dt_fail_errno(err, "%s: cannot close it", path);
    if (status != DT_OK)
        unlink(path);
    return status;
}

bool dt_run_folder_is_restart(const dt_run_folder *folder, const dt_job *job)
{
    return dt_job_is_restart(job, folder->job);
}

static dt_status open_folder(const dt_options *options, const char *config_text, dt_comm *comm,
                             dt_run_folder *folder, dt_error *err)
{
    dt_run_lock *old = NULL;
    if (options->config.resume == DT_RESUME_NEVER && dt_durable_is_folder(folder->out)) {
        /* a folder is not renamed while another run writes to it */
        DT_TRY(dt_run_lock_acquire("out", folder->out, comm, &folder->lock, err));
        DT_TRY(put_aside(folder, err));
        if (folder->older[0]) {
            old = folder->lock; /* it is in the older run's folder now */
            folder->lock = NULL;
        }
    }
    dt_status status = make_folders(folder, err);
    if (status == DT_OK) {
        folder->had_metrics = exists(folder->metrics);
        folder->had_checkpoints = exists(folder->checkpoints);
        if (!folder->lock)
            status = dt_run_lock_acquire("out", folder->out, comm, &folder->lock, err);
    }
    dt_run_lock_release(old);
    DT_TRY(status);
    return write_file(folder->new_config, config_text, err);
}

dt_status dt_run_folder_open(const dt_options *options, const char *config_text, dt_comm *comm,
                             dt_run_folder *folder, dt_error *err)
{
    folder->n_kept = strlen(folder->out);
    folder->had_metrics = folder->had_checkpoints = true;
    folder->committed = false;
    dt_status status = open_folder(options, config_text, comm, folder, err);
    if (status != DT_OK)
        undo(folder);
    return status;
}

dt_status dt_run_folder_commit(const dt_options *options, dt_run_folder *folder, bool goes_on, dt_error *err)
{
    dt_job job;
    folder->committed = true;
    if (goes_on)
        log_differences(options->out, folder);
    DT_TRY(dt_run_lock_check(folder->lock, err));
    dt_job_read(&job);
    if (options->config.resume == DT_RESUME_NEVER && job.name[0])
        DT_TRY(dt_job_write(&job, folder->job, err));
    return dt_durable_rename(folder->new_config, folder->config, err);
}

void dt_run_folder_close(dt_run_folder *folder)
{
    if (!folder->lock)
        return;
    if (!folder->committed) {
        undo(folder);
        return;
    }
    if (dt_run_lock_check(folder->lock, NULL) == DT_OK)
        unlink(folder->new_config); /* where the rename has failed */
    dt_run_lock_release(folder->lock);
    folder->lock = NULL;
}
