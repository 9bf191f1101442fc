/* Loading from real folders, one for each of several hosts, and a mirror: threads as ranks, two to a host. */
#include "core/checkpoint/load.h"

#include "core/base/fault.h"
#include "core/base/log.h"
#include "io/store/hdf5_store.h"
#include "tests/fakes/fake_comm.h"
#include "tests/fakes/fake_state.h"
#include "tests/fakes/save_checkpoint.h"
#include "tests/testing.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define MAX_HOSTS 4
#define MAX_RANKS 8
#define SAVED_BY 4 /* ranks */

typedef struct job {
    char base[512];          /* whole/, nvme0/, nvme1/ ..., fsx/ */
    const char *config_text; /* of what is saved; NULL: the same as ever */
    int64_t step;
    dt_store *stores[MAX_HOSTS], *mirror;
    int ranks_per_host;
    fake_state states[MAX_RANKS];
    dt_status status[MAX_RANKS];
    dt_error errors[MAX_RANKS];
    bool found[MAX_RANKS];
    int64_t steps[MAX_RANKS];
} job;

static job the_job;
static char log_text[16384];
static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;

static void collect(void *context, dt_log_level level, const char *line)
{
    (void)context;
    (void)level;
    pthread_mutex_lock(&log_lock);
    size_t n = strlen(log_text);
    snprintf(log_text + n, sizeof log_text - n, "%s\n", line);
    pthread_mutex_unlock(&log_lock);
}

static job *new_job(void)
{
    static int n_jobs;
    memset(&the_job, 0, sizeof the_job);
    snprintf(the_job.base, sizeof the_job.base, "%s/%d", dt_test_temp_dir(), n_jobs++);
    DT_REQUIRE(mkdir(the_job.base, 0755) == 0);
    the_job.ranks_per_host = 2;
    return &the_job;
}

/* -- what is on the disks -------------------------------------------------------------------------------- */

static void save_on_rank(dt_comm *comm, void *context)
{
    job *j = context;
    int64_t bytes;
    dt_manifest m = fake_manifest(j->step);
    if (j->config_text)
        memcpy(m.config_text, j->config_text, strlen(j->config_text) + 1);
    j->status[comm->rank] = save_checkpoint(comm, j->stores[0], &j->states[comm->rank].layout,
                                            &j->states[comm->rank].io, &m, 10, &bytes, NULL);
    dt_manifest_clear(&m);
}

/* A checkpoint of SAVED_BY ranks in whole/, with the state of this seed. */
static void save(job *j, int64_t step, uint64_t seed)
{
    DT_REQUIRE(dt_store_hdf5_create(dt_test_path("%s/whole", j->base), &j->stores[0], NULL) == DT_OK);
    j->step = step;
    for (int r = 0; r < SAVED_BY; r++)
        fake_state_init(&j->states[r], seed);
    fake_comm_run(SAVED_BY, save_on_rank, j);
    for (int r = 0; r < SAVED_BY; r++) {
        DT_REQUIRE(j->status[r] == DT_OK);
        fake_state_clear(&j->states[r]);
    }
    j->stores[0]->ops->destroy(j->stores[0]);
    j->stores[0] = NULL;
}

static const char *path_in(const job *j, const char *folder, int64_t step, const char *file)
{
    return dt_test_path("%s/%s/step-%08d/%s", j->base, folder, (int)step, file);
}

static const char *shard_name(int i)
{
    return dt_test_path("shard-%04d-of-%04d.h5", i, SAVED_BY);
}

static void copy_file(const job *j, const char *folder, int64_t step, const char *file)
{
    size_t n;
    char *bytes = dt_test_read_file(path_in(j, "whole", step, file), &n);
    DT_REQUIRE(bytes != NULL);
    dt_test_write_file(path_in(j, folder, step, file), bytes, n);
    free(bytes);
}

/* These shards (bit i: shard i) and the manifest, from whole/. */
static void deal(const job *j, const char *folder, int64_t step, unsigned shards)
{
    (void)mkdir(dt_test_path("%s/%s", j->base, folder), 0755);
    DT_REQUIRE(mkdir(path_in(j, folder, step, ""), 0755) == 0);
    copy_file(j, folder, step, "manifest.json");
    for (int i = 0; i < SAVED_BY; i++)
        if (shards >> i & 1)
            copy_file(j, folder, step, shard_name(i));
}

static void damage(const job *j, const char *folder, int64_t step, const char *file)
{
    size_t n;
    const char *path = path_in(j, folder, step, file);
    char *bytes = dt_test_read_file(path, &n);
    DT_REQUIRE(bytes != NULL);
    bytes[n / 2] ^= 4;
    dt_test_write_file(path, bytes, n);
    free(bytes);
}

/* -- loading --------------------------------------------------------------------------------------------- */

