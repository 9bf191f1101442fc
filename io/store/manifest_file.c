#include "io/store/manifest_file.h"

#include "core/base/alloc.h"
#include "core/base/file.h"
#include "io/durable.h"
#include "io/store/manifest_json.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_MANIFEST_BYTES ((int64_t)16 << 20)

static dt_status parse_file(int fd, const char *shown, dt_manifest *manifest, dt_error *err)
{
    struct stat st;
    if (fstat(fd, &st) != 0)
        return dt_fail_errno(err, "%s: cannot read its attributes", shown);
    if (st.st_size > MAX_MANIFEST_BYTES)
        return dt_fail(err, DT_ERR_FORMAT, "%s: has %" PRId64 " bytes, more than any manifest", shown,
                       (int64_t)st.st_size);
    char *text = dt_alloc((size_t)st.st_size);
    if (!text)
        return dt_fail_memory(err, (size_t)st.st_size, "a manifest");
    dt_status status = dt_durable_read(fd, shown, text, st.st_size, 0, err);
    if (status == DT_OK && (status = dt_manifest_parse(text, st.st_size, manifest, err)) != DT_OK)
        dt_error_prefix(err, "%s", shown);
    dt_free(text);
    return status;
}

dt_status dt_manifest_read_file(int folder, const char *path, const char *shown, int flags,
                                dt_manifest *manifest, dt_error *err)
{
    int fd = -1;
    const dt_status opened = dt_file_open_at(folder, path, shown, O_RDONLY | flags, 0, &fd, err);
    if (opened != DT_OK) /* EINVAL: the message says what it is instead of a file */
        return errno == EINVAL ? opened : dt_fail_errno(err, "%s: cannot open it", shown);
    const dt_status status = parse_file(fd, shown, manifest, err);
    close(fd);
    return status;
}
