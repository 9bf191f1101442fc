/* jsonl.h: metrics.jsonl, one JSON object a line, for jq, pandas and whoever draws curves. A sink of
 * core/metrics.h.
 *
 *   {"event": "start", "time": 1795468800.123, "step": 0, "epoch": 1, "total_steps": 2340, "epochs": 15, ...}
 *   {"event": "step", "time": ..., "step": 1, "epoch": 1, "loss": 2.4012, "top1": 0.125, "lr": 0.01,
 *   "images_per_s": 812.5,
 *    "data_wait_s": 0.0003, "comm_wait_s": 0.0011, "elapsed_s": 0.08}
 *   {"event": "eval", "time": ..., "step": 156, "epoch": 1, "val_loss": 1.71, "val_top1": 0.381, "val_top5":
 *   0.874, "n": 1000, ...}
 *   {"event": "epoch", ...}  {"event": "checkpoint", ...}  {"event": "end", ...}
 *
 * Every line has event, time (Unix seconds) and step (optimizer steps done). Epochs count from 1, as on the
 * screen. top1 and the like are fractions; what is not finite, or was never measured, is null. Each line is
 * one write(2), so that a reader never sees half of one while the program runs.
 */
#ifndef DT_IO_METRICS_JSONL_H
#define DT_IO_METRICS_JSONL_H

#include "core/metrics.h"

/* Append to `path`, which is made if need be. The start event first cuts off what is of later steps than its
 * first_step (lines of a start that went on after the checkpoint which this one resumes from), and a last
 * line without its end; a start at step 0 empties the file. So no step appears twice. The checkpoint and end
 * events also fdatasync. The caller ends it with sink->ops->destroy. DT_ERR_IO, DT_ERR_MEMORY. A line that
 * the system refuses is DT_ERR_IO from the event's function, and leaves no half line behind. */
dt_status dt_jsonl_create(const char *path, dt_sink **sink, dt_error *err);

#endif
