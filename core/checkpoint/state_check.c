#include "core/checkpoint/state_check.h"

#include "core/base/alloc.h"

#include <math.h>
#include <string.h>

/* Only additions and bit operations, which every vector unit has: an exponent of ones carries into the sign
 * bit. Reads as fast as the memory gives. */
static bool all_finite(const float *values, int64_t n)
{
    uint32_t carry = 0;
    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &values[i], sizeof bits);
        carry |= (bits & 0x7F800000U) + 0x00800000U;
    }
    return carry >> 31 == 0;
}

static bool is_variance(const char *name)
{
    static const char end[] = ".running_var";
    const size_t n = strlen(name), m = sizeof end - 1;
    return n >= m && strcmp(name + n - m, end) == 0;
}

/* As torchvision names it: "param/fc.weight" is fc.weight. Momentum and averages keep their prefix. */
static const char *shown_name(const char *name)
{
    if (strncmp(name, "param/", 6) == 0)
        return name + 6;
    return strncmp(name, "buffer/", 7) == 0 ? name + 7 : name;
}

dt_status dt_state_check_part(const char *name, const float *values, int64_t n, int64_t first, dt_error *err)
{
    const bool variance = is_variance(name);
    if (!variance && all_finite(values, n))
        return DT_OK;
    for (int64_t i = 0; i < n; i++) {
        if (!isfinite(values[i]))
            return dt_fail(err, DT_ERR_NUMERIC, "%s is not finite: its element %lld is %g", shown_name(name),
                           (long long)(first + i), (double)values[i]);
        if (variance && values[i] < 0.0F)
            return dt_fail(err, DT_ERR_NUMERIC, "%s has a negative variance: its element %lld is %g",
                           shown_name(name), (long long)(first + i), (double)values[i]);
    }
    return DT_OK;
}

dt_status dt_state_check(const char *name, const float *values, int64_t n, dt_error *err)
{
    return dt_state_check_part(name, values, n, 0, err);
}

dt_status dt_state_check_all(const dt_state_layout *layout, const dt_state_io *io, dt_error *err)
{
    int64_t longest = 1;
    for (int64_t i = 0; i < layout->n_tensors; i++)
        longest = layout->tensors[i].n_elems > longest ? layout->tensors[i].n_elems : longest;
    float *values = dt_alloc((size_t)longest * sizeof *values);
    if (!values)
        return dt_fail_memory(err, (size_t)longest * sizeof *values, "checking the state");
    dt_status status = DT_OK;
    for (int64_t i = 0; i < layout->n_tensors && status == DT_OK; i++) {
        status = io->get(io->context, i, values, err);
        if (status == DT_OK)
            status = dt_state_check(layout->tensors[i].name, values, layout->tensors[i].n_elems, err);
    }
    dt_free(values);
    return status;
}
