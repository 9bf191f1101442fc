/* kernels_cpu.c: the cpu backend's table, its layouts, and the choice of instruction set. */
#include "layers/cpu/kernels_cpu.h"

#include "config.h"
#include "core/base/alloc.h"
#include "layers/cpu/onednn.h"
#include "layers/step_host.h"

#include <oneapi/dnnl/dnnl_debug.h>
#include <stdio.h>
#include <string.h>

static void destroy(dt_kernels *k)
{
    if (k == NULL)
        return;
    dt_cpu_kernels *cpu = dt_cpu(k);
    for (int i = 0; cpu->streams != NULL && i < cpu->n_threads; i++)
        if (cpu->streams[i] != NULL)
            dnnl_stream_destroy(cpu->streams[i]);
    dt_free(cpu->streams);
    if (cpu->engine != NULL)
        dnnl_engine_destroy(cpu->engine);
    dt_free(cpu->scratch);
    dt_free(cpu);
}

static int64_t tensor_bytes(dt_kernels *k, int64_t n, int64_t c, int64_t h, int64_t w)
{
    (void)k;
    return n * c * h * w * (int64_t)sizeof(float);
}

/* Where a plane of an NCHW tensor lies in our layout: the index of its first element, and the step to the
 * next one. */
typedef struct plane_address {
    int64_t first, step;
} plane_address;

static plane_address plane_address_of(int64_t block, const dt_tensor *t, int64_t plane)
{
    const int64_t n_pixels = t->h * t->w;
    if (t->c == 3 || n_pixels == 1) /* the image; features and logits */
        return (plane_address){plane * n_pixels, 1};
    const int64_t c = plane % t->c;
    return (plane_address){(plane - c % block) * n_pixels + c % block, block};
}

static dt_status tensor_import(dt_kernels *k, const float *nchw, const dt_tensor *t, dt_error *err)
{
    float *data = dt_cpu_data_like(t, t);
    (void)err;
    for (int64_t plane = 0; plane < t->n * t->c; plane++) {
        const plane_address at = plane_address_of(dt_cpu(k)->block, t, plane);
        for (int64_t i = 0; i < t->h * t->w; i++)
            data[at.first + i * at.step] = *nchw++;
    }
    return DT_OK;
}

static dt_status tensor_export(dt_kernels *k, const dt_tensor *t, float *nchw, dt_error *err)
{
    const float *data = dt_cpu_data_like(t, t);
    (void)err;
    for (int64_t plane = 0; plane < t->n * t->c; plane++) {
        const plane_address at = plane_address_of(dt_cpu(k)->block, t, plane);
        for (int64_t i = 0; i < t->h * t->w; i++)
            *nchw++ = data[at.first + i * at.step];
    }
    return DT_OK;
}

static const char *layout_name(dt_kernels *k)
{
    return dt_cpu(k)->layout;
}

static int64_t scratch_bytes(dt_kernels *k)
{
    return dt_cpu(k)->scratch_bytes;
}

static const dt_kernels_ops ops = {
    .name = "cpu",
    .destroy = destroy,
    .tensor_bytes = tensor_bytes,
    .tensor_import = tensor_import,
    .tensor_export = tensor_export,
    .layout_name = layout_name,
    .scratch_bytes = scratch_bytes,
    .normalize_input = dt_cpu_normalize_input,
    .conv_create = dt_cpu_conv_create,
    .conv_destroy = dt_cpu_conv_destroy,
    .conv_fusions = dt_cpu_conv_fusions,
    .conv_weights_elems = dt_cpu_conv_weights_elems,
    .conv_weights_order = dt_cpu_conv_weights_order,
    .conv_weights_changed = dt_cpu_conv_weights_changed,
    .conv_forward = dt_cpu_conv_forward,
    .conv_backward_data = dt_cpu_conv_backward_data,
    .conv_backward_weights = dt_cpu_conv_backward_weights,
    .bn_sums_bytes = dt_cpu_bn_sums_bytes,
    .bn_sums = dt_cpu_bn_sums,
    .bn_finalize = dt_cpu_bn_finalize,
    .bn_inference = dt_cpu_bn_inference,
    .bn_backward_reduce = dt_cpu_bn_backward_reduce,
    .bn_backward_apply = dt_cpu_bn_backward_apply,
    .act_materialize = dt_cpu_act_materialize,
    .residual_mask_bytes = dt_cpu_residual_mask_bytes,
    .residual_forward = dt_cpu_residual_forward,
    .residual_backward = dt_cpu_residual_backward,
    .max_pool_forward = dt_cpu_max_pool_forward,
    .max_pool_backward = dt_cpu_max_pool_backward,
    .average_pool_forward = dt_cpu_average_pool_forward,
    .average_pool_backward = dt_cpu_average_pool_backward,
    .linear_create = dt_cpu_linear_create,
    .linear_destroy = dt_cpu_linear_destroy,
    .linear_forward = dt_cpu_linear_forward,
    .linear_backward = dt_cpu_linear_backward,
    .softmax_loss = dt_cpu_softmax_loss,
    .step_begin = dt_host_step_begin,
    .step_record = dt_host_step_record,
    .optimizer_create = dt_cpu_optimizer_create,
    .optimizer_destroy = dt_cpu_optimizer_destroy,
    .optimizer_step = dt_cpu_optimizer_step,
};

