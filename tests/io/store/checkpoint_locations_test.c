/* Loading from real folders, one for each of several hosts, and a mirror: threads as ranks, two to a host. */
#include "core/base/fault.h"
#include "tests/fakes/captured_log.h"
#include "tests/io/store/checkpoint_kit.h"
#include "tests/testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SAVED_BY 4 /* ranks */

/* The disks of one test: whole/ with all shards, as they were saved; nvme0/, nvme1/, ... of the hosts; fsx/,
 * the mirror. */
typedef struct hosts {
    char base[512];
    int ranks_per_host;
    const char *config_text; /* of what is saved; NULL: the default */
} hosts;

static hosts the_hosts;

static hosts *new_hosts(void)
{
    static int n_hosts;
    memset(&the_hosts, 0, sizeof the_hosts);
    snprintf(the_hosts.base, sizeof the_hosts.base, "%s/%d", dt_test_temp_dir(), n_hosts++);
    DT_REQUIRE(mkdir(the_hosts.base, 0755) == 0);
    the_hosts.ranks_per_host = 2;
    return &the_hosts;
}

/* -- what is on the disks -------------------------------------------------------------------------------- */

/* A checkpoint of SAVED_BY ranks in whole/, with the state of this seed. */
static void save(const hosts *h, int64_t step, uint64_t seed)
{
    dt_store *store = checkpoint_kit_open(dt_test_path("%s/whole", h->base));
    checkpoint_job *j = checkpoint_job_new(store, seed);
    j->config_text = h->config_text;
    DT_REQUIRE(checkpoint_job_save(j, SAVED_BY, step) == DT_OK);
    checkpoint_job_free(j);
    store->ops->destroy(store);
}

static const char *path_in(const hosts *h, const char *folder, int64_t step, const char *file)
{
    return dt_test_path("%s/%s/step-%08d/%s", h->base, folder, (int)step, file);
}

static const char *shard_name(int i)
{
    return dt_test_path("shard-%04d-of-%04d.h5", i, SAVED_BY);
}

static void copy_file(const hosts *h, const char *folder, int64_t step, const char *file)
{
    size_t n;
    char *bytes = dt_test_read_file(path_in(h, "whole", step, file), &n);
    DT_REQUIRE(bytes != NULL);
    dt_test_write_file(path_in(h, folder, step, file), bytes, n);
    free(bytes);
}

/* These shards (bit i: shard i) and the manifest, from whole/. */
static void deal(const hosts *h, const char *folder, int64_t step, unsigned shards)
{
    (void)mkdir(dt_test_path("%s/%s", h->base, folder), 0755);
    DT_REQUIRE(mkdir(path_in(h, folder, step, ""), 0755) == 0);
    copy_file(h, folder, step, "manifest.json");
    for (int i = 0; i < SAVED_BY; i++)
        if (shards >> i & 1)
            copy_file(h, folder, step, shard_name(i));
}

static void damage(const hosts *h, const char *folder, int64_t step, const char *file)
{
    checkpoint_kit_damage(path_in(h, folder, step, file));
}

/* -- loading --------------------------------------------------------------------------------------------- */

/* Open nvme0/, nvme1/, ... and, if it exists, fsx/. */
static checkpoint_job *open_job(const hosts *h, int n_ranks)
{
    checkpoint_job *j = checkpoint_job_new(NULL, 99);
    j->ranks_per_host = h->ranks_per_host;
    for (int host = 0; host * h->ranks_per_host < n_ranks; host++)
        j->stores[host] = checkpoint_kit_open(dt_test_path("%s/nvme%d", h->base, host));
    if (access(dt_test_path("%s/fsx", h->base), F_OK) == 0)
        j->mirror = checkpoint_kit_open(dt_test_path("%s/fsx", h->base));
    return j;
}

static void close_job(checkpoint_job *j)
{
    for (int host = 0; host < CHECKPOINT_KIT_HOSTS && j->stores[host]; host++)
        j->stores[host]->ops->destroy(j->stores[host]);
    if (j->mirror)
        j->mirror->ops->destroy(j->mirror);
    checkpoint_job_free(j);
}

