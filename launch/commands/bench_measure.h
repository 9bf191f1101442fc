/* bench_measure.h: what `dtrain bench` measures, one function each. All are collective and block; every rank
 * gets the same figures. A request to stop ends them with DT_ERR_INTERRUPTED.
 *
 *   dt_bench_figures figures;
 *   dt_bench_figures_init(&figures);
 *   DT_TRY(dt_bench_measure_steps(&parts, 10.0, &figures, err));
 */
#ifndef DT_LAUNCH_COMMANDS_BENCH_MEASURE_H
#define DT_LAUNCH_COMMANDS_BENCH_MEASURE_H

#include "launch/commands/bench_meter.h"
#include "launch/commands/bench_parts.h"

/* NAN: not measured. Images a second are those of all ranks together. */
typedef struct dt_bench_figures {
    double start_s;                                        /* from the program's start to the first step */
    double step_images_s;                                  /* random pixels, without the loader */
    double loader_core_images_s, loader_images_s;          /* the loader alone: one core, all cores */
    double train_images_s, evaluate_images_s;              /* all parts at once */
    double slowest_train_images_s, fastest_train_images_s; /* as in dt_bench_training */
    double checkpoint_s, last_checkpoint_s;                /* as in dt_bench_training */
    double checkpoint_bytes;
    double disk_bytes_s, download_bytes_s;
} dt_bench_figures;

void dt_bench_figures_init(dt_bench_figures *figures);

/* download_bytes_s: rank 0 reads from `url`, for `seconds` at most. The only one that needs no parts: before
 * dt_bench_open, so that a wrong address is found at once. */
dt_status dt_bench_measure_download(const dt_session *session, const char *url, double seconds,
                                    dt_bench_figures *figures, dt_error *err);

/* step_images_s and start_s: the trainer on random pixels, for about `seconds`. Call it before those below:
 * start_s counts from the program's start, without parts->preparing_s. */
dt_status dt_bench_measure_steps(dt_bench_parts *parts, double seconds, dt_bench_figures *figures,
                                 dt_error *err);

/* train_images_s, evaluate_images_s and the figures of checkpoints: the trainer on images, for about 2
 * `seconds` of steps by step_images_s, with three checkpoints meanwhile; then an evaluation of about
 * `seconds`, and the last checkpoint. */
dt_status dt_bench_measure_training(dt_bench_parts *parts, double seconds, dt_bench_figures *figures,
                                    dt_error *err);

/* loader_core_images_s: rank 0 alone with one decoding thread; loader_images_s: all ranks with one on each of
 * their cores. Each takes about `seconds`. */
dt_status dt_bench_measure_loader(dt_bench_parts *parts, double seconds, dt_bench_figures *figures,
                                  dt_error *err);

/* disk_bytes_s: rank 0 reads past the page cache, for `seconds` at most: the training images of --data; else,
 * since photographs of bench are few, the shards of the checkpoint that dt_bench_measure_training wrote. */
dt_status dt_bench_measure_disk(dt_bench_parts *parts, double seconds, dt_bench_figures *figures,
                                dt_error *err);

#endif