static void load_on_rank(dt_comm *comm, void *context)
{
    job *j = context;
    int r = comm->rank;
    const dt_checkpoint_location place = {
        .store = j->stores[r / j->ranks_per_host], .mirror = j->mirror, .per_host = true};
    dt_manifest m = {.step = -1};
    j->status[r] = dt_checkpoint_load(comm, &place, &j->states[r].layout, &j->states[r].io, NULL, NULL, &m,
                                      &j->found[r], &j->errors[r]);
    j->steps[r] = m.step;
    if (j->status[r] == DT_OK && j->found[r])
        dt_manifest_clear(&m);
}

/* From nvme0/, nvme1/, ... and, where it is there, fsx/. */
static dt_status load(job *j, int n_ranks)
{
    int n_hosts = (n_ranks + j->ranks_per_host - 1) / j->ranks_per_host;
    for (int h = 0; h < n_hosts; h++)
        DT_REQUIRE(dt_store_hdf5_create(dt_test_path("%s/nvme%d", j->base, h), &j->stores[h], NULL) == DT_OK);
    j->mirror = NULL;
    if (access(dt_test_path("%s/fsx", j->base), F_OK) == 0)
        DT_REQUIRE(dt_store_hdf5_create(dt_test_path("%s/fsx", j->base), &j->mirror, NULL) == DT_OK);
    for (int r = 0; r < n_ranks; r++)
        fake_state_init(&j->states[r], 99);
    memset(j->found, 0, sizeof j->found);
    log_text[0] = '\0';
    dt_log_set_sink(collect, NULL, DT_LOG_INFO);
    fake_comm_run_on_hosts(n_ranks, j->ranks_per_host, load_on_rank, j);
    dt_log_set_sink(NULL, NULL, DT_LOG_INFO);
    for (int h = 0; h < n_hosts; h++)
        j->stores[h]->ops->destroy(j->stores[h]);
    if (j->mirror)
        j->mirror->ops->destroy(j->mirror);
    for (int r = 1; r < n_ranks; r++) {
        DT_CHECK_INT(j->status[r], j->status[0]);
        DT_CHECK_INT(j->found[r], j->found[0]);
    }
    return j->status[0];
}

static void check_loads(job *j, int n_ranks, int64_t step, uint64_t seed)
{
    fake_state expected;
    fake_state_init(&expected, seed);
    dt_status status = load(j, n_ranks);
    DT_CHECK_MSG(status == DT_OK, "%s", j->errors[0].message);
    for (int r = 0; r < n_ranks; r++) {
        DT_CHECK(j->found[r]);
        DT_CHECK_INT(j->steps[r], step);
        DT_CHECK_BYTES(j->states[r].values, expected.values, (size_t)expected.layout.n_elems * sizeof(float));
        fake_state_clear(&j->states[r]);
    }
    fake_state_clear(&expected);
}

static void check_refused(job *j, int n_ranks, dt_status expected, const char *message)
{
    dt_status status = load(j, n_ranks);
    DT_CHECK_MSG(status == expected, "%s", dt_status_name(status));
    DT_CHECK_CONTAINS(j->errors[0].message, message);
    for (int r = 0; r < n_ranks; r++)
        fake_state_clear(&j->states[r]);
}

/* Steps 10 and 20, seeds 1 and 2, on the disks of two hosts, and in the mirror up to this step. */
static job *two_hosts(int64_t mirrored_to)
{
    job *j = new_job();
    for (int64_t step = 10; step <= 20; step += 10) {
        save(j, step, (uint64_t)step / 10);
        deal(j, "nvme0", step, 0x3);
        deal(j, "nvme1", step, 0xc);
        if (step <= mirrored_to)
            deal(j, "fsx", step, 0xf);
    }
    return j;
}

static void lose(const job *j, const char *folder)
{
    DT_REQUIRE(rename(dt_test_path("%s/%s", j->base, folder), dt_test_path("%s/lost-%s", j->base, folder)) ==
               0);
}

static void hosts_read_what_they_have(void)
{
    job *j = two_hosts(0);
    check_loads(j, 4, 20, 2);
    DT_CHECK_STR(log_text, "");
    check_loads(j, 8, 20, 2); /* and two hosts that are new */
    j->ranks_per_host = 1;
    check_loads(j, 3, 20, 2); /* as many hosts as ranks, and another number of them */
    DT_CHECK_STR(log_text, "");
}

static void a_lost_disk_is_made_up_for_by_the_mirror_alone(void)
{
    job *j = two_hosts(20);
    lose(j, "nvme0");
    check_loads(j, 4, 20, 2);
    DT_CHECK_CONTAINS(log_text, "checkpoint: 2 of the 4 shards of step 20 come from the mirror ");
    lose(j, "nvme1");
    check_loads(j, 4, 20, 2);
    DT_CHECK_CONTAINS(log_text, "checkpoint: 4 of the 4 shards of step 20 come from the mirror ");
    j = two_hosts(0);
    lose(j, "nvme1");
    check_refused(j, 4, DT_ERR_FORMAT, "/nvme0: none of the 2 checkpoints there is whole");
    DT_CHECK_CONTAINS(log_text,
                      "checkpoint: passing over step 20: no host has a whole shard-0002-of-0004.h5 in ");
    DT_CHECK_CONTAINS(log_text,
                      "checkpoint: passing over step 10: no host has a whole shard-0002-of-0004.h5 in ");
}

