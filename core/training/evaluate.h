/* evaluate.h: loss, top-1 and top-5 over a whole source. Each sample counts once, at any world size and
 * batch.
 *
 *   dt_metrics_eval result = {.step = step, .epoch = epoch};
 *   dt_evaluate(net, kernels, comm, val, batch, 0.01, events, sinks, n_sinks, &result, err);
 */
#ifndef DT_CORE_TRAINING_EVALUATE_H
#define DT_CORE_TRAINING_EVALUATE_H

#include "core/comm.h"
#include "core/events.h"
#include "core/metrics.h"
#include "core/model/net.h"
#include "core/source.h"

/* Collective. Rank r evaluates the micro-batches r, r + size, ... of the validation set with the running
 * statistics; one all-reduce sums the results. `batch` is the net's batch. Fills val_loss, val_top1,
 * val_top5, n (at least 1), n_broken, images_per_s and elapsed_s of *result. Sends the progress to the sinks
 * (n_sinks may be 0). Ranks agree on errors. DT_ERR_INTERRUPTED after a request to stop on some rank (events
 * may be NULL, then on all ranks); DT_ERR_DATA if all files are broken, or a greater share of them than
 * max_broken, counted over all ranks; DT_ERR_NUMERIC if the loss is not finite. */
dt_status dt_evaluate(dt_net *net, dt_kernels *kernels, dt_comm *comm, dt_source *val, int64_t batch,
                      double max_broken, dt_events *events, dt_sink **sinks, int64_t n_sinks,
                      dt_metrics_eval *result, dt_error *err);

#endif
