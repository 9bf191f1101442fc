/* grad_exchange.h: how ranks exchange gradients: in which type, and in buckets of which size.
 *
 *   const dt_grad_exchange e = dt_grad_exchange_choose(config->wire, config->precision, comm);
 *   dt_grad_buckets_create(comm, grads, n, parts, n_parts, e.bucket_bytes, e.wire, &buckets, err);
 *
 * Both follow from options, transport and number of ranks, and change the bits of sums between GPUs. So they
 * are a pair of dt_computed_by, which checkpoints store: a resume with others is reported.
 */
#ifndef DT_CORE_COLLECTIVE_GRAD_EXCHANGE_H
#define DT_CORE_COLLECTIVE_GRAD_EXCHANGE_H

#include "core/base/config.h"
#include "core/comm.h"

/* With --wire auto BF16 gradients are sent as float32 from so many ranks on. A ring rounds a sum once per
 * rank; comm/README.md has the errors. */
#define DT_WIRE_RANKS 32

/* Sizes of buckets, as float32. MPI sums on the host, where small buckets overlap best; each sum of NCCL
 * costs a latency of its own. Measured and computed: comm/README.md. */
#define DT_BUCKET_BYTES_HOST (4 << 20)
#define DT_BUCKET_BYTES_DEVICE (16 << 20)

typedef struct dt_grad_exchange {
    dt_dtype wire; /* F32, F16, BF16 */
    int64_t bucket_bytes;
} dt_grad_exchange;

dt_grad_exchange dt_grad_exchange_choose(dt_wire_kind kind, dt_dtype precision, const dt_comm *comm);

/* The type in which this communicator sends gradients: sums on the host are always float32. */
dt_dtype dt_grad_exchange_sent(const dt_grad_exchange *exchange, const dt_comm *comm);

/* The buckets: "16 MiB, sent as bf16". */
void dt_grad_exchange_describe(const dt_grad_exchange *exchange, char *out, size_t out_bytes);

#endif
