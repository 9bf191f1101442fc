#include "config.h"

#include "launch/stage/stage.h"

#include "comm/mpi.h"
#include "comm/self.h"
#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/collective/agreement.h"
#include "launch/hardware/machine.h"
#include "launch/stage/fetch.h"
#include "launch/stage/files.h"
#include "launch/stage/names.h"
#include "launch/stage/report.h"
#include "launch/stage/share.h"
#include "launch/stage/target.h"
#include "launch/stage/writers.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_SLOTS = 72, MIN_SLOTS = 4 }; /* batches in memory: enough for 64 connections */

/* What one node has while it copies. */
typedef struct copy {
    const dt_stage_options *options;
    char name[DT_PATH_BYTES]; /* of the source */
    dt_comm *all, *nodes;     /* all ranks; those that write, one on each node */
    dt_stage_target target;
    dt_stage_source *source, *disk;
    dt_stage_listing list;
    dt_stage_files *files;
    dt_stage_plan plan;
    dt_stage_fetch *fetch;
    dt_stage_writers *writers;
    dt_stage_meter meter;
    int *keeper; /* of each object, in a split */
    dt_stage_totals totals;
    int64_t most_width;
} copy;

/* -- before the rounds ----------------------------------------------------------------------------------- */

/* Only node 0 must reach the source. Another one that does not, reads nothing, and gets all from the
 * others. */
static dt_status open_source(copy *c, dt_error *err)
{
    dt_error why = {0};
    const bool is_optional = c->nodes->rank > 0 && !c->options->split;
    if (is_optional && !dt_stage_is_address(c->options->source) && !dt_durable_is_folder(c->options->source))
        return DT_OK;
    const dt_status status = dt_stage_source_open(c->options->source, &c->options->from, &c->source, &why);
    if (status == DT_OK || (is_optional && status != DT_ERR_MEMORY))
        return DT_OK;
    if (err)
        *err = why;
    return status;
}

/* A copy into the folder itself, or below it, would copy the copy the next time. */
static dt_status check_apart(const copy *c, dt_error *err)
{
    char target[DT_PATH_BYTES];
    dt_stage_source_name(c->options->folder, target);
    const size_t n = strlen(c->name);
    if (dt_stage_is_address(c->options->source) || strncmp(target, c->name, n) != 0 ||
        (target[n] != '\0' && target[n] != '/' && c->name[n - 1] != '/'))
        return DT_OK;
    return dt_fail(err, DT_ERR_USAGE, "%s is in %s, which is to be copied; choose a folder elsewhere",
                   c->options->folder, c->options->source);
}

static dt_status make_list(copy *c, bool folds_case, dt_error *err)
{
    dt_stage_name_changes changes;
    if (c->nodes->rank != 0)
        return DT_OK;
    DT_TRY(check_apart(c, err));
    DT_TRY(c->source->ops->list(c->source, &c->list, err));
    DT_TRY(dt_stage_names(&c->list, folds_case, &changes, err));
    dt_stage_report_names(c->options->folder, &c->list, &changes);
    return DT_OK;
}

static dt_status get_list(copy *c, dt_error *err)
{
    int64_t folds_case = c->target.folds_case;
    DT_TRY(c->nodes->ops->all_reduce(c->nodes, &folds_case, 1, DT_I64, DT_REDUCE_MAX, err));
    DT_TRY(dt_agree(c->nodes, open_source(c, err), err));
    DT_TRY(dt_agree(c->nodes, make_list(c, folds_case != 0, err), err));
    DT_TRY(dt_stage_listing_broadcast(&c->list, c->nodes, 0, err));
    if (c->source)
        c->source->list = &c->list;
    return DT_OK;
}

