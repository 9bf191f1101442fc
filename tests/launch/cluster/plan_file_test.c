/* What a cluster takes from the JSON of a plan. tests/program/cluster_test.sh reads a real one. */
#include "launch/cluster/plan_file.h"
#include "tests/testing.h"

#include <stdio.h>
#include <string.h>

static dt_error err;
static dt_cluster_plan plan;

#define ROWS                                                                                                 \
    "\"rows\": [\n"                                                                                          \
    "{\"instance\": \"g5.xlarge\", \"region\": \"us-east-1\", \"zone\": null, \"nodes\": 1, \"buy\": \"on "  \
    "demand\",\n"                                                                                            \
    " \"usd\": {\"mean\": 51, \"p95\": 51}, \"hours\": {\"mean\": 50, \"p95\": 50}},\n"                      \
    "{\"instance\": \"p5.48xlarge\", \"region\": \"us-east-2\", \"zone\": \"use2-az3\", \"nodes\": 2, "      \
    "\"buy\": \"mixed\",\n"                                                                                  \
    " \"usd\": {\"mean\": 12.5, \"p95\": 17}, \"hours\": {\"mean\": 1.4, \"p95\": 4.2}}]}\n"

static const char *write_plan(const char *recommendations)
{
    char text[4096];
    const char *path = dt_test_path("%s/plan.json", dt_test_temp_dir());
    snprintf(text, sizeof text, "{\"version\": 1, \"recommendations\": [%s],\n%s", recommendations, ROWS);
    dt_test_write_file(path, text, strlen(text));
    return path;
}

#define ALL                                                                                                  \
    "{\"title\": \"Cheapest\", \"row\": 0}, {\"title\": \"Fastest\", \"row\": 1, "                           \
    "\"command\": \"mpirun -np 16 dtrain --data DIR --lr 0.8\"}, "                                           \
    "{\"title\": \"Best value\", \"row\": 1}"

static void the_best_value_is_taken(void)
{
    const char *path = write_plan(ALL);
    DT_REQUIRE_MSG(dt_cluster_plan_read(path, DT_CLUSTER_CHOICE_AUTO, &plan, &err) == DT_OK, "%s",
                   err.message);
    DT_CHECK_STR(plan.title, "Best value");
    DT_CHECK_STR(plan.options, "");
    DT_CHECK_STR(plan.type, "p5.48xlarge");
    DT_CHECK_STR(plan.region, "us-east-2");
    DT_CHECK_STR(plan.zone, "use2-az3");
    DT_CHECK_INT(plan.nodes, 2);
    DT_CHECK_INT(plan.buy, DT_BUY_BOTH);
    DT_CHECK_CLOSE(plan.usd_mean, 12.5, 0);
    DT_CHECK_CLOSE(plan.usd_p95, 17, 0);
    DT_CHECK_CLOSE(plan.hours_mean, 1.4, 0);
    DT_CHECK_CLOSE(plan.hours_p95, 4.2, 0);
    DT_REQUIRE(dt_cluster_plan_read(path, DT_CLUSTER_CHOICE_CHEAPEST, &plan, &err) == DT_OK);
    DT_CHECK_STR(plan.type, "g5.xlarge");
    DT_CHECK_STR(plan.zone, "");
    DT_CHECK_INT(plan.buy, DT_BUY_ON_DEMAND);
    DT_REQUIRE(dt_cluster_plan_read(path, DT_CLUSTER_CHOICE_FASTEST, &plan, &err) == DT_OK);
    DT_CHECK_STR(plan.title, "Fastest");
    DT_CHECK_STR(plan.options, " --data DIR --lr 0.8");
}

