#include "core/training/resume_engines.h"

#include "core/base/log.h"
#include "core/base/units.h"
#include "core/collective/agreement.h"
#include "core/collective/engines_build.h"

#include <string.h>

#define NAMES_BYTES 400

static dt_status rebuild(void *context, dt_error *err)
{
    return dt_net_rebuild(context, err);
}

/* Warn of the kinds of devices in this job for which the checkpoint has no engines. */
static void warn_of_new_kinds(const dt_manifest *m, const dt_engines *now)
{
    for (int64_t i = 0; i < now->n; i++) {
        const char *kind = now->list[i].kind;
        const bool is_first = i == 0 || strcmp(now->list[i - 1].kind, kind) != 0;
        if (is_first && !dt_engines_have_kind(&m->engines, kind))
            dt_log_warn("the checkpoint of step %lld has engines for %s, not for %s: this start has chosen "
                        "its own, so later bits will differ from those of an uninterrupted run",
                        (long long)m->step, m->engines.list[0].kind, kind);
    }
}

static void warn_of_other_engines(const dt_manifest *m, const dt_engines *now)
{
    char names[NAMES_BYTES];
    const int64_t n = dt_engines_compare(&m->engines, now, names, sizeof names);
    if (n > 0)
        dt_log_warn(
            "%lld operation%s of the checkpoint of step %lld cannot run with %s engine%s here: %s: this "
            "start has chosen %s, so later bits will differ from those of an uninterrupted run",
            (long long)n, DT_PLURAL(n), (long long)m->step, n == 1 ? "its" : "their", DT_PLURAL(n), names,
            n == 1 ? "another one" : "other ones");
}

dt_status dt_resume_engines(const dt_trainer_parts *p, const dt_manifest *m, dt_error *err)
{
    char names[NAMES_BYTES];
    dt_engine_choices *choices = p->kernels->ops->engines ? p->kernels->ops->engines(p->kernels) : NULL;
    if (m->engines.n == 0)
        return DT_OK;
    if (choices && p->comm->rank == 0)
        warn_of_new_kinds(m, &choices->list);
    /* ranks without engines have nothing to build again, but must not leave the others alone */
    int64_t n_other = choices ? dt_engines_compare(&m->engines, &choices->list, names, sizeof names) : 0;
    DT_TRY(p->comm->ops->all_reduce(p->comm, &n_other, 1, DT_I64, DT_REDUCE_MAX, err));
    DT_TRY(dt_agree(p->comm, choices ? dt_engines_put_all(&choices->list, &m->engines, err) : DT_OK, err));
    if (n_other == 0)
        return DT_OK;
    DT_TRY(dt_engines_build(p->comm, p->kernels, rebuild, p->net, err));
    if (choices && p->comm->rank == 0)
        warn_of_other_engines(m, &choices->list);
    return DT_OK;
}
