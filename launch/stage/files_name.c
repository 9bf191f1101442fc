/* files_name.c: the thread that makes written files durable, many at a time, and gives them their names. */
#include "config.h"

#include "launch/stage/files_internal.h"

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/base/fault.h"
#include "core/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define GATHER_S 0.3 /* wait so long for more before a sync, unless there is a hurry */
enum { MANY = 8 };   /* more files than this: one syncfs instead of an fsync of each */

/* -- sync ------------------------------------------------------------------------------------------------ */

static dt_status sync_file(const char *path, dt_error *err)
{
    int fd = -1;
    DT_TRY(dt_file_open(path, O_RDONLY, 0, &fd, err));
    const dt_status status = dt_durable_sync(fd, path, err);
    close(fd);
    return status;
}

/* Makes the bytes of all of them durable. Parts of one object follow each other: it is synced once. */
static dt_status sync_all(dt_stage_files *f, const dt_stage_written *written, int64_t n, int64_t *n_syncs,
                          dt_error *err)
{
    char path[DT_STAGE_FOLDER_BYTES];
    if (dt_fault("stage.sync"))
        return dt_fail(err, DT_ERR_IO, "%s: fault point stage.sync", f->folder);
    if (n > MANY && f->has_syncfs) {
        *n_syncs = 1;
        return syncfs(f->root) == 0
                   ? DT_OK
                   : dt_fail_errno(err, "%s: syncfs failed, so what was written may not be on the disk",
                                   f->folder);
    }
    for (int64_t i = 0; i < n; i++) {
        if (i > 0 && written[i].part >= 0 && written[i].object == written[i - 1].object)
            continue;
        if (written[i].part >= 0)
            dt_stage_parts_path(f, written[i].object, path);
        else
            dt_stage_new_path(f, written[i].number, path);
        DT_TRY(sync_file(path, err));
        (*n_syncs)++;
    }
    return DT_OK;
}

/* -- names ----------------------------------------------------------------------------------------------- */

