#include "io/store/hdf5_store.h"

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/base/fault.h"
#include "core/base/file.h"
#include "io/durable.h"
#include "io/store/checkpoint_folder.h"
#include "io/store/checkpoint_prune.h"
#include "io/store/hdf5_shard.h"
#include "io/store/manifest_file.h"
#include "io/store/manifest_json.h"
#include "io/store/shard_copy.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

/* How long to wait until this host sees a file that another host made: NFS caches attributes for up to 3 s
 * (acregmin). */
#define VISIBLE_WITHIN_S 3.0

typedef struct hdf5_store {
    dt_store base; /* first */
    dt_pruner pruner;
    pthread_mutex_t mutex;        /* guards `memory`: threads may write shards at the same time */
    dt_file_writer_memory memory; /* for the next shard that is written */
    char folder[];                /* without a slash at the end */
} hdf5_store;

static const char *folder_of(dt_store *store)
{
    return ((hdf5_store *)store)->folder;
}

static dt_pruner *pruner_of(dt_store *store)
{
    return &((hdf5_store *)store)->pruner;
}

static const dt_guard *guard_of(dt_store *store)
{
    return pruner_of(store)->guard;
}

static void hdf5_destroy(dt_store *store)
{
    dt_pruner_clear(pruner_of(store));
    dt_file_writer_memory_clear(&((hdf5_store *)store)->memory);
    pthread_mutex_destroy(&((hdf5_store *)store)->mutex);
    dt_free(store);
}

static dt_status hdf5_list(dt_store *store, int64_t *steps, int64_t max, int64_t *n, dt_error *err)
{
    int64_t *all, n_all;
    DT_TRY(dt_checkpoint_list(folder_of(store), "", &all, &n_all, err));
    for (int64_t i = 0; i < n_all && i < max; i++)
        steps[i] = all[i];
    *n = n_all;
    dt_free(all);
    return DT_OK;
}

static dt_status injected(dt_error *err, const char *path, const char *what)
{
    errno = EIO;
    return dt_fail_errno(err, "%s: cannot %s", path, what);
}

/* Make the folder, or use the one that exists: another rank made it, or files of others are in it. */
static dt_status make_unfinished(const char *path, dt_error *err)
{
    struct stat st;
    if (mkdir(path, 0777) == 0 || (errno == EEXIST && lstat(path, &st) == 0 && S_ISDIR(st.st_mode)))
        return DT_OK;
    return dt_fail_errno(err, "%s: cannot make the folder", path);
}

static dt_status hdf5_begin(dt_store *store, int64_t step, dt_error *err)
{
    char path[DT_DURABLE_PATH_BYTES];
    DT_TRY(dt_guard_check(guard_of(store), err));
    DT_TRY(dt_checkpoint_path(folder_of(store), step, ".tmp", path, err));
    if (dt_fault("store.begin"))
        return injected(err, path, "make the folder");
    DT_TRY(dt_durable_make_folder(folder_of(store), err));
    DT_TRY(dt_pruner_remove(pruner_of(store), step, ".tmp", err)); /* left by an earlier start */
    return make_unfinished(path, err);
}

/* dt_file_open in a folder that another host may just have made. errno is then the reason. */
static dt_status open_soon(const char *path, int flags, int *fd, dt_error *err)
{
    double until = dt_clock_s() + VISIBLE_WITHIN_S;
    for (;;) {
        dt_status status = dt_file_open(path, flags, 0666, fd, err);
        if (status == DT_OK || errno != ENOENT)
            return status;
        if (dt_clock_s() > until) {
            errno = ENOENT;
            return status;
        }
        dt_clock_sleep_s(0.05);
    }
}

/* Exchange the memory that the store keeps with *m. */
static void exchange_memory(dt_store *store, dt_file_writer_memory *m)
{
    hdf5_store *s = (hdf5_store *)store;
    pthread_mutex_lock(&s->mutex);
    const dt_file_writer_memory kept = s->memory;
    s->memory = *m;
    pthread_mutex_unlock(&s->mutex);
    *m = kept;
}

