/* Trainings with a mirror, and with a folder of its own on each host. Threads are ranks, two to a host. */
#include "tests/fakes/captured_log.h"
#include "tests/fakes/fake_store.h"
#include "tests/fakes/trainer_job.h"

#include "core/checkpoint/load.h"
#include "tests/testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void run_quietly(job *j)
{
    captured_log_begin(DT_LOG_WARN);
    run(j);
    captured_log_end();
}

static int64_t times_logged(const char *text)
{
    int64_t n = 0;
    for (const char *p = captured_log_text(); (p = strstr(p, text)); p++)
        n++;
    return n;
}

static int64_t newest(dt_store *store)
{
    int64_t step = -1, n;
    DT_CHECK_INT(store->ops->list(store, &step, 1, &n, NULL), DT_OK);
    return step;
}

static job job_with_mirror(int size, const fake_store_options *mirror)
{
    job j = new_job(size);
    j.config.checkpoint_every = 4;
    j.config.keep = 2;
    j.config.eval_every = 0.0;
    j.store = fake_store_create(&(fake_store_options){0});
    j.mirror = fake_store_create(mirror);
    return j;
}

static void end_job(job *j)
{
    dt_store *stores[] = {j->store, j->second_store, j->mirror};
    for (size_t i = 0; i < 3; i++)
        if (stores[i])
            stores[i]->ops->destroy(stores[i]);
    free_job(j);
}

/* The shards of the newest checkpoint are the same in both. */
static void check_same_bytes(dt_store *a, dt_store *b)
{
    dt_manifest m = {0}, n = {0};
    DT_REQUIRE(a->ops->read_manifest(a, newest(a), &m, NULL) == DT_OK &&
               b->ops->read_manifest(b, newest(a), &n, NULL) == DT_OK);
    DT_CHECK_STR(m.config_text, n.config_text);
    DT_CHECK_INT(m.n_shards, n.n_shards);
    for (int64_t i = 0; i < m.n_shards; i++) {
        const size_t bytes = (size_t)m.shards[i].n_elems * sizeof(float);
        float *x = malloc(bytes), *y = malloc(bytes);
        DT_CHECK_INT(a->ops->read_shard(a, &m, &m.shards[i], x, NULL), DT_OK);
        DT_CHECK_INT(b->ops->read_shard(b, &n, &n.shards[i], y, NULL), DT_OK);
        DT_CHECK_BYTES(x, y, bytes);
        free(x);
        free(y);
    }
    dt_manifest_clear(&m);
    dt_manifest_clear(&n);
}

static void the_newest_checkpoint_is_in_the_mirror_at_the_end(void)
{
    for (int size = 1; size <= 3; size++) {
        job j = job_with_mirror(size, &(fake_store_options){.copy_s = 0.02});
        run_quietly(&j);
        check_all(&j, DT_OK);
        DT_CHECK_INT(newest(j.mirror), j.n_steps);
        check_same_bytes(j.store, j.mirror);
        DT_CHECK(fake_store_count(j.mirror) <= 2);
        DT_REQUIRE(j.n_mirrored > 0);
        const dt_metrics_checkpoint *last = &j.mirrored[j.n_mirrored - 1];
        DT_CHECK(last->step == j.n_steps && last->bytes > 0 && !last->error[0] &&
                 strcmp(last->path, "memory") == 0);
        end_job(&j);
    }
}

static void a_stop_waits_for_the_mirror(void)
{
    job j = job_with_mirror(2, &(fake_store_options){.copy_s = 0.05});
    j.stop_after = 6;
    run_quietly(&j);
    check_all(&j, DT_ERR_INTERRUPTED);
    DT_CHECK_INT(newest(j.mirror), newest(j.store));
    DT_CHECK_INT(newest(j.mirror), 7);
    end_job(&j);
}

static void a_stop_without_time_does_not_wait_for_the_mirror(void)
{
    job j = job_with_mirror(2, &(fake_store_options){.copy_s = 0.5});
    j.config.checkpoint_every = 1000;
    j.stop_after = 6;
    j.end_s = 5.2; /* of which 5 are reserved to leave */
    run_quietly(&j);
    check_all(&j, DT_ERR_INTERRUPTED);
    DT_CHECK_INT(newest(j.store), 7);
    DT_CHECK_INT(newest(j.mirror), -1);
    DT_CHECK_INT(times_logged("mirror: the checkpoint of step 7 was not copied to memory:"), 1);
    DT_CHECK_INT(times_logged("there was not enough time left"), 1);
    end_job(&j);
}

