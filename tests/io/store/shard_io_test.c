/* What the system is asked for when a shard of several blocks is written, read back and loaded, and what
 * happens when it refuses: wrappers of libc's functions count the bytes and fail at a given call. */
#define _GNU_SOURCE
#include "core/base/alloc.h"
#include "io/store/hdf5_store.h"
#include "tests/testing.h"

#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

#define REAL(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

enum { STEP = 7, N_TENSORS = 4 };

/* -- the system --------------------------------------------------------------------------------------- */

static struct {
    atomic_llong bytes_written, bytes_read, n_writes, n_reads;
    bool uncached;     /* preadv2 with RWF_NOWAIT reports that the page cache does not have the file */
    bool no_direct;    /* F_SETFL refuses O_DIRECT */
    bool direct_fails; /* F_SETFL accepts it, and pwrite refuses */
    bool shorten;      /* each call transfers a part, or is interrupted first */
    int fail_write_at, fail_read_at; /* this call of pwrite, or of pread, fails with `error`; 0: none */
    int flip_read_at;                /* this call of pread returns another bit than the file has */
    int change_at;                   /* before this call of pread, a byte of the file is changed */
    off_t change_where;              /* that byte; negative: it is cut off there instead */
    bool fsync_fails;
    int error;
} sys;

static void reset(void)
{
    memset((void *)&sys, 0, sizeof sys);
}

static bool is_shard(int fd)
{
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    const ssize_t n = readlink(link, path, sizeof path - 1);
    return n > 3 && memcmp(path + n - 3, ".h5", 3) == 0;
}

static bool is_direct(int fd)
{
    return (REAL(fcntl)(fd, F_GETFL) & O_DIRECT) != 0;
}

static ssize_t refuse(int error)
{
    errno = error;
    return -1;
}

ssize_t pwrite(int fd, const void *data, size_t n, off_t at)
{
    if (!is_shard(fd))
        return REAL(pwrite)(fd, data, n, at);
    const long long call = ++sys.n_writes;
    if (call == sys.fail_write_at)
        return refuse(sys.error);
    if (sys.direct_fails && is_direct(fd))
        return refuse(EINVAL);
    if (sys.shorten && call % 3 == 0)
        return refuse(EINTR);
    if (sys.shorten && n > 1)
        n = call % 3 == 1 && n > 8192 ? n / 2 / 4096 * 4096 : n / 2;
    const ssize_t done = REAL(pwrite)(fd, data, n, at);
    sys.bytes_written += done > 0 ? done : 0;
    return done;
}

ssize_t pwrite64(int fd, const void *data, size_t n, off64_t at)
{
    return pwrite(fd, data, n, at);
}

static void change_file(int fd)
{
    char path[4096], link[64], byte;
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    const ssize_t n = readlink(link, path, sizeof path - 1);
    DT_REQUIRE(n > 0);
    path[n] = '\0';
    const int other = open(path, O_RDWR);
    DT_REQUIRE(other >= 0);
    if (sys.change_where < 0) {
        DT_REQUIRE(ftruncate(other, -sys.change_where) == 0);
    } else {
        DT_REQUIRE(REAL(pread)(other, &byte, 1, sys.change_where) == 1);
        byte ^= 1;
        DT_REQUIRE(REAL(pwrite)(other, &byte, 1, sys.change_where) == 1);
    }
    close(other);
}

ssize_t pread(int fd, void *data, size_t n, off_t at)
{
    if (!is_shard(fd))
        return REAL(pread)(fd, data, n, at);
    const long long call = ++sys.n_reads;
    if (call == sys.fail_read_at)
        return refuse(sys.error);
    if (call == sys.change_at)
        change_file(fd);
    if (sys.shorten && call % 5 == 0)
        return refuse(EINTR);
    if (sys.shorten && n > 1)
        n = n / 2 + 1;
    const ssize_t done = REAL(pread)(fd, data, n, at);
    sys.bytes_read += done > 0 ? done : 0;
    if (call == sys.flip_read_at && done > 0)
        ((char *)data)[done / 2] ^= 4;
    return done;
}

ssize_t pread64(int fd, void *data, size_t n, off64_t at)
{
    return pread(fd, data, n, at);
}

ssize_t preadv2(int fd, const struct iovec *to, int n, off_t at, int flags)
{
    return sys.uncached && is_shard(fd) ? refuse(EAGAIN) : REAL(preadv2)(fd, to, n, at, flags);
}

