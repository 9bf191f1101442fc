#include "config.h"

#include "launch/commands/stage_data.h"

#include "core/base/alloc.h"
#include "core/base/log.h"
#include "core/base/waits.h"
#include "core/collective/agreement.h"
#include "io/durable.h"
#include "launch/stage/listing.h"
#include "launch/stage/report.h"
#include "launch/stage/target.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { NAME_BYTES = 80 };

static const char *or_null(const char *text)
{
    return text[0] ? text : NULL;
}

void dt_stage_options_from(const dt_options *o, dt_stage_options *stage)
{
    *stage = (dt_stage_options){
        .source = o->config.data,
        .folder = o->stage_dir,
        .split = o->split,
        .log_every_s = o->log_every_s,
        .from = {.connections = (int)o->connections,
                 .s3 = {.endpoint_url = or_null(o->endpoint_url),
                        .profile = or_null(o->aws_profile),
                        .region = or_null(o->region),
                        .anonymous = o->anonymous,
                        .requester_pays = o->requester_pays}},
    };
}

/* -- where ----------------------------------------------------------------------------------------------- */

/* "s3://bucket/imagenet/" becomes "bucket-imagenet-1a2b3c4d": readable, and another one for another
 * source. */
static void name_source(const char *source, char name[NAME_BYTES])
{
    const char *rest = strstr(source, "://");
    size_t n = 0;
    for (const char *c = rest ? rest + 3 : source; *c && n < 60; c++) {
        const bool is_plain = isalnum((unsigned char)*c) || *c == '.' || *c == '_';
        if (is_plain)
            name[n++] = *c;
        else if (n > 0 && name[n - 1] != '-')
            name[n++] = '-';
    }
    while (n > 0 && name[n - 1] == '-')
        n--;
    snprintf(name + n, NAME_BYTES - n, "-%08" PRIx32, (uint32_t)dt_stage_hash(source));
}

/* Whether this user may make a folder in there. */
static bool is_usable(const char *base)
{
    return base && base[0] == '/' && dt_durable_is_folder(base) && access(base, W_OK | X_OK) == 0;
}

/* /var/tmp is everybody's: a folder there that another user has made could hold anything. */
static dt_status check_owner(const char *path, dt_error *err)
{
    struct stat st;
    if (lstat(path, &st) != 0)
        return errno == ENOENT ? DT_OK : dt_fail_errno(err, "%s", path);
    if (!S_ISDIR(st.st_mode) || st.st_uid != geteuid())
        return dt_fail(err, DT_ERR_USAGE,
                       "%s, where --data would be copied to, is not a folder of this user's; choose one with "
                       "--stage-dir",
                       path);
    return DT_OK;
}

dt_status dt_stage_choose_folder(const char *source, const char *const *bases, char folder[DT_PATH_BYTES],
                                 dt_error *err)
{
    static const char *const usual[] = {"/scratch", "/var/tmp", NULL};
    const char *base = getenv("TMPDIR");
    char name[NAME_BYTES], above[DT_PATH_BYTES];
    if (!is_usable(base))
        base = NULL;
    for (const char *const *other = bases ? bases : usual; !base && *other; other++)
        base = is_usable(*other) ? *other : NULL;
    if (!base)
        return dt_fail(err, DT_ERR_USAGE,
                       "--data %s is copied to a disk of this host first, and none of $TMPDIR, /scratch and "
                       "/var/tmp is a folder that this user may write; choose one with --stage-dir",
                       source);
    char text[DT_PATH_BYTES];
    dt_stage_source_name(source, text);
    name_source(text, name);
    const int n = snprintf(above, sizeof above, "%s/dtrain-data-%ld", base, (long)geteuid());
    if (n < 0 || (size_t)n + sizeof name >= DT_PATH_BYTES)
        return dt_fail(err, DT_ERR_USAGE, "%.60s...: the path is too long; choose one with --stage-dir",
                       base);
    DT_TRY(check_owner(above, err));
    snprintf(folder, DT_PATH_BYTES, "%.*s/%s", n, above, name);
    return check_owner(folder, err);
}