static dt_status hdf5_write_shard(dt_store *store, int64_t step, const dt_state_layout *layout,
                                  const dt_state_io *io, dt_shard_entry *entry, dt_error *err)
{
    char path[DT_DURABLE_PATH_BYTES];
    DT_TRY(dt_checkpoint_file_path(folder_of(store), step, ".tmp", entry->file, path, err));
    if (dt_fault("store.open"))
        return injected(err, path, "make the file");
    int fd = -1;
    dt_file_writer_memory memory = {0};
    dt_status status = open_soon(path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW, &fd, err);
    if (status != DT_OK && errno == ENOENT)
        return dt_fail(
            err, DT_ERR_IO,
            "%s: cannot make the file: this host does not see the folder that rank 0 made; with several "
            "hosts checkpoints must be on a file system that all of them share",
            path);
    DT_TRY(status);
    exchange_memory(store, &memory);
    status = dt_hdf5_shard_write(fd, path, step, layout, io, entry->first, entry->n_elems, &memory,
                                 &entry->bytes, entry->xxh3_128, err);
    exchange_memory(store, &memory);
    dt_file_writer_memory_clear(&memory); /* that another thread has given back meanwhile */
    if (dt_file_close(fd) != 0 && status == DT_OK)
        status = dt_fail_errno(err, "%s: cannot close it", path);
    return status;
}

/* Open a shard of a checkpoint that may just be getting its final name. */
static dt_status open_source(dt_store *from, int64_t step, const dt_shard_entry *entry, char *path, int *fd,
                             dt_error *err)
{
    static const char *const suffixes[] = {"", ".tmp", ""}; /* it may be renamed after the first try */
    dt_status status = DT_ERR_IO;
    for (size_t i = 0; i < sizeof suffixes / sizeof *suffixes && status != DT_OK; i++) {
        DT_TRY(dt_checkpoint_file_path(folder_of(from), step, suffixes[i], entry->file, path, err));
        status = dt_file_open(path, O_RDONLY, 0, fd, err);
        if (status != DT_OK && errno != ENOENT)
            break;
    }
    return status;
}

/* Make the copy's file, and its folder if no other rank has done that. */
static dt_status open_copy(dt_store *store, int64_t step, const dt_shard_entry *entry, char *path, int *fd,
                           dt_error *err)
{
    char folder[DT_DURABLE_PATH_BYTES];
    DT_TRY(dt_checkpoint_path(folder_of(store), step, ".tmp", folder, err));
    DT_TRY(dt_checkpoint_file_path(folder_of(store), step, ".tmp", entry->file, path, err));
    if (dt_fault("mirror.open"))
        return injected(err, path, "make the file");
    DT_TRY(dt_durable_make_folder(folder_of(store), err));
    DT_TRY(make_unfinished(folder, err));
    return dt_file_open(path, O_RDWR | O_CREAT | O_TRUNC | O_NOFOLLOW, 0666, fd, err);
}

static dt_status hdf5_copy_shard(dt_store *store, dt_store *from, int64_t step, const dt_shard_entry *entry,
                                 dt_error *err)
{
    char from_path[DT_DURABLE_PATH_BYTES], to_path[DT_DURABLE_PATH_BYTES];
    int source, fd = -1;
    DT_TRY(dt_guard_check(guard_of(store), err));
    DT_TRY(open_source(from, step, entry, from_path, &source, err));
    dt_status status = open_copy(store, step, entry, to_path, &fd, err);
    if (status == DT_OK) {
        status = dt_shard_copy(source, from_path, fd, to_path, entry, err);
        if (dt_file_close(fd) != 0 && status == DT_OK)
            status = dt_fail_errno(err, "%s: cannot close it", to_path);
    }
    close(source);
    return status;
}

/* Check that this host sees every shard, with the size that its rank reported. */
static dt_status check_shards_visible(dt_store *store, const dt_manifest *manifest, dt_error *err)
{
    char path[DT_DURABLE_PATH_BYTES];
    struct stat st;
    for (int64_t i = 0; i < manifest->n_shards; i++) {
        const dt_shard_entry *entry = &manifest->shards[i];
        DT_TRY(dt_checkpoint_file_path(folder_of(store), manifest->step, ".tmp", entry->file, path, err));
        int fd = -1;
        dt_status status = open_soon(path, O_RDONLY, &fd, err);
        if (status != DT_OK && errno == ENOENT)
            return dt_fail(
                err, DT_ERR_IO,
                "%s: rank %" PRId64
                " wrote it, but rank 0's host does not see it; with several hosts checkpoints must "
                "be on a file system that all of them share",
                path, i);
        DT_TRY(status);
        if (fstat(fd, &st) != 0)
            status = dt_fail_errno(err, "%s: cannot read its attributes", path);
        close(fd);
        DT_TRY(status);
        if (st.st_size != entry->bytes)
            return dt_fail(err, DT_ERR_IO,
                           "%s: rank %" PRId64 " wrote %" PRId64 " bytes, but here it has %" PRId64, path, i,
                           entry->bytes, (int64_t)st.st_size);
    }
    return DT_OK;
}

