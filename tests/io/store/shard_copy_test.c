/* Copying shards into the mirror: the copy has the same bytes, and a failure keeps the older copies. Threads
 * are ranks. */
#include "core/checkpoint/mirror.h"

#include "core/base/alloc.h"
#include "core/base/fault.h"
#include "core/base/log.h"
#include "io/store/hdf5_store.h"
#include "tests/fakes/fake_comm.h"
#include "tests/fakes/fake_state.h"
#include "tests/fakes/save_checkpoint.h"
#include "tests/testing.h"

#include <math.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { RANKS = 3 };

typedef struct job {
    dt_store *store, *mirror;
    fake_state states[RANKS];
    int64_t step;
    dt_status status[RANKS];
    dt_error error[RANKS];
} job;

static void open_folders(job *j)
{
    memset(j, 0, sizeof *j);
    const char *base = dt_test_temp_dir();
    DT_REQUIRE(dt_store_hdf5_create(dt_test_path("%s/local", base), &j->store, NULL) == DT_OK);
    DT_REQUIRE(dt_store_hdf5_create(dt_test_path("%s/mirror", base), &j->mirror, NULL) == DT_OK);
    for (int r = 0; r < RANKS; r++)
        fake_state_init(&j->states[r], 1);
}

static void close_folders(job *j)
{
    j->store->ops->destroy(j->store);
    j->mirror->ops->destroy(j->mirror);
    for (int r = 0; r < RANKS; r++)
        fake_state_clear(&j->states[r]);
}

static void save_on_rank(dt_comm *comm, void *context)
{
    job *j = context;
    const int r = comm->rank;
    dt_manifest m = fake_manifest(j->step);
    int64_t bytes;
    DT_CHECK_INT(save_checkpoint(comm, j->store, &j->states[r].layout, &j->states[r].io, &m, 2, &bytes, NULL),
                 DT_OK);
    dt_manifest_clear(&m);
}

static void copy_on_rank(dt_comm *comm, void *context)
{
    job *j = context;
    const int r = comm->rank;
    dt_writer *mirror = NULL;
    dt_manifest m = {0};
    DT_REQUIRE(dt_mirror_create(comm, j->store, j->mirror, 2, &mirror, NULL) == DT_OK);
    DT_REQUIRE(j->store->ops->read_manifest(j->store, j->step, &m, NULL) == DT_OK);
    DT_CHECK_INT(dt_writer_start(mirror, &m, NULL), DT_OK);
    dt_manifest_clear(&m); /* the mirror has a copy */
    j->status[r] = dt_writer_finish(mirror, INFINITY, NULL, &j->error[r]);
    dt_writer_destroy(mirror);
}

/* Commit this step in the first folder, then copy it with this fault (NULL: none). */
static dt_status copy(job *j, int64_t step, const char *fault)
{
    char spec[64];
    j->step = step;
    fake_comm_run(RANKS, save_on_rank, j);
    snprintf(spec, sizeof spec, "%s:1", fault ? fault : "");
    DT_REQUIRE(dt_fault_arm(fault ? spec : NULL, 0, NULL) == DT_OK);
    const int64_t live = dt_alloc_live_blocks();
    fake_comm_run(RANKS, copy_on_rank, j);
    DT_CHECK_INT(dt_alloc_live_blocks(), live);
    DT_REQUIRE(dt_fault_arm(NULL, 0, NULL) == DT_OK);
    for (int r = 1; r < RANKS; r++) {
        DT_CHECK_INT(j->status[r], j->status[0]);
        DT_CHECK_STR(j->error[r].message, j->error[0].message);
    }
    return j->status[0];
}

static int64_t newest(dt_store *store)
{
    int64_t step = -1, n;
    DT_CHECK_INT(store->ops->list(store, &step, 1, &n, NULL), DT_OK);
    return step;
}

static void check_whole(dt_store *store, int64_t step)
{
    dt_manifest m = {0};
    DT_REQUIRE(store->ops->read_manifest(store, step, &m, NULL) == DT_OK);
    DT_CHECK_INT(m.n_shards, RANKS);
    for (int64_t i = 0; i < m.n_shards; i++)
        DT_CHECK_INT(store->ops->verify_shard(store, &m, &m.shards[i], NULL, NULL), DT_OK);
    dt_manifest_clear(&m);
}

static bool is_there(const char *name)
{
    return access(dt_test_path("%s/%s", dt_test_temp_dir(), name), F_OK) == 0;
}

