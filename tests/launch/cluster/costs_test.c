/* Dollars an hour, quotas, and the command that is repeated with the network's subnets. */
#include "launch/cluster/costs.h"
#include "launch/cluster/quotas.h"
#include "launch/cluster/steps.h"
#include "tests/launch/cluster/cluster_kit.h"
#include "tests/testing.h"

#include <math.h>
#include <string.h>
#include <wordexp.h>

#define MONTH 730.0

static dt_error err;
static dt_cluster_costs costs;
static dt_cluster_quota quotas[DT_CLUSTER_MAX_QUOTAS];

void dt_test_set_up(void)
{
    cluster_kit_open();
}

void dt_test_tear_down(void)
{
    cluster_kit_close();
}

static double price_of(const char *type, const char *zone, bool is_spot)
{
    const dt_price *price = dt_catalog_find_price(cluster_kit_catalog, type, "us-east-1", zone, is_spot);
    DT_REQUIRE(price != NULL);
    return price->usd_h;
}

static void idle_is_all_but_the_nodes(void)
{
    dt_cluster c = CLUSTER("--types", "g5.xlarge");
    dt_cluster_costs_add_up(&c, cluster_kit_catalog, &costs);
    const double idle = 0.17 + 160 * 0.08 / MONTH + 0.045 + 2 * 0.005;
    DT_CHECK_CLOSE(costs.idle_usd_h, idle, 1e-9);
    const double node = price_of("g5.xlarge", NULL, false) + 100 * 0.08 / MONTH;
    DT_CHECK_CLOSE(costs.on_demand_usd_h, idle + node, 1e-9);
    DT_CHECK_CLOSE(costs.spot_usd_h, idle + price_of("g5.xlarge", NULL, true) + 100 * 0.08 / MONTH, 1e-9);
    DT_CHECK(!costs.is_elsewhere);
    c = CLUSTER("--types", "g5.xlarge", "--nodes", "3", "--fsx-gb", "1200", "--shared-gb", "200");
    dt_cluster_costs_add_up(&c, cluster_kit_catalog, &costs);
    DT_CHECK_CLOSE(costs.idle_usd_h, idle + 100 * 0.08 / MONTH + 1200 * 0.14 / MONTH, 1e-9);
    DT_CHECK_CLOSE(costs.on_demand_usd_h, costs.idle_usd_h + 3 * node, 1e-9);
}

static void of_several_types_the_dearest_counts(void)
{
    const dt_cluster c = CLUSTER("--types", "p4d.24xlarge,p4de.24xlarge", "--nodes", "2");
    dt_cluster_costs_add_up(&c, cluster_kit_catalog, &costs);
    const double dearest = price_of("p4de.24xlarge", NULL, false);
    DT_CHECK(dearest > price_of("p4d.24xlarge", NULL, false));
    DT_CHECK_CLOSE(costs.on_demand_usd_h, costs.idle_usd_h + 2 * (dearest + 100 * 0.08 / MONTH), 1e-9);
}

static void the_zone_of_the_plan_has_its_own_spot_price(void)
{
    static const dt_cluster_plan plan = {
        .type = "p5.48xlarge", .region = "us-east-1", .zone = "use1-az5", .nodes = 1, .buy = DT_BUY_SPOT};
    const dt_cluster c = PLANNED_CLUSTER(&plan, "--nodes", "1");
    dt_cluster_costs_add_up(&c, cluster_kit_catalog, &costs);
    DT_CHECK_CLOSE(costs.spot_usd_h,
                   costs.idle_usd_h + price_of("p5.48xlarge", "use1-az5", true) + 100 * 0.08 / MONTH, 1e-9);
}

static void what_has_no_price_is_not_known(void)
{
    const dt_cluster c =
        CLUSTER("--types", "g5.xlarge", "--region", "eu-north-1", "--head-type", "r7i.large");
    dt_cluster_costs_add_up(&c, cluster_kit_catalog, &costs);
    DT_CHECK(costs.is_elsewhere && isnan(costs.spot_usd_h) && isnan(costs.on_demand_usd_h));
    DT_CHECK_CLOSE(costs.idle_usd_h, 160 * 0.08 / MONTH + 0.045 + 2 * 0.005, 1e-9);
}