static void a_stop_without_time_to_save_copies_nothing_twice(void)
{
    job j = job_with_mirror(1, &(fake_store_options){0});
    j.n_train = 4 * 40;
    j.config.checkpoint_every = 0;
    j.next_s = 0.01; /* the copy of step 5 is done long before step 31 */
    j.save_after = 4;
    j.stop_after = 30;
    j.end_s = 1e-9;
    run_quietly(&j);
    check_all(&j, DT_ERR_INTERRUPTED);
    DT_CHECK_CONTAINS(j.error[0].message, "so none was written: the newest is that of step 5");
    DT_CHECK_INT(j.n_mirrored, 1);
    DT_CHECK_INT(j.mirrored[0].step, 5);
    end_job(&j);
}

static void a_failing_mirror_is_reported_and_training_goes_on(void)
{
    job j = job_with_mirror(2, &(fake_store_options){.fail_copies_of = 1});
    run_quietly(&j);
    check_all(&j, DT_OK);
    DT_CHECK_INT(newest(j.store), 16);
    DT_CHECK_INT(fake_store_count(j.mirror), 0);
    DT_CHECK(j.n_mirrored > 1);
    for (int64_t i = 0; i < j.n_mirrored; i++)
        DT_CHECK(j.mirrored[i].error[0] != '\0');
    DT_CHECK_INT(times_logged("(training goes on; the checkpoint itself stands)"), 1);
    end_job(&j);
    j = job_with_mirror(1, &(fake_store_options){.fail_commit_from = 2});
    run_quietly(&j);
    check_all(&j, DT_OK);
    DT_CHECK_INT(fake_store_count(j.mirror), 1); /* the older one is kept */
    end_job(&j);
}

/* The step of the copy that the mirror was busy with, instead of this one; -1: this one was not skipped. */
static int64_t busy_with(const dt_metrics_checkpoint *m)
{
    long long step = -1;
    return sscanf(m->error, "still busy with that of step %lld", &step) == 1 ? step : -1;
}

/* Whether a copy of the step was begun. */
static bool was_begun(const job *j, int64_t step)
{
    for (int64_t i = 0; i < j->n_mirrored; i++)
        if (j->mirrored[i].step == step && busy_with(&j->mirrored[i]) < 0)
            return true;
    return false;
}

static void a_busy_mirror_is_skipped_and_logged_once(void)
{
    job j = job_with_mirror(2, &(fake_store_options){.copy_s = 1.0});
    j.config.checkpoint_every = 2;
    run_quietly(&j);
    check_all(&j, DT_OK);
    DT_CHECK_INT(newest(j.mirror), 16);
    DT_CHECK_INT(times_logged("later ones that are skipped are only reported in metrics.jsonl"), 1);
    int64_t n_busy = 0;
    for (int64_t i = 0; i < j.n_mirrored; i++) {
        const int64_t step = j.mirrored[i].step, with = busy_with(&j.mirrored[i]);
        n_busy += with >= 0;
        DT_CHECK_MSG(with < 0 || (with < step && was_begun(&j, with) && !was_begun(&j, step)),
                     "step %lld is skipped because of step %lld", (long long)step, (long long)with);
    }
    DT_CHECK(n_busy > 1);
    end_job(&j);
}

static job job_on_two_hosts(const fake_store_options *second)
{
    job j = job_with_mirror(4, &(fake_store_options){0});
    j.second_store = fake_store_create(second);
    return j;
}

static void every_host_keeps_two_checkpoints_in_its_own_folder(void)
{
    job whole = job_on_two_hosts(&(fake_store_options){0});
    whole.config.keep = 1;
    run_quietly(&whole);
    check_all(&whole, DT_OK);
    DT_CHECK_INT(newest(whole.store), 8);
    DT_CHECK_INT(newest(whole.second_store), 8);
    DT_CHECK_INT(fake_store_count(whole.store), 2); /* one is not enough: hosts do not commit at the
                                                       same moment */
    DT_CHECK_INT(fake_store_count(whole.second_store), 2);
    DT_CHECK_INT(newest(whole.mirror), 8);
    end_job(&whole);
}

