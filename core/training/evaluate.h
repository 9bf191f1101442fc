/* evaluate.h: loss, top-1 and top-5 over a whole source, each sample counted once, whatever the world size
 * and batch. */
#ifndef DT_CORE_TRAINING_EVALUATE_H
#define DT_CORE_TRAINING_EVALUATE_H

#include "core/comm.h"
#include "core/events.h"
#include "core/metrics.h"
#include "core/model/net.h"
#include "core/source.h"

/* Collective. Rank r evaluates the micro-batches r, r + size, ... of the validation set; the sums meet in one
 * all-reduce. Fills val_loss, val_top1, val_top5, n, images_per_s and elapsed_s. Sinks (may be none) see the
 * progress. Ranks agree on errors. A request to stop on some rank (events may be NULL, on all ranks) ends it
 * with DT_ERR_INTERRUPTED. The net's batch is `batch`; running statistics are used. */
dt_status dt_evaluate(dt_net *net, dt_kernels *kernels, dt_comm *comm, dt_source *val, int64_t batch,
                      dt_events *events, dt_sink **sinks, int64_t n_sinks, dt_metrics_eval *result,
                      dt_error *err);

#endif