static void check_loads(const hosts *h, int n_ranks, int64_t step, uint64_t seed)
{
    checkpoint_job *j = open_job(h, n_ranks);
    checkpoint_job_check_loads(j, n_ranks, step, seed, "load");
    close_job(j);
}

static void check_refused(const hosts *h, int n_ranks, dt_status expected, const char *message)
{
    checkpoint_job *j = open_job(h, n_ranks);
    dt_status status = checkpoint_job_load(j, n_ranks);
    DT_CHECK_MSG(status == expected, "%s", dt_status_name(status));
    DT_CHECK_CONTAINS(j->errors[0].message, message);
    close_job(j);
}

/* Steps 10 and 20, seeds 1 and 2, on the disks of two hosts, and in the mirror up to this step. */
static hosts *two_hosts(int64_t mirrored_to)
{
    hosts *h = new_hosts();
    for (int64_t step = 10; step <= 20; step += 10) {
        save(h, step, (uint64_t)step / 10);
        deal(h, "nvme0", step, 0x3);
        deal(h, "nvme1", step, 0xc);
        if (step <= mirrored_to)
            deal(h, "fsx", step, 0xf);
    }
    return h;
}

static void lose(const hosts *h, const char *folder)
{
    DT_REQUIRE(rename(dt_test_path("%s/%s", h->base, folder), dt_test_path("%s/lost-%s", h->base, folder)) ==
               0);
}

static void hosts_read_the_shards_they_have(void)
{
    hosts *h = two_hosts(0);
    check_loads(h, 4, 20, 2);
    DT_CHECK_STR(captured_log_text(), "");
    check_loads(h, 8, 20, 2); /* with two new hosts */
    h->ranks_per_host = 1;
    check_loads(h, 3, 20, 2); /* one rank on each of three hosts */
    DT_CHECK_STR(captured_log_text(), "");
}

static void a_lost_disk_is_replaced_by_the_mirror_only(void)
{
    hosts *h = two_hosts(20);
    lose(h, "nvme0");
    check_loads(h, 4, 20, 2);
    DT_CHECK_CONTAINS(captured_log_text(), "checkpoint: 2 of the 4 shards of step 20 come from the mirror ");
    lose(h, "nvme1");
    check_loads(h, 4, 20, 2);
    DT_CHECK_CONTAINS(captured_log_text(), "checkpoint: 4 of the 4 shards of step 20 come from the mirror ");
    h = two_hosts(0);
    lose(h, "nvme1");
    check_refused(h, 4, DT_ERR_FORMAT, "/nvme0: none of the 2 checkpoints there is whole");
    DT_CHECK_CONTAINS(captured_log_text(),
                      "checkpoint: passing over step 20: no host has a whole shard-0002-of-0004.h5 in ");
    DT_CHECK_CONTAINS(captured_log_text(),
                      "checkpoint: passing over step 10: no host has a whole shard-0002-of-0004.h5 in ");
}

static void a_mirror_that_lags_or_is_damaged_means_the_older_checkpoint(void)
{
    hosts *h = two_hosts(10);
    lose(h, "nvme1");
    check_loads(h, 4, 10, 1);
    DT_CHECK_CONTAINS(captured_log_text(),
                      "checkpoint: passing over step 20: no host has a whole shard-0002-of-0004.h5 in ");
    DT_CHECK_CONTAINS(captured_log_text(), "has no such checkpoint");
    h = two_hosts(20);
    lose(h, "nvme1");
    damage(h, "fsx", 20, shard_name(3));
    check_loads(h, 4, 10, 1);
    DT_CHECK_CONTAINS(captured_log_text(), "no host has a whole shard-0003-of-0004.h5 in ");
    DT_CHECK_CONTAINS(captured_log_text(), "; rank 1 on host0: ");
    DT_CHECK_CONTAINS(captured_log_text(), "/fsx/step-00000020/shard-0003-of-0004.h5: its XXH3-128 is");
}