typedef struct choice {
    char host[64], folder[DT_PATH_BYTES];
    int64_t leads; /* the first rank of its host */
} choice;

/* Collective. The first rank of each host chooses for all ranks there: TMPDIR may differ between hosts. */
static dt_status agree_on_folder(dt_comm *comm, const dt_options *o, char folder[DT_PATH_BYTES],
                                 dt_error *err)
{
    choice mine;
    choice *all = dt_alloc((size_t)comm->size * sizeof *all);
    dt_status status =
        all ? DT_OK : dt_fail_memory(err, (size_t)comm->size * sizeof *all, "the hosts' folders");
    memset(&mine, 0, sizeof mine); /* all of it is sent */
    memcpy(mine.host, comm->host, sizeof mine.host);
    mine.leads = comm->local_rank == 0;
    if (o->stage_dir[0])
        snprintf(mine.folder, sizeof mine.folder, "%s", o->stage_dir);
    else if (mine.leads && status == DT_OK)
        status = dt_stage_choose_folder(o->config.data, NULL, mine.folder, err);
    status = dt_agree(comm, status, err);
    if (status == DT_OK)
        status = comm->ops->all_gather(comm, &mine, sizeof mine, all, err);
    for (int r = comm->rank; r >= 0 && status == DT_OK && !mine.folder[0]; r--)
        if (all[r].leads && strcmp(all[r].host, mine.host) == 0)
            snprintf(mine.folder, sizeof mine.folder, "%s", all[r].folder);
    for (int r = 0; r < comm->size && status == DT_OK && !mine.folder[0]; r++)
        if (all[r].leads && strcmp(all[r].host, mine.host) == 0)
            snprintf(mine.folder, sizeof mine.folder, "%s", all[r].folder);
    dt_free(all);
    snprintf(folder, DT_PATH_BYTES, "%s", mine.folder);
    return status;
}

/* -- the copy -------------------------------------------------------------------------------------------- */

/* Collective. Whether each host has all of the source: the data of a run does not change, and listing a
 * million objects takes a minute. */
static dt_status is_complete(dt_comm *comm, const dt_stage_options *stage, bool *is, dt_error *err)
{
    dt_stage_complete complete;
    char when[32] = "", name[DT_PATH_BYTES];
    dt_stage_source_name(stage->source, name);
    int64_t lacks = !dt_stage_target_get_complete(stage->folder, &complete) ||
                    strcmp(complete.source, name) != 0 || complete.of != 1;
    const time_t seconds = (time_t)complete.unix_s;
    struct tm tm;
    DT_TRY(comm->ops->all_reduce(comm, &lacks, 1, DT_I64, DT_REDUCE_MAX, err));
    *is = lacks == 0;
    if (*is && comm->rank == 0 && gmtime_r(&seconds, &tm) &&
        strftime(when, sizeof when, "%Y-%m-%d %H:%M", &tm) > 0)
        dt_log_info("%s is the copy of %s from %s UTC, with %lld objects; dtrain stage looks for changes",
                    stage->folder, name, when, (long long)complete.objects);
    return DT_OK;
}

dt_status dt_stage_data(dt_comm *comm, dt_options *o, dt_error *err)
{
    char folder[DT_PATH_BYTES], text[DT_PATH_BYTES * 2 + 512];
    dt_stage_options stage;
    dt_stage_result result;
    bool is_there = false;
    if (!dt_stage_is_address(o->config.data))
        return DT_OK;
    DT_TRY(agree_on_folder(comm, o, folder, err));
    dt_stage_options_from(o, &stage);
    stage.folder = folder;
    DT_TRY(is_complete(comm, &stage, &is_there, err));
    dt_waits_end(); /* the progress line says what the start is doing */
    if (!is_there) {
        const dt_status status = dt_stage_run(comm, &stage, &result, err);
        if (status != DT_OK)
            return err && err->status != DT_ERR_INTERRUPTED ? dt_error_prefix(err, "data") : status;
        dt_stage_report_result(&stage, &result, text, sizeof text);
        if (comm->rank == 0)
            dt_log_info("%s", text);
    }
    snprintf(o->config.data, sizeof o->config.data, "%s", folder);
    return DT_OK;
}