/* Makes the folders between the target and a file. */
static dt_status make_folders(const dt_stage_files *f, char *path, dt_error *err)
{
    for (char *slash = strchr(path + strlen(f->folder) + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        const bool failed = mkdir(path, 0777) != 0 && errno != EEXIST;
        if (failed)
            dt_fail_errno(err, "%s: cannot make the folder", path);
        *slash = '/';
        if (failed)
            return DT_ERR_IO;
    }
    return DT_OK;
}

/* Renames to the object's path, and adds its record. The caller writes the journal. */
static dt_status name_file(dt_stage_files *f, int64_t object, const char *from, dt_error *err)
{
    const dt_stage_object *o = &f->list->objects[object];
    char path[DT_DURABLE_PATH_BYTES], etag[DT_STAGE_ETAG_BYTES];
    struct stat st;
    DT_TRY(dt_stage_final_path(f, object, path, err));
    int failed = rename(from, path);
    if (failed && (errno == ENOENT || errno == ENOTDIR)) {
        DT_TRY(make_folders(f, path, err));
        failed = rename(from, path);
    }
    if (failed)
        return dt_fail_errno(err, "%s: cannot give a file this name", path);
    if (lstat(path, &st) != 0)
        return dt_fail_errno(err, "%s", path);
    dt_stage_journal_etag(dt_stage_text(f->list, o->etag), etag);
    const dt_stage_record record = {.bytes = o->bytes,
                                    .mtime_ns = st.st_mtim.tv_sec * 1000000000LL + st.st_mtim.tv_nsec,
                                    .etag = etag,
                                    .path = dt_stage_text(f->list, o->path)};
    DT_TRY(dt_stage_journal_add(f->journal, &record, err));
    pthread_mutex_lock(&f->mutex);
    dt_stage_set_bit(f->named, object);
    f->counts.objects++;
    f->counts.bytes += o->bytes;
    pthread_mutex_unlock(&f->mutex);
    return DT_OK;
}

/* -- large objects --------------------------------------------------------------------------------------- */

/* Reads the file again: an MD5 cannot be joined from those of parts. */
static dt_status check_md5(const dt_object_checksum *sum, const char *path, int64_t bytes, bool *is_right,
                           dt_error *err)
{
    dt_md5 md5;
    unsigned char digest[16];
    int fd = -1;
    char *block = dt_alloc_large((size_t)DT_STAGE_PART_BYTES);
    dt_status status = block ? dt_file_open(path, O_RDONLY, 0, &fd, err)
                             : dt_fail_memory(err, (size_t)DT_STAGE_PART_BYTES, "checking a file");
    dt_md5_begin(&md5);
    for (int64_t at = 0; at < bytes && status == DT_OK; at += DT_STAGE_PART_BYTES) {
        const int64_t n = bytes - at < DT_STAGE_PART_BYTES ? bytes - at : DT_STAGE_PART_BYTES;
        status = dt_durable_read(fd, path, block, n, at, err);
        if (status == DT_OK)
            dt_md5_add(&md5, block, (size_t)n);
    }
    dt_md5_end(&md5, digest);
    *is_right = memcmp(digest, sum->md5, sizeof digest) == 0;
    if (fd >= 0)
        close(fd);
    dt_free(block);
    return status;
}

static bool crc_is_right(const dt_stage_files *f, const dt_stage_object *o)
{
    uint64_t all = 0;
    for (int64_t k = 0; k < dt_stage_parts_of(o); k++) {
        const uint64_t crc = f->crcs[o->first_part + k];
        all = k == 0 ? crc : dt_object_crc_join(o->sum.kind, all, crc, dt_stage_part_bytes(o, k));
    }
    return all == o->sum.crc;
}

dt_status dt_stage_forget_parts(dt_stage_files *f, int64_t object, dt_error *err)
{
    const dt_stage_object *o = &f->list->objects[object];
    char etag[DT_STAGE_ETAG_BYTES];
    dt_stage_journal_etag(dt_stage_text(f->list, o->etag), etag);
    const dt_stage_record record = {.is_part = true,
                                    .bytes = o->bytes,
                                    .part = DT_STAGE_NO_PARTS,
                                    .etag = etag,
                                    .path = dt_stage_text(f->list, o->path)};
    return dt_stage_journal_add(f->journal, &record, err);
}

static dt_status check_large(dt_stage_files *f, int64_t object, const char *path, dt_error *err)
{
    const dt_stage_object *o = &f->list->objects[object];
    bool is_right = true;
    if (o->has_sum && o->sum.kind == DT_CHECKSUM_MD5)
        DT_TRY(check_md5(&o->sum, path, o->bytes, &is_right, err));
    else if (o->has_sum)
        is_right = crc_is_right(f, o);
    if (is_right)
        return DT_OK;
    DT_TRY(dt_stage_forget_parts(f, object, err));
    unlink(path);
    return dt_fail(err, DT_ERR_DATA,
                   "%s: the %lld bytes that came do not have the %s that the source has for them; they were "
                   "removed, start again",
                   dt_stage_text(f->list, o->key), (long long)o->bytes, dt_object_checksum_name(o->sum.kind));
}

/* Records a part that is durable; names the file after the last one. */
static dt_status finish_part(dt_stage_files *f, const dt_stage_written *w, dt_error *err)
{
    const dt_stage_object *o = &f->list->objects[w->object];
    char path[DT_STAGE_FOLDER_BYTES], etag[DT_STAGE_ETAG_BYTES];
    bool is_complete = true;
    dt_stage_journal_etag(dt_stage_text(f->list, o->etag), etag);
    const dt_stage_record record = {.is_part = true,
                                    .bytes = o->bytes,
                                    .part = w->part - o->first_part,
                                    .crc = w->crc,
                                    .etag = etag,
                                    .path = dt_stage_text(f->list, o->path)};
    pthread_mutex_lock(&f->mutex);
    f->crcs[w->part] = w->crc;
    dt_stage_set_bit(f->named, f->list->n + w->part);
    for (int64_t k = 0; k < dt_stage_parts_of(o) && is_complete; k++)
        is_complete = dt_stage_bit(f->named, f->list->n + o->first_part + k);
    pthread_mutex_unlock(&f->mutex);
    DT_TRY(dt_stage_journal_add(f->journal, &record, err));
    if (!is_complete)
        return DT_OK;
    dt_stage_parts_path(f, w->object, path);
    DT_TRY(check_large(f, w->object, path, err));
    return name_file(f, w->object, path, err);
}

/* -- the thread ------------------------------------------------------------------------------------------ */

static dt_status finish_small(dt_stage_files *f, const dt_stage_written *w, dt_error *err)
{
    char path[DT_STAGE_FOLDER_BYTES];
    dt_stage_new_path(f, w->number, path);
    return name_file(f, w->object, path, err);
}

static dt_status finish_all(dt_stage_files *f, const dt_stage_written *written, int64_t n, int64_t *n_syncs,
                            dt_error *err)
{
    DT_TRY(sync_all(f, written, n, n_syncs, err));
    dt_status status = DT_OK;
    for (int64_t i = 0; i < n && status == DT_OK; i++)
        status = written[i].part >= 0 ? finish_part(f, &written[i], err) : finish_small(f, &written[i], err);
    dt_error why = {0};
    const dt_status wrote = dt_stage_journal_write(f->journal, &why); /* also what was done before an error */
    if (status == DT_OK && wrote != DT_OK && err)
        *err = why;
    return status == DT_OK ? wrote : status;
}

/* Waits for files, and a little for more of them. The mutex is locked. False: the thread must end. */
static bool wait_for_files(dt_stage_files *f)
{
    while (f->n_waiting == 0 && !f->leave)
        pthread_cond_wait(&f->changed, &f->mutex);
    const struct timespec until = dt_clock_deadline(GATHER_S);
    while (!f->hurry && !f->leave)
        if (pthread_cond_timedwait(&f->changed, &f->mutex, &until) == ETIMEDOUT)
            break;
    return f->n_waiting > 0;
}

void *dt_stage_files_thread(void *argument)
{
    dt_stage_files *f = argument;
    pthread_mutex_lock(&f->mutex);
    while (wait_for_files(f)) {
        dt_error err = {0};
        int64_t n_syncs = 0;
        const int64_t n = f->n_waiting;
        dt_stage_written *written = f->waiting;
        f->waiting = NULL;
        f->n_waiting = f->capacity = 0;
        f->is_naming = true;
        const bool has_failed = f->error.status != DT_OK;
        pthread_mutex_unlock(&f->mutex);
        const dt_status status = has_failed ? DT_OK : finish_all(f, written, n, &n_syncs, &err);
        dt_free(written);
        pthread_mutex_lock(&f->mutex);
        f->counts.syncs += n_syncs;
        if (status != DT_OK)
            f->error = err;
        f->is_naming = false;
        pthread_cond_broadcast(&f->changed);
    }
    pthread_mutex_unlock(&f->mutex);
    return NULL;
}
