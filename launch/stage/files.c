/* files.c: what is whole in a target, by its journal and its files; start and end of the naming thread. */
#include "config.h"

#include "launch/stage/files_internal.h"

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/units.h"

#include <dirent.h>
#include <errno.h>
#include <inttypes.h>
#include <limits.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>

#define SPARE_BYTES ((int64_t)16 << 20) /* for folders and the journal */
enum { BLOCK_BYTES = 4096 };

dt_status dt_stage_files_path(const dt_stage_files *f, int64_t object, int64_t part,
                              char path[DT_DURABLE_PATH_BYTES], dt_error *err)
{
    char parts[DT_STAGE_FOLDER_BYTES];
    if (part < 0 || dt_stage_bit(f->bits, object))
        return dt_stage_final_path(f, object, path, err);
    dt_stage_parts_path(f, object, parts);
    return dt_durable_path(path, err, "%s", parts);
}

/* -- what is there --------------------------------------------------------------------------------------- */

typedef struct reading {
    dt_stage_files *files;
    const dt_stage_index *index;
    int64_t *mtimes; /* [list->n]: of the last record of a whole file; -1: none */
    int64_t n_gone;  /* records of paths that the source has no more */
} reading;

static bool clear_parts(dt_stage_files *f, const dt_stage_object *o)
{
    bool had_some = false;
    for (int64_t k = 0; k < dt_stage_parts_of(o); k++) {
        const int64_t i = f->list->n + o->first_part + k;
        had_some = had_some || dt_stage_bit(f->bits, i);
        f->bits[i >> 3] &= (unsigned char)~(1 << (i & 7));
    }
    return had_some;
}

/* Called for each record of the journal. Records of another version of the object do not count. */
static void collect(void *context, const dt_stage_record *r)
{
    reading *at = context;
    dt_stage_files *f = at->files;
    char etag[DT_STAGE_ETAG_BYTES];
    const int64_t object = dt_stage_index_find(at->index, r->path, strlen(r->path));
    if (object < 0) {
        at->n_gone += !r->is_part;
        return;
    }
    const dt_stage_object *o = &f->list->objects[object];
    dt_stage_journal_etag(dt_stage_text(f->list, o->etag), etag);
    const bool is_same = r->bytes == o->bytes && strcmp(r->etag, etag) == 0;
    if (!r->is_part) {
        at->mtimes[object] = is_same ? r->mtime_ns : -1;
    } else if (is_same && r->part == DT_STAGE_NO_PARTS) {
        clear_parts(f, o);
    } else if (is_same && r->part >= 0 && r->part < dt_stage_parts_of(o)) {
        dt_stage_set_bit(f->bits, f->list->n + o->first_part + r->part);
        f->crcs[o->first_part + r->part] = r->crc;
    }
}