/* --split: which node keeps which object; nodes keep what they have from an earlier start. */
static dt_status share_out(copy *c, dt_error *err)
{
    const int n = c->nodes->size;
    const int stored = c->target.of == n ? c->target.part : -1;
    int *all = dt_calloc((size_t)n, sizeof *all), *parts = dt_calloc((size_t)n, sizeof *parts);
    c->keeper = dt_calloc((size_t)c->list.n, sizeof *c->keeper);
    dt_status status = all && parts && c->keeper
                           ? dt_stage_split(&c->list, n, c->keeper, err)
                           : dt_fail_memory(err, (size_t)c->list.n * sizeof *c->keeper, "sharing out");
    status = dt_agree(c->nodes, status, err);
    if (status == DT_OK)
        status = c->nodes->ops->all_gather(c->nodes, &stored, sizeof stored, all, err);
    if (status == DT_OK) {
        dt_stage_split_order(all, n, parts);
        for (int node = 0; node < n; node++)
            all[parts[node]] = node; /* of a part, its node */
        for (int64_t i = 0; i < c->list.n; i++)
            c->keeper[i] = all[c->keeper[i]];
        c->target.part = parts[c->nodes->rank];
        c->target.of = n;
        status =
            dt_agree(c->nodes, dt_stage_target_set_split(c->options->folder, c->target.part, n, err), err);
    }
    dt_free(all);
    dt_free(parts);
    return status;
}

static dt_status make_plan(copy *c, dt_error *err)
{
    const int64_t bytes = dt_stage_bits_bytes(&c->list);
    unsigned char *bits = dt_alloc((size_t)(bytes * c->nodes->size));
    dt_status status = dt_agree(
        c->nodes, bits ? DT_OK : dt_fail_memory(err, (size_t)(bytes * c->nodes->size), "what the nodes have"),
        err);
    if (status == DT_OK)
        status = c->nodes->ops->all_gather(c->nodes, dt_stage_files_bits(c->files), bytes, bits, err);
    if (status == DT_OK)
        status = dt_agree(c->nodes,
                          dt_stage_plan_make(&c->list, bits, c->nodes->size, c->keeper, &c->plan, err), err);
    dt_free(bits);
    return status;
}

static dt_status check_space(const copy *c, dt_error *err)
{
    bool *keeps = NULL;
    int64_t missing = 0;
    if (c->keeper) {
        keeps = dt_calloc((size_t)c->list.n, sizeof *keeps);
        if (!keeps)
            return dt_fail_memory(err, (size_t)c->list.n, "the objects of this node");
        for (int64_t i = 0; i < c->list.n; i++)
            keeps[i] = c->keeper[i] == c->nodes->rank;
    }
    dt_status status = dt_stage_files_check_space(c->files, keeps, &missing, err);
    dt_free(keeps);
    if (status == DT_ERR_IO && !c->keeper && c->nodes->size > 1 && err)
        return dt_fail(err, status, "%s; with --split each of the %d nodes keeps a part of %.2f GB",
                       err->message, c->nodes->size, (double)c->list.bytes / c->nodes->size / 1e9);
    return status;
}

static dt_status path_of(void *context, const dt_stage_read *read, char path[DT_DURABLE_PATH_BYTES],
                         dt_error *err)
{
    const copy *c = context;
    const dt_stage_object *o = &c->list.objects[read->object];
    const int64_t part = o->first_part >= 0 ? o->first_part + read->offset / DT_STAGE_PART_BYTES : -1;
    return dt_stage_files_path(c->files, read->object, part, path, err);
}

/* An eighth of the free memory. */
static int choose_slots(void)
{
    dt_machine machine = {0};
    dt_machine_read(&machine);
    const int64_t n = machine.memory_available_bytes / 8 / DT_STAGE_BLOCK_BYTES;
    return n > MAX_SLOTS || n == 0 ? MAX_SLOTS : n < MIN_SLOTS ? MIN_SLOTS : (int)n;
}

static dt_status start_threads(copy *c, dt_error *err)
{
    bool reads_disk = false;
    for (int64_t i = 0; i < c->plan.n_batches; i++)
        reads_disk = reads_disk || (c->plan.batches[i].on_disk && c->plan.batches[i].node == c->nodes->rank);
    if (reads_disk) {
        DT_TRY(dt_stage_disk_open(path_of, c, &c->disk, err));
        c->disk->list = &c->list;
    }
    const dt_stage_fetch_options options = {
        .plan = &c->plan, .source = c->source, .disk = c->disk, .max_slots = choose_slots()};
    DT_TRY(dt_stage_target_set_complete(c->options->folder, NULL, err));
    DT_TRY(dt_stage_fetch_create(&options, &c->fetch, err));
    DT_TRY(dt_stage_writers_create(c->files, &c->plan, &c->writers, err));
    return c->nodes->rank == 0 ? dt_stage_meter_open(&c->meter, c->plan.source_bytes + c->plan.disk_bytes,
                                                     c->options->log_every_s, err)
                               : DT_OK;
}

