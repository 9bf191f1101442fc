/* Which job of a batch system this is, and whether a file was written before it was restarted. */
#include "launch/run/job.h"

#include "tests/testing.h"

#include <stdlib.h>
#include <string.h>

static const char *const variables[] = {"SLURM_JOB_ID", "SLURM_RESTART_COUNT", "AWS_BATCH_JOB_ID",
                                        "AWS_BATCH_JOB_ATTEMPT"};

static void dtrain_run_restarts_within_the_jobs_of_others(void)
{
    setenv("DTRAIN_RUN_ID", "host-12-34", 1);
    setenv("DTRAIN_RUN_START", "1002", 1);
    setenv("SLURM_JOB_ID", "5", 1);
    setenv("SLURM_RESTART_COUNT", "1", 1);
    dt_job job;
    dt_job_read(&job);
    DT_CHECK_STR(job.name, "dtrain-run job host-12-34");
    DT_CHECK_INT(job.n_restarts, 1002);
    unsetenv("DTRAIN_RUN_ID");
    dt_job_read(&job);
    DT_CHECK_STR(job.name, "Slurm job 5");
}

/* The job of an environment with these variables; NULL: not set. */
static dt_job job_of(const char *slurm, const char *restarts, const char *batch, const char *attempt)
{
    const char *const values[] = {slurm, restarts, batch, attempt};
    dt_job job;
    for (int i = 0; i < 4; i++)
        if (values[i])
            setenv(variables[i], values[i], 1);
        else
            unsetenv(variables[i]);
    dt_job_read(&job);
    return job;
}

static void jobs_are_read_from_the_environment(void)
{
    static const struct {
        const char *values[4], *name;
        int64_t n_restarts;
    } cases[] = {
        {{NULL, NULL, NULL, NULL}, "", 0},
        {{"123", NULL, NULL, NULL}, "Slurm job 123", 0},
        {{"123", "2", NULL, NULL}, "Slurm job 123", 2},
        {{"123", "two", NULL, NULL}, "Slurm job 123", 0},
        {{"123", "2x", NULL, NULL}, "Slurm job 123", 0},
        {{"123", "-1", NULL, NULL}, "Slurm job 123", 0},
        {{"123", "", NULL, NULL}, "Slurm job 123", 0},
        {{NULL, "7", "a1-b2:3#4", "1"}, "AWS Batch job a1-b2:3#4", 1},
        {{"5", "1", "a1", "9"}, "Slurm job 5", 1},             /* the first one counts */
        {{"", NULL, "a1", "9"}, "AWS Batch job a1", 9},        /* no number of Slurm's */
        {{"1; rm x", NULL, "a1", "9"}, "AWS Batch job a1", 9}, /* nor is this */
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        const char *const *v = cases[i].values;
        const dt_job job = job_of(v[0], v[1], v[2], v[3]);
        DT_CHECK_STR(job.name, cases[i].name);
        DT_CHECK_INT(job.n_restarts, cases[i].n_restarts);
    }
}

static void a_number_of_a_job_has_64_characters_at_most(void)
{
    char id[66];
    memset(id, 'a', 65);
    id[65] = '\0';
    DT_CHECK_STR(job_of(id, NULL, NULL, NULL).name, "");
    id[64] = '\0';
    DT_CHECK_STR(job_of(id, NULL, NULL, NULL).name, dt_test_path("Slurm job %s", id));
}

static void a_later_restart_of_the_same_job_is_one(void)
{
    const char *path = dt_test_path("%s/job", dt_test_temp_dir());
    dt_error err = {0};
    dt_job job = job_of("123", "1", NULL, NULL);
    DT_CHECK(!dt_job_is_restart(&job, path)); /* there is no file */
    DT_REQUIRE_MSG(dt_job_write(&job, path, &err) == DT_OK, "%s", err.message);
    DT_CHECK(!dt_job_is_restart(&job, path)); /* a second start without a restart */
    job.n_restarts = 0;
    DT_CHECK(!dt_job_is_restart(&job, path));
    job.n_restarts = 2;
    DT_CHECK(dt_job_is_restart(&job, path));
    dt_job other = job_of("124", "2", NULL, NULL), none = job_of(NULL, NULL, NULL, NULL);
    DT_CHECK(!dt_job_is_restart(&other, path) && !dt_job_is_restart(&none, path));
    DT_REQUIRE(dt_job_write(&other, path, &err) == DT_OK); /* over the longer history of the other job */
    DT_CHECK(!dt_job_is_restart(&job, path));
    other.n_restarts++;
    DT_CHECK(dt_job_is_restart(&other, path));
}

static void other_files_are_no_jobs(void)
{
    static const char *const texts[] = {
        "", "\n", "1\n", "x Slurm job 123\n", "1 Slurm job 1234\n", "1 Slurm job 12\n"};
    const dt_job job = job_of("123", "9", NULL, NULL);
    const char *path = dt_test_path("%s/job", dt_test_temp_dir());
    for (size_t i = 0; i < sizeof texts / sizeof *texts; i++) {
        dt_test_write_file(path, texts[i], strlen(texts[i]));
        DT_CHECK_MSG(!dt_job_is_restart(&job, path), "\"%s\"", texts[i]);
    }
    dt_test_write_file(path, "1 Slurm job 123\n", 16);
    DT_CHECK(dt_job_is_restart(&job, path));
    dt_error err = {0};
    DT_CHECK_INT(dt_job_write(&job, dt_test_temp_dir(), &err), DT_ERR_IO);
    DT_CHECK_CONTAINS(err.message, "is a folder");
}

static const dt_test tests[] = {
    DT_TEST(jobs_are_read_from_the_environment),
    DT_TEST(a_number_of_a_job_has_64_characters_at_most),
    DT_TEST(a_later_restart_of_the_same_job_is_one),
    DT_TEST(other_files_are_no_jobs),
    DT_TEST(dtrain_run_restarts_within_the_jobs_of_others),
};
DT_TEST_MAIN("launch/run/job", tests)
