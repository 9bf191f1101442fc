/* tensor.h: what a block of device memory means. */
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

int64_t dt_dtype_bytes(dt_dtype dtype);
const char *dt_dtype_name(dt_dtype dtype); /* "fp32", "fp16", ... */

/* An activation or a gradient of one: n images of c channels, h rows, w columns. The order of the elements in
 * memory is the backend's own affair (ref: NCHW; cpu: channels in blocks of 16; cuda: NHWC): core/ never
 * looks inside, and asks kernels.h for sizes and for conversion. A view; owns nothing. */
typedef struct dt_tensor {
    void *data; /* device memory */
    dt_dtype dtype;
    int64_t n, c, h, w;
} dt_tensor;

/* A lazily normalised activation: its value is relu?(scale[c] * raw + bias[c]), with relu only if `relu` is
 * set, and raw itself if scale is NULL (then bias is NULL too, and relu false). BatchNorm thus costs no pass
 * over memory:
 * whoever reads the activation applies it. */
typedef struct dt_act {
    dt_tensor raw;
    const float *scale; /* [c] device memory, or NULL */
    const float *bias;  /* [c] */
    bool relu;
} dt_act;

#endif