static dt_status prepare(copy *c, dt_error *err)
{
    const dt_stage_options *o = c->options;
    DT_TRY(dt_agree(c->nodes, dt_stage_target_open(o->folder, c->name, &c->target, err), err));
    DT_TRY(get_list(c, err));
    DT_TRY(dt_agree(c->nodes, dt_stage_files_open(o->folder, &c->list, &c->files, err), err));
    if (o->split)
        DT_TRY(share_out(c, err));
    DT_TRY(make_plan(c, err));
    DT_TRY(dt_agree(c->nodes, check_space(c, err), err));
    if (c->nodes->rank == 0)
        dt_stage_report_plan(o, c->name, &c->list, &c->plan, c->nodes->size, dt_s3_is_url(o->source));
    if (c->target.is_memory && c->plan.n_batches > 0)
        dt_log_warn("%s is in memory (tmpfs): the copy takes %.2f GB of this node's memory", o->folder,
                    (double)c->list.bytes / 1e9);
    return dt_agree(c->nodes, start_threads(c, err), err);
}

/* -- the rounds, and after them -------------------------------------------------------------------------- */

/* Tells the ranks that wait that the copy goes on, so that none takes it for hanging. */
static dt_status tell_others(const copy *c, bool ends, dt_error *err)
{
    int64_t word = ends;
    if (c->all == c->nodes || c->all->size == 1)
        return DT_OK;
    return c->all->ops->all_reduce(c->all, &word, 1, DT_I64, DT_REDUCE_MAX, err);
}

static dt_status round_done(void *context, const dt_stage_totals *totals, bool ticks, dt_error *err)
{
    copy *c = context;
    c->most_width = totals->width > c->most_width ? totals->width : c->most_width;
    /* what has been received of batches that are not complete yet counts, too */
    const int64_t read =
        totals->source_bytes < c->plan.source_bytes ? totals->source_bytes : c->plan.source_bytes;
    dt_stage_meter_show(&c->meter, totals->done_bytes > read ? totals->done_bytes : read);
    return ticks ? tell_others(c, false, err) : DT_OK;
}

/* Stops the threads in an order in which none uses what another has freed. What has come is made durable,
 * also after an error. */
static dt_status stop_threads(copy *c, dt_error *err)
{
    dt_error ignored;
    dt_status status = DT_OK;
    dt_stage_fetch_stop(c->fetch);
    if (c->writers) {
        status = dt_stage_writers_finish(c->writers, err);
        dt_stage_writers_destroy(c->writers);
    }
    if (c->files) {
        const dt_status named = dt_stage_files_finish(c->files, status == DT_OK ? err : &ignored);
        status = status == DT_OK ? named : status;
    }
    return status;
}

static void free_all(copy *c)
{
    dt_stage_meter_close(&c->meter);
    if (c->source)
        c->source->ops->destroy(c->source);
    if (c->disk)
        c->disk->ops->destroy(c->disk);
    dt_stage_fetch_destroy(c->fetch);
    dt_stage_files_close(c->files);
    dt_stage_plan_free(&c->plan);
    dt_stage_listing_free(&c->list);
    dt_stage_target_close(&c->target);
    dt_free(c->keeper);
}

/* Collective over the nodes. */
static dt_status sum_up(const copy *c, dt_stage_result *r, dt_error *err)
{
    dt_stage_source_stats stats = {0};
    int64_t own = 0;
    if (c->source)
        c->source->ops->get_stats(c->source, &stats);
    for (int64_t i = 0; i < c->list.n; i++)
        own += !c->keeper || c->keeper[i] == c->nodes->rank ? c->list.objects[i].bytes : 0;
    int64_t sums[] = {stats.bytes, stats.lists, stats.gets, stats.heads, stats.retries};
    DT_TRY(c->nodes->ops->all_reduce(c->nodes, sums, 5, DT_I64, DT_REDUCE_SUM, err));
    DT_TRY(c->nodes->ops->all_reduce(c->nodes, &own, 1, DT_I64, DT_REDUCE_MAX, err));
    *r = (dt_stage_result){.objects = c->list.n,
                           .bytes = c->list.bytes,
                           .source_bytes = c->plan.source_bytes,
                           .source_objects = c->plan.source_objects,
                           .disk_bytes = c->plan.disk_bytes,
                           .lists = sums[1],
                           .gets = sums[2],
                           .heads = sums[3],
                           .retries = sums[4],
                           .most_width = c->most_width,
                           .is_s3 = stats.is_s3,
                           .is_at_aws = stats.is_at_aws,
                           .nodes = c->nodes->size,
                           .part_bytes = own};
    return DT_OK;
}

