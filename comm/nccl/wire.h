/* wire.h: the kernels of wire.cu, which convert gradients to 16 bits and back. comm/nccl/api.h says what each
 * does.
 *
 * nvcc compiles wire.cu for GPUs, and g++ compiles the same file against tests/emulator. The functions only
 * enqueue, allocate nothing, and can be captured. They return 0, or the cudaError_t of a launch that failed.
 */
#ifndef DT_COMM_NCCL_WIRE_H
#define DT_COMM_NCCL_WIRE_H

#ifdef __cplusplus
extern "C" {
#endif

#include "comm/nccl/api.h"

int dt_nccl_wire_pack(void *stream, const float *from, void *to, int64_t n, dt_dtype wire,
                      dt_nccl_mark begun);
int dt_nccl_wire_unpack(void *stream, const void *from, float *to, int64_t n, dt_dtype wire,
                        dt_nccl_mark done);
int dt_nccl_wire_mark(void *stream, dt_nccl_mark mark);
const char *dt_nccl_wire_error(int code);

#ifdef __cplusplus
}
#endif

#endif
