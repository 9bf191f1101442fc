#include "config.h"

#include "core/base/units.h"
#include "launch/commands/init_weights.h"

#include "core/base/alloc.h"
#include "core/base/log.h"
#include "core/collective/agreement.h"

/* Rank 0 reads the names of the file's classes, and their number. */
static dt_status read_names(const dt_options *o, dt_class_names *names, int64_t *n_classes, dt_error *err)
{
    dt_weights_info info = {0};
    if (dt_weights_describe(o->init, &info, err) != DT_OK)
        return dt_error_prefix(err, "--init");
    *n_classes = info.n_classes;
    *names = info.class_names;
    info.class_names = (dt_class_names){0};
    dt_weights_info_clear(&info);
    return DT_OK;
}

/* Collective: give rank 0's names to all ranks, whose own are empty. */
static dt_status broadcast_names(dt_comm *comm, dt_class_names *names, dt_error *err)
{
    int64_t head[2] = {names->n, names->bytes};
    DT_TRY(comm->ops->broadcast(comm, head, sizeof head, 0, err));
    if (head[0] == 0)
        return DT_OK;
    dt_status status = DT_OK;
    if (comm->rank != 0) {
        *names = (dt_class_names){head[0], head[1], head[1], dt_alloc((size_t)head[1])};
        if (!names->text)
            status = dt_fail_memory(err, (size_t)head[1], "the names of the classes");
    }
    DT_TRY(dt_agree(comm, status, err));
    return comm->ops->broadcast(comm, names->text, head[1], 0, err);
}

/* *kept: the file has the same classes as the data, whose labels follow the file's order now. */
static dt_status apply(const dt_session *s, const dt_options *o, const dt_class_names *names,
                       dt_source *train, dt_source *val, bool *kept, dt_error *err)
{
    dt_error why = {0};
    bool moved = false, moved_val = false;
    dt_status status = dt_class_names_apply(names, train, &moved, &why);
    if (status == DT_OK && val)
        status = dt_class_names_apply(names, val, &moved_val, &why);
    *kept = status == DT_OK;
    if (status != DT_OK && status != DT_ERR_USAGE) {
        if (err)
            *err = why;
        return status;
    }
    if (s->comm->rank != 0)
        return DT_OK;
    if (!*kept)
        dt_log_warn("--init %s: its classifier is not used, and a new one begins with random values: %s",
                    o->init, why.message);
    else
        dt_log_info("--init %s: its classifier is used: it names the classes of this data%s", o->init,
                    moved ? ", in another order, which labels follow" : "");
    return DT_OK;
}

static dt_status match(const dt_session *s, const dt_options *o, const dt_class_names *names,
                       int64_t n_classes, dt_source *train, dt_source *val, dt_weights_head *head,
                       dt_error *err)
{
    dt_source_info info = {0};
    bool kept = false;
    train->ops->info(train, &info);
    *head = DT_WEIGHTS_HEAD_IF_IT_FITS;
    if (o->input == DT_INPUT_SYNTHETIC)
        return DT_OK;
    if (names->n > 0) {
        DT_TRY(apply(s, o, names, train, val, &kept, err));
        *head = kept ? DT_WEIGHTS_HEAD_IF_IT_FITS : DT_WEIGHTS_HEAD_NEW;
    } else if (s->comm->rank == 0 && n_classes == info.n_classes) {
        dt_log_info(
            "--init %s: its classifier is used: it has %lld output%s and does not name their classes, "
            "which are "
            "taken for those of this data in byte order",
            o->init, (long long)n_classes, DT_PLURAL(n_classes));
    }
    return DT_OK;
}

dt_status dt_init_weights_match(const dt_session *s, const dt_options *o, dt_source *train, dt_source *val,
                                dt_weights_head *head, dt_error *err)
{
    dt_class_names names = {0};
    int64_t n_classes = 0;
    *head = DT_WEIGHTS_HEAD_IF_IT_FITS;
    if (!o->init[0])
        return DT_OK;
    dt_status status =
        dt_agree(s->comm, s->comm->rank == 0 ? read_names(o, &names, &n_classes, err) : DT_OK, err);
    if (status == DT_OK)
        status = broadcast_names(s->comm, &names, err);
    if (status == DT_OK)
        status = dt_agree(s->comm, match(s, o, &names, n_classes, train, val, head, err), err);
    dt_class_names_clear(&names);
    return status;
}
