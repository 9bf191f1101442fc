/* A whole copy by several nodes, which are threads, from a folder: each byte is read once, all get all. */
#include "launch/stage/stage.h"
#include "tests/fakes/fake_comm.h"
#include "tests/testing.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { N_SMALL = 300, SMALL_BYTES = 80000, MAX_NODES = 4 };
#define LARGE_BYTES (2 * DT_STAGE_PART_BYTES + 12345)
#define ALL_BYTES ((int64_t)N_SMALL * SMALL_BYTES + LARGE_BYTES)

int dt_test_time_limit_s = 300;

static const char *base; /* the test's folder */

static const char *source(void)
{
    return dt_test_path("%s/source", base);
}

static const char *target(int node)
{
    return dt_test_path("%s/target-%d", base, node);
}

static void fill(const char *path, int64_t bytes, int seed)
{
    char *data = malloc((size_t)bytes);
    for (int64_t i = 0; i < bytes; i++)
        data[i] = (char)(i * 31 + (i >> 9) + seed);
    dt_test_write_file(path, data, (size_t)bytes);
    free(data);
}

static void make_source(void)
{
    base = dt_test_temp_dir();
    mkdir(source(), 0777);
    for (int i = 0; i < N_SMALL; i++) {
        const char *class_folder = dt_test_path("%s/class-%d", source(), i % 7);
        mkdir(class_folder, 0777);
        fill(dt_test_path("%s/%d.jpg", class_folder, i), SMALL_BYTES, i);
    }
    fill(dt_test_path("%s/large.tar", source()), LARGE_BYTES, 3);
    fill(dt_test_path("%s/empty", source()), 0, 0);
}

/* Whether a node's copy of a file is the source's. */
static bool is_copied(int node, const char *name)
{
    size_t n = 0, m = 0;
    char *a = dt_test_read_file(dt_test_path("%s/%s", source(), name), &n);
    char *b = dt_test_read_file(dt_test_path("%s/%s", target(node), name), &m);
    const bool same = a && b && n == m && memcmp(a, b, n) == 0;
    free(a);
    free(b);
    return same;
}

static int count_copied(int node)
{
    int n = is_copied(node, "large.tar") + is_copied(node, "empty");
    char name[40];
    for (int i = 0; i < N_SMALL; i++) {
        snprintf(name, sizeof name, "class-%d/%d.jpg", i % 7, i);
        n += is_copied(node, name);
    }
    return n;
}

/* -- the ranks ------------------------------------------------------------------------------------------- */

static struct {
    bool split, shared_target;
    const char *source[8], *target[8];
    dt_status status[8];
    dt_error error[8];
    dt_stage_result result[8];
} job;

static void rank_main(dt_comm *comm, void *context)
{
    const int r = comm->rank;
    const dt_stage_options options = {
        .source = job.source[r], .folder = job.target[r], .split = job.split, .log_every_s = 1000};
    (void)context;
    job.status[r] = dt_stage_run(comm, &options, &job.result[r], &job.error[r]);
}

/* Starts a copy on so many nodes, one rank each. */
static void copy(int n, dt_status expected)
{
    for (int r = 0; r < n; r++) {
        job.source[r] = source();
        job.target[r] = target(job.shared_target ? 0 : r);
        job.error[r] = (dt_error){0};
    }
    fake_comm_run_on_hosts(n, 1, rank_main, NULL);
    for (int r = 0; r < n; r++)
        DT_CHECK_MSG(job.status[r] == expected, "rank %d: status %d: %s", r, job.status[r],
                     job.error[r].message);
}

static void begin(void)
{
    memset(&job, 0, sizeof job);
    make_source();
}

static void one_node_copies_all_and_nothing_a_second_time(void)
{
    begin();
    copy(1, DT_OK);
    DT_CHECK_INT(count_copied(0), N_SMALL + 2);
    DT_CHECK_INT(job.result[0].objects, N_SMALL + 2);
    DT_CHECK_INT(job.result[0].bytes, ALL_BYTES);
    DT_CHECK_INT(job.result[0].source_bytes, ALL_BYTES);
    DT_CHECK_INT(job.result[0].gets,
                 N_SMALL + 3); /* an empty object needs none, the large one has three parts */
    copy(1, DT_OK);
    DT_CHECK_INT(job.result[0].gets, 0);
    DT_CHECK_INT(job.result[0].source_bytes, 0);
}

static void each_object_is_read_by_one_node_and_all_get_it(void)
{
    begin();
    copy(3, DT_OK);
    for (int node = 0; node < 3; node++)
        DT_CHECK_INT(count_copied(node), N_SMALL + 2);
    DT_CHECK_INT(job.result[2].nodes, 3);
    DT_CHECK_INT(job.result[2].gets, N_SMALL + 3);
    DT_CHECK_INT(job.result[2].source_bytes, ALL_BYTES);
}