static void what_the_plan_was_asked_for_comes_first(void)
{
    DT_REQUIRE(dt_cluster_plan_read(write_plan(ALL ", {\"title\": \"Fastest for $50.00\", \"row\": 0}"),
                                    DT_CLUSTER_CHOICE_AUTO, &plan, &err) == DT_OK);
    DT_CHECK_STR(plan.title, "Fastest for $50.00");
    const char *path = write_plan(
        ALL
        ", {\"title\": \"Fastest for $50.00\", \"row\": 0}, {\"title\": \"Cheapest in 12 h\", \"row\": 0}");
    DT_REQUIRE(dt_cluster_plan_read(path, DT_CLUSTER_CHOICE_AUTO, &plan, &err) == DT_OK);
    DT_CHECK_STR(plan.title, "Cheapest in 12 h");
    DT_REQUIRE(dt_cluster_plan_read(path, DT_CLUSTER_CHOICE_IN_BUDGET, &plan, &err) == DT_OK);
    DT_CHECK_STR(plan.title, "Fastest for $50.00");
    DT_REQUIRE(dt_cluster_plan_read(path, DT_CLUSTER_CHOICE_BEST_VALUE, &plan, &err) == DT_OK);
    DT_CHECK_STR(plan.title, "Best value");
}

static void check_refused(const char *path, dt_cluster_choice choice, const char *message)
{
    char expected[1024];
    DT_CHECK_INT(dt_cluster_plan_read(path, choice, &plan, &err), DT_ERR_USAGE);
    snprintf(expected, sizeof expected, "%s%s", path, message);
    DT_CHECK_STR(err.message, expected);
}

static void a_recommendation_that_is_not_there_is_refused_with_those_that_are(void)
{
    check_refused(write_plan(ALL), DT_CLUSTER_CHOICE_IN_DEADLINE,
                  ":1: the plan does not have the recommendation 'in-deadline'; --choice can be cheapest, "
                  "fastest, best-value");
    check_refused(write_plan(""), DT_CLUSTER_CHOICE_AUTO,
                  ":1: the plan does not have the recommendation 'best-value': no choice was possible");
    check_refused(write_plan(ALL ",\n{\"title\": \"Cheapest in 2 h\", \"row\": null}"),
                  DT_CLUSTER_CHOICE_AUTO,
                  ":2: 'Cheapest in 2 h' has no choice that fits: take another with --choice, or plan again");
}

static void what_is_no_plan_is_refused_with_the_line(void)
{
    static const char *const wrong[][2] = {
        {"[]", ":1: this is no plan: dtrain plan --json > FILE writes one"},
        {"{\"version\": 1}", ":1: this is no plan: dtrain plan --json > FILE writes one"},
    };
    const char *path = dt_test_path("%s/wrong.json", dt_test_temp_dir());
    for (size_t i = 0; i < sizeof wrong / sizeof wrong[0]; i++) {
        dt_test_write_file(path, wrong[i][0], strlen(wrong[i][0]));
        check_refused(path, DT_CLUSTER_CHOICE_AUTO, wrong[i][1]);
    }
    dt_test_write_file(path, "resnet50, 90 epochs", 19); /* the table */
    DT_CHECK_INT(dt_cluster_plan_read(path, DT_CLUSTER_CHOICE_AUTO, &plan, &err), DT_ERR_USAGE);
    DT_CHECK(strncmp(err.message, path, strlen(path)) == 0);
    DT_CHECK_INT(dt_cluster_plan_read(write_plan("{\"title\": \"Best value\", \"row\": 2}"),
                                      DT_CLUSTER_CHOICE_AUTO, &plan, &err),
                 DT_ERR_USAGE);
    DT_CHECK_INT(dt_cluster_plan_read("nowhere.json", DT_CLUSTER_CHOICE_AUTO, &plan, &err), DT_ERR_USAGE);
    DT_CHECK_CONTAINS(err.message, "nowhere.json: No such file");
}

static const dt_test tests[] = {
    DT_TEST(the_best_value_is_taken),
    DT_TEST(what_the_plan_was_asked_for_comes_first),
    DT_TEST(a_recommendation_that_is_not_there_is_refused_with_those_that_are),
    DT_TEST(what_is_no_plan_is_refused_with_the_line),
};
DT_TEST_MAIN("launch/cluster/plan_file", tests)