int fsync(int fd)
{
    return sys.fsync_fails && is_shard(fd) ? (int)refuse(EIO) : REAL(fsync)(fd);
}

int fcntl(int fd, int command, ...)
{
    va_list list;
    va_start(list, command);
    void *argument = va_arg(list, void *);
    va_end(list);
    if (sys.no_direct && command == F_SETFL && (intptr_t)argument & O_DIRECT)
        return (int)refuse(EINVAL);
    return REAL(fcntl)(fd, command, argument);
}

int fcntl64(int fd, int command, ...)
{
    va_list list;
    va_start(list, command);
    void *argument = va_arg(list, void *);
    va_end(list);
    return fcntl(fd, command, argument);
}

/* -- a state of 19 MB --------------------------------------------------------------------------------- */

static dt_state_tensor tensors[N_TENSORS] = {
    {.name = "param/a.weight", .n_dims = 2, .dims = {1200, 1000}},
    {.name = "param/b.weight", .n_dims = 4, .dims = {1000, 300, 3, 3}},
    {.name = "momentum/a.weight", .n_dims = 1, .dims = {777777}},
    {.name = "steps", .n_dims = 0},
};
static dt_state_layout layout;

static float value_of(int64_t element)
{
    return (float)(element % 1000003) * 0.25F;
}

static dt_status get(void *context, int64_t tensor, float *canonical, dt_error *err)
{
    (void)context, (void)err;
    for (int64_t i = 0; i < tensors[tensor].n_elems; i++)
        canonical[i] = value_of(tensors[tensor].first + i);
    return DT_OK;
}

void dt_test_set_up(void)
{
    layout = (dt_state_layout){.tensors = tensors};
    for (int t = 0; t < N_TENSORS; t++) {
        tensors[t].first = layout.n_elems;
        tensors[t].n_elems = 1;
        for (int d = 0; d < tensors[t].n_dims; d++)
            tensors[t].n_elems *= tensors[t].dims[d];
        layout.n_elems += tensors[t].n_elems;
        layout.n_tensors++;
    }
}

static dt_shard_entry entry; /* the middle half of the stream: tensors are cut at both ends */

static dt_store *open_store(const char *folder)
{
    dt_store *store = NULL;
    reset();
    DT_REQUIRE(dt_store_hdf5_create(folder, &store, NULL) == DT_OK);
    return store;
}

static dt_status write_one(dt_store *store, dt_error *err)
{
    const dt_state_io io = {.get = get};
    const int64_t live = dt_alloc_live_blocks();
    entry = (dt_shard_entry){
        .file = "shard-0000-of-0001.h5", .first = layout.n_elems / 6, .n_elems = layout.n_elems / 6 * 5 - 11};
    DT_REQUIRE(store->ops->begin(store, STEP, NULL) == DT_OK);
    dt_status status = store->ops->write_shard(store, STEP, &layout, &io, &entry, err);
    const int64_t kept = dt_alloc_live_blocks() - live;
    DT_CHECK(kept == 0 || kept == 2); /* the store's buffers, for its next shard */
    return status;
}

static void commit(const char *folder)
{
    const char *to = dt_test_path("%s/step-%08d", folder, STEP);
    DT_REQUIRE(rename(dt_test_path("%s.tmp", to), to) == 0);
}

/* Read the committed shard; the values must be those of the state if the status is DT_OK. Not keep: only
 * verify. */
static dt_status read_one(dt_store *store, bool keep, dt_error *err)
{
    const dt_manifest m = {
        .step = STEP, .n_tensors = N_TENSORS, .tensors = tensors, .n_shards = 1, .shards = &entry};
    float *values = keep ? calloc((size_t)entry.n_elems, sizeof *values) : NULL;
    dt_status status = keep ? store->ops->read_shard(store, &m, &entry, values, err)
                            : store->ops->verify_shard(store, &m, &entry, NULL, err);
    int64_t n_wrong = 0;
    for (int64_t i = 0; keep && i < entry.n_elems; i++)
        n_wrong += values[i] != (status == DT_OK ? value_of(entry.first + i) : 0);
    DT_CHECK_INT(n_wrong, 0); /* after an error nothing of the file is there */
    free(values);
    return status;
}

static void check_written(dt_store *store, const char *folder)
{
    dt_error err = {0};
    DT_REQUIRE_MSG(write_one(store, &err) == DT_OK, "%s", err.message);
    commit(folder);
    reset();
    DT_REQUIRE_MSG(read_one(store, true, &err) == DT_OK, "%s", err.message);
    DT_REQUIRE(system(dt_test_path("rm -r %s/step-%08d", folder, STEP)) == 0);
}

