/* samples.h: launchers of samples.cu. All return DT_LAUNCH's result. */
#ifndef DTRAIN_TESTS_EMULATOR_SAMPLES_H
#define DTRAIN_TESTS_EMULATOR_SAMPLES_H

#include <stdbool.h>
#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

enum { SAMPLE_MAX_THREADS = 1024 };

int sample_indices(unsigned *out); /* [2 * 3 * 4 * 5 * 3 * 2] */
int sample_turn(int *x, unsigned n_blocks, unsigned n_threads, bool dynamic);
/* [40], [2], [40], [40] */
int sample_warps(double *by_xor, float *by_down, unsigned *ballots, int *from_lane_2);
int sample_unwritten(float *out, unsigned n_blocks);

typedef enum sample_mistake_kind {
    SAMPLE_LEAVES,
    SAMPLE_OTHER_BARRIER,
    SAMPLE_LANE_IS_MISSING,
    SAMPLE_MASK_IS_WRONG
} sample_mistake_kind;
int sample_mistake(sample_mistake_kind kind, int thread); /* 64 threads, of which this one differs */

int sample_configuration(unsigned n_blocks, unsigned n_threads, size_t shared_bytes);

#ifdef __cplusplus
}
#endif

#endif
