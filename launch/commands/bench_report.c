#include "config.h"

#include "launch/commands/bench_report.h"

#include "core/base/units.h"
#include "launch/commands/bench_images.h"
#include "launch/estimate/catalog.h"
#include "launch/hardware/computed_by.h"
#include "launch/hardware/machine.h"
#include "launch/show/output.h"
#include "launch/show/table.h"

#include <math.h>
#include <string.h>

/* -- names ----------------------------------------------------------------------------------------------- */

void dt_bench_report_gpu_name(const char *cuda_name, int64_t memory_bytes, char *out, size_t out_bytes)
{
    enum { GIB_OF_A100_40GB = 48 };
    /* names that contain another come first */
    static const char *const known[] = {"A10G", "A100", "L40S", "L4", "T4", "V100", "H100", "H200", "B200"};
    snprintf(out, out_bytes, "%s", cuda_name);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        const char *at = strstr(cuda_name, known[i]);
        const char after = at ? at[strlen(known[i])] : '\0';
        if (!at || (after != '\0' && after != ' ' && after != '-'))
            continue;
        const bool is_a100 = strcmp(known[i], "A100") == 0;
        const bool is_small = memory_bytes > 0 && DT_TO_GIB(memory_bytes) < GIB_OF_A100_40GB;
        snprintf(out, out_bytes, "%s%s", known[i], !is_a100 ? "" : is_small ? "-40GB" : "-80GB");
        return;
    }
}

/* What the ranks compute with. */
typedef struct device_names {
    bool is_gpu;
    char gpu[64];    /* as rates name it; "CPU" */
    char model[192]; /* "NVIDIA A10G", "AMD EPYC, AVX2" */
    char versions[512];
    double memory_gib; /* of a GPU */
} device_names;

static void add_version(device_names *d, const char *name, const char *value)
{
    const size_t used = strlen(d->versions);
    snprintf(d->versions + used, sizeof d->versions - used, "%s%s %s", used ? ", " : "", name, value);
}

static void describe_device(const dt_bench_parts *p, device_names *d)
{
    const dt_session *s = p->session;
    dt_device_info info = {0};
    dt_computed_by by;
    *d = (device_names){.gpu = "CPU"};
    s->device->ops->info(s->device, &info);
    d->is_gpu = !info.is_host;
    if (d->is_gpu) {
        snprintf(d->model, sizeof d->model, "%s", info.name);
        d->memory_gib = DT_TO_GIB(info.memory_bytes);
        dt_bench_report_gpu_name(info.name, info.memory_bytes, d->gpu, sizeof d->gpu);
    } else {
        dt_machine m;
        dt_machine_read(&m);
        snprintf(d->model, sizeof d->model, "%s", m.cpu_model);
    }
    dt_computed_by_collect(&s->backend, s->comm, &by);
    for (int64_t i = 0; i < by.n; i++)
        add_version(d, by.fields[i].name, by.fields[i].value);
}

/* -- the table ------------------------------------------------------------------------------------------- */

static int digits(double images_s)
{
    return images_s < 100 ? 1 : 0;
}

static void add_rate(dt_table *t, const char *name, double images_s, const char *of)
{
    if (!isnan(images_s))
        dt_table_add_pair(t, name, "%.*f images/s: %s", digits(images_s), images_s, of);
}

static void add_machine(dt_table *t, const dt_bench_parts *p, const device_names *d)
{
    const dt_session *s = p->session;
    const dt_config *c = &p->options->config;
    dt_table_add_pair(t, "machine", "%s: %s", s->comm->host, d->model);
    dt_table_add_pair(t, "training", "%s at %lld pixels, %s, --batch %lld, %d rank%s", p->options->arch,
                      (long long)c->image_size, dt_dtype_name(s->kernels->dtype), (long long)c->batch,
                      s->comm->size, DT_PLURAL(s->comm->size));
    if (p->has_photographs) {
        int64_t width, height;
        dt_bench_images_size(c->image_size, &width, &height);
        dt_table_add_pair(t, "images", "%lld x %lld pixels, that bench wrote; --data DIR measures yours",
                          (long long)width, (long long)height);
    } else {
        dt_table_add_pair(t, "images", "%s", c->data);
    }
}

static void add_checkpoints(dt_table *t, const dt_bench_figures *f)
{
    if (!isnan(f->checkpoint_s))
        dt_table_add_pair(t, "checkpoint", "%.0f MB; delays the steps by %.2f s, the last takes %.2f s",
                          f->checkpoint_bytes / 1e6, f->checkpoint_s, f->last_checkpoint_s);
    else if (!isnan(f->last_checkpoint_s))
        dt_table_add_pair(t, "checkpoint", "%.0f MB; the last takes %.2f s", f->checkpoint_bytes / 1e6,
                          f->last_checkpoint_s);
}

