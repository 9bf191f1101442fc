/* comm/self; and those functions of comm/mpi that need no MPI: detecting a launcher, the library's name. */
#include "comm/mpi_internal.h"
#include "comm/self.h"
#include "core/base/alloc.h"
#include "tests/testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

static dt_comm *create(void)
{
    dt_comm *comm = NULL;
    dt_error err = {0};
    DT_REQUIRE_MSG(dt_comm_self_create(&comm, &err) == DT_OK, "%s", err.message);
    return comm;
}

static void self_is_rank_0_of_1_on_this_host(void)
{
    char host[64] = "";
    dt_comm *comm = create();
    gethostname(host, sizeof host - 1);
    DT_CHECK_INT(comm->rank, 0);
    DT_CHECK_INT(comm->size, 1);
    DT_CHECK_INT(comm->local_rank, 0);
    DT_CHECK_INT(comm->local_size, 1);
    DT_CHECK_STR(comm->host, host);
    DT_CHECK_STR(comm->ops->name, "self");
    DT_CHECK(comm->detail[0] != '\0');
    comm->ops->destroy(comm);
}

static void collectives_keep_the_ranks_own_values(void)
{
    dt_comm *comm = create();
    dt_error err = {0};
    double sums[2] = {1.5, -2.0};
    int64_t least = -3;
    float grads[3] = {1, 2, 3};
    int mine = 7, all = 0;
    dt_comm_request *a = NULL, *b = NULL;
    DT_CHECK_INT(comm->ops->barrier(comm, &err), DT_OK);
    DT_CHECK_INT(comm->ops->broadcast(comm, &mine, sizeof mine, 0, &err), DT_OK);
    DT_CHECK_INT(comm->ops->all_gather(comm, &mine, sizeof mine, &all, &err), DT_OK);
    DT_CHECK_INT(comm->ops->all_reduce(comm, sums, 2, DT_F64, DT_REDUCE_SUM, &err), DT_OK);
    DT_CHECK_INT(comm->ops->all_reduce(comm, &least, 1, DT_I64, DT_REDUCE_MIN, &err), DT_OK);
    DT_CHECK_INT(comm->ops->all_reduce_start(comm, grads, 2, DT_F32, &a, &err), DT_OK);
    DT_CHECK_INT(comm->ops->all_reduce_start(comm, grads + 2, 1, DT_F32, &b, &err), DT_OK);
    DT_CHECK_INT(comm->ops->progress(comm, &err), DT_OK);
    DT_CHECK(a != NULL && b != NULL);
    DT_CHECK_INT(comm->ops->wait(comm, b, &err), DT_OK);
    DT_CHECK_INT(comm->ops->wait(comm, a, &err), DT_OK);
    DT_CHECK_INT(mine, 7);
    DT_CHECK_INT(all, 7);
    DT_CHECK(sums[0] == 1.5 && sums[1] == -2.0 && least == -3 && grads[0] == 1 && grads[2] == 3);
    comm->ops->destroy(comm);
}

static void wrong_use_is_refused(void)
{
    dt_comm *comm = create();
    dt_error err = {0};
    float v = 0;
    DT_CHECK_INT(comm->ops->broadcast(comm, &v, sizeof v, 1, &err), DT_ERR_INTERNAL);
    DT_CHECK_INT(comm->ops->all_reduce(comm, &v, 1, DT_F16, DT_REDUCE_SUM, &err), DT_ERR_INTERNAL);
    DT_CHECK_INT(comm->ops->wait(comm, NULL, &err), DT_ERR_INTERNAL);
    comm->ops->destroy(comm);
}

/* What the process has printed before, and is still in a buffer, is written too. */
static void abort_ends_the_process_with_its_code(void)
{
    int ends[2], status = 0;
    char text[16] = "";
    fflush(NULL);
    DT_REQUIRE(pipe(ends) == 0);
    pid_t child = fork();
    DT_REQUIRE(child >= 0);
    if (child == 0) {
        dt_comm *comm = NULL;
        FILE *buffered = fdopen(ends[1], "w");
        if (buffered && fputs("printed", buffered) >= 0 && dt_comm_self_create(&comm, NULL) == DT_OK)
            comm->ops->abort(comm, 42);
        _exit(1);
    }
    close(ends[1]);
    DT_CHECK_INT(read(ends[0], text, sizeof text - 1), 7);
    DT_CHECK_STR(text, "printed");
    close(ends[0]);
    DT_REQUIRE(waitpid(child, &status, 0) == child);
    DT_CHECK(WIFEXITED(status) && WEXITSTATUS(status) == 42);
}

static void creation_survives_a_failed_allocation(void)
{
    const int64_t before = dt_alloc_live_blocks();
    dt_comm *comm = NULL;
    dt_error err = {0};
    dt_alloc_fail_after(1);
    DT_CHECK_INT(dt_comm_self_create(&comm, &err), DT_ERR_MEMORY);
    dt_alloc_fail_after(0);
    DT_CHECK(comm == NULL);
    DT_CHECK_INT(dt_alloc_live_blocks(), before);
    comm = create();
    comm->ops->destroy(NULL);
    comm->ops->destroy(comm);
}

static void launchers_are_detected_by_their_environment_variables(void)
{
    static const char *const names[] = {"OMPI_COMM_WORLD_SIZE", "PMIX_RANK", "PMI_RANK"};
    enum { N = sizeof names / sizeof *names };
    for (int i = 0; i < N; i++)
        unsetenv(names[i]);
    setenv("SLURM_JOB_ID", "17", 1); /* inside an allocation, but not started by srun */
    DT_CHECK(!dt_comm_mpi_launched());
    for (int i = 0; i < N; i++) {
        setenv(names[i], "1", 1);
        DT_CHECK(dt_comm_mpi_launched());
        unsetenv(names[i]);
    }
    DT_CHECK(!dt_comm_mpi_launched());
}

static void a_librarys_version_text_becomes_a_short_name(void)
{
    static const char *const cases[][2] = {
        {"Open MPI v4.1.4, package: Debian OpenMPI, ident: 4.1.4", "Open MPI 4.1.4"},
        {"MPICH Version:      4.0.2\nMPICH Release date: x", "MPICH 4.0.2"},
        {"MPICH Version:\t3.3a2\n", "MPICH 3.3a2"},
        {"Intel(R) MPI Library 2021.11 for Linux* OS\n", "Intel(R) MPI Library 2021.11 for Linux* OS"},
        {"MPI VERSION    : CRAY MPICH version 8.1.28.16 (ANL base 3.4a2)\nMPI BUILD INFO : x",
         "CRAY MPICH 8.1.28.16 (ANL base 3.4a2)"},
        {"", ""},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        char text[128], name[80];
        snprintf(text, sizeof text, "%s", cases[i][0]);
        dt_mpi_tidy_name(text, name, sizeof name);
        DT_CHECK_STR(name, cases[i][1]);
    }
    char text[] = "Open MPI v4.1.4", small[8];
    dt_mpi_tidy_name(text, small, sizeof small);
    DT_CHECK_STR(small, "Open MP");
}

static const dt_test tests[] = {
    DT_TEST(self_is_rank_0_of_1_on_this_host),
    DT_TEST(collectives_keep_the_ranks_own_values),
    DT_TEST(wrong_use_is_refused),
    DT_TEST(abort_ends_the_process_with_its_code),
    DT_TEST(creation_survives_a_failed_allocation),
    DT_TEST(a_librarys_version_text_becomes_a_short_name),
    DT_TEST(launchers_are_detected_by_their_environment_variables),
};

DT_TEST_MAIN("comm/self", tests)
