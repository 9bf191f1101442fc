/* checkpoint_kit.c: see checkpoint_kit.h. */
#include "tests/io/store/checkpoint_kit.h"

#include "core/base/alloc.h"
#include "core/checkpoint/load.h"
#include "tests/fakes/captured_log.h"
#include "tests/fakes/fake_comm.h"
#include "tests/fakes/save_checkpoint.h"
#include "tests/testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

checkpoint_job *checkpoint_job_new(dt_store *store, uint64_t seed)
{
    checkpoint_job *j = calloc(1, sizeof *j);
    DT_REQUIRE(j != NULL);
    j->stores[0] = store;
    j->keep = 10;
    j->refusing_rank = -1;
    j->log_least = DT_LOG_INFO;
    for (int r = 0; r < CHECKPOINT_KIT_RANKS; r++)
        fake_state_init(&j->states[r], seed);
    return j;
}

void checkpoint_job_free(checkpoint_job *j)
{
    for (int r = 0; r < CHECKPOINT_KIT_RANKS; r++)
        fake_state_clear(&j->states[r]);
    free(j);
}

static void clear_results(checkpoint_job *j)
{
    memset(j->status, 0, sizeof j->status);
    memset(j->errors, 0, sizeof j->errors);
    memset(j->found, 0, sizeof j->found);
    memset(j->steps, 0, sizeof j->steps);
    memset(j->bytes, 0, sizeof j->bytes);
    memset(j->config, 0, sizeof j->config);
}

static dt_status check_same_answer(const checkpoint_job *j, int n_ranks)
{
    for (int r = 1; r < n_ranks; r++) {
        DT_CHECK_INT(j->status[r], j->status[0]);
        DT_CHECK_INT(j->found[r], j->found[0]);
        if (j->status[0] != DT_OK && j->ranks_per_host == 0) /* else it names each host's own folder */
            DT_CHECK_STR(j->errors[r].message, j->errors[0].message);
    }
    return j->status[0];
}

static void save_on_rank(dt_comm *comm, void *context)
{
    checkpoint_job *j = context;
    const int r = comm->rank;
    j->status[r] = save_checkpoint(comm, j->stores[0], &j->states[r].layout, &j->states[r].io,
                                   &j->manifests[r], j->keep, &j->bytes[r], &j->errors[r]);
}

dt_status checkpoint_job_save(checkpoint_job *j, int n_ranks, int64_t step)
{
    clear_results(j);
    for (int r = 0; r < n_ranks; r++) {
        j->manifests[r] = fake_manifest(step);
        if (j->config_text) /* shorter than fake_manifest's */
            memcpy(j->manifests[r].config_text, j->config_text, strlen(j->config_text) + 1);
    }
    dt_alloc_fail_after(j->fail_alloc_at);
    fake_comm_run(n_ranks, save_on_rank, j);
    dt_alloc_fail_after(0);
    for (int r = 0; r < n_ranks; r++)
        dt_manifest_clear(&j->manifests[r]);
    return check_same_answer(j, n_ranks);
}

typedef struct acceptance {
    const checkpoint_job *j;
    int rank;
} acceptance;

static dt_status accept(void *context, const dt_manifest *m, dt_error *err)
{
    const acceptance *a = context;
    if (a->rank == a->j->refusing_rank)
        return dt_fail(err, DT_ERR_USAGE, "--arch is resnet50, the checkpoint's is %s", m->arch);
    return DT_OK;
}

static void load_on_rank(dt_comm *comm, void *context)
{
    checkpoint_job *j = context;
    const int r = comm->rank, host = j->ranks_per_host ? r / j->ranks_per_host : 0;
    dt_manifest m = {.step = -1};
    acceptance a = {j, r};
    const dt_checkpoint_location location = {.store = j->stores[host],
                                             .mirror = j->mirror,
                                             .per_host = j->ranks_per_host > 0,
                                             .only_step = j->only_step};
    j->status[r] = dt_checkpoint_load(comm, &location, &j->states[r].layout, &j->states[r].io, accept, &a, &m,
                                      &j->found[r], &j->errors[r]);
    j->steps[r] = m.step;
    if (j->status[r] == DT_OK && j->found[r]) {
        snprintf(j->config[r], sizeof j->config[r], "%s", m.config_text);
        dt_manifest_clear(&m);
    }
}

dt_status checkpoint_job_load(checkpoint_job *j, int n_ranks)
{
    clear_results(j);
    for (int r = 0; r < CHECKPOINT_KIT_RANKS; r++) {
        memset(j->states[r].values, 0, (size_t)j->states[r].layout.n_elems * sizeof(float));
        j->states[r].n_set = 0;
    }
    captured_log_begin(j->log_least);
    dt_alloc_fail_after(j->fail_alloc_at);
    if (j->ranks_per_host)
        fake_comm_run_on_hosts(n_ranks, j->ranks_per_host, load_on_rank, j);
    else
        fake_comm_run(n_ranks, load_on_rank, j);
    dt_alloc_fail_after(0);
    captured_log_end();
    return check_same_answer(j, n_ranks);
}

void checkpoint_job_check_loads(checkpoint_job *j, int n_ranks, int64_t step, uint64_t seed, const char *what)
{
    fake_state expected;
    fake_state_init(&expected, seed);
    checkpoint_job_load(j, n_ranks);
    for (int r = 0; r < n_ranks; r++) {
        DT_CHECK_MSG(j->status[r] == DT_OK && j->found[r] && j->steps[r] == step,
                     "%s: rank %d: %s, step %lld: %s", what, r, dt_status_name(j->status[r]),
                     (long long)j->steps[r], j->errors[r].message);
        DT_CHECK_MSG(memcmp(j->states[r].values, expected.values,
                            (size_t)expected.layout.n_elems * sizeof(float)) == 0,
                     "%s: rank %d: other values", what, r);
    }
    fake_state_clear(&expected);
}

dt_store *checkpoint_kit_open(const char *folder)
{
    dt_store *store = NULL;
    dt_error err = {0};
    dt_status status = dt_store_hdf5_create(folder, &store, &err);
    DT_REQUIRE_MSG(status == DT_OK, "%s", err.message);
    return store;
}

void checkpoint_kit_damage(const char *path)
{
    size_t n;
    char *bytes = dt_test_read_file(path, &n);
    DT_REQUIRE_MSG(bytes != NULL, "no %s", path);
    bytes[n / 2] ^= 4;
    dt_test_write_file(path, bytes, n);
    free(bytes);
}

void checkpoint_kit_check_saved(dt_store *store, int n_ranks, int64_t step, uint64_t seed)
{
    checkpoint_job *j = checkpoint_job_new(store, seed);
    dt_status status = checkpoint_job_save(j, n_ranks, step);
    DT_CHECK_MSG(status == DT_OK, "%s", j->errors[0].message);
    for (int r = 0; r < n_ranks; r++)
        DT_CHECK(j->bytes[r] > j->states[0].layout.n_elems * 4 && j->bytes[r] == j->bytes[0]);
    checkpoint_job_free(j);
}

void checkpoint_kit_check_loads(dt_store *store, int n_ranks, int64_t step, uint64_t seed)
{
    checkpoint_job *j = checkpoint_job_new(store, 99);
    checkpoint_job_check_loads(j, n_ranks, step, seed, "load");
    for (int r = 0; r < n_ranks; r++)
        DT_CHECK_CONTAINS(j->config[r], "lr = 0.1");
    checkpoint_job_free(j);
}
