#include "io/store/shard_copy.h"

#include "core/base/fault.h"
#include "io/durable.h"
#include "io/file_writer.h"

#include <errno.h>
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

/* The writer hashes each block that is read: it is the hash of the original as it was read, and of the
 * copy. */
static dt_status copy_blocks(int from, const char *from_path, dt_file_writer *writer, int64_t bytes,
                             dt_error *err)
{
    for (int64_t at = 0; at < bytes; at += BLOCK_BYTES) {
        const int64_t n = bytes - at < BLOCK_BYTES ? bytes - at : BLOCK_BYTES;
        if (dt_fault("mirror.read")) {
            errno = EIO;
            return dt_fail_errno(err, "%s: cannot read it", from_path);
        }
        DT_TRY(dt_durable_read(from, from_path, dt_file_writer_room(writer, n), n, at, err));
        DT_TRY(dt_file_writer_append(writer, n, err));
    }
    return DT_OK;
}

static dt_status check_original(const char *path, const char *hex, const dt_shard_entry *entry, dt_error *err)
{
    if (strcmp(hex, entry->xxh3_128) != 0)
        return dt_fail(err, DT_ERR_FORMAT, "%s: its XXH3-128 is %s, the manifest says %s: damaged", path, hex,
                       entry->xxh3_128);
    return DT_OK;
}

dt_status dt_shard_copy(int from, const char *from_path, int to, const char *to_path,
                        const dt_shard_entry *entry, dt_error *err)
{
    const dt_file_writer_options options = {.fd = to,
                                            .path = to_path,
                                            .bytes = entry->bytes,
                                            .largest = BLOCK_BYTES,
                                            .fault_write = "mirror.write",
                                            .fault_space = "mirror.space",
                                            .fault_fsync = "mirror.fsync",
                                            .fault_hash = "mirror.hash"};
    dt_file_writer *writer = NULL;
    char hex[33];
    DT_TRY(check_size(from, from_path, entry, err));
    DT_TRY(dt_file_writer_create(&options, &writer, err));
    dt_status status = copy_blocks(from, from_path, writer, entry->bytes, err);
    if (status == DT_OK)
        status = dt_file_writer_finish(writer, hex, err);
    if (status == DT_OK)
        status = check_original(from_path, hex, entry, err);
    if (status == DT_OK)
        status = dt_file_writer_sync_and_check(writer, err);
    dt_file_writer_destroy(writer);
    return status;
}
