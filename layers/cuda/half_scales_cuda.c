/* half_scales_cuda.c: scale and bias of lazy activations in 16 bits.
 *
 * cuDNN's prologue needs them in the dtype of the activation, while core keeps float32 vectors. bn_finalize
 * writes both in one launch. A convolution finds the 16-bit pair by the address of the float32 vector. A
 * scale that bn_finalize has not written (in tests) is converted before each use. An address means nothing
 * once its memory has another owner; nets are built and freed together with their convolutions, so every
 * conv_create and conv_destroy forgets all pairs, and the next forward pass writes them again. */
#include "core/base/alloc.h"
#include "layers/cuda/cuda_internal.h"

static int64_t pair_bytes(int64_t c)
{
    return 2 * c * (int64_t)sizeof(uint16_t);
}

static void forget(dt_cuda_kernels *ck)
{
    ck->n_half_scales = 0;
    ck->halves_used_bytes = 0;
}

static dt_status grow_table(dt_cuda_kernels *ck, dt_error *err)
{
    int64_t more = ck->max_half_scales + 64;
    size_t old_bytes = (size_t)ck->max_half_scales * sizeof *ck->half_scales,
           bytes = (size_t)more * sizeof *ck->half_scales;
    void *p = dt_realloc(ck->half_scales, old_bytes, bytes);
    if (!p)
        return dt_fail_memory(err, bytes, "the table of scales");
    ck->half_scales = p;
    ck->max_half_scales = more;
    return DT_OK;
}

/* The table has as many entries as pairs fit in the memory, since each pair has 16 channels or more. */
dt_status dt_cuda_half_scales_reserve(dt_cuda_kernels *ck, int64_t c, dt_error *err)
{
    int64_t bytes = ck->halves_wanted_bytes + pair_bytes(c);
    forget(ck);
    if (bytes > ck->halves.bytes)
        DT_TRY(dt_cuda_reserve(ck, &ck->halves, 2 * bytes, "scales in 16 bits", err));
    ck->halves_wanted_bytes = bytes;
    while (ck->max_half_scales < ck->halves.bytes / pair_bytes(16))
        DT_TRY(grow_table(ck, err));
    return DT_OK;
}

void dt_cuda_half_scales_unreserve(dt_cuda_kernels *ck, int64_t c)
{
    forget(ck);
    ck->halves_wanted_bytes -= ck->is_half ? pair_bytes(c) : 0;
}

void dt_cuda_half_scales_destroy(dt_cuda_kernels *ck)
{
    dt_cuda_release(ck, &ck->halves);
    dt_free(ck->half_scales);
}

static char *find(const dt_cuda_kernels *ck, const float *scale, const float *bias, int64_t c)
{
    for (int64_t i = 0; i < ck->n_half_scales; i++) {
        const dt_cuda_half_scale *at = &ck->half_scales[i];
        if (at->scale == scale && at->bias == bias && at->c == c)
            return at->halves;
    }
    return NULL;
}

void *dt_cuda_half_scales_put(dt_cuda_kernels *ck, const float *scale, const float *bias, int64_t c)
{
    char *halves = find(ck, scale, bias, c);
    if (halves || ck->halves_used_bytes + pair_bytes(c) > ck->halves.bytes ||
        ck->n_half_scales == ck->max_half_scales)
        return halves;
    halves = ck->halves.data + ck->halves_used_bytes;
    ck->halves_used_bytes += pair_bytes(c);
    ck->half_scales[ck->n_half_scales++] =
        (dt_cuda_half_scale){.scale = scale, .bias = bias, .c = c, .halves = halves};
    return halves;
}

dt_status dt_cuda_half_scales_get(dt_cuda_kernels *ck, const dt_act *x, int nth, char **halves, dt_error *err)
{
    const int64_t c = x->raw.c;
    *halves = find(ck, x->scale, x->bias, c);
    if (*halves)
        return DT_OK;
    *halves = ck->vectors.data + nth * pair_bytes(c);
    DT_CUDA_LAUNCH("scale in 16 bits", dt_cuda_values_cast(ck->stream, x->scale, c, ck->base.dtype, *halves));
    DT_CUDA_LAUNCH("bias in 16 bits", dt_cuda_values_cast(ck->stream, x->bias, c, ck->base.dtype,
                                                          *halves + c * (int64_t)sizeof(uint16_t)));
    return DT_OK;
}