/* -- cases -------------------------------------------------------------------------------------------- */

static void every_byte_is_written_once_and_read_back_once(void)
{
    dt_store *store = open_store(dt_test_temp_dir());
    DT_REQUIRE(write_one(store, NULL) == DT_OK);
    DT_CHECK(entry.bytes > entry.n_elems * 4 && entry.bytes < entry.n_elems * 4 + (16 << 10));
    DT_CHECK_INT(sys.bytes_written, entry.bytes);
    DT_CHECK_INT(sys.bytes_read, entry.bytes);
    DT_CHECK_MSG(sys.n_writes <= 8, "%lld writes", (long long)sys.n_writes);
    store->ops->destroy(store);
}

static void a_load_and_a_verification_read_every_byte_once(void)
{
    const char *dir = dt_test_temp_dir();
    dt_store *store = open_store(dir);
    DT_REQUIRE(write_one(store, NULL) == DT_OK);
    commit(dir);
    for (int keep = 0; keep < 2; keep++) {
        reset();
        DT_CHECK_INT(read_one(store, keep, NULL), DT_OK);
        DT_CHECK_INT(sys.bytes_read, entry.bytes);
        DT_CHECK_INT(sys.bytes_written, 0);
    }
    store->ops->destroy(store);
}

static dt_status read_uncached(dt_store *store, int fail_at, int flip_at)
{
    reset();
    sys.uncached = true;
    sys.fail_read_at = fail_at;
    sys.flip_read_at = flip_at;
    sys.error = EIO;
    return read_one(store, true, NULL);
}

/* What the page cache does not have is read past it, by several threads; whatever the file system does. */
static void a_load_past_the_page_cache_reads_the_same(void)
{
    const char *dir = dt_test_temp_dir();
    dt_store *store = open_store(dir);
    DT_REQUIRE(write_one(store, NULL) == DT_OK);
    commit(dir);
    for (int way = 0; way < 8; way++) {
        reset();
        sys.uncached = true;
        sys.no_direct = way & 1;
        sys.shorten = way & 2;
        DT_CHECK_INT(read_one(store, way & 4, NULL), DT_OK);
        DT_CHECK_INT(sys.bytes_read, entry.bytes);
    }
    DT_CHECK_INT(read_uncached(store, 0, 0), DT_OK);
    for (int at = 1, n = (int)sys.n_reads; at <= n; at++) {
        DT_CHECK_INT(read_uncached(store, at, 0), DT_ERR_IO);
        DT_CHECK_INT(read_uncached(store, 0, at), DT_ERR_FORMAT);
    }
    store->ops->destroy(store);
}

static void a_copy_reads_both_files_once(void)
{
    const char *dir = dt_test_temp_dir();
    dt_store *store = open_store(dir), *mirror = open_store(dt_test_path("%s/mirror", dir));
    DT_REQUIRE(write_one(store, NULL) == DT_OK);
    commit(dir);
    reset();
    DT_CHECK_INT(mirror->ops->copy_shard(mirror, store, STEP, &entry, NULL), DT_OK);
    DT_CHECK_INT(sys.bytes_written, entry.bytes);
    DT_CHECK_INT(sys.bytes_read, 2 * entry.bytes);
    store->ops->destroy(store);
    mirror->ops->destroy(mirror);
}

static void the_same_bytes_are_written_whatever_the_file_system_can_do(void)
{
    const char *dir = dt_test_temp_dir();
    char hex[33];
    dt_store *store = open_store(dir);
    for (int way = 0; way < 8; way++) {
        sys.no_direct = way & 1;
        sys.direct_fails = way & 2;
        sys.shorten = way & 4;
        check_written(store, dir); /* and read as usual */
        if (way == 0)
            memcpy(hex, entry.xxh3_128, sizeof hex);
        DT_CHECK_STR(entry.xxh3_128, hex);
    }
    store->ops->destroy(store);
}

static void a_file_system_in_memory_works(void)
{
    char dir[] = "/dev/shm/dtrain-test-XXXXXX";
    if (!mkdtemp(dir))
        DT_SKIP("there is no /dev/shm to write to");
    dt_store *store = open_store(dir);
    check_written(store, dir);
    store->ops->destroy(store);
    DT_CHECK(rmdir(dir) == 0);
}