static dt_status write_manifest_file(const char *path, const char *text, int64_t bytes, dt_error *err)
{
    int fd = -1;
    DT_TRY(dt_file_open(path, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW, 0666, &fd, err));
    dt_status status = dt_fault("store.manifest.write")
                           ? dt_durable_write_failed(fd, path, ENOSPC, bytes, err)
                           : dt_durable_write(fd, path, text, bytes, 0, err);
    if (status == DT_OK)
        status =
            dt_fault("store.manifest.fsync") ? injected(err, path, "fsync") : dt_durable_sync(fd, path, err);
    if (dt_file_close(fd) != 0 && status == DT_OK)
        status = dt_fail_errno(err, "%s: cannot close it", path);
    return status;
}

static dt_status write_manifest(dt_store *store, const dt_manifest *manifest, dt_error *err)
{
    char path[DT_DURABLE_PATH_BYTES];
    char *text;
    int64_t bytes;
    dt_manifest copy = {0};
    DT_TRY(
        dt_checkpoint_file_path(folder_of(store), manifest->step, ".tmp", DT_CHECKPOINT_MANIFEST, path, err));
    DT_TRY(dt_manifest_write(manifest, &text, &bytes, err));
    /* do not write what could not be read back */
    dt_status status = dt_manifest_parse(text, bytes, &copy, err);
    dt_manifest_clear(&copy);
    if (status == DT_ERR_FORMAT) {
        const dt_error why = err ? *err : (dt_error){0};
        status =
            dt_fail(err, DT_ERR_INTERNAL,
                    "%s: the manifest to be written is not valid: %s; please report this", path, why.message);
    }
    if (status == DT_OK)
        status = write_manifest_file(path, text, bytes, err);
    dt_free(text);
    return status;
}

static dt_status hdf5_commit(dt_store *store, const dt_manifest *manifest, bool per_host, dt_error *err)
{
    char from[DT_DURABLE_PATH_BYTES];
    DT_TRY(dt_guard_check(guard_of(store), err));
    DT_TRY(dt_checkpoint_path(folder_of(store), manifest->step, ".tmp", from, err));
    if (!per_host)
        DT_TRY(check_shards_visible(store, manifest, err));
    if (dt_fault("store.manifest"))
        return injected(err, from, "write the manifest");
    DT_TRY(write_manifest(store, manifest, err));
    if (dt_fault("store.folder.fsync"))
        return injected(err, from, "fsync the folder");
    DT_TRY(dt_durable_sync_folder(from, err));
    if (dt_fault("store.rename"))
        return injected(err, from, "rename it");
    return dt_pruner_put_in_place(pruner_of(store), manifest->step, err);
}

static void hdf5_discard(dt_store *store, int64_t step)
{
    (void)dt_pruner_remove(pruner_of(store), step, ".tmp", NULL);
}

static dt_status hdf5_read_manifest(dt_store *store, int64_t step, dt_manifest *manifest, dt_error *err)
{
    char path[DT_DURABLE_PATH_BYTES];
    dt_manifest m = {0};
    DT_TRY(dt_checkpoint_file_path(folder_of(store), step, "", DT_CHECKPOINT_MANIFEST, path, err));
    DT_TRY(dt_manifest_read_file(AT_FDCWD, path, path, 0, &m, err));
    if (m.step != step) {
        dt_status status =
            dt_fail(err, DT_ERR_FORMAT,
                    "%s: is the manifest of step %" PRId64 ", not of the step that its folder is named after",
                    path, m.step);
        dt_manifest_clear(&m);
        return status;
    }
    *manifest = m;
    return DT_OK;
}

static bool hdf5_has_shard(dt_store *store, int64_t step, const dt_shard_entry *entry)
{
    char path[DT_DURABLE_PATH_BYTES];
    return dt_checkpoint_file_path(folder_of(store), step, "", entry->file, path, NULL) == DT_OK &&
           access(path, F_OK) == 0;
}

