/* The table of ranks at the start of a run. */
#include "launch/commands/rank_table.h"

#include "tests/fakes/captured_log.h"
#include "tests/testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MOST = 48 };
static dt_rank_row rows[MOST];

static void add(int r, const char *host, const char *cpus, const char *near)
{
    rows[r] = (dt_rank_row){.device = "EPYC, 1 thread", .n_threads = 1, .n_workers = 2};
    snprintf(rows[r].host, sizeof rows[r].host, "%s", host);
    snprintf(rows[r].cpus, sizeof rows[r].cpus, "%s", cpus);
    snprintf(rows[r].near, sizeof rows[r].near, "%s", near);
}

/* The table's text, without its rule; the caller calls free(). */
static char *print(int n)
{
    dt_error err = {0};
    dt_table *table = NULL;
    const char *path = dt_test_path("%s/table", dt_test_temp_dir());
    DT_REQUIRE(dt_rank_table_create(rows, n, &table, &err) == DT_OK);
    FILE *f = fopen(path, "w");
    DT_REQUIRE(f != NULL);
    DT_CHECK(dt_table_print(table, f, false, 200, &err) == DT_OK);
    fclose(f);
    dt_table_destroy(table);
    return dt_test_read_file(path, NULL);
}

static void each_rank_has_a_row_with_its_processors(void)
{
    add(0, "a", "0-5,48-53", "socket 0, efa_0");
    add(1, "b", "6", "");
    char *text = print(2);
    DT_CHECK_CONTAINS(text, "rank | host | device         | threads | workers | processors | near");
    DT_CHECK_CONTAINS(text,
                      "\n   0 | a    | EPYC, 1 thread |       1 |       2 | 0-5,48-53  | socket 0, efa_0");
    DT_CHECK_CONTAINS(text, "\n   1 | b    | EPYC, 1 thread |       1 |       2 | 6          |");
    free(text);
    add(0, "a", "0-1", "");
    text = print(1);
    DT_CHECK(strstr(text, "near") == NULL);
    free(text);
}

static void many_ranks_that_are_alike_share_a_row_with_all_their_processors(void)
{
    char cpu[16];
    for (int r = 0; r < MOST; r++) {
        snprintf(cpu, sizeof cpu, "%d", r % 24);
        add(r, r < 24 ? "a" : "b", cpu, r < 24 ? "socket 0" : r % 2 ? "socket 0" : "socket 1");
    }
    char *text = print(MOST);
    DT_CHECK_CONTAINS(text, "\n 0-23 | a    | EPYC, 1 thread |       1 |       2 | 0-23       | socket 0\n");
    DT_CHECK_CONTAINS(text, "\n24-47 | b    | EPYC, 1 thread |       1 |       2 | 0-23       |");
    DT_CHECK(strstr(text, "socket 1") == NULL);
    free(text);
    snprintf(rows[3].cpus, sizeof rows[3].cpus, "0,2,4,...");
    text = print(MOST);
    DT_CHECK_CONTAINS(text, "\n 0-23 | a    | EPYC, 1 thread |       1 |       2 | ...        | socket 0\n");
    free(text);
}

/* A device for the row; its name comes first. */
static void get_info(dt_device *device, dt_device_info *info)
{
    (void)device;
    *info = (dt_device_info){.name = "NVIDIA A100, GPU 3"};
}

static void a_row_has_what_the_rank_was_given(void)
{
    static const dt_device_ops ops = {.info = get_info};
    dt_device device = {&ops};
    dt_comm comm = {.host = "node7"};
    dt_session s = {.device = &device, .comm = &comm, .affinity = {.n_threads = 6, .n_workers = 10}};
    dt_rank_row row;
    for (int cpu = 0; cpu < 5; cpu++)
        dt_cpus_add(&s.affinity.cpus, 20 + cpu);
    snprintf(s.affinity.near, sizeof s.affinity.near, "socket 1");
    s.affinity.is_far = true;
    dt_rank_row_fill(&s, &row);
    DT_CHECK_STR(row.host, "node7");
    DT_CHECK_STR(row.device, "NVIDIA A100, GPU 3");
    DT_CHECK_STR(row.cpus, "20-24");
    DT_CHECK_STR(row.near, "socket 1");
    DT_CHECK(row.n_threads == 6 && row.n_workers == 10 && row.is_far);
    for (int cpu = 0; cpu < 200; cpu += 2)
        dt_cpus_add(&s.affinity.cpus, cpu);
    dt_rank_row_fill(&s, &row);
    DT_CHECK_INT(strlen(row.cpus), sizeof row.cpus - 1);
    DT_CHECK_STR(row.cpus + strlen(row.cpus) - 3, "...");
}

static void ranks_far_from_their_gpus_are_named_once(void)
{
    for (int r = 0; r < MOST; r++)
        add(r, "a", "0", "");
    captured_log_begin(DT_LOG_WARN);
    dt_rank_table_warn(rows, MOST);
    DT_CHECK_INT(captured_log_lines(), 0);
    rows[3].is_far = true;
    dt_rank_table_warn(rows, MOST);
    DT_CHECK_CONTAINS(captured_log_text(),
                      "1 rank runs on processors that are not near its GPU (rank 3), because");
    DT_CHECK_CONTAINS(captured_log_text(), "mpirun --bind-to none, srun --cpu-bind=none");
    for (int r = 0; r < MOST; r++)
        rows[r].is_far = true;
    dt_rank_table_warn(rows, MOST);
    captured_log_end();
    DT_CHECK_INT(captured_log_lines(), 2);
    DT_CHECK_CONTAINS(captured_log_text(),
                      "48 ranks run on processors that are not near their GPU (ranks 0, 1, 2, ");
    DT_CHECK_CONTAINS(captured_log_text(), ", ...), because");
}

static const dt_test tests[] = {
    DT_TEST(each_rank_has_a_row_with_its_processors),
    DT_TEST(many_ranks_that_are_alike_share_a_row_with_all_their_processors),
    DT_TEST(a_row_has_what_the_rank_was_given),
    DT_TEST(ranks_far_from_their_gpus_are_named_once),
};

DT_TEST_MAIN("launch/commands/rank_table", tests)
