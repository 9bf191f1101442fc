/* files_put.c: writes pieces into files that have no name yet. */
#include "config.h"

#include "launch/stage/files_internal.h"

#include "core/base/alloc.h"
#include "core/base/fault.h"
#include "core/base/file.h"
#include "io/file_reader.h"

#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static dt_status wrong_sum(const dt_stage_files *f, int64_t object, const dt_object_checksum *sum,
                           dt_error *err)
{
    return dt_fail(
        err, DT_ERR_DATA,
        "%s: the %lld bytes that came do not have the %s that the source has for them; start again",
        dt_stage_text(f->list, f->list->objects[object].key), (long long)f->list->objects[object].bytes,
        dt_object_checksum_name(sum->kind));
}

/* Writes a whole file, without a name of its own. */
static dt_status write_small(const dt_stage_files *f, int64_t number, const void *data, int64_t bytes,
                             dt_error *err)
{
    char path[DT_STAGE_FOLDER_BYTES];
    int fd = -1;
    dt_stage_new_path(f, number, path);
    DT_TRY(dt_file_open(path, O_WRONLY | O_CREAT | O_EXCL, 0666, &fd, err));
    dt_status status = dt_durable_write(fd, path, data, bytes, 0, err);
    if (dt_file_close(fd) != 0 && status == DT_OK)
        status = dt_fail_errno(err, "%s: the disk refused it", path);
    if (status != DT_OK)
        unlink(path);
    return status;
}

/* Writes whole pages past the page cache, where the file system can: no processor copies them. */
static dt_status write_past_cache(int fd, const char *path, const char *data, int64_t bytes, int64_t offset,
                                  dt_error *err)
{
    const bool is_aligned = (uintptr_t)data % DT_FILE_PAGE_BYTES == 0 && offset % DT_FILE_PAGE_BYTES == 0;
    const int64_t pages = is_aligned ? bytes / DT_FILE_PAGE_BYTES * DT_FILE_PAGE_BYTES : 0;
    int64_t done = 0;
    if (pages > 0 && dt_file_set_direct(fd, true)) {
        while (done < pages && done % DT_FILE_PAGE_BYTES == 0) {
            const ssize_t n = pwrite(fd, data + done, (size_t)(pages - done), (off_t)(offset + done));
            if (n <= 0)
                break; /* the usual write returns the reason */
            done += n;
        }
        (void)dt_file_set_direct(fd, false);
    }
    return dt_durable_write(fd, path, data + done, bytes - done, offset + done, err);
}

/* Writes a part in its place. The first one reserves the space of all, so that a full disk shows at once. */
static dt_status write_part(const dt_stage_files *f, const dt_stage_piece *piece, const void *data,
                            dt_error *err)
{
    char path[DT_STAGE_FOLDER_BYTES];
    struct stat st;
    int fd = -1;
    const int64_t bytes = f->list->objects[piece->object].bytes;
    dt_stage_parts_path(f, piece->object, path);
    DT_TRY(dt_file_open(path, O_WRONLY | O_CREAT, 0666, &fd, err));
    dt_status status = fstat(fd, &st) == 0 ? DT_OK : dt_fail_errno(err, "%s", path);
    if (status == DT_OK && st.st_size != bytes) {
        status = dt_durable_reserve(fd, path, bytes, err);
        if (status == DT_OK && ftruncate(fd, bytes) != 0)
            status = dt_fail_errno(err, "%s: cannot make it %lld bytes long", path, (long long)bytes);
    }
    if (status == DT_OK)
        status = write_past_cache(fd, path, data, piece->bytes, piece->offset, err);
    if (dt_file_close(fd) != 0 && status == DT_OK)
        status = dt_fail_errno(err, "%s: the disk refused it", path);
    return status;
}

/* Hands over to the naming thread. */
static dt_status hand_over(dt_stage_files *f, const dt_stage_written *written, dt_error *err)
{
    dt_status status = DT_OK;
    pthread_mutex_lock(&f->mutex);
    if (f->error.status != DT_OK) {
        if (err)
            *err = f->error;
        status = f->error.status;
    } else if (f->n_waiting == f->capacity) {
        const int64_t capacity = f->capacity * 2 + 256;
        const size_t each = sizeof *f->waiting;
        dt_stage_written *grown = dt_realloc(f->waiting, (size_t)f->capacity * each, (size_t)capacity * each);
        if (grown) {
            f->waiting = grown;
            f->capacity = capacity;
        } else {
            status = dt_fail_memory(err, (size_t)capacity * each, "the files that wait for their names");
        }
    }
    if (status == DT_OK)
        f->waiting[f->n_waiting++] = *written;
    pthread_cond_broadcast(&f->changed);
    pthread_mutex_unlock(&f->mutex);
    return status;
}

static bool is_there(dt_stage_files *f, int64_t object, int64_t part)
{
    pthread_mutex_lock(&f->mutex);
    const bool is =
        dt_stage_bit(f->named, object) || (part >= 0 && dt_stage_bit(f->named, f->list->n + part));
    pthread_mutex_unlock(&f->mutex);
    return is;
}

dt_status dt_stage_files_put(dt_stage_files *f, const dt_stage_piece *piece, const void *data,
                             const dt_object_checksum *sum, dt_error *err)
{
    const dt_stage_object *o = &f->list->objects[piece->object];
    dt_stage_written written = {.object = piece->object, .part = -1};
    if (o->first_part >= 0)
        written.part = o->first_part + piece->offset / DT_STAGE_PART_BYTES;
    if (is_there(f, piece->object, written.part))
        return DT_OK;
    if (dt_fault("stage.put"))
        return dt_fail(err, DT_ERR_IO, "fault point stage.put");
    if (written.part >= 0) {
        if (o->has_sum && o->sum.kind != DT_CHECKSUM_MD5)
            written.crc = dt_object_crc(o->sum.kind, 0, data, (size_t)piece->bytes);
        DT_TRY(write_part(f, piece, data, err));
        return hand_over(f, &written, err);
    }
    if (sum || o->has_sum) {
        const dt_object_checksum *wanted = sum ? sum : &o->sum;
        if (!dt_object_checksum_matches(wanted, data, (size_t)piece->bytes))
            return wrong_sum(f, piece->object, wanted, err);
    }
    written.number = atomic_fetch_add(&f->next_number, 1);
    DT_TRY(write_small(f, written.number, data, piece->bytes, err));
    return hand_over(f, &written, err);
}
