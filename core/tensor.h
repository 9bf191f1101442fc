/* tensor.h: descriptions of activations in device memory. */
#ifndef DT_CORE_TENSOR_H
#define DT_CORE_TENSOR_H

#include <stdbool.h>
#include <stdint.h>

typedef enum dt_dtype {
    DT_F32 = 0,
    DT_F16,
    DT_BF16,
    DT_TF32 /* FP32 storage, TF32 arithmetic */,
    DT_F64,
    DT_I32,
    DT_I64,
    DT_U8
} dt_dtype;

int64_t dt_dtype_bytes(dt_dtype dtype);    /* of one element in memory */
const char *dt_dtype_name(dt_dtype dtype); /* "fp32", "fp16", ... */

/* An activation, or the gradient of one: n images of c channels, h rows, w columns. Each backend has its own
 * order of the elements in memory (ref: NCHW; cpu: channels in blocks of 16; cuda: NHWC). core/ never reads
 * them; it calls kernels.h for sizes and conversions. A view: it does not own its memory. */
typedef struct dt_tensor {
    void *data; /* device memory */
    dt_dtype dtype;
    int64_t n, c, h, w;
} dt_tensor;

/* A lazily normalised activation: its value is scale[c] * raw + bias[c], then relu if `relu` is set. If scale
 * is NULL, its value is raw; then bias is NULL, too, and relu is false. So BatchNorm needs no pass over
 * memory: the operation that reads the activation applies scale, bias and relu. */
typedef struct dt_act {
    dt_tensor raw;
    const float *scale; /* [c] device memory, or NULL */
    const float *bias;  /* [c] */
    bool relu;
} dt_act;

#endif
