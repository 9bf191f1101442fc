#include "core/collective/engines_build.h"

#include "core/base/alloc.h"
#include "core/collective/agreement.h"
#include "core/engines.h"

#include <stdio.h>
#include <string.h>

typedef char kind_text[DT_ENGINE_KIND_BYTES]; /* "": this rank's kernels choose no engines */

static void send_heartbeat(void *context)
{
    dt_comm *comm = context;
    dt_error ignored; /* the next collective returns it */
    (void)comm->ops->progress(comm, &ignored);
}

/* The lowest rank with the kind of `rank`; `rank` itself if it chooses no engines. */
static int leader_of(const kind_text *kinds, int rank)
{
    int leader = 0;
    if (!kinds[rank][0])
        return rank;
    while (strcmp(kinds[leader], kinds[rank]) != 0)
        leader++;
    return leader;
}

/* Collective: copy the choices that rank `leader` has for its kind to all ranks. */
static dt_status broadcast_choices(dt_comm *comm, int leader, const char *kind, dt_engine_choices *choices,
                                   dt_error *err)
{
    dt_engines sent = {0};
    dt_status status = DT_OK;
    for (int64_t i = 0; comm->rank == leader && status == DT_OK && i < choices->list.n; i++) {
        const dt_engine *e = &choices->list.list[i];
        if (strcmp(e->kind, kind) == 0)
            status = dt_engines_put(&sent, e->kind, e->name, e->value, err);
    }
    status = dt_agree(comm, status, err);
    if (status == DT_OK)
        status = comm->ops->broadcast(comm, &sent.n, sizeof sent.n, leader, err);
    const size_t bytes = (size_t)sent.n * sizeof *sent.list;
    if (status == DT_OK) {
        if (comm->rank != leader && sent.n > 0)
            sent.list = dt_alloc(bytes);
        status = dt_agree(
            comm,
            sent.list || sent.n == 0 ? DT_OK : dt_fail_memory(err, bytes, "the engines of another rank"),
            err);
    }
    if (status == DT_OK && sent.n > 0)
        status = comm->ops->broadcast(comm, sent.list, (int64_t)bytes, leader, err);
    if (status == DT_OK)
        status = dt_agree(
            comm, choices && comm->rank != leader ? dt_engines_put_all(&choices->list, &sent, err) : DT_OK,
            err);
    dt_engines_clear(&sent);
    return status;
}

static dt_status build_in_rounds(dt_comm *comm, const kind_text *kinds, dt_engine_choices *choices,
                                 dt_engines_builder *build, void *context, dt_error *err)
{
    const bool leads = leader_of(kinds, comm->rank) == comm->rank;
    DT_TRY(dt_agree(comm, leads ? build(context, err) : DT_OK, err));
    for (int r = 0; r < comm->size; r++)
        if (kinds[r][0] && leader_of(kinds, r) == r)
            DT_TRY(broadcast_choices(comm, r, kinds[r], choices, err));
    dt_status status = DT_OK;
    if (!leads) {
        choices->follows = true;
        status = build(context, err);
        choices->follows = false;
    }
    return dt_agree(comm, status, err);
}

dt_status dt_engines_build(dt_comm *comm, dt_kernels *kernels, dt_engines_builder *build, void *context,
                           dt_error *err)
{
    kind_text mine = {0};
    dt_engine_choices *choices = kernels->ops->engines ? kernels->ops->engines(kernels) : NULL;
    if (choices)
        snprintf(mine, sizeof mine, "%s", choices->kind);
    kind_text *kinds = dt_calloc((size_t)comm->size, sizeof *kinds);
    dt_status status = dt_agree(
        comm, kinds ? DT_OK : dt_fail_memory(err, (size_t)comm->size * sizeof *kinds, "the kinds of devices"),
        err);
    if (status == DT_OK)
        status = comm->ops->all_gather(comm, mine, sizeof mine, kinds, err);
    if (choices) {
        choices->progress = send_heartbeat;
        choices->context = comm;
    }
    if (status == DT_OK)
        status = build_in_rounds(comm, (const kind_text *)kinds, choices, build, context, err);
    if (choices)
        choices->progress = NULL;
    dt_free(kinds);
    return status;
}