static void each_quota_is_listed_once(void)
{
    dt_cluster c = CLUSTER("--types", "p4d.24xlarge,p4de.24xlarge", "--nodes", "3");
    DT_REQUIRE(dt_cluster_list_quotas(&c, quotas) == 3);
    DT_CHECK_STR(quotas[0].code, "L-7212CCBC");
    DT_CHECK_INT(quotas[0].vcpus, 288);
    DT_CHECK_STR(quotas[1].code, "L-417A185B");
    DT_CHECK_INT(quotas[1].vcpus, 288);
    DT_CHECK_STR(quotas[2].code, "L-1216C47A");
    DT_CHECK_INT(quotas[2].vcpus, 4);
    c = CLUSTER("--types", "g6e.2xlarge", "--buy", "spot", "--head-type", "c6i.8xlarge");
    DT_REQUIRE(dt_cluster_list_quotas(&c, quotas) == 2);
    DT_CHECK_STR(quotas[0].code, "L-3819A6DF");
    DT_CHECK_INT(quotas[0].vcpus, 8);
    DT_CHECK_INT(quotas[1].vcpus, 32);
    c = CLUSTER("--types", "p6-b200.48xlarge", "--buy", "spot", "--head-type", "m6i.metal");
    DT_REQUIRE(dt_cluster_list_quotas(&c, quotas) == 2);
    DT_CHECK(quotas[0].code == NULL && quotas[0].is_spot);
    DT_CHECK_INT(quotas[1].vcpus, 0);
}

/* The command, parsed by a shell and by dtrain, with the subnets that the stack would print. */
static void the_command_is_repeated_with_the_networks_subnets(void)
{
    static const char marker[] =
        " $(aws cloudformation describe-stacks --region us-east-1 --stack-name lab-network ";
    static char again[16384];
    dt_cluster c = CLUSTER("--types", "g5.xlarge", "--key", "it's $me", "--nodes", "2", "--name", "lab");
    DT_REQUIRE(dt_cluster_again(&c, &cluster_kit_options, again, sizeof again));
    char *stack = strstr(again, marker);
    DT_REQUIRE_MSG(stack != NULL, "%s", again);
    *stack = '\0';
    wordexp_t shell;
    DT_REQUIRE(wordexp(again, &shell, WRDE_NOCMD) == 0);
    DT_CHECK_STR(shell.we_wordv[0], "dtrain");
    DT_CHECK_STR(shell.we_wordv[1], "cluster");
    const dt_options before = cluster_kit_options;
    DT_REQUIRE_MSG(cluster_kit_resolve((const char *const *)shell.we_wordv + 2, NULL, &c, &err) == DT_OK,
                   "%s", err.message);
    DT_CHECK_STR(c.key, "it's $me");
    DT_CHECK_INT(c.n_nodes, 2);
    DT_CHECK_STR(cluster_kit_options.types, before.types);
    for (size_t i = 2; i < shell.we_wordc; i++)
        DT_CHECK(strncmp(shell.we_wordv[i], "--subnet", 8) != 0 &&
                 strcmp(shell.we_wordv[i], "--head-subnet") != 0);
    wordfree(&shell);
    DT_CHECK(!dt_cluster_again(&c, &cluster_kit_options, again, 40));
}

static const dt_test tests[] = {
    DT_TEST(idle_is_all_but_the_nodes),
    DT_TEST(of_several_types_the_dearest_counts),
    DT_TEST(the_zone_of_the_plan_has_its_own_spot_price),
    DT_TEST(what_has_no_price_is_not_known),
    DT_TEST(each_quota_is_listed_once),
    DT_TEST(the_command_is_repeated_with_the_networks_subnets),
};
DT_TEST_MAIN("launch/cluster/costs", tests)
