/* trainer.h: the training loop: epochs, steps, evaluation, checkpoints.
 *
 *   dt_trainer_parts parts = { .config = &config, .net = net, ... };
 *   dt_trainer_run(&parts, &result, err);
 *
 * Knows only the doors in core/: it runs in a unit test with fakes on every side. Collective: every rank
 * calls it with parts that agree (launch/ has checked).
 */
#ifndef DT_CORE_TRAINING_TRAINER_H
#define DT_CORE_TRAINING_TRAINER_H

#include "core/base/config.h"
#include "core/comm.h"
#include "core/events.h"
#include "core/metrics.h"
#include "core/model/net.h"
#include "core/source.h"
#include "core/store.h"

/* All borrowed. */
typedef struct dt_trainer_parts {
    const dt_config *config;
    const char *config_text; /* goes into the checkpoints' manifests */
    const char *arch;
    const dt_computed_by *computed_by; /* what this rank computes with; stored in checkpoints. NULL (on all
                                          ranks): not known */
    dt_kernels *kernels;
    dt_net *net; /* built for training, initialised (or loaded with --init) on rank 0 at least */
    dt_comm *comm;
    dt_source *train;
    dt_source *val;    /* NULL: no evaluation */
    dt_store *store;   /* NULL: no checkpoints */
    bool per_host;     /* `store` is this host's own folder */
    dt_store *mirror;  /* a second copy of the checkpoints, in a folder that all hosts see; NULL: none */
    dt_events *events; /* NULL: nobody asks to stop */
    dt_sink **sinks;   /* rank 0's; others give 0 of them */
    int64_t n_sinks;
    /* Called on every rank after a possible resume and before the first step, with the steps already done.
     * May be NULL. */
    void (*resumed)(void *context, int64_t step);
    void *resumed_context;
} dt_trainer_parts;

/* DT_OK when all epochs (or --steps) are done; DT_ERR_INTERRUPTED after a stop request, when a checkpoint is
 * written; Epochs have images of the sizes that config->resize says; net and sources come with those of
 * config->image_size, which evaluation keeps. DT_ERR_NUMERIC when the loss is not finite, naming step, rank
 * and learning rate; or what any part said. Where err->shared is false, only this rank knows of the error, and others may wait for
 * it in a collective: the caller must comm->abort. */
dt_status dt_trainer_run(const dt_trainer_parts *parts, dt_metrics_end *result, dt_error *err);

#endif
