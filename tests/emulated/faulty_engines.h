/* faulty_engines.h: engines for a graph on the emulated device, right ones and faulty ones, among which
 * dt_plan_choose chooses.
 *
 *   dt_faulty_engine all[] = {{.name = "fails", .behaviour = DT_ENGINE_FAILS, .ms = 1},
 *                             {.name = "right", .behaviour = DT_ENGINE_RIGHT, .ms = 2}};
 *   status = dt_faulty_engines_choose(device, &graph, all, 2, DT_AUTOTUNE_FULL, NULL, &choice, &err);
 *   DT_CHECK_STR(choice.engine, "right");
 */
#ifndef DTRAIN_TESTS_EMULATED_FAULTY_ENGINES_H
#define DTRAIN_TESTS_EMULATED_FAULTY_ENGINES_H

#include "core/device.h"
#include "layers/cuda/plan_cache.h"
#include "tests/emulated/graph_interpreter.h"

typedef enum dt_faulty_behaviour {
    DT_ENGINE_RIGHT,
    DT_ENGINE_WRONG,        /* with the mistake `spoil` */
    DT_ENGINE_REFUSES,      /* DT_ERR_UNSUPPORTED */
    DT_ENGINE_FAILS,        /* DT_ERR_DEVICE; the device still works */
    DT_ENGINE_DIFFERS,      /* writes another bit in every second execution */
    DT_ENGINE_DIFFERS_LATE, /* in the eleventh one */
    DT_ENGINE_IDLE,         /* writes nothing */
    DT_ENGINE_NAN,          /* fills its last output, in FP16, with NaNs */
    DT_ENGINE_LAST_SUM      /* doubles the last element of its last output, in FP32 */
} dt_faulty_behaviour;

typedef struct dt_faulty_engine {
    const char *name;
    dt_faulty_behaviour behaviour;
    double ms; /* what a measurement returns */
    void (*spoil)(dt_graph *graph);
    int n_runs; /* counted */
    dt_graph_runner *runner;
    dt_graph_plan *plan;
    char *output; /* the last one, in the present execution */
    int64_t output_bytes;
} dt_faulty_engine;

/* Choose one of n engines for the graph, as cudnn_runner.c does. cache may be NULL. Errors: dt_plan_choose's.
 */
dt_status dt_faulty_engines_choose(dt_device *device, const dt_graph *graph, dt_faulty_engine *all, int n,
                                   dt_autotune_kind autotune, dt_plan_cache *cache, dt_plan_choice *choice,
                                   dt_error *err);

/* Create a runner whose graphs have one engine each, which behaves as behaviour_of returns, and is measured
 * and checked. Graphs whose engine passes are run by `inner`, which it borrows; the others are refused. A
 * wrong engine doubles its convolution. Errors: DT_ERR_MEMORY. */
dt_status dt_faulty_runner_create(dt_device *device, dt_graph_runner *inner,
                                  dt_faulty_behaviour (*behaviour_of)(const dt_graph *graph),
                                  dt_graph_runner **runner, dt_error *err);
#endif
