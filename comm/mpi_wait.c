/* mpi_wait.c: waiting for other ranks, and finding out who does not come.
 *
 * MPI's blocking calls know no deadline and name nobody. So every wait polls, and a rank that has polled for a second tells all
 * others, in a message beside the collectives, what it waits for and how far it has come. At the deadline the ranks from which no
 * such notice came, or one of an earlier collective, are the missing ones. This costs nothing while ranks come in time.
 */
#include "comm/mpi_internal.h"

#include "core/base/clock.h"
#include "core/base/log.h"

#include <sched.h>
#include <stdio.h>
#include <string.h>

#define NOTICE_TAG 32000       /* above the tags of mpi_sum.c, below the 32767 that MPI guarantees */
#define NOTICE_AFTER_S 1.0     /* or a quarter of a shorter deadline */
#define WARN_AFTER_S 60.0      /* once in a wait, in the log */
#define NAP_AFTER_S 1.0        /* without anything arriving: from then on sleep between polls */
#define NAP_S 0.001            /* at 128 KiB a poll a network of 1 Gbit/s still flows */
#define TURNS_BETWEEN_CLOCKS 16

dt_mpi_waiting dt_mpi_waiting_begin(const dt_mpi_collective *collective)
{
    return (dt_mpi_waiting){.collective = *collective, .start_s = dt_clock_s()};
}

static void describe(const dt_mpi_collective *what, char *out, size_t out_bytes)
{
    static const char *const names[] = {"a barrier", "a broadcast", "an all-gather", "an all-reduce", "the sum of gradients", "leaving"};
    size_t kind = (size_t)what->kind < sizeof names / sizeof *names ? (size_t)what->kind : DT_MPI_BARRIER;
    if (what->bytes > 0)
        snprintf(out, out_bytes, "%s of %lld bytes", names[kind], (long long)what->bytes);
    else
        snprintf(out, out_bytes, "%s", names[kind]);
}

/* -- notices ------------------------------------------------------------------------------------------------------- */

static dt_status hear_notices(dt_comm_mpi *c, dt_error *err)
{
    int there = 0;
    do {
        MPI_Status status;
        int code = MPI_Iprobe(MPI_ANY_SOURCE, NOTICE_TAG, c->data, &there, &status);
        dt_mpi_notice notice;
        if (code == MPI_SUCCESS && there)
            code = MPI_Recv(&notice, sizeof notice, MPI_BYTE, status.MPI_SOURCE, NOTICE_TAG, c->data, MPI_STATUS_IGNORE);
        if (code != MPI_SUCCESS)
            return dt_mpi_fail(c, code, "a wait", err);
        if (there)
            c->peers[status.MPI_SOURCE].heard = notice;
    } while (there);
    return DT_OK;
}

/* To all whose last one has left: the others hang, and need not hear it. */
static dt_status send_notices(dt_comm_mpi *c, const dt_mpi_collective *waits_for, dt_error *err)
{
    for (int r = 0; r < c->head.size; r++) {
        dt_mpi_peer *peer = &c->peers[r];
        int gone = 1;
        if (r == c->head.rank)
            continue;
        int code = MPI_Test(&peer->send_request, &gone, MPI_STATUS_IGNORE);
        if (code == MPI_SUCCESS && gone) {
            peer->sent = (dt_mpi_notice){*waits_for, c->n_begun};
            code = MPI_Isend(&peer->sent, sizeof peer->sent, MPI_BYTE, r, NOTICE_TAG, c->data, &peer->send_request);
        }
        if (code != MPI_SUCCESS)
            return dt_mpi_fail(c, code, "a wait", err);
    }
    return DT_OK;
}

void dt_mpi_waiting_drain(dt_comm_mpi *c)
{
    dt_error ignored;
    (void)hear_notices(c, &ignored);
    for (int r = 0; r < c->head.size; r++) {
        int gone = 0;
        MPI_Test(&c->peers[r].send_request, &gone, MPI_STATUS_IGNORE);
    }
}

/* -- who is missing --------------------------------------------------------------------------------------------------- */

static bool missing(const dt_comm_mpi *c, int rank, const dt_mpi_waiting *w)
{
    return rank != c->head.rank && c->peers[rank].heard.n_begun < w->collective.number;
}

