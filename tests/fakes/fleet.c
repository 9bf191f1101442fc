#include "tests/fakes/fleet.h"

#include "core/base/alloc.h"
#include "core/base/log.h"
#include "core/checkpoint/load.h"
#include "tests/fakes/fake_comm.h"
#include "tests/testing.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static fleet the_fleet;
static _Thread_local dt_comm *here;
static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;

static void collect(void *context, dt_log_level level, const char *line)
{
    (void)level;
    fleet *f = context;
    pthread_mutex_lock(&log_lock);
    size_t n = strlen(f->log);
    snprintf(f->log + n, sizeof f->log - n, "%s\n", line);
    pthread_mutex_unlock(&log_lock);
}

static void count_operation(void *context, const char *operation, int64_t shard)
{
    (void)operation;
    (void)shard;
    fleet *f = context;
    if (++f->n_operations[here->rank] == f->leaves_at && here->rank == f->leaving_rank)
        fake_comm_leave(here);
}

static dt_store *new_shelf(fleet *f, const char *location)
{
    dt_store *shelf = fake_shelf_create(location);
    fake_shelf_set_hook(shelf, count_operation, f);
    return shelf;
}

fleet *fleet_new(int n_hosts, bool mirror)
{
    fleet *f = &the_fleet;
    memset(f, 0, sizeof *f);
    f->per_host = n_hosts > 0;
    f->ranks_per_host = 2;
    f->leaving_rank = -1;
    f->mirror = mirror ? new_shelf(f, "/fsx") : NULL;
    for (int h = 0; h < (n_hosts ? n_hosts : 1); h++)
        f->disks[h] = new_shelf(f, n_hosts ? "/nvme" : "/shared");
    return f;
}

void fleet_replace_disk(fleet *f, int host)
{
    free(f->disks[host]);
    f->disks[host] = new_shelf(f, "/nvme");
}

static void clear_states(fleet *f)
{
    for (int r = 0; r < FLEET_MAX_RANKS; r++)
        fake_state_clear(&f->states[r]);
}

void fleet_end(fleet *f)
{
    for (int h = 0; h < FLEET_MAX_HOSTS; h++)
        free(f->disks[h]);
    free(f->mirror);
    clear_states(f);
}

static void load_on_rank(dt_comm *comm, void *context)
{
    fleet *f = context;
    int r = comm->rank, host = r / f->ranks_per_host;
    here = comm;
    const dt_checkpoint_location location = {
        .store = f->disks[f->per_host ? host : 0], .mirror = f->mirror, .per_host = f->per_host};
    dt_manifest m = {.step = -1};
    f->status[r] = dt_checkpoint_load(comm, &location, &f->states[r].layout, &f->states[r].io, NULL, NULL, &m,
                                      &f->found[r], &f->errors[r]);
    f->steps[r] = m.step;
    f->n_heartbeats[r] = fake_comm_progress_calls(comm);
    if (f->status[r] == DT_OK && f->found[r])
        dt_manifest_clear(&m);
}

dt_status fleet_load(fleet *f, int n_ranks)
{
    clear_states(f);
    f->log[0] = '\0';
    memset(f->n_operations, 0, sizeof f->n_operations);
    for (int r = 0; r < n_ranks; r++) {
        fake_state_init(&f->states[r], 99);
        if (f->averages)
            snprintf(f->states[r].tensors[3].name, 20, "ema/fc.weight");
        f->found[r] = false;
    }
    int64_t live = dt_alloc_live_blocks();
    dt_log_set_sink(collect, f, DT_LOG_INFO);
    fake_comm_run_on_hosts(n_ranks, f->ranks_per_host, load_on_rank, f);
    dt_log_set_sink(NULL, NULL, DT_LOG_INFO);
    DT_CHECK_INT(dt_alloc_live_blocks(), live);
    const int one = f->leaving_rank == 0 ? 1 % n_ranks : 0;
    for (int r = 0; r < n_ranks; r++) {
        if (r == f->leaving_rank)
            continue;
        DT_CHECK_INT(f->status[r], f->status[one]);
        DT_CHECK_INT(f->found[r], f->found[one]);
        if (f->status[r] != DT_OK && f->leaving_rank < 0)
            DT_CHECK_STR(f->errors[r].message, f->errors[one].message);
        DT_CHECK(f->steps[r] == (f->found[r] ? f->steps[one] : -1));
    }
    return f->status[one];
}

void fleet_check_loads(fleet *f, int n_ranks, int64_t step, uint64_t seed)
{
    fake_state expected;
    fake_state_init(&expected, seed);
    dt_status status = fleet_load(f, n_ranks);
    DT_CHECK_MSG(status == DT_OK, "%s", f->errors[0].message);
    for (int r = 0; r < n_ranks; r++) {
        DT_CHECK(f->found[r]);
        DT_CHECK_INT(f->steps[r], step);
        DT_CHECK_BYTES(f->states[r].values, expected.values, (size_t)expected.layout.n_elems * sizeof(float));
    }
    fake_state_clear(&expected);
}

void fleet_check_refused(fleet *f, int n_ranks, dt_status expected, const char *message)
{
    dt_status status = fleet_load(f, n_ranks);
    DT_CHECK_MSG(status == expected, "%s: %s", dt_status_name(status), f->errors[0].message);
    DT_CHECK_CONTAINS(f->errors[0].message, message);
}