static void without_a_mirror_every_host_keeps_two_checkpoints_too(void)
{
    job j = job_on_two_hosts(&(fake_store_options){0});
    j.mirror->ops->destroy(j.mirror);
    j.mirror = NULL;
    j.config.keep = 1;
    run_quietly(&j);
    check_all(&j, DT_OK);
    DT_CHECK_INT(fake_store_count(j.store), 2);
    DT_CHECK_INT(fake_store_count(j.second_store), 2);
    end_job(&j);
}

static void a_checkpoint_that_one_host_cannot_commit_is_removed_on_all_hosts(void)
{
    job j = job_on_two_hosts(&(fake_store_options){.fail_commit_from = 2});
    run_quietly(&j);
    check_all(&j, DT_ERR_IO);
    DT_CHECK_INT(newest(j.store), 4);
    DT_CHECK_INT(newest(j.second_store), 4);
    DT_CHECK_INT(newest(j.mirror), 4);
    end_job(&j);
}

static job stopped_after_4_steps(void)
{
    job j = job_on_two_hosts(&(fake_store_options){0});
    j.config.steps = 4;
    run_quietly(&j);
    check_all(&j, DT_OK);
    free_job(&j); /* frees the values only */
    j.config.steps = 0;
    j.n_steps = 0;
    return j;
}

static void hosts_with_emptied_disks_resume_with_the_same_bits(void)
{
    job whole = job_on_two_hosts(&(fake_store_options){0});
    run_quietly(&whole);
    check_all(&whole, DT_OK);
    for (int emptied = 0; emptied < 4; emptied++) { /* bit h: host h */
        job j = stopped_after_4_steps();
        if (emptied & 1)
            fake_store_forget_after(j.store, -1);
        if (emptied & 2)
            fake_store_forget_after(j.second_store, -1);
        run_quietly(&j);
        check_all(&j, DT_OK);
        DT_CHECK_INT(j.n_steps, 4);
        for (int r = 0; r < 4; r++)
            DT_CHECK_BYTES(j.values[r], whole.values[r], kept_bytes(&whole));
        end_job(&j);
    }
    end_job(&whole);
}

static void a_checkpoint_that_is_lost_with_its_mirror_is_an_error(void)
{
    job j = stopped_after_4_steps();
    fake_store_forget_after(j.second_store, -1);
    fake_store_forget_after(j.mirror, -1);
    run_quietly(&j);
    check_all(&j, DT_ERR_FORMAT);
    DT_CHECK_INT(times_logged("passing over step 4: no host has a whole shard-0002-of-0004.h5 in memory; the "
                              "mirror memory has no such checkpoint"),
                 1);
    fake_store_forget_after(j.store, -1);
    free_job(&j);
    j.config.resume = DT_RESUME_MUST;
    run_quietly(&j);
    check_all(&j, DT_ERR_USAGE);
    DT_CHECK_CONTAINS(j.error[0].message,
                      "--resume must: there is no checkpoint in memory, nor in the mirror memory");
    end_job(&j);
}

static const dt_test tests[] = {
    DT_TEST(the_newest_checkpoint_is_in_the_mirror_at_the_end),
    DT_TEST(a_stop_waits_for_the_mirror),
    DT_TEST(a_stop_without_time_does_not_wait_for_the_mirror),
    DT_TEST(a_stop_without_time_to_save_copies_nothing_twice),
    DT_TEST(a_failing_mirror_is_reported_and_training_goes_on),
    DT_TEST(a_busy_mirror_is_skipped_and_logged_once),
    DT_TEST(every_host_keeps_two_checkpoints_in_its_own_folder),
    DT_TEST(without_a_mirror_every_host_keeps_two_checkpoints_too),
    DT_TEST(a_checkpoint_that_one_host_cannot_commit_is_removed_on_all_hosts),
    DT_TEST(hosts_with_emptied_disks_resume_with_the_same_bits),
    DT_TEST(a_checkpoint_that_is_lost_with_its_mirror_is_an_error),
};
DT_TEST_MAIN("core/trainer_mirror", tests)
