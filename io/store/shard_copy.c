#include "io/store/shard_copy.h"

#include "core/base/alloc.h"
#include "core/base/fault.h"
#include "io/durable.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>

#define BLOCK_BYTES ((int64_t)1 << 20)

static dt_status check_size(int fd, const char *path, const dt_shard_entry *entry, dt_error *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return dt_fail_errno(err, "%s: cannot read its attributes", path);
    if (st.st_size != entry->bytes)
        return dt_fail(err, DT_ERR_FORMAT, "%s: has %lld bytes instead of the %lld that were written", path,
                       (long long)st.st_size, (long long)entry->bytes);
    return DT_OK;
}

static dt_status copy_block(int from, const char *from_path, int to, const char *to_path, char *block,
                            int64_t bytes, int64_t at, dt_error *err)
{
    if (dt_fault("mirror.read")) {
        errno = EIO;
        return dt_fail_errno(err, "%s: cannot read it", from_path);
    }
    DT_TRY(dt_durable_read(from, from_path, block, bytes, at, err));
    if (dt_fault("mirror.space"))
        return dt_durable_write_failed(to, to_path, ENOSPC, bytes, err);
    if (dt_fault("mirror.write"))
        return dt_durable_write_failed(to, to_path, EIO, bytes, err);
    return dt_durable_write(to, to_path, block, bytes, at, err);
}

static dt_status check_copy(int to, const char *to_path, const dt_shard_entry *entry, dt_error *err)
{
    char hex[33];
    if (dt_fault("mirror.fsync")) {
        errno = EIO;
        return dt_fail_errno(err, "%s: fsync failed, so the file may not be on the disk", to_path);
    }
    DT_TRY(dt_durable_sync(to, to_path, err));
    posix_fadvise(to, 0, 0, POSIX_FADV_DONTNEED); /* ask the kernel to read it from the disk */
    DT_TRY(dt_durable_hash(to, to_path, entry->bytes, hex, err));
    if (dt_fault("mirror.hash") || strcmp(hex, entry->xxh3_128) != 0)
        return dt_fail(err, DT_ERR_FORMAT, "%s: was read back with XXH3-128 %s; the original has %s", to_path,
                       hex, entry->xxh3_128);
    return DT_OK;
}

dt_status dt_shard_copy(int from, const char *from_path, int to, const char *to_path,
                        const dt_shard_entry *entry, dt_error *err)
{
    DT_TRY(check_size(from, from_path, entry, err));
    DT_TRY(dt_durable_reserve(to, to_path, entry->bytes, err));
    char *block = dt_alloc((size_t)BLOCK_BYTES);
    if (!block)
        return dt_fail_memory(err, (size_t)BLOCK_BYTES, "copying a shard");
    dt_status status = DT_OK;
    for (int64_t at = 0; at < entry->bytes && status == DT_OK; at += BLOCK_BYTES)
        status = copy_block(from, from_path, to, to_path, block,
                            entry->bytes - at < BLOCK_BYTES ? entry->bytes - at : BLOCK_BYTES, at, err);
    dt_free(block);
    DT_TRY(status);
    return check_copy(to, to_path, entry, err);
}