static dt_status record_complete(const copy *c, dt_error *err)
{
    dt_stage_complete complete = {.objects = c->list.n,
                                  .bytes = c->list.bytes,
                                  .part = c->keeper ? c->target.part : 0,
                                  .of = c->keeper ? c->target.of : 1,
                                  .unix_s = dt_clock_unix_s()};
    memcpy(complete.source, c->name, sizeof complete.source);
    return dt_stage_target_set_complete(c->options->folder, &complete, err);
}

/* On the ranks that write. */
static dt_status copy_all(copy *c, dt_stage_result *result, dt_error *err)
{
    dt_error why = {0};
    dt_status status = prepare(c, err);
    if (status == DT_OK) {
        const dt_stage_parts parts = {.comm = c->nodes,
                                      .plan = &c->plan,
                                      .fetch = c->fetch,
                                      .writers = c->writers,
                                      .reads_source = c->source != NULL,
                                      .is_split = c->options->split,
                                      .round = round_done,
                                      .context = c};
        status = dt_stage_share(&parts, &c->totals, err);
    }
    dt_status stopped = stop_threads(c, &why);
    if (status != DT_OK)
        return status;
    if (stopped != DT_OK && err)
        *err = why;
    DT_TRY(dt_agree(c->nodes, stopped, err));
    DT_TRY(dt_agree(c->nodes, record_complete(c, err), err));
    return sum_up(c, result, err);
}

/* -- all ranks ------------------------------------------------------------------------------------------- */

/* On the others: waits, in short collectives, so that a lost rank is noticed. */
static dt_status wait_for_nodes(dt_comm *all, dt_error *err)
{
    for (int64_t word = 0; !word;)
        DT_TRY(all->ops->all_reduce(all, &word, 1, DT_I64, DT_REDUCE_MAX, err));
    return DT_OK;
}

/* Collective. The communicator of those that write; NULL on the others. */
static dt_status join_nodes(dt_comm *all, bool writes, dt_comm **nodes, dt_error *err)
{
    int64_t n = writes;
    *nodes = NULL;
    DT_TRY(all->ops->all_reduce(all, &n, 1, DT_I64, DT_REDUCE_SUM, err));
    if (n == all->size)
        *nodes = all;
    else if (n == 1 && writes)
        return dt_comm_self_create(nodes, err);
    else if (n > 1)
        return dt_comm_mpi_create_part(writes, NULL, nodes, err);
    return DT_OK;
}

dt_status dt_stage_run(dt_comm *comm, const dt_stage_options *options, dt_stage_result *result, dt_error *err)
{
    const bool leads = comm->local_rank == 0;
    const double start_s = dt_clock_s();
    bool writes = false;
    copy c = {.options = options, .all = comm, .target = {.lock = -1}};
    DT_TRY(dt_agree(comm, leads ? dt_stage_target_make(options->folder, err) : DT_OK, err));
    DT_TRY(dt_stage_target_choose_writer(options->folder, comm, leads, &writes, err));
    DT_TRY(join_nodes(comm, writes, &c.nodes, err));
    *result = (dt_stage_result){0};
    dt_stage_source_name(options->source, c.name);
    dt_error why = {0};
    dt_status status = writes ? copy_all(&c, result, &why) : DT_OK;
    if (err)
        *err = why;
    if (status != DT_OK && comm->size > 1 && !why.shared)
        return status; /* other ranks wait elsewhere, and main.c ends all; nothing is freed */
    const dt_status told = writes ? tell_others(&c, true, &why) : wait_for_nodes(comm, &why);
    free_all(&c);
    if (c.nodes && c.nodes != comm)
        c.nodes->ops->destroy(c.nodes);
    if (told != DT_OK) {
        if (err)
            *err = why;
        return told;
    }
    DT_TRY(dt_agree(comm, status, err));
    result->seconds = dt_clock_s() - start_s;
    return comm->ops->broadcast(comm, result, sizeof *result, 0, err);
}