static void a_mirror_that_lags_or_is_damaged_gives_the_checkpoint_before(void)
{
    job *j = two_hosts(10);
    lose(j, "nvme1");
    check_loads(j, 4, 10, 1);
    DT_CHECK_CONTAINS(log_text,
                      "checkpoint: passing over step 20: no host has a whole shard-0002-of-0004.h5 in ");
    DT_CHECK_CONTAINS(log_text, "has no such checkpoint");
    j = two_hosts(20);
    lose(j, "nvme1");
    damage(j, "fsx", 20, shard_name(3));
    check_loads(j, 4, 10, 1);
    DT_CHECK_CONTAINS(log_text, "no host has a whole shard-0003-of-0004.h5 in ");
    DT_CHECK_CONTAINS(log_text, "; rank 1 on host0: ");
    DT_CHECK_CONTAINS(log_text, "/fsx/step-00000020/shard-0003-of-0004.h5: its XXH3-128 is");
}

static void what_is_damaged_is_told_and_taken_from_elsewhere(void)
{
    job *j = two_hosts(20);
    damage(j, "nvme0", 20, shard_name(1));
    damage(j, "nvme1", 20, "manifest.json");
    DT_REQUIRE(truncate(path_in(j, "nvme1", 20, shard_name(2)), 100) == 0);
    check_loads(j, 4, 20, 2);
    DT_CHECK_CONTAINS(log_text, "checkpoint: step 20: rank 1 on host0: ");
    DT_CHECK_CONTAINS(log_text, "/nvme0/step-00000020/shard-0001-of-0004.h5: its XXH3-128 is");
    DT_CHECK_CONTAINS(log_text,
                      "/nvme1/step-00000020/shard-0002-of-0004.h5: has 100 bytes, the manifest says ");
    DT_CHECK_CONTAINS(log_text, "/nvme1/step-00000020/manifest.json: ");
    DT_CHECK(!strstr(log_text, "passing over"));
    damage(j, "fsx", 20, shard_name(0)); /* nobody needs that */
    check_loads(j, 4, 20, 2);
    copy_file(j, "nvme0", 20, shard_name(2)); /* a peer has it now */
    lose(j, "fsx");
    damage(j, "nvme0", 20, shard_name(1)); /* it is whole again */
    check_loads(j, 4, 20, 2);
    DT_CHECK(!strstr(log_text, "passing over"));
}

static void two_attempts_at_a_step_are_never_mixed(void)
{
    job *j = two_hosts(0);
    j->config_text = "lr = 0.2;";
    save(j, 30, 3);
    deal(j, "nvme0", 30, 0x3);
    j->config_text = NULL;
    save(j, 30, 4);
    deal(j, "nvme1", 30, 0xc);
    check_loads(j, 4, 20, 2);
    DT_CHECK_CONTAINS(log_text,
                      "checkpoint: passing over step 30: no host has a whole shard-0002-of-0004.h5");
    DT_CHECK_CONTAINS(log_text,
                      "checkpoint: passing over step 30: no host has a whole shard-0000-of-0004.h5");
    deal(j, "fsx", 30, 0xf);
    check_loads(j, 4, 30, 4);
}

static void a_folder_that_cannot_be_listed_is_an_error(void)
{
    job *j = two_hosts(20);
    lose(j, "nvme1");
    dt_test_write_file(dt_test_path("%s/nvme1", j->base), "x", 1);
    check_refused(j, 4, DT_ERR_IO, "2 of 4 ranks, the first is rank 2 on host1: ");
}

static void a_disk_that_fails_at_any_moment_is_everyones(void)
{
    job *j = two_hosts(10);
    for (int n = 1; n <= 4; n++) {
        dt_fault_arm(dt_test_path("store.read:%d", n), 0, NULL);
        check_loads(j, 4, 10, 1);
        DT_CHECK_CONTAINS(log_text, "passing over step 20");
        dt_fault_arm(dt_test_path("store.verify:%d", n), 0, NULL);
        check_loads(j, 4, 10, 1);
        DT_CHECK_CONTAINS(log_text, "passing over step 20");
    }
    dt_fault_arm(NULL, 0, NULL);
    check_loads(j, 4, 20, 2);
}

static const dt_test tests[] = {
    DT_TEST(hosts_read_what_they_have),
    DT_TEST(a_lost_disk_is_made_up_for_by_the_mirror_alone),
    DT_TEST(a_mirror_that_lags_or_is_damaged_gives_the_checkpoint_before),
    DT_TEST(what_is_damaged_is_told_and_taken_from_elsewhere),
    DT_TEST(two_attempts_at_a_step_are_never_mixed),
    DT_TEST(a_folder_that_cannot_be_listed_is_an_error),
    DT_TEST(a_disk_that_fails_at_any_moment_is_everyones),
};
DT_TEST_MAIN("io/checkpoint_places", tests)