dt_status dt_bench_report_print(const dt_bench_parts *p, const dt_bench_figures *f, FILE *stream,
                                dt_error *err)
{
    char all[64];
    dt_table *t = NULL;
    device_names d;
    const long long n_cores = (long long)p->session->affinity.n_cores * p->session->comm->local_size;
    describe_device(p, &d);
    snprintf(all, sizeof all, "decoding alone, on %lld core%s", n_cores, DT_PLURAL(n_cores));
    DT_TRY(dt_table_create((const char *const[]){"measured", "figure"}, 2, &t, err));
    add_machine(t, p, &d);
    dt_status status = dt_table_add_rule(t, err);
    dt_table_add_pair(t, "start", "%.2f s from the command to the first step", f->start_s);
    add_rate(t, "net", f->step_images_s, "steps on random pixels");
    add_rate(t, "training", f->train_images_s, "steps on images from the loader");
    if (!isnan(f->slowest_train_images_s))
        dt_table_add_pair(t, "by the second", "%.*f to %.*f images/s: how much this machine's speed varies",
                          digits(f->slowest_train_images_s), f->slowest_train_images_s,
                          digits(f->fastest_train_images_s), f->fastest_train_images_s);
    add_rate(t, "evaluation", f->evaluate_images_s, "on images from the loader");
    add_rate(t, "loader, 1 core", f->loader_core_images_s, "decoding alone");
    add_rate(t, "loader, all", f->loader_images_s, all);
    add_checkpoints(t, f);
    if (!isnan(f->disk_bytes_s))
        dt_table_add_pair(t, "disk", "%.3g MB/s: reading %s past the page cache", f->disk_bytes_s / 1e6,
                          p->has_photographs ? "a checkpoint" : "images");
    if (!isnan(f->download_bytes_s))
        dt_table_add_pair(t, "download", "%.1f MB/s", f->download_bytes_s / 1e6);
    if (status == DT_OK)
        status = dt_table_print(t, stream, dt_table_utf8(), dt_table_columns(stream), err);
    dt_table_destroy(t);
    return status;
}

/* -- the file -------------------------------------------------------------------------------------------- */

/* A figure of the file; none where it was not measured. */
static dt_figure measured(double value, const dt_data_source *source)
{
    return (dt_figure){.value = value, .source = isnan(value) ? NULL : source};
}

static void fill_machine(const dt_bench_parts *p, const dt_bench_figures *f, const device_names *d,
                         const dt_data_source *source, dt_measured_machine *out)
{
    dt_machine m;
    const dt_session *s = p->session;
    const dt_config *c = &p->options->config;
    dt_machine_read(&m);
    *out = (dt_measured_machine){
        .name = s->comm->host,
        .gpu = d->gpu,
        .n_gpus = d->is_gpu ? s->comm->size : 0,
        .versions = d->versions,
        .cores = measured((double)(s->affinity.n_cores * s->comm->local_size), source),
        .ram_gib = measured(DT_TO_GIB(m.memory_bytes), source),
        .gpu_memory_gib = measured(d->is_gpu ? d->memory_gib : NAN, source),
        .decode_images_s_core = measured(f->loader_core_images_s, source),
        .decode_images_s = measured(f->loader_images_s, source),
        .disk_read_mb_s = measured(f->disk_bytes_s / 1e6, source),
        .checkpoint_write_mb_s = measured(f->checkpoint_bytes / 1e6 / f->last_checkpoint_s, source),
        .download_mb_s = measured(f->download_bytes_s / 1e6, source),
        .start_s = measured(f->start_s, source),
        .usd_h = measured(NAN, source),
        .arch = p->options->arch,
        .precision = dt_dtype_name(s->kernels->dtype),
        .image_size = (int)c->image_size,
        .batch = (int)c->batch,
        .n_ranks = s->comm->size,
        .train_images_s = measured(f->train_images_s, source),
        .evaluate_images_s = measured(f->evaluate_images_s, source),
        .checkpoint_s = measured(f->checkpoint_s, source),
        .last_checkpoint_s = measured(f->last_checkpoint_s, source),
        .checkpoint_mb = measured(f->checkpoint_bytes / 1e6, source)};
}

dt_status dt_bench_report_write(const dt_bench_parts *p, const dt_bench_figures *f, const char *path,
                                dt_error *err)
{
    char date[11], text[320];
    device_names d;
    dt_measured_machine machine;
    const dt_session *s = p->session;
    describe_device(p, &d);
    dt_catalog_today(date);
    snprintf(text, sizeof text, "dtrain bench on %s (%s)", s->comm->host, d.model);
    const dt_data_source source = {
        .id = "bench", .text = text, .date = date, .confidence = DT_CONFIDENCE_MEASURED};
    const dt_rate rate = {.gpu = d.gpu,
                          .arch = p->options->arch,
                          .precision = dt_dtype_name(s->kernels->dtype),
                          .image_size = (int)p->options->config.image_size,
                          .n_gpus = s->comm->size,
                          .images_s = f->step_images_s / s->comm->size,
                          .software = "dtrain " PACKAGE_VERSION,
                          .source = &source};
    fill_machine(p, f, &d, &source, &machine);
    return dt_catalog_write_rates(path, &rate, 1, &machine, err);
}
