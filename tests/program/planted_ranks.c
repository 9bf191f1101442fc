/* Three ranks, of which one fails: harness_test.sh wants to see it. */
#include "tests/testing.h"

#include <stdlib.h>

static int rank(void)
{
    return atoi(getenv("OMPI_COMM_WORLD_RANK"));
}

static void rank_2_fails(void)
{
    DT_CHECK(rank() != 2);
}

static void all_skip(void)
{
    DT_SKIP("on every rank");
}

static void all_pass(void)
{
    DT_CHECK_INT(atoi(getenv("OMPI_COMM_WORLD_SIZE")), 3);
}

static const dt_test tests[] = {DT_TEST(rank_2_fails), DT_TEST(all_skip), DT_TEST(all_pass)};

DT_TEST_MAIN_RANKS("planted", tests, 3)
