#define _GNU_SOURCE /* fallocate */
#include "io/durable.h"

#include "core/base/alloc.h"
#include "core/base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

/* Compiled for the CPU of this build, not for the oldest one that the distribution supports. */
#define XXH_INLINE_ALL
#include <xxhash.h>

/* Of a read: enough for the kernel to read on in large pages while the bytes before are hashed.
 * (POSIX_FADV_WILLNEED reads in small pages: three times the processor time.) */
#define HASH_BLOCK_BYTES ((int64_t)2 << 20)

dt_status dt_durable_path(char *path, dt_error *err, const char *format, ...)
{
    va_list args;
    va_start(args, format);
    int n = vsnprintf(path, DT_DURABLE_PATH_BYTES, format, args);
    va_end(args);
    if (n < 0 || n >= DT_DURABLE_PATH_BYTES)
        return dt_fail(err, DT_ERR_USAGE, "%.60s...: the path has %d bytes; the longest possible one has %d",
                       path, n, DT_DURABLE_PATH_BYTES - 1);
    return DT_OK;
}

/* "12.0 MB" */
static void format_bytes(double bytes, char out[24])
{
    static const char *const units[] = {"bytes", "kB", "MB", "GB", "TB"};
    int unit = 0;
    for (; bytes >= 1000 && unit < 4; unit++)
        bytes /= 1000;
    snprintf(out, 24, unit ? "%.1f %s" : "%.0f %s", bytes, units[unit]);
}

dt_status dt_durable_write_failed(int fd, const char *path, int error_number, int64_t wanted_bytes,
                                  dt_error *err)
{
    struct statvfs fs;
    if ((error_number == ENOSPC || error_number == EDQUOT) && fstatvfs(fd, &fs) == 0) {
        char wanted[24], available[24];
        format_bytes((double)wanted_bytes, wanted);
        format_bytes((double)fs.f_bavail * (double)fs.f_frsize, available);
        return dt_fail(err, DT_ERR_IO, "%s: %s: %s wanted, %s free; free some space or choose another folder",
                       path, strerror(error_number), wanted, available);
    }
    errno = error_number;
    return dt_fail_errno(err, "%s: cannot write %lld bytes", path, (long long)wanted_bytes);
}

