/* fake_nccl_internal.h: shared by fake_nccl.c and fake_nccl_kernels.c. */
#ifndef DTRAIN_TESTS_FAKE_NCCL_INTERNAL_H
#define DTRAIN_TESTS_FAKE_NCCL_INTERNAL_H

#include "tests/fakes/fake_nccl.h"

/* One value of an array of F32, F16 or BF16. */
float fake_nccl_value(const void *data, int64_t i, dt_dtype dtype);
void fake_nccl_set_value(void *data, int64_t i, dt_dtype dtype, float v);

/* Abort the test where a call of NCCL is in progress. */
void fake_nccl_check_not_busy(const char *what);

/* Functions of the table (comm/nccl/api.h). */
int fake_nccl_pack(void *stream, const float *from, void *to, int64_t n, dt_dtype wire, dt_nccl_mark begun);
int fake_nccl_unpack(void *stream, const void *from, float *to, int64_t n, dt_dtype wire, dt_nccl_mark done);
int fake_nccl_mark(void *stream, dt_nccl_mark m);
const char *fake_nccl_launch_error(int code);
const char *fake_nccl_error_string(int result);

#endif