/* Open a shard and check its size. */
static dt_status open_shard(dt_store *store, int64_t step, const dt_shard_entry *entry, char *path, int *fd,
                            dt_error *err)
{
    struct stat st;
    DT_TRY(dt_checkpoint_file_path(folder_of(store), step, "", entry->file, path, err));
    int f = -1;
    DT_TRY(dt_file_open(path, O_RDONLY, 0, &f, err));
    dt_status status = DT_OK;
    if (fstat(f, &st) != 0)
        status = dt_fail_errno(err, "%s: cannot read its attributes", path);
    else if (st.st_size != entry->bytes)
        status = dt_fail(err, DT_ERR_FORMAT, "%s: has %" PRId64 " bytes, the manifest says %" PRId64, path,
                         (int64_t)st.st_size, entry->bytes);
    if (status == DT_OK)
        *fd = f;
    else
        close(f);
    return status;
}

/* Read a shard's file once. */
static dt_status hdf5_verify_shard(dt_store *store, const dt_manifest *manifest, const dt_shard_entry *entry,
                                   const dt_shard_sink *sink, dt_error *err)
{
    char path[DT_DURABLE_PATH_BYTES];
    int fd;
    DT_TRY(open_shard(store, manifest->step, entry, path, &fd, err));
    const dt_state_layout layout = {manifest->n_tensors, 0, manifest->tensors};
    const dt_hdf5_expected expected = {&layout, manifest->step, entry->first, entry->n_elems};
    dt_status status =
        dt_fault("store.verify") || (sink && dt_fault("store.read"))
            ? injected(err, path, "read it")
            : dt_hdf5_shard_read(fd, path, entry->bytes, entry->xxh3_128, &expected, sink, err);
    close(fd);
    return status;
}

static dt_status hdf5_read_shard(dt_store *store, const dt_manifest *manifest, const dt_shard_entry *entry,
                                 float *values, dt_error *err)
{
    float *next = values;
    const dt_shard_sink sink = dt_hdf5_array_sink(&next);
    const dt_status status = hdf5_verify_shard(store, manifest, entry, &sink, err);
    if (status != DT_OK) /* nothing of a file that is refused is used */
        memset(values, 0, (size_t)entry->n_elems * sizeof *values);
    return status;
}

static dt_status hdf5_prune(dt_store *store, int64_t step, int64_t keep, dt_error *err)
{
    if (dt_fault("store.prune"))
        return injected(err, folder_of(store), "remove old checkpoints");
    return dt_pruner_prune(pruner_of(store), step, keep, err);
}

static dt_status hdf5_clean(dt_store *store, dt_error *err)
{
    return dt_pruner_clean(pruner_of(store), err);
}

static const char *hdf5_location(dt_store *store)
{
    return folder_of(store);
}

static const dt_store_ops hdf5_ops = {
    .name = "hdf5",
    .destroy = hdf5_destroy,
    .location = hdf5_location,
    .list = hdf5_list,
    .begin = hdf5_begin,
    .write_shard = hdf5_write_shard,
    .copy_shard = hdf5_copy_shard,
    .commit = hdf5_commit,
    .discard = hdf5_discard,
    .clean = hdf5_clean,
    .read_manifest = hdf5_read_manifest,
    .has_shard = hdf5_has_shard,
    .verify_shard = hdf5_verify_shard,
    .read_shard = hdf5_read_shard,
    .prune = hdf5_prune,
};

dt_status dt_store_hdf5_create(const char *folder, dt_store **store, dt_error *err)
{
    size_t length = strlen(folder);
    if (length == 0)
        return dt_fail(err, DT_ERR_USAGE, "the folder for checkpoints has no name");
    while (length > 1 && folder[length - 1] == '/')
        length--;
    if (length > DT_DURABLE_PATH_BYTES - 128) /* the rest is for the names inside */
        return dt_fail(err, DT_ERR_USAGE, "the path of the folder for checkpoints is too long: %.60s...",
                       folder);
    hdf5_store *s = dt_calloc(1, sizeof *s + length + 1);
    if (!s)
        return dt_fail_memory(err, sizeof *s + length + 1, "the checkpoint store");
    s->base.ops = &hdf5_ops;
    pthread_mutex_init(&s->mutex, NULL); /* on Linux it does not fail */
    memcpy(s->folder, folder, length);
    s->pruner.folder = s->folder;
    *store = &s->base;
    return DT_OK;
}

void dt_store_hdf5_set_guard(dt_store *store, const dt_guard *guard)
{
    pruner_of(store)->guard = guard;
}
