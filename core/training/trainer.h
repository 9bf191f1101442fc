/* trainer.h: the training loop: epochs, steps, evaluation, checkpoints.
 *
 *   dt_trainer_parts parts = {.config = &config, .net = net, ...};
 *   dt_trainer_run(&parts, &result, err);
 *
 * It knows only the interfaces in core/, so unit tests run it with fakes on every side. start.h, report.h,
 * checkpointer.h and stop.h are its parts.
 */
#ifndef DT_CORE_TRAINING_TRAINER_H
#define DT_CORE_TRAINING_TRAINER_H

#include "core/base/config.h"
#include "core/comm.h"
#include "core/events.h"
#include "core/guard.h"
#include "core/metrics.h"
#include "core/model/net.h"
#include "core/source.h"
#include "core/store.h"

/* All borrowed. */
typedef struct dt_trainer_parts {
    const dt_config *config;
    const char *config_text; /* for the checkpoints' manifests */
    const char *arch;
    /* What this rank computes with, for the manifests; NULL (on all ranks): not known. */
    const dt_computed_by *computed_by;
    dt_kernels *kernels;
    dt_net *net; /* built for training, with weights on rank 0 at least */
    dt_comm *comm;
    dt_source *train;
    dt_source *val;   /* NULL: no evaluation */
    dt_store *store;  /* NULL: no checkpoints */
    bool per_host;    /* `store` is this host's own folder */
    dt_store *mirror; /* for copies of the checkpoints, in a folder that all hosts see; NULL: none */
    /* Of the files that this rank writes. Once it refuses, nothing is reported to the sinks, and a stop
     * writes no checkpoint; `events` requests that stop. NULL: none. */
    const dt_guard *guard;
    dt_events *events; /* requests to stop, or for a checkpoint; NULL: none */
    dt_sink **sinks;   /* on rank 0; other ranks have none */
    int64_t n_sinks;
    /* What resumes this run after a stop, for the message "stopped on ...; WORDS goes on from ...". NULL:
     * "the same command". */
    const char *resumes_by;
    /* Called on every rank with the manifest of the checkpoint to resume from; its results must be equal on
     * all ranks. DT_ERR_USAGE with the reason refuses the checkpoint. *new_momentum, which is false before
     * the call: the momentum starts from zero. NULL: all are accepted. */
    dt_status (*accepts)(void *context, const dt_manifest *manifest, bool *new_momentum, dt_error *err);
    void *accepts_context;
    /* Called on every rank before the first step, with the steps that were done before this start. NULL: not
     * called. */
    void (*resumed)(void *context, int64_t step);
    void *resumed_context;
} dt_trainer_parts;

/* Collective: every rank calls it with parts that agree (launch/ has checked). Net and sources come with
 * images of config->image_size, which evaluation keeps; each epoch trains with the size that config->resize
 * says. Fills *result (zero before) on DT_OK and DT_ERR_INTERRUPTED, and if all steps are done and only the
 * last evaluation or checkpoint failed: result->all_done, and the net's weights are good.
 *
 * DT_OK: all epochs (or --steps) are done. DT_ERR_INTERRUPTED: stopped on request, with a checkpoint if there
 * was time. DT_ERR_NUMERIC: the loss of a step or of an evaluation, or the state, is not finite, or gradients
 * overflow in every step; the message names the step, what is not finite, and the checkpoint to resume from.
 * DT_ERR_IO: too many checkpoints in a row, or the last one, could not be written. Or what any part returned.
 * Where err->shared is false, only this rank knows of the error, and
 * others may wait for it in a collective: the caller must comm->abort. */
dt_status dt_trainer_run(const dt_trainer_parts *parts, dt_metrics_end *result, dt_error *err);

#endif
