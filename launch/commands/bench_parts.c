#include "config.h"

#include "launch/commands/bench_parts.h"

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/base/log.h"
#include "core/base/waits.h"
#include "core/collective/agreement.h"
#include "core/collective/engines_build.h"
#include "io/source/loader.h"
#include "io/source/synthetic.h"
#include "launch/commands/auto_batch.h"
#include "launch/commands/bench_images.h"
#include "layers/registry.h"
#include "layers/resnet.h"

#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* What the net has to distinguish where --data names nothing: photographs of bench have fewer classes. Also
 * for an estimate of memory before the images are listed. */
#define IMAGENET_CLASSES 1000

/* -- the folder ------------------------------------------------------------------------------------------ */

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    (void)info, (void)kind, (void)where;
    return remove(path);
}

static void remove_scratch(dt_bench_parts *p)
{
    if (p->scratch[0] && p->session->comm->rank == 0)
        (void)nftw(p->scratch, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
    p->scratch[0] = '\0';
}

/* Makes a folder in --checkpoint-dir, or in the current one. */
static dt_status make_scratch(dt_bench_parts *p, dt_error *err)
{
    const char *dir = p->options->checkpoint_dir;
    const int n = snprintf(p->scratch, sizeof p->scratch, "%s%sdtrain-bench-XXXXXX", dir, dir[0] ? "/" : "");
    if (n >= (int)sizeof p->scratch - 64) {
        p->scratch[0] = '\0';
        return dt_fail(err, DT_ERR_USAGE, "--checkpoint-dir: the path is too long");
    }
    if (mkdtemp(p->scratch))
        return DT_OK;
    p->scratch[0] = '\0';
    return dt_fail_errno(err, "%s: cannot make a folder there", dir[0] ? dir : "the current folder");
}

/* -- images ---------------------------------------------------------------------------------------------- */

/* Two global batches, so that an epoch has steps, and some more to decode. */
static dt_status write_photographs(dt_bench_parts *p, int64_t global_batch, dt_error *err)
{
    dt_config *c = &p->options->config;
    enum { AT_LEAST = 1024 };
    const int64_t n = 2 * global_batch > AT_LEAST ? 2 * global_batch : AT_LEAST;
    const double start_s = dt_clock_s();
    dt_status status = DT_OK;
    snprintf(c->data, sizeof c->data, "%s/images", p->scratch);
    if (p->session->comm->rank == 0)
        status = dt_bench_images_write(c->data, c->image_size, n, err);
    p->has_photographs = true;
    status = dt_agree(p->session->comm, status, err);
    p->preparing_s += dt_clock_s() - start_s;
    return status;
}

static dt_status open_synthetic(dt_bench_parts *p, dt_error *err)
{
    const dt_config *c = &p->options->config;
    dt_source_info info = {0};
    p->train->ops->info(p->train, &info);
    const dt_synthetic_options options = {.n_samples = info.n_samples,
                                          .n_classes = info.n_classes,
                                          .image_size = c->image_size,
                                          .batch = c->batch,
                                          .rank = p->session->comm->rank,
                                          .seed = c->seed,
                                          .device = p->session->device};
    return dt_synthetic_create(&options, &p->synthetic, err);
}

static dt_status open_sources(dt_bench_parts *p, dt_error *err)
{
    const dt_session *s = p->session;
    dt_options *o = p->options;
    /* --batch auto counts images: with few of them it would choose a small batch */
    const int64_t batch = o->config.batch > 0 ? o->config.batch : 256;
    if (!o->config.data[0])
        DT_TRY(write_photographs(p, batch * o->config.accumulate * s->comm->size, err));
    DT_TRY(dt_auto_batch_resolve(s, o, true, true, err));
    DT_TRY(dt_agree(s->comm, dt_auto_batch_check(s, o, IMAGENET_CLASSES, true, true, &p->memory, err), err));
    dt_status status = dt_session_source(s, o, true, &p->train, err);
    if (status == DT_OK && dt_loader_has_validation(o->config.data))
        status = dt_session_source(s, o, false, &p->val, err);
    if (status == DT_OK)
        status = open_synthetic(p, err);
    return dt_agree(s->comm, status, err);
}

/* -- the net --------------------------------------------------------------------------------------------- */

static dt_status build_net(void *context, dt_error *err) /* a dt_engines_builder */
{
    dt_bench_parts *p = context;
    const dt_config *c = &p->options->config;
    dt_source_info info = {0};
    dt_net_spec spec;
    p->train->ops->info(p->train, &info);
    DT_TRY(
        dt_resnet_spec(p->options->arch, p->has_photographs ? IMAGENET_CLASSES : info.n_classes, &spec, err));
    const dt_net_options options = {.batch = c->batch, .image_size = c->image_size, .training = true};
    const dt_status status =
        dt_net_create(&spec, dt_layer_registry(), p->session->kernels, &options, &p->net, err);
    dt_free(spec.layers);
    DT_TRY(status);
    dt_backend_name_layers(&p->session->backend, p->net);
    return dt_net_init(p->net, c->seed, false, err);
}

/* -- all together ---------------------------------------------------------------------------------------- */

static dt_status open_checkpoints(dt_bench_parts *p, dt_error *err)
{
    char folder[DT_PATH_BYTES + 16];
    dt_options *o = dt_alloc(sizeof *o);
    dt_status status =
        dt_agree(p->session->comm, o ? DT_OK : dt_fail_memory(err, sizeof *o, "the options"), err);
    if (status == DT_OK) {
        *o = *p->options;
        o->checkpoint_dir[0] = o->checkpoint_mirror[0] = '\0';
        snprintf(folder, sizeof folder, "%s/checkpoints", p->scratch);
        status = dt_checkpoint_folders_open(o, folder, p->session->comm, &p->locks, &p->checkpoints, err);
    }
    dt_free(o);
    return status;
}

static dt_status open_all(dt_bench_parts *p, dt_error *err)
{
    dt_comm *comm = p->session->comm;
    dt_status status = comm->rank == 0 ? make_scratch(p, err) : DT_OK;
    DT_TRY(dt_agree(comm, status, err));
    DT_TRY(comm->ops->broadcast(comm, p->scratch, sizeof p->scratch, 0, err));
    DT_TRY(open_sources(p, err));
    DT_TRY(dt_agree(comm, dt_waits_check("opening the images", err), err));
    DT_TRY(dt_engines_build(comm, p->session->kernels, build_net, p, err));
    DT_TRY(dt_agree(comm, dt_waits_check("building the net", err), err));
    return open_checkpoints(p, err);
}

dt_status dt_bench_open(dt_bench_parts *p, const dt_session *session, dt_options *options, dt_error *err)
{
    dt_start_watch_set_trains(session->watch); /* it would end the process before the folder is removed */
    *p = (dt_bench_parts){.session = session, .options = options, .preparing_s = p->preparing_s};
    dt_run_locks_init(&p->locks);
    const dt_status status = open_all(p, err);
    if (status != DT_OK && !dt_comm_device_is_lost(session->comm, status))
        dt_bench_close(p);
    return status;
}

void dt_bench_close(dt_bench_parts *p)
{
    dt_source *sources[] = {p->synthetic, p->train, p->val};
    for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++)
        if (sources[i])
            sources[i]->ops->destroy(sources[i]);
    dt_net_destroy(p->net);
    dt_checkpoint_folders_close(&p->checkpoints);
    remove_scratch(p);
    *p = (dt_bench_parts){.session = p->session, .options = p->options};
}