static void a_copy_is_the_same_checkpoint(void)
{
    static job j;
    dt_manifest a = {0}, b = {0};
    open_folders(&j);
    DT_CHECK_INT(copy(&j, 5, NULL), DT_OK);
    check_whole(j.mirror, 5);
    DT_REQUIRE(j.store->ops->read_manifest(j.store, 5, &a, NULL) == DT_OK &&
               j.mirror->ops->read_manifest(j.mirror, 5, &b, NULL) == DT_OK);
    DT_CHECK_STR(a.identity, b.identity);
    dt_manifest_clear(&a);
    dt_manifest_clear(&b);
    DT_CHECK_INT(copy(&j, 5, NULL), DT_OK); /* once more, over the existing copy */
    check_whole(j.mirror, 5);
    close_folders(&j);
}

static void older_copies_survive_any_failure_and_the_next_copy_works(void)
{
    static const char *const faults[] = {
        "mirror.open", "mirror.read",    "mirror.space",         "mirror.write",       "mirror.fsync",
        "mirror.hash", "store.manifest", "store.manifest.write", "store.folder.fsync", "store.rename"};
    static job j;
    open_folders(&j);
    DT_CHECK_INT(copy(&j, 1, NULL), DT_OK);
    for (size_t i = 0; i < sizeof faults / sizeof *faults; i++) {
        const int64_t step = 2 * (int64_t)i + 2;
        const dt_status status = copy(&j, step, faults[i]);
        DT_CHECK_MSG(status == DT_ERR_IO, "%s: %s", faults[i], dt_status_name(status));
        DT_CHECK_MSG(strstr(j.error[0].message,
                            strcmp(faults[i], "mirror.read") ? "/mirror/step-" : "/local/step-") != NULL,
                     "%s: %s", faults[i], j.error[0].message);
        DT_CHECK_INT(newest(j.mirror), step - 1);
        check_whole(j.mirror, step - 1);
        check_whole(j.store, step);
        DT_CHECK(!is_there(dt_test_path("mirror/step-%08lld.tmp", (long long)step)));
        DT_CHECK_INT(copy(&j, step + 1, NULL), DT_OK);
        check_whole(j.mirror, step + 1);
    }
    close_folders(&j);
}

/* Flip a bit of the shard in the first folder. */
static void damage(const char *name)
{
    FILE *f = fopen(dt_test_path("%s/%s", dt_test_temp_dir(), name), "r+");
    DT_REQUIRE(f && fseek(f, 1000, SEEK_SET) == 0);
    const int byte = fgetc(f);
    DT_REQUIRE(fseek(f, 1000, SEEK_SET) == 0 && fputc(byte ^ 1, f) != EOF && fclose(f) == 0);
}

static void a_damaged_shard_is_not_copied(void)
{
    static job j;
    open_folders(&j);
    DT_CHECK_INT(copy(&j, 1, NULL), DT_OK);
    j.step = 2;
    fake_comm_run(RANKS, save_on_rank, &j);
    damage("local/step-00000002/shard-0001-of-0003.h5");
    fake_comm_run(RANKS, copy_on_rank, &j);
    DT_CHECK_INT(j.status[0], DT_ERR_FORMAT);
    DT_CHECK_CONTAINS(j.error[0].message, "rank 1 on ");
    DT_CHECK_CONTAINS(j.error[0].message, "local/step-00000002/shard-0001-of-0003.h5: its XXH3-128 is ");
    DT_CHECK_INT(newest(j.mirror), 1);
    DT_REQUIRE(
        truncate(dt_test_path("%s/local/step-00000002/shard-0001-of-0003.h5", dt_test_temp_dir()), 100) == 0);
    fake_comm_run(RANKS, copy_on_rank, &j);
    DT_CHECK_INT(j.status[0], DT_ERR_FORMAT);
    DT_CHECK_CONTAINS(j.error[0].message, "has 100 bytes instead of the ");
    const char *whole = dt_test_path("%s/local/step-00000002/shard-0000-of-0003.h5", dt_test_temp_dir());
    struct stat st;
    DT_REQUIRE(stat(whole, &st) == 0 && truncate(whole, st.st_size + 1) == 0); /* its hash is that of more */
    fake_comm_run(RANKS, copy_on_rank, &j);
    DT_CHECK_INT(j.status[0], DT_ERR_FORMAT);
    DT_CHECK_CONTAINS(j.error[0].message, "rank 0 on ");
    DT_CHECK_CONTAINS(
        j.error[0].message,
        dt_test_path("shard-0000-of-0003.h5: has %lld bytes instead of the %lld that were written",
                     (long long)st.st_size + 1, (long long)st.st_size));
    DT_CHECK_INT(newest(j.mirror), 1);
    close_folders(&j);
}

static const dt_test tests[] = {
    DT_TEST(a_copy_is_the_same_checkpoint),
    DT_TEST(older_copies_survive_any_failure_and_the_next_copy_works),
    DT_TEST(a_damaged_shard_is_not_copied),
};
DT_TEST_MAIN("io/store/shard_copy", tests)
