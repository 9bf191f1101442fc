/* checkpoint_kit.h: checkpoints saved to and loaded from real folders by threads as ranks.
 *
 *   checkpoint_job *j = checkpoint_job_new(store, 1);
 *   DT_CHECK_INT(checkpoint_job_save(j, 3, 10), DT_OK);      3 ranks save step 10, the state of seed 1
 *   checkpoint_job_check_loads(j, 2, 10, 1, "after a save");  2 ranks load it
 *   checkpoint_job_free(j);
 */
#ifndef DTRAIN_TESTS_IO_CHECKPOINT_KIT_H
#define DTRAIN_TESTS_IO_CHECKPOINT_KIT_H

#include "core/base/log.h"
#include "io/store/hdf5_store.h"
#include "tests/fakes/fake_state.h"

enum { CHECKPOINT_KIT_RANKS = 8, CHECKPOINT_KIT_HOSTS = 4 };

typedef struct checkpoint_job {
    /* A test may change these. */
    dt_store *stores[CHECKPOINT_KIT_HOSTS];  /* one for the ranks of each host; borrowed */
    dt_store *mirror;                        /* NULL: none; borrowed */
    int ranks_per_host;                      /* 0: all ranks share stores[0] */
    int64_t keep;                            /* checkpoints that saving leaves; 10 */
    const char *config_text;                 /* of what is saved; NULL: fake_manifest's */
    const int64_t *only_step;                /* to load; NULL: the newest */
    int refusing_rank;                       /* this rank does not accept the manifest; -1: none */
    int64_t fail_alloc_at;                   /* this allocation of save or load fails; 0: none */
    dt_log_level log_least;                  /* that load captures; DT_LOG_INFO */
    fake_state states[CHECKPOINT_KIT_RANKS]; /* of each rank, equal */
    /* What the last save or load returned on each rank. */
    dt_status status[CHECKPOINT_KIT_RANKS];
    dt_error errors[CHECKPOINT_KIT_RANKS];
    bool found[CHECKPOINT_KIT_RANKS];
    int64_t steps[CHECKPOINT_KIT_RANKS]; /* of the loaded manifest; -1: none was set */
    int64_t bytes[CHECKPOINT_KIT_RANKS];
    char config[CHECKPOINT_KIT_RANKS][64]; /* the loaded config_text */
    /* For the threads. */
    dt_manifest manifests[CHECKPOINT_KIT_RANKS];
} checkpoint_job;

/* A job whose ranks all have the state of this seed. */
checkpoint_job *checkpoint_job_new(dt_store *store, uint64_t seed);
void checkpoint_job_free(checkpoint_job *j);

/* n_ranks save their states to stores[0]. Checks that all ranks return the same status and, if they share a
 * folder, the same message; returns the status. */
dt_status checkpoint_job_save(checkpoint_job *j, int n_ranks, int64_t step);

/* Clear all states and load into them; captures the log (captured_log.h). Checks and returns as
 * above. */
dt_status checkpoint_job_load(checkpoint_job *j, int n_ranks);

/* Load: every rank gets this step and the state of this seed. `what` is put in front of messages. */
void checkpoint_job_check_loads(checkpoint_job *j, int n_ranks, int64_t step, uint64_t seed,
                                const char *what);

/* A store in this folder; ends the test when it cannot be made. */
dt_store *checkpoint_kit_open(const char *folder);

/* Each with a job of its own: n_ranks save the state of a seed as this step, or load exactly that. */
void checkpoint_kit_check_saved(dt_store *store, int n_ranks, int64_t step, uint64_t seed);
void checkpoint_kit_check_loads(dt_store *store, int n_ranks, int64_t step, uint64_t seed);

/* Flip one bit in the middle of a file. */
void checkpoint_kit_damage(const char *path);

#endif
