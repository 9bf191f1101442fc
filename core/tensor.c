#include "core/tensor.h"

int64_t dt_dtype_bytes(dt_dtype dtype)
{
    switch (dtype) {
    case DT_F32:
    case DT_TF32:
    case DT_I32:
        return 4;
    case DT_F16:
    case DT_BF16:
        return 2;
    case DT_F64:
    case DT_I64:
        return 8;
    case DT_U8:
        return 1;
    }
    return 0;
}

const char *dt_dtype_name(dt_dtype dtype)
{
    switch (dtype) {
    case DT_F32:
        return "fp32";
    case DT_F16:
        return "fp16";
    case DT_BF16:
        return "bf16";
    case DT_TF32:
        return "tf32";
    case DT_F64:
        return "fp64";
    case DT_I32:
        return "int32";
    case DT_I64:
        return "int64";
    case DT_U8:
        return "uint8";
    }
    return "unknown";
}