static void a_new_node_gets_all_from_the_others(void)
{
    begin();
    copy(2, DT_OK);
    DT_CHECK(rename(target(1), target(3)) == 0); /* its disk is empty */
    copy(2, DT_OK);
    DT_CHECK_INT(count_copied(1), N_SMALL + 2);
    DT_CHECK_INT(job.result[0].gets, 0);
    DT_CHECK_INT(job.result[0].disk_bytes, ALL_BYTES);
}

static void a_file_that_changed_is_copied_again_alone(void)
{
    const struct timespec later[2] = {{.tv_sec = 2000000000}, {.tv_sec = 2000000000}};
    begin();
    copy(2, DT_OK);
    fill(dt_test_path("%s/class-0/0.jpg", source()), SMALL_BYTES, 77);
    DT_REQUIRE(utimensat(AT_FDCWD, dt_test_path("%s/class-0/0.jpg", source()), later, 0) == 0);
    copy(2, DT_OK);
    DT_CHECK_INT(job.result[0].gets, 1);
    for (int node = 0; node < 2; node++)
        DT_CHECK_INT(count_copied(node), N_SMALL + 2);
}

static void a_split_gives_each_node_a_part(void)
{
    begin();
    job.split = true;
    copy(3, DT_OK);
    int all = 0;
    for (int node = 0; node < 3; node++) {
        const int n = count_copied(node);
        DT_CHECK_MSG(n >= 1, "node %d has %d", node, n);
        all += n;
    }
    DT_CHECK_INT(all, N_SMALL + 2);
    DT_CHECK_INT(job.result[0].gets, N_SMALL + 3);
    DT_CHECK(job.result[0].part_bytes < ALL_BYTES / 2);
    /* the hosts come in another order */
    DT_REQUIRE(rename(target(0), target(3)) == 0 && rename(target(2), target(0)) == 0 &&
               rename(target(3), target(2)) == 0);
    copy(3, DT_OK);
    DT_CHECK_INT(job.result[0].gets, 0);
}

static void nodes_that_see_one_folder_write_it_once(void)
{
    begin();
    job.shared_target = true;
    copy(2, DT_OK);
    DT_CHECK_INT(job.result[0].nodes, 1);
    DT_CHECK_INT(job.result[1].gets, N_SMALL + 3);
    DT_CHECK_INT(count_copied(0), N_SMALL + 2);
}

static void an_error_of_one_node_reaches_all(void)
{
    begin();
    mkdir(target(1), 0777);
    dt_test_write_file(dt_test_path("%s/class-3", target(1)), "x", 1); /* where a folder should be */
    copy(3, DT_ERR_IO);
    for (int r = 0; r < 3; r++) {
        DT_CHECK_CONTAINS(job.error[r].message, "rank 1 on host1");
        DT_CHECK_CONTAINS(job.error[r].message, "class-3");
        DT_CHECK(job.error[r].shared);
    }
    unlink(dt_test_path("%s/class-3", target(1)));
    copy(3, DT_OK);
    for (int node = 0; node < 3; node++)
        DT_CHECK_INT(count_copied(node), N_SMALL + 2);
}

static void a_source_that_is_empty_or_not_there_is_refused(void)
{
    begin();
    job.source[0] = dt_test_path("%s/nothing", base);
    job.target[0] = target(0);
    fake_comm_run_on_hosts(1, 1, rank_main, NULL);
    DT_CHECK_INT(job.status[0], DT_ERR_USAGE);
    DT_CHECK_CONTAINS(job.error[0].message, "no such folder");
    mkdir(job.source[0], 0777);
    fake_comm_run_on_hosts(1, 1, rank_main, NULL);
    DT_CHECK_INT(job.status[0], DT_ERR_USAGE);
    DT_CHECK_CONTAINS(job.error[0].message, "there is no file");
}

static const dt_test tests[] = {
    DT_TEST(one_node_copies_all_and_nothing_a_second_time),
    DT_TEST(each_object_is_read_by_one_node_and_all_get_it),
    DT_TEST(a_new_node_gets_all_from_the_others),
    DT_TEST(a_file_that_changed_is_copied_again_alone),
    DT_TEST(a_split_gives_each_node_a_part),
    DT_TEST(nodes_that_see_one_folder_write_it_once),
    DT_TEST(an_error_of_one_node_reaches_all),
    DT_TEST(a_source_that_is_empty_or_not_there_is_refused),
};
DT_TEST_MAIN("launch/stage/stage", tests)
