/* fake_nccl_kernels.c: values, names of errors, and the kernels of wire.cu as work of the fake GPU. */
#include "tests/fakes/fake_nccl_internal.h"

#include "layers/half.h"

float fake_nccl_value(const void *data, int64_t i, dt_dtype dtype)
{
    if (dtype == DT_F32)
        return ((const float *)data)[i];
    const uint16_t bits = ((const uint16_t *)data)[i];
    return dtype == DT_F16 ? dt_half_to_float(bits) : dt_bfloat_to_float(bits);
}

void fake_nccl_set_value(void *data, int64_t i, dt_dtype dtype, float v)
{
    if (dtype == DT_F32)
        ((float *)data)[i] = v;
    else
        ((uint16_t *)data)[i] = dtype == DT_F16 ? dt_half_from_float(v) : dt_bfloat_from_float(v);
}

typedef struct wire_arguments {
    const void *from;
    void *to;
    int64_t n;
    dt_dtype dtype;
    dt_nccl_mark mark;
} wire_arguments;

static void set_mark(dt_nccl_mark mark)
{
    if (mark.count)
        __atomic_store_n(mark.seen, ++*mark.count, __ATOMIC_RELAXED);
}

static void mark_work(void *arguments)
{
    set_mark(*(const dt_nccl_mark *)arguments);
}

static void pack_work(void *arguments)
{
    const wire_arguments *a = arguments;
    set_mark(a->mark);
    for (int64_t i = 0; i < a->n; i++)
        fake_nccl_set_value(a->to, i, a->dtype, ((const float *)a->from)[i]);
}

static void unpack_work(void *arguments)
{
    const wire_arguments *a = arguments;
    set_mark(a->mark);
    for (int64_t i = 0; i < a->n; i++)
        ((float *)a->to)[i] = fake_nccl_value(a->from, i, a->dtype);
}

int fake_nccl_pack(void *stream, const float *from, void *to, int64_t n, dt_dtype wire, dt_nccl_mark begun)
{
    fake_nccl_check_not_busy("a kernel");
    fake_nccl_enqueue(stream, pack_work, &(wire_arguments){from, to, n, wire, begun}, sizeof(wire_arguments));
    return 0;
}

int fake_nccl_unpack(void *stream, const void *from, float *to, int64_t n, dt_dtype wire, dt_nccl_mark done)
{
    fake_nccl_check_not_busy("a kernel");
    fake_nccl_enqueue(stream, unpack_work, &(wire_arguments){from, to, n, wire, done},
                      sizeof(wire_arguments));
    return 0;
}

int fake_nccl_mark(void *stream, dt_nccl_mark m)
{
    fake_nccl_check_not_busy("a kernel");
    fake_nccl_enqueue(stream, mark_work, &m, sizeof m);
    return 0;
}

const char *fake_nccl_launch_error(int code)
{
    (void)code;
    return "the launch was refused";
}

const char *fake_nccl_error_string(int result)
{
    static const char *const names[] = {"no error",
                                        "unhandled cuda error",
                                        "unhandled system error",
                                        "internal error",
                                        "invalid argument",
                                        "invalid usage",
                                        "remote process exited or there was a network error",
                                        "NCCL operation in progress"};
    return result >= 0 && result < 8 ? names[result] : "unknown result code";
}