/* Sets the bits of whole files; parts count only with their file. */
static dt_status look_at_files(dt_stage_files *f, const int64_t *mtimes, dt_error *err)
{
    char path[DT_DURABLE_PATH_BYTES], parts[DT_STAGE_FOLDER_BYTES];
    struct stat st;
    for (int64_t i = 0; i < f->list->n; i++) {
        const dt_stage_object *o = &f->list->objects[i];
        DT_TRY(dt_stage_final_path(f, i, path, err));
        if (mtimes[i] >= 0 && lstat(path, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == o->bytes &&
            st.st_mtim.tv_sec * 1000000000LL + st.st_mtim.tv_nsec == mtimes[i]) {
            dt_stage_set_bit(f->bits, i);
            f->counts.objects++;
            f->counts.bytes += o->bytes;
        }
        if (o->first_part < 0)
            continue;
        dt_stage_parts_path(f, i, parts);
        const bool has_parts = lstat(parts, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == o->bytes;
        if (!has_parts && clear_parts(f, o))
            DT_TRY(dt_stage_forget_parts(f, i, err)); /* the file may be made again */
    }
    return DT_OK;
}

/* Unfinished files of objects, or of versions of them, that the source has no more. */
static void remove_old_parts(const dt_stage_files *f)
{
    char folder[DT_STAGE_FOLDER_BYTES], path[DT_STAGE_FOLDER_BYTES];
    dt_stage_target_file(f->folder, "parts", folder);
    DIR *stream = opendir(folder);
    for (const struct dirent *entry; stream && (entry = readdir(stream));) {
        bool is_ours = entry->d_name[0] == '.';
        for (int64_t i = 0; i < f->list->n && !is_ours; i++) {
            if (f->list->objects[i].first_part < 0 || dt_stage_bit(f->bits, i))
                continue;
            dt_stage_parts_path(f, i, path);
            is_ours = strcmp(strrchr(path, '/') + 1, entry->d_name) == 0;
        }
        if (!is_ours)
            (void)unlinkat(dirfd(stream), entry->d_name, 0);
    }
    if (stream)
        closedir(stream);
}

static dt_status read_journal(dt_stage_files *f, const char *path, dt_error *err)
{
    dt_stage_index index = {0};
    reading at = {.files = f, .index = &index};
    int64_t n_damaged = 0;
    at.mtimes = dt_alloc((size_t)f->list->n * sizeof *at.mtimes);
    dt_status status = at.mtimes ? dt_stage_index_create(f->list, false, &index, err)
                                 : dt_fail_memory(err, (size_t)f->list->n * sizeof *at.mtimes, "the journal");
    for (int64_t i = 0; i < f->list->n && status == DT_OK; i++) {
        (void)dt_stage_index_add(&index, i);
        at.mtimes[i] = -1;
    }
    if (status == DT_OK)
        status = dt_stage_journal_read(path, collect, &at, &n_damaged, err);
    if (status == DT_OK)
        status = look_at_files(f, at.mtimes, err);
    if (status == DT_OK && n_damaged > 0)
        dt_log_info("%s: %lld line%s cut short, of a start that was ended by force; what they were about is "
                    "read again",
                    path, (long long)n_damaged, n_damaged == 1 ? " is" : "s are");
    if (status == DT_OK && at.n_gone > 0)
        dt_log_warn("%s has %lld file%s that the source has no more; remove %s if a training must not see %s",
                    f->folder, (long long)at.n_gone, at.n_gone == 1 ? "" : "s",
                    at.n_gone == 1 ? "it" : "them", at.n_gone == 1 ? "it" : "them");
    dt_stage_index_free(&index);
    dt_free(at.mtimes);
    return status;
}

/* -- open and close -------------------------------------------------------------------------------------- */

/* Before 5.8 syncfs says nothing of writes that the disk has refused. */
static bool syncfs_reports_errors(void)
{
    struct utsname name;
    int major = 0, minor = 0;
    return uname(&name) == 0 && sscanf(name.release, "%d.%d", &major, &minor) == 2 &&
           (major > 5 || (major == 5 && minor >= 8));
}

static dt_status start_thread(dt_stage_files *f, dt_error *err)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals go to the main thread */
    f->has_thread = pthread_create(&f->thread, NULL, dt_stage_files_thread, f) == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return f->has_thread ? DT_OK : dt_fail(err, DT_ERR_MEMORY, "no thread for naming files");
}

static dt_status open_all(dt_stage_files *f, dt_error *err)
{
    char path[DT_STAGE_FOLDER_BYTES];
    const size_t n_bits = (size_t)dt_stage_bits_bytes(f->list);
    f->bits = dt_calloc(n_bits, 1);
    f->named = dt_calloc(n_bits, 1);
    f->crcs = dt_calloc((size_t)f->list->n_parts, sizeof *f->crcs);
    if (!f->bits || !f->named || !f->crcs)
        return dt_fail_memory(err, 2 * n_bits + (size_t)f->list->n_parts * sizeof *f->crcs,
                              "the files' state");
    f->root = dt_file_open_folder(f->folder, 0);
    if (f->root < 0)
        return dt_fail_errno(err, "%s: cannot open the folder", f->folder);
    dt_stage_target_file(f->folder, "journal", path);
    DT_TRY(dt_stage_journal_open(path, &f->journal, err));
    DT_TRY(read_journal(f, path, err));
    DT_TRY(dt_stage_journal_write(f->journal, err));
    remove_old_parts(f);
    memcpy(f->named, f->bits, n_bits);
    return start_thread(f, err);
}

dt_status dt_stage_files_open(const char *folder, const dt_stage_listing *list, dt_stage_files **files,
                              dt_error *err)
{
    dt_stage_files *f = dt_calloc(1, sizeof *f);
    if (!f)
        return dt_fail_memory(err, sizeof *f, "the files' state");
    f->list = list;
    f->root = -1;
    f->has_syncfs = syncfs_reports_errors();
    pthread_mutex_init(&f->mutex, NULL);
    dt_clock_init_cond(&f->changed);
    dt_status status = strlen(folder) < sizeof f->folder
                           ? DT_OK
                           : dt_fail(err, DT_ERR_USAGE, "%.60s...: the path is too long", folder);
    snprintf(f->folder, sizeof f->folder, "%s", folder);
    if (status == DT_OK)
        status = open_all(f, err);
    if (status == DT_OK)
        *files = f;
    else
        dt_stage_files_close(f);
    return status;
}

void dt_stage_files_close(dt_stage_files *f)
{
    if (!f)
        return;
    pthread_mutex_lock(&f->mutex);
    f->leave = true;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->mutex);
    if (f->has_thread)
        pthread_join(f->thread, NULL);
    dt_stage_journal_close(f->journal);
    if (f->root >= 0)
        close(f->root);
    pthread_mutex_destroy(&f->mutex);
    pthread_cond_destroy(&f->changed);
    dt_free(f->waiting);
    dt_free(f->bits);
    dt_free(f->named);
    dt_free(f->crcs);
    dt_free(f);
}