static void every_write_that_is_refused_is_an_error(void)
{
    static const int errors[] = {EIO, ENOSPC, EDQUOT};
    dt_store *store = open_store(dt_test_temp_dir());
    DT_REQUIRE(write_one(store, NULL) == DT_OK);
    const int n = (int)sys.n_writes;
    for (int e = 0; e < 3; e++)
        for (int at = 1; at <= n; at++) {
            dt_error err = {0};
            reset();
            sys.no_direct = true; /* a direct write that fails is tried again through the page cache */
            sys.fail_write_at = at;
            sys.error = errors[e];
            DT_CHECK_INT(write_one(store, &err), DT_ERR_IO);
            DT_CHECK_CONTAINS(err.message, "shard-0000-of-0001.h5: ");
            DT_CHECK_CONTAINS(err.message, strerror(errors[e]));
        }
    reset();
    sys.fsync_fails = true;
    DT_CHECK_INT(write_one(store, NULL), DT_ERR_IO);
    store->ops->destroy(store);
}

static void what_the_disk_has_changed_is_found_when_it_is_read_back(void)
{
    dt_store *store = open_store(dt_test_temp_dir());
    DT_REQUIRE(write_one(store, NULL) == DT_OK);
    const int n = (int)sys.n_reads;
    for (int at = 1; at <= n; at++) {
        dt_error err = {0};
        reset();
        sys.flip_read_at = at;
        DT_CHECK_INT(write_one(store, &err), DT_ERR_IO);
        DT_CHECK_CONTAINS(err.message, "was read back with XXH3-128 ");
        reset();
        sys.fail_read_at = at;
        sys.error = EIO;
        DT_CHECK_INT(write_one(store, &err), DT_ERR_IO);
        DT_CHECK_CONTAINS(err.message, strerror(EIO));
        reset();
        sys.change_at = at; /* cut short on the disk */
        sys.change_where = -5000;
        DT_CHECK(write_one(store, &err) != DT_OK);
    }
    store->ops->destroy(store);
}

/* The reader reads each byte once, so nothing can change between check and use: what it returns was
 * hashed. */
static void a_file_that_changes_while_it_is_read_is_found(void)
{
    const char *dir = dt_test_temp_dir();
    dt_store *store = open_store(dir);
    DT_REQUIRE(write_one(store, NULL) == DT_OK);
    commit(dir);
    reset();
    DT_CHECK_INT(read_one(store, true, NULL), DT_OK);
    const int n = (int)sys.n_reads;
    const off_t where[] = {40, 5000, (off_t)entry.bytes / 2, (off_t)entry.bytes - 8192,
                           (off_t)entry.bytes - 1};
    for (size_t w = 0; w < sizeof where / sizeof *where; w++)
        for (int at = 1; at <= n; at += n / 7) {
            dt_error err = {0};
            reset();
            sys.change_at = at;
            sys.change_where = where[w];
            const dt_status status = read_one(store, true, &err); /* checks the values, too */
            DT_CHECK_MSG(status == DT_OK || status == DT_ERR_FORMAT, "%s", err.message);
            DT_CHECK_MSG(at > 1 || status == DT_ERR_FORMAT, "byte %lld was not noticed", (long long)where[w]);
            reset();
            sys.change_at = 1; /* back */
            sys.change_where = where[w];
            (void)read_one(store, false, NULL);
        }
    reset();
    DT_CHECK_INT(read_one(store, true, NULL), DT_OK);
    reset();
    sys.change_at = n / 2;
    sys.change_where = -8192;
    DT_CHECK_INT(read_one(store, true, NULL), DT_ERR_FORMAT);
    store->ops->destroy(store);
}

static const dt_test tests[] = {
    DT_TEST(every_byte_is_written_once_and_read_back_once),
    DT_TEST(a_load_and_a_verification_read_every_byte_once),
    DT_TEST(a_load_past_the_page_cache_reads_the_same),
    DT_TEST(a_copy_reads_both_files_once),
    DT_TEST(the_same_bytes_are_written_whatever_the_file_system_can_do),
    DT_TEST(a_file_system_in_memory_works),
    DT_TEST(every_write_that_is_refused_is_an_error),
    DT_TEST(what_the_disk_has_changed_is_found_when_it_is_read_back),
    DT_TEST(a_file_that_changes_while_it_is_read_is_found),
};
DT_TEST_MAIN("io/store/shard_io", tests)