/* "rank 3 (node7), rank 5 (node9) and 4 more"; returns how many. */
static int list_missing(const dt_comm_mpi *c, const dt_mpi_waiting *w, char *out, size_t out_bytes)
{
    int n = 0;
    size_t used = 0;
    out[0] = '\0';
    for (int r = 0; r < c->head.size; r++)
        if (missing(c, r, w) && n++ < 8 && used < out_bytes)
            used += (size_t)snprintf(out + used, out_bytes - used, "%srank %d (%s)", n > 1 ? ", " : "", r, c->peers[r].host);
    if (n > 8 && used < out_bytes)
        snprintf(out + used, out_bytes - used, " and %d more", n - 8);
    return n;
}

/* A rank that waits for the same collective, and takes it for another one: no use to wait on. */
static dt_status check_same_collective(dt_comm_mpi *c, const dt_mpi_waiting *w, dt_error *err)
{
    char here[80], there[80];
    for (int r = 0; r < c->head.size; r++) {
        const dt_mpi_collective *other = &c->peers[r].heard.waits_for;
        if (other->number != w->collective.number || (other->kind == w->collective.kind && other->bytes == w->collective.bytes))
            continue;
        c->failed = true;
        describe(&w->collective, here, sizeof here);
        describe(other, there, sizeof there);
        return dt_fail(err, DT_ERR_COMM, "rank %d is in %s, and rank %d (%s) in %s (collective %lld): a bug", c->head.rank, here, r, c->peers[r].host, there,
                       (long long)w->collective.number);
    }
    return DT_OK;
}

static dt_status timed_out(dt_comm_mpi *c, const dt_mpi_waiting *w, dt_error *err)
{
    char names[700], here[80];
    c->failed = true;
    describe(&w->collective, here, sizeof here);
    if (list_missing(c, w, names, sizeof names) == 0)
        return dt_fail(err, DT_ERR_TIMEOUT, "after %g s in %s (collective %lld) nothing arrives, although all ranks have come: look at the network between hosts",
                       c->deadline_s, here, (long long)w->collective.number);
    return dt_fail(err, DT_ERR_TIMEOUT, "after %g s in %s (collective %lld) there is no sign of %s: it hangs, or its host or network is down", c->deadline_s,
                   here, (long long)w->collective.number, names);
}

/* One rank speaks: the lowest of those that wait. */
static void warn(const dt_comm_mpi *c, const dt_mpi_waiting *w, double waited_s)
{
    char names[700];
    for (int r = 0; r < c->head.rank; r++)
        if (!missing(c, r, w))
            return;
    if (list_missing(c, w, names, sizeof names) > 0)
        dt_log_warn("waiting for %s since %.0f s, and for %.0f s at most", names, waited_s, c->deadline_s);
}

dt_status dt_mpi_waiting_turn(dt_comm_mpi *c, dt_mpi_waiting *w, bool moved, dt_error *err)
{
    if (moved) {
        w->start_s = dt_clock_s();
        return DT_OK;
    }
    /* The loader's threads, and ranks that share this processor, have something to do. */
    sched_yield();
    if (++w->n_turns % TURNS_BETWEEN_CLOCKS != 0)
        return DT_OK;
    double waited_s = dt_clock_s() - w->start_s;
    double notice_after_s = c->deadline_s < 4.0 * NOTICE_AFTER_S ? c->deadline_s / 4.0 : NOTICE_AFTER_S;
    double give_up_s = c->deadline_s + 1.5 * notice_after_s; /* who came shortly before the deadline has told by then */
    if (waited_s < notice_after_s)
        return DT_OK;
    if (!w->noticed)
        DT_TRY(send_notices(c, &w->collective, err));
    w->noticed = true;
    DT_TRY(hear_notices(c, err));
    DT_TRY(check_same_collective(c, w, err));
    if (waited_s >= give_up_s)
        return timed_out(c, w, err);
    if (waited_s >= WARN_AFTER_S && !w->warned) {
        w->warned = true;
        warn(c, w, waited_s);
    }
    if (waited_s >= NAP_AFTER_S)
        dt_clock_sleep_s(NAP_S);
    return DT_OK;
}
