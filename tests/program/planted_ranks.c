/* Three ranks, of which one fails, for harness_test.sh. */
#include "tests/testing.h"

#include <mpi.h>

void dt_test_set_up(void)
{
    MPI_Init(NULL, NULL);
}

void dt_test_tear_down(void)
{
    MPI_Finalize();
}

static int rank(void)
{
    int rank = -1;
    MPI_Comm_rank(MPI_COMM_WORLD, &rank);
    return rank;
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
    int n_ranks = 0;
    MPI_Comm_size(MPI_COMM_WORLD, &n_ranks);
    DT_CHECK_INT(n_ranks, 3);
}

static const dt_test tests[] = {DT_TEST(rank_2_fails), DT_TEST(all_skip), DT_TEST(all_pass)};

DT_TEST_MAIN_RANKS("planted", tests, 3)
