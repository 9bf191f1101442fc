/* grad_exchange.c: choose the type and the buckets in which gradients are sent. */
#include "core/collective/grad_exchange.h"

#include "core/base/units.h"

#include <stdio.h>

dt_grad_exchange dt_grad_exchange_choose(dt_wire_kind kind, dt_dtype precision, const dt_comm *comm)
{
    const bool is_16_bit = precision == DT_F16 || precision == DT_BF16;
    const bool rounds_too_often = precision == DT_BF16 && comm->size >= DT_WIRE_RANKS;
    const bool as_f32 = !is_16_bit || kind == DT_WIRE_F32 || (kind == DT_WIRE_AUTO && rounds_too_often);
    return (dt_grad_exchange){.wire = as_f32 ? DT_F32 : precision,
                              .bucket_bytes =
                                  comm->ops->device_wait ? DT_BUCKET_BYTES_DEVICE : DT_BUCKET_BYTES_HOST};
}

dt_dtype dt_grad_exchange_sent(const dt_grad_exchange *exchange, const dt_comm *comm)
{
    return comm->ops->device_wait ? exchange->wire : DT_F32;
}

void dt_grad_exchange_describe(const dt_grad_exchange *exchange, char *out, size_t out_bytes)
{
    snprintf(out, out_bytes, "%.0f MiB, sent as %s", DT_TO_MIB(exchange->bucket_bytes),
             dt_dtype_name(exchange->wire));
}
