/* mpi_failures WHAT [RANK]: rank RANK (1) misbehaves, for mpi_test.sh. The other ranks print the error that
 * they get, as launch/main.c does, and abort. */
#include "comm/mpi.h"
#include "core/base/clock.h"
#include "core/base/fault.h"

#include <mpi.h>

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define DEADLINE_S 2.0

static dt_comm *comm;

static void check(dt_status status, const dt_error *err)
{
    if (status == DT_OK)
        return;
    fprintf(stderr, "rank %d: %s: %s\n", comm->rank, dt_status_name(status), err->message);
    comm->ops->abort(comm, 9);
}

static void barrier(void)
{
    dt_error err = {0};
    check(comm->ops->barrier(comm, &err), &err);
}

/* Sum n elements again and again until the test ends this process. */
static void sum_for_ever(int64_t n)
{
    const char *command = getenv("DT_TEST_BEFORE_SUM_40"); /* rank 0 runs it */
    float *v = calloc((size_t)n, sizeof *v);
    for (int k = 1;; k++) {
        dt_error err = {0};
        if (k == 40 && command && comm->rank == 0 && system(command) != 0)
            fprintf(stderr, "cannot run %s\n", command);
        dt_comm_request *requests[8];
        for (int i = 0; i < 8; i++)
            check(comm->ops->all_reduce_start(comm, v + n / 8 * i, n / 8, DT_F32, &requests[i], &err), &err);
        for (int i = 0; i < 8; i++)
            check(comm->ops->wait(comm, requests[i], &err), &err);
    }
}

/* What rank RANK does. */
static void misbehave(const char *what)
{
    dt_error err = {0};
    char bytes[400] = "";
    if (strcmp(what, "abort") == 0)
        comm->ops->abort(comm, 3);
    if (strcmp(what, "exit") == 0)
        exit(0);
    if (strcmp(what, "exit5") == 0)
        _exit(5);
    if (strcmp(what, "kill") == 0)
        raise(SIGKILL);
    if (strcmp(what, "stop") == 0)
        raise(SIGSTOP);
    if (strcmp(what, "late") == 0)
        dt_clock_sleep_s(0.7 * DEADLINE_S);
    else if (strcmp(what, "busy") == 0) /* an evaluation longer than the deadline */
        for (double end = dt_clock_s() + 2.5 * DEADLINE_S; dt_clock_s() < end; dt_clock_sleep_s(0.02))
            check(comm->ops->progress(comm, &err), &err);
    else if (strcmp(what, "busy-stop") == 0)
        for (double end = dt_clock_s() + 1.5 * DEADLINE_S;; dt_clock_sleep_s(0.02)) {
            check(comm->ops->progress(comm, &err), &err);
            if (dt_clock_s() > end)
                raise(SIGSTOP);
        }
    else if (strcmp(what, "other") == 0)
        check(comm->ops->broadcast(comm, bytes, sizeof bytes, 0, &err), &err);
    else if (strcmp(what, "leave") == 0) {
        comm->ops->destroy(comm);
        _exit(9); /* not exit(), because MPI is not finalized */
    } else
        _exit(77);
}

/* Whether the other ranks go on to a barrier, which RANK may reach too; otherwise they sum. */
static bool goes_on_to_a_barrier(const char *what)
{
    static const char *const names[] = {"late", "busy", "busy-stop", "other", "leave"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        if (strcmp(what, names[i]) == 0)
            return true;
    return false;
}

/* The sizes are such that both ranks receive less than they expect. MPI itself reports more than
 * expected. */
static void wrong_sizes(int rank)
{
    float v[64] = {0};
    dt_error err = {0}, later = {0};
    const dt_status status =
        comm->ops->all_reduce(comm, v, comm->rank == rank ? 20 : 33, DT_F32, DT_REDUCE_SUM, &err);
    if (status != DT_OK && comm->ops->barrier(comm, &later) != DT_OK) /* at once, with this message */
        fprintf(stderr, "rank %d then: %s\n", comm->rank, later.message);
    check(status, &err);
    barrier();
}

/* MPI was initialized before, with too low a thread level. */
static int too_low_a_level(void)
{
    int level;
    dt_error err = {0};
    MPI_Init_thread(NULL, NULL, MPI_THREAD_SINGLE, &level);
    dt_status status = dt_comm_mpi_create(NULL, &comm, &err);
    printf("%s: %s\n", dt_status_name(status), err.message);
    MPI_Finalize();
    status = dt_comm_mpi_create(NULL, &comm, &err);
    printf("%s: %s\n", dt_status_name(status), err.message);
    return 0;
}

int main(int argc, char **argv)
{
    const dt_comm_mpi_options options = {.deadline_s = DEADLINE_S};
    const char *what = argc > 1 ? argv[1] : "";
    int rank = argc > 2 ? atoi(argv[2]) : 1;
    dt_error err = {0};
    if (strcmp(what, "level") == 0)
        return too_low_a_level();
    if (dt_comm_mpi_create(&options, &comm, &err) != DT_OK ||
        dt_fault_arm(getenv("DTRAIN_FAULT"), comm->rank, &err) != DT_OK) {
        fprintf(stderr, "%s\n", err.message);
        return 1;
    }
    barrier();
    comm->step = 41;
    if (strcmp(what, "sum") == 0) /* until a fault point acts */
        sum_for_ever(8 << 20);
    if (strcmp(what, "sizes") == 0)
        wrong_sizes(rank);
    else if (comm->rank == rank)
        misbehave(what);
    else if (!goes_on_to_a_barrier(what))
        sum_for_ever(8 << 20);
    barrier();
    comm->ops->destroy(comm);
    printf("rank left in order\n");
    return 0;
}