dt_status dt_durable_write(int fd, const char *path, const void *data, int64_t bytes, int64_t offset,
                           dt_error *err)
{
    const char *p = data;
    for (int64_t done = 0; done < bytes;) {
        ssize_t n = pwrite(fd, p + done, (size_t)(bytes - done), (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return dt_durable_write_failed(fd, path, n < 0 ? errno : ENOSPC, bytes - done, err);
        done += n;
    }
    return DT_OK;
}

dt_status dt_durable_read(int fd, const char *path, void *data, int64_t bytes, int64_t offset, dt_error *err)
{
    char *p = data;
    for (int64_t done = 0; done < bytes;) {
        ssize_t n = pread(fd, p + done, (size_t)(bytes - done), (off_t)(offset + done));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return dt_fail_errno(err, "%s: cannot read %lld bytes at %lld", path, (long long)bytes,
                                 (long long)offset);
        if (n == 0)
            return dt_fail(err, DT_ERR_FORMAT,
                           "%s: ends after %lld bytes, in the middle of its data: cut short", path,
                           (long long)(offset + done));
        done += n;
    }
    return DT_OK;
}

dt_status dt_durable_reserve(int fd, const char *path, int64_t bytes, dt_error *err)
{
    while (bytes > 0 && fallocate(fd, FALLOC_FL_KEEP_SIZE, 0, (off_t)bytes) != 0) {
        if (errno == EINTR)
            continue;
        if (errno == ENOSPC || errno == EDQUOT)
            return dt_durable_write_failed(fd, path, errno, bytes, err);
        break; /* not every file system can do this; a write will fail if the disk is full */
    }
    return DT_OK;
}

dt_status dt_durable_sync(int fd, const char *path, dt_error *err)
{
    while (fsync(fd) != 0)
        if (errno != EINTR) /* a delayed write can be refused here: NFS, quotas, thin volumes */
            return dt_fail_errno(err, "%s: fsync failed, so the file may not be on the disk", path);
    return DT_OK;
}

dt_status dt_durable_sync_folder(const char *path, dt_error *err)
{
    int fd = dt_file_open_folder(path, 0);
    if (fd < 0)
        return errno == EACCES ? DT_OK : dt_fail_errno(err, "%s: cannot open the folder", path);
    int failed = 0;
    while ((failed = fsync(fd)) != 0 && errno == EINTR)
        ;
    if (failed && (errno == EINVAL || errno == ENOTSUP || errno == EBADF))
        failed = 0;
    dt_status status = failed ? dt_fail_errno(err, "%s: fsync of the folder failed", path) : DT_OK;
    close(fd);
    return status;
}

dt_status dt_durable_sync_parent(const char *path, dt_error *err)
{
    char parent[DT_DURABLE_PATH_BYTES];
    DT_TRY(dt_durable_path(parent, err, "%s", path));
    size_t length = strlen(parent);
    while (length > 1 && parent[length - 1] == '/')
        length--;
    while (length > 0 && parent[length - 1] != '/')
        length--;
    while (length > 1 && parent[length - 1] == '/')
        length--;
    parent[length] = '\0';
    return dt_durable_sync_folder(length ? parent : ".", err);
}

dt_status dt_durable_rename(const char *from, const char *to, dt_error *err)
{
    if (rename(from, to) != 0)
        return dt_fail_errno(err, "cannot rename %s to %s", from, to);
    return dt_durable_sync_parent(to, err);
}

bool dt_durable_is_folder(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

dt_status dt_durable_make_folder(const char *path, dt_error *err)
{
    char part[DT_DURABLE_PATH_BYTES];
    DT_TRY(dt_durable_path(part, err, "%s", path));
    if (!path[0])
        return dt_fail(err, DT_ERR_USAGE, "the path of a folder is empty");
    for (size_t i = 1;; i++) {
        if (part[i] != '/' && part[i] != '\0')
            continue;
        char end = part[i];
        part[i] = '\0';
        if (mkdir(part, 0777) == 0) {
            DT_TRY(dt_durable_sync_parent(part, err));
        } else if (errno != EEXIST) {
            const int reason = errno; /* access changes it */
            if (access(part, F_OK) != 0) {
                errno = reason;
                return dt_fail_errno(err, "%s: cannot make the folder", part);
            }
        }
        part[i] = end;
        if (!end)
            break;
    }
    struct stat st;
    if (stat(path, &st) != 0)
        return dt_fail_errno(err, "%s: cannot read its attributes", path);
    if (!S_ISDIR(st.st_mode))
        return dt_fail(err, DT_ERR_IO, "%s: there is a file where a folder should be", path);
    return DT_OK;
}

static void hash_to_hex(XXH128_hash_t hash, char hex[33])
{
    snprintf(hex, 33, "%016llx%016llx", (unsigned long long)hash.high64, (unsigned long long)hash.low64);
}

void dt_durable_hash_memory(const void *data, int64_t bytes, char hex[33])
{
    hash_to_hex(XXH3_128bits(data, (size_t)bytes), hex);
}

struct dt_durable_hasher {
    XXH3_state_t state; /* wants 64-byte alignment, which dt_alloc gives */
};

dt_status dt_durable_hasher_create(dt_durable_hasher **hasher, dt_error *err)
{
    dt_durable_hasher *h = dt_alloc(sizeof *h);
    if (!h)
        return dt_fail_memory(err, sizeof *h, "hashing a file");
    XXH3_128bits_reset(&h->state);
    *hasher = h;
    return DT_OK;
}

void dt_durable_hasher_reset(dt_durable_hasher *h)
{
    XXH3_128bits_reset(&h->state);
}

void dt_durable_hasher_add(dt_durable_hasher *h, const void *data, int64_t bytes)
{
    XXH3_128bits_update(&h->state, data, (size_t)bytes);
}

void dt_durable_hasher_get(const dt_durable_hasher *h, char hex[33])
{
    hash_to_hex(XXH3_128bits_digest(&h->state), hex);
}

void dt_durable_hasher_destroy(dt_durable_hasher *h)
{
    dt_free(h);
}

dt_status dt_durable_read_hashed(int fd, const char *path, void *data, int64_t bytes, int64_t offset,
                                 dt_durable_hasher *h, dt_error *err)
{
    char *to = data;
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_SEQUENTIAL);
    for (int64_t done = 0; done < bytes; done += HASH_BLOCK_BYTES) {
        const int64_t n = bytes - done < HASH_BLOCK_BYTES ? bytes - done : HASH_BLOCK_BYTES;
        DT_TRY(dt_durable_read(fd, path, to + done, n, offset + done, err));
        dt_durable_hasher_add(h, to + done, n);
    }
    return DT_OK;
}

dt_status dt_durable_hash_part(int fd, const char *path, int64_t bytes, int64_t offset, dt_durable_hasher *h,
                               dt_error *err)
{
    const int64_t most = bytes < HASH_BLOCK_BYTES ? bytes : HASH_BLOCK_BYTES;
    char *block = dt_alloc_large((size_t)most);
    if (!block)
        return dt_fail_memory(err, (size_t)most, "hashing a file");
    dt_status status = DT_OK;
    for (int64_t done = 0; done < bytes && status == DT_OK; done += HASH_BLOCK_BYTES) {
        const int64_t n = bytes - done < HASH_BLOCK_BYTES ? bytes - done : HASH_BLOCK_BYTES;
        status = dt_durable_read_hashed(fd, path, block, n, offset + done, h, err);
    }
    dt_free(block);
    return status;
}