/* Our kernels use the instruction set that oneDNN may use (DNNL_MAX_CPU_ISA lowers it), since the block size
 * must suit both. */
static bool onednn_has(dnnl_cpu_isa_t isa)
{
    return ((unsigned)dnnl_get_effective_cpu_isa() & (unsigned)isa) == (unsigned)isa;
}

static void choose_instructions(dt_cpu_kernels *cpu)
{
    cpu->block = onednn_has(dnnl_cpu_isa_avx512_core) ? 16 : 8;
    cpu->simd = &dt_cpu_simd_baseline;
#if defined DT_BUILD_AVX2
    if (onednn_has(dnnl_cpu_isa_avx2) && __builtin_cpu_supports("fma"))
        cpu->simd = &dt_cpu_simd_avx2;
#endif
#if defined DT_BUILD_AVX512
    if (onednn_has(dnnl_cpu_isa_avx512_core))
        cpu->simd = &dt_cpu_simd_avx512;
#endif
    snprintf(cpu->layout, sizeof cpu->layout, "cpu: activations nChw%lldc, weights OIhw%lldi%lldo, fp32",
             (long long)cpu->block, (long long)cpu->block, (long long)cpu->block);
}

dt_cpu_team dt_kernels_cpu_team(dt_kernels *kernels)
{
    return dt_cpu(kernels)->team;
}

void dt_kernels_cpu_computed_by(dt_kernels *kernels, dt_computed_by *out)
{
    static const char prefix[] = "cpu_isa_";
    const dnnl_version_t *version = dnnl_version();
    const char *isa = dnnl_cpu_isa2str(dnnl_get_effective_cpu_isa());
    dt_computed_by_add(out, "oneDNN", "%d.%d.%d", version->major, version->minor, version->patch);
    dt_computed_by_add(out, "isa", "%s",
                       strncmp(isa, prefix, strlen(prefix)) == 0 ? isa + strlen(prefix) : isa);
    dt_computed_by_add(out, "simd", "%s", dt_cpu(kernels)->simd->name);
}

static dt_status start_onednn(dt_cpu_kernels *cpu, dt_error *err)
{
    dnnl_status_t status = dnnl_engine_create(&cpu->engine, dnnl_cpu, 0);
    if (status == dnnl_success) /* whatever DNNL_DEFAULT_FPMATH_MODE says: float32 is float32 */
        status = dnnl_set_default_fpmath_mode(dnnl_fpmath_mode_strict);
    cpu->streams = dt_calloc((size_t)cpu->n_threads, sizeof *cpu->streams);
    if (cpu->streams == NULL)
        return dt_fail_memory(err, (size_t)cpu->n_threads * sizeof *cpu->streams, "oneDNN's streams");
    for (int i = 0; i < cpu->n_threads && status == dnnl_success; i++)
        status = dnnl_stream_create(&cpu->streams[i], cpu->engine, dnnl_stream_default_flags);
    if (status == dnnl_success)
        return DT_OK;
    return dt_fail(err, dt_onednn_status(status), "oneDNN: the CPU engine: %s (status %d)",
                   dt_onednn_status_text(status), (int)status);
}

dt_status dt_kernels_cpu_create(dt_device *device, int64_t n_threads, dt_kernels **kernels, dt_error *err)
{
    dt_device_info info = {0};
    device->ops->info(device, &info);
    if (!info.is_host)
        return dt_fail(
            err, DT_ERR_UNSUPPORTED,
            "backend cpu: it computes in host memory and cannot use the device %s; use --backend auto",
            info.name);
    if (n_threads < 1 || n_threads > INT32_MAX)
        return dt_fail(err, DT_ERR_INTERNAL, "backend cpu: %lld threads", (long long)n_threads);
    dt_cpu_kernels *cpu = dt_calloc(1, sizeof *cpu);
    if (cpu == NULL)
        return dt_fail_memory(err, sizeof *cpu, "the cpu backend");
    cpu->base = (dt_kernels){.ops = &ops, .device = device, .dtype = DT_F32};
#ifdef _OPENMP
    cpu->n_threads = (int)n_threads;
#else
    cpu->n_threads = 1;
#endif
    cpu->chunk_bytes = 1 << 20;
    choose_instructions(cpu);
    dt_status status = dt_cpu_team_start(cpu, err);
    if (status == DT_OK)
        status = start_onednn(cpu, err);
    if (status != DT_OK) {
        destroy(&cpu->base);
        return status;
    }
    *kernels = &cpu->base;
    return DT_OK;
}
