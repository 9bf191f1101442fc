/* wire.h: the kernels between gradients and the wire (wire.cu). What they do: comm/nccl/api.h.
 *
 * nvcc compiles them for GPUs, and g++ the same file against tests/emulator. Enqueued, not waited for;
 * nothing is allocated; can be captured. The result is 0, or the cudaError_t of a launch that was refused.
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
