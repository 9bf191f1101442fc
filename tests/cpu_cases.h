/* cpu_cases.h: the cpu backend beside ref, for the tests of layers/cpu. */
#ifndef DTRAIN_TESTS_CPU_CASES_H
#define DTRAIN_TESTS_CPU_CASES_H

#include "core/kernels.h"

/* Create both backends on a device of their own. End the program if that fails. */
typedef struct dt_cpu_pair {
    dt_device *device;
    dt_kernels *cpu, *ref;
} dt_cpu_pair;

dt_cpu_pair dt_cpu_pair_create(int64_t n_threads);
void dt_cpu_pair_destroy(dt_cpu_pair *pair);

/* Check that the cases of tests/backend_cases.h with each of these filters (ended by NULL) agree to 1e-5. */
void dt_cpu_cases_check(int64_t n_threads, int64_t image_size, int64_t batch, const char *const *filters);

/* Skips the test and returns false on another kind of processor. */
bool dt_cpu_cases_need_x86(void);

/* Filters for all kinds of operations and implementations with few shapes, for tests with other instruction
 * sets. */
extern const char *const dt_cpu_cases_few[];

#endif
