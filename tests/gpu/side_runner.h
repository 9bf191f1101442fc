/* side_runner.h: two views of one runner, to compare a convolution's fused graphs with the operations that
 * they replace.
 *
 *   DT_TRY(dt_side_runner_create(cudnn, DT_SIDE_FUSED, &fused, err));
 *   DT_TRY(dt_side_runner_create(cudnn, DT_SIDE_COMPOSED, &composed, err));
 *
 * FUSED has every graph of the runner, also those that were measured to be slower than what they replace,
 * which the backend would drop (layers/cuda/fused_cuda.c). COMPOSED has graphs of one operation only.
 */
#ifndef DTRAIN_TESTS_GPU_SIDE_RUNNER_H
#define DTRAIN_TESTS_GPU_SIDE_RUNNER_H

#include "layers/cuda/graph.h"

typedef enum dt_side { DT_SIDE_FUSED, DT_SIDE_COMPOSED } dt_side;

/* `inner` is borrowed. The caller destroys *runner. DT_ERR_MEMORY. */
dt_status dt_side_runner_create(dt_graph_runner *inner, dt_side side, dt_graph_runner **runner,
                                dt_error *err);

#endif