/* -- questions ------------------------------------------------------------------------------------------- */

const unsigned char *dt_stage_files_bits(const dt_stage_files *f)
{
    return f->bits;
}

void dt_stage_files_get_counts(dt_stage_files *f, dt_stage_files_counts *counts)
{
    pthread_mutex_lock(&f->mutex);
    *counts = f->counts;
    pthread_mutex_unlock(&f->mutex);
}

/* Bytes on the disk that an object still needs. */
static int64_t missing_of(const dt_stage_files *f, int64_t object)
{
    const dt_stage_object *o = &f->list->objects[object];
    char path[DT_STAGE_FOLDER_BYTES];
    struct stat st;
    int64_t bytes = (o->bytes + BLOCK_BYTES - 1) / BLOCK_BYTES * BLOCK_BYTES;
    if (o->first_part >= 0) {
        dt_stage_parts_path(f, object, path);
        if (stat(path, &st) == 0)
            bytes -= st.st_blocks * 512 < bytes ? st.st_blocks * 512 : bytes; /* what it has already */
    }
    return bytes;
}

dt_status dt_stage_files_check_space(const dt_stage_files *f, const bool *keeps, int64_t *missing,
                                     dt_error *err)
{
    struct statvfs fs;
    int64_t bytes = 0, n = 0;
    for (int64_t i = 0; i < f->list->n; i++) {
        if (dt_stage_bit(f->bits, i) || (keeps && !keeps[i]))
            continue;
        bytes += missing_of(f, i);
        n++;
    }
    *missing = bytes;
    if (n == 0)
        return DT_OK;
    if (fstatvfs(f->root, &fs) != 0)
        return dt_fail_errno(err, "%s: cannot read the free space", f->folder);
    const double left = (double)fs.f_bavail * (double)fs.f_frsize;
    if ((double)(bytes + SPARE_BYTES) > left)
        return dt_fail(
            err, DT_ERR_IO,
            "%s: %.2f GB are to be copied there, and its disk has %.2f GB free: free some space, or "
            "choose another folder",
            f->folder, (double)bytes / 1e9, left / 1e9);
    if (fs.f_files > 0 && (double)n > (double)fs.f_favail)
        return dt_fail(
            err, DT_ERR_IO,
            "%s: %lld file%s cannot be copied there, since its file system can hold %llu more: choose "
            "another folder, or pack the files",
            f->folder, (long long)n, DT_PLURAL(n), (unsigned long long)fs.f_favail);
    return DT_OK;
}

dt_status dt_stage_files_finish(dt_stage_files *f, dt_error *err)
{
    pthread_mutex_lock(&f->mutex);
    f->hurry = true;
    pthread_cond_broadcast(&f->changed);
    while (f->n_waiting > 0 || f->is_naming)
        pthread_cond_wait(&f->changed, &f->mutex);
    f->hurry = false;
    const dt_status status = f->error.status;
    if (status != DT_OK && err)
        *err = f->error;
    pthread_mutex_unlock(&f->mutex);
    if (status == DT_OK && f->has_syncfs && syncfs(f->root) != 0)
        return dt_fail_errno(err, "%s: syncfs failed, so the last names may not be on the disk", f->folder);
    return status;
}
