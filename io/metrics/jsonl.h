/* jsonl.h: metrics.jsonl, one JSON object a line, for jq, pandas and plots. A sink of core/metrics.h.
 *
 *   {"event": "start", "time": 1795468800.123, "step": 0, "epoch": 1, "total_steps": 2340, "epochs": 15, ...}
 *   {"event": "step", "time": ..., "step": 1, "epoch": 1, "loss": 2.4012, "top1": 0.125, "lr": 0.01,
 *    "images_per_s": 812.5, "data_wait_s": 0.0003, "comm_wait_s": 0.0011, "elapsed_s": 0.08}
 *   {"event": "eval", "time": ..., "step": 156, "epoch": 1, "val_loss": 1.71, "val_top1": 0.381,
 *    "val_top5": 0.874, "n": 1000, ...}
 *   {"event": "epoch", ...}  {"event": "checkpoint", ...}  {"event": "end", ...}
 *
 * Every line has event, time (Unix seconds) and step (optimizer steps done). Epochs count from 1, as on the
 * screen. top1 and the like are fractions. A value that is not finite, or was never measured, is null. Each
 * line is one write(2), so a reader never sees half a line while the program runs.
 */
#ifndef DT_IO_METRICS_JSONL_H
#define DT_IO_METRICS_JSONL_H

#include "core/metrics.h"

/* Append to `path`, which is created if it does not exist. The start event first removes the lines of steps
 * after its first_step, which an earlier start wrote after the checkpoint that this start resumes from, and
 * an unfinished last line; a start at step 0 empties the file. So no step is there twice. The checkpoint and
 * end events also call fdatasync. The caller destroys the sink. DT_ERR_IO, DT_ERR_MEMORY. If the system
 * refuses a line, the event's function returns DT_ERR_IO, and no part of the line stays. */
dt_status dt_jsonl_create(const char *path, dt_sink **sink, dt_error *err);

#endif
