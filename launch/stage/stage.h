/* stage.h: copies a source to a folder on each node's own disk; each byte leaves the source once for a
 * job.
 *
 *   dt_stage_options options = {.source = "s3://bucket/imagenet", .folder = "/scratch/imagenet"};
 *   DT_TRY(dt_stage_run(comm, &options, &result, err));
 *
 * One rank of each node works; the others wait without using a processor. README.md has what is
 * guaranteed.
 */
#ifndef DT_LAUNCH_STAGE_STAGE_H
#define DT_LAUNCH_STAGE_STAGE_H

#include "core/comm.h"
#include "launch/stage/source.h"

typedef struct dt_stage_options {
    const char *source, *folder; /* may differ between nodes: folder */
    bool split;                  /* each node keeps a part */
    dt_stage_source_options from;
    double log_every_s; /* seconds between progress lines where there is no terminal */
} dt_stage_options;

/* Of all nodes together, on all ranks. */
typedef struct dt_stage_result {
    int64_t objects, bytes;               /* of the source */
    int64_t source_bytes, source_objects; /* read from it by this start */
    int64_t disk_bytes;                   /* read from nodes that had them */
    int64_t lists, gets, heads, retries;
    int64_t most_width; /* connections at once, on all nodes */
    int64_t is_s3, is_at_aws;
    int64_t nodes, part_bytes; /* nodes that keep something; split: bytes of the largest part */
    double seconds;
} dt_stage_result;

/* Collective; blocks. DT_ERR_USAGE: there is nothing at the source, it is refused, or the folder is
 * another source's; DT_ERR_IO: the disk is full, too small or refuses something, or the source does not
 * answer; DT_ERR_DATA: an object has changed meanwhile, or a checksum is wrong; DT_ERR_INTERRUPTED; errors
 * of the communicator. After each of them the same call goes on with what was not whole. */
dt_status dt_stage_run(dt_comm *comm, const dt_stage_options *options, dt_stage_result *result,
                       dt_error *err);

#endif
