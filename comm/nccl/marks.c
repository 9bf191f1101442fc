/* marks.c: the position of the device, by the counts that its kernels write into pinned host memory. */
#include "comm/nccl/internal.h"

int64_t dt_nccl_number_of(int64_t count, int64_t bucket)
{
    return count * DT_NCCL_BUCKETS + bucket;
}

void dt_nccl_read_marks(const dt_comm_nccl *c, int64_t *begun, int64_t *done)
{
    *begun = *done = 0;
    for (int i = 0; i < DT_NCCL_BUCKETS; i++) {
        const uint32_t n_begun = __atomic_load_n(&c->seen[i].begun, __ATOMIC_RELAXED),
                       n_done = __atomic_load_n(&c->seen[i].done, __ATOMIC_RELAXED);
        if (n_begun > 0 && dt_nccl_number_of(n_begun, i) > *begun)
            *begun = dt_nccl_number_of(n_begun, i);
        if (n_done > 0 && dt_nccl_number_of(n_done, i) > *done)
            *done = dt_nccl_number_of(n_done, i);
    }
}

dt_position dt_nccl_position_of(const dt_comm_nccl *c, int64_t number)
{
    const int64_t bucket = number % DT_NCCL_BUCKETS;
    return (dt_position){.kind = DT_POSITION_BUCKET,
                         .number = number,
                         .bytes = c->bucket_bytes[bucket],
                         .step = c->first_step + number / DT_NCCL_BUCKETS - 1,
                         .bucket = bucket};
}

dt_position dt_nccl_device_position(dt_comm_nccl *c)
{
    int64_t begun = 0, done = 0;
    dt_nccl_read_marks(c, &begun, &done);
    if (begun == 0)
        return (dt_position){.kind = c->start_number > 0 ? DT_POSITION_START : DT_POSITION_WORK,
                             .number = c->start_number};
    dt_watch_set_begun(c->watch, DT_SEQUENCE_DEVICE, begun);
    dt_position position = dt_nccl_position_of(c, begun);
    if (begun == done)
        position.kind = DT_POSITION_WORK;
    return position;
}