static void damaged_shards_are_logged_and_read_from_elsewhere(void)
{
    hosts *h = two_hosts(20);
    damage(h, "nvme0", 20, shard_name(1));
    damage(h, "nvme1", 20, "manifest.json");
    DT_REQUIRE(truncate(path_in(h, "nvme1", 20, shard_name(2)), 100) == 0);
    check_loads(h, 4, 20, 2);
    DT_CHECK_CONTAINS(captured_log_text(), "checkpoint: step 20: rank 1 on host0: ");
    DT_CHECK_CONTAINS(captured_log_text(), "/nvme0/step-00000020/shard-0001-of-0004.h5: its XXH3-128 is");
    DT_CHECK_CONTAINS(captured_log_text(),
                      "/nvme1/step-00000020/shard-0002-of-0004.h5: has 100 bytes, the manifest says ");
    DT_CHECK_CONTAINS(captured_log_text(), "/nvme1/step-00000020/manifest.json: ");
    DT_CHECK(!strstr(captured_log_text(), "passing over"));
    damage(h, "fsx", 20, shard_name(0)); /* no rank needs that */
    check_loads(h, 4, 20, 2);
    copy_file(h, "nvme0", 20, shard_name(2)); /* a peer has it now */
    lose(h, "fsx");
    damage(h, "nvme0", 20, shard_name(1)); /* it is whole again */
    check_loads(h, 4, 20, 2);
    DT_CHECK(!strstr(captured_log_text(), "passing over"));
}

static void two_attempts_at_a_step_are_never_mixed(void)
{
    hosts *h = two_hosts(0);
    h->config_text = "lr = 0.2;";
    save(h, 30, 3);
    deal(h, "nvme0", 30, 0x3);
    h->config_text = NULL;
    save(h, 30, 4);
    deal(h, "nvme1", 30, 0xc);
    check_loads(h, 4, 20, 2);
    DT_CHECK_CONTAINS(captured_log_text(),
                      "checkpoint: passing over step 30: no host has a whole shard-0002-of-0004.h5");
    DT_CHECK_CONTAINS(captured_log_text(),
                      "checkpoint: passing over step 30: no host has a whole shard-0000-of-0004.h5");
    deal(h, "fsx", 30, 0xf);
    check_loads(h, 4, 30, 4);
}

static void a_folder_that_cannot_be_listed_is_an_error(void)
{
    hosts *h = two_hosts(20);
    lose(h, "nvme1");
    dt_test_write_file(dt_test_path("%s/nvme1", h->base), "x", 1);
    check_refused(h, 4, DT_ERR_IO, "2 of 4 ranks, the first is rank 2 on host1: ");
}

static void every_rank_passes_over_a_checkpoint_that_one_disk_cannot_read(void)
{
    hosts *h = two_hosts(10);
    for (int n = 1; n <= 4; n++) {
        dt_fault_arm(dt_test_path("store.read:%d", n), 0, NULL);
        check_loads(h, 4, 10, 1);
        DT_CHECK_CONTAINS(captured_log_text(), "passing over step 20");
        dt_fault_arm(dt_test_path("store.verify:%d", n), 0, NULL);
        check_loads(h, 4, 10, 1);
        DT_CHECK_CONTAINS(captured_log_text(), "passing over step 20");
    }
    dt_fault_arm(NULL, 0, NULL);
    check_loads(h, 4, 20, 2);
}

static const dt_test tests[] = {
    DT_TEST(hosts_read_the_shards_they_have),
    DT_TEST(a_lost_disk_is_replaced_by_the_mirror_only),
    DT_TEST(a_mirror_that_lags_or_is_damaged_means_the_older_checkpoint),
    DT_TEST(damaged_shards_are_logged_and_read_from_elsewhere),
    DT_TEST(two_attempts_at_a_step_are_never_mixed),
    DT_TEST(a_folder_that_cannot_be_listed_is_an_error),
    DT_TEST(every_rank_passes_over_a_checkpoint_that_one_disk_cannot_read),
};
DT_TEST_MAIN("io/store/checkpoint_locations", tests)
