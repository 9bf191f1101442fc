#include "config.h"

#include "launch/estimate/throughput.h"

#include "core/base/units.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

const char *dt_stage_name(dt_stage stage)
{
    static const char *const names[DT_N_STAGES] = {"network", "disk",       "decode",
                                                   "GPU",     "all-reduce", "checkpoints"};
    return names[stage];
}

const char *dt_data_location_name(dt_data_location location)
{
    return location == DT_DATA_NVME ? "NVMe" : location == DT_DATA_EBS ? "EBS" : "memory";
}

void dt_assumptions_default(dt_assumptions *assumptions)
{
    *assumptions = (dt_assumptions){
        .boot_s = 300,       /* estimated: ParallelCluster takes several minutes */
        .boot_large_s = 600, /* estimated: p4d and larger take longer */
        .tuning_s = 60,      /* estimated */
        .network_gbit = 2.5, /* estimated: the least that a type with a GPU has */
        .s3_gbit_limit =
            20,          /* estimated: 6.5 Gbit/s were measured with 64 connections on a smaller machine */
        .ebs_mb_s = 125, /* what a gp3 volume has without extra charge */
        .nvme_mb_s_per_gb = 2,   /* p4d: 8 TB, 16 GB/s */
        .ram_share = 0.6,        /* the rest is for the program and its buffers */
        .node_efficiency = 0.97, /* 8 GPUs of one node against one, in MLPerf's and NVIDIA's results */
        .fabric_efficiency = 0.7,
        .overlap = 0.8,
        .step_spread = 0.01,      /* estimated */
        .hop_s = 30e-6,           /* estimated */
        .requeue_s = 120,         /* Slurm 22.05: a requeued job waits cred_expire + 1 s, 121 s by default */
        .notice_s = 120,          /* EC2's */
        .snapshot_mb_s = 5000,    /* estimated: a share of PCIe 4 */
        .checkpoint_mb_s = 250,   /* estimated */
        .head_usd_h = 0.096,      /* m6i.large, us-east-1 */
        .ebs_usd_gb_month = 0.08, /* gp3; not verified */
        .root_gb = 100,
        .s3_usd_per_file = 0.0004 / 1000, /* not verified */
        .s3_file_bytes = 64e6,
        .step_images_limit = 65536, /* assumed: about the most with which LARS still learns; not verified */
        .counts_evaluation = true,
    };
}

/* -- the GPU --------------------------------------------------------------------------------------------- */

double dt_roofline_image_s(const dt_workload_size *sizes, int n_sizes, double gb_s, double tflops)
{
    double seconds = 0;
    for (int i = 0; i < n_sizes; i++) {
        const double memory_s = sizes[i].bytes_moved / (gb_s * 1e9);
        const double arithmetic_s = tflops > 0 ? sizes[i].flops / (tflops * 1e12) : 0;
        seconds += sizes[i].share * fmax(memory_s, arithmetic_s);
    }
    return seconds;
}

/* TFLOP/s in a precision, from those in FP16: on most of these GPUs TF32 has half, and FP32 an eighth. */
static double tflops_of(const dt_instance *instance, dt_dtype precision)
{
    const double fp16 = dt_figure_is_known(instance->fp16_tflops) ? instance->fp16_tflops.value : 0;
    return precision == DT_TF32 ? fp16 / 2 : precision == DT_F32 ? fp16 / 8 : fp16;
}

/* How many times longer an image of this run takes than one of a rate that is for ResNet-50 at 224 pixels in
 * `from` precision. */
static double roofline_ratio(const dt_workload *work, const dt_instance *instance, dt_dtype from)
{
    const double gb_s =
        dt_figure_is_known(instance->gpu_bandwidth_gb_s) ? instance->gpu_bandwidth_gb_s.value : 1;
    dt_workload_size rated = work->rated;
    rated.bytes_moved *= (double)dt_dtype_bytes(from) / (double)dt_dtype_bytes(work->precision);
    return dt_roofline_image_s(work->sizes, work->n_sizes, gb_s, tflops_of(instance, work->precision)) /
           dt_roofline_image_s(&rated, 1, gb_s, tflops_of(instance, from));
}

/* The images per second of one GPU; 0: no rate is known for it. */
static double gpu_rate(const dt_workload *work, const dt_throughput_query *q, dt_throughput *t)
{
    const dt_instance *i = q->instance;
    const char *precision = dt_dtype_name(work->precision);
    const int n_gpus = i->n_gpus * q->nodes;
    if (work->n_sizes == 1)
        t->rate = dt_catalog_find_rate(q->catalog, i->gpu, work->arch, precision,
                                       (int)work->sizes[0].image_size, n_gpus);
    double ratio = 1;
    const dt_dtype other[] = {work->precision, DT_F16};
    for (int k = 0; k < 2 && !t->rate; k++) {
        t->rate = dt_catalog_find_rate(q->catalog, i->gpu, "resnet50", dt_dtype_name(other[k]), DT_RATED_SIZE,
                                       n_gpus);
        ratio = roofline_ratio(work, i, other[k]);
        t->is_scaled = true;
    }
    if (!t->rate)
        return 0;
    const double efficiency = i->n_gpus > t->rate->n_gpus ? q->assumptions->node_efficiency : 1;
    return t->rate->images_s / ratio * efficiency;
}

/* The images of an optimizer step of all nodes, for each image of a GPU's batch. */
static double step_images(const dt_workload *work, const dt_throughput_query *q)
{
    return (double)work->accumulate * q->instance->n_gpus * q->nodes;
}

/* Whether a step of all nodes can be trained: an epoch has whole steps only. */
static void check_step(const dt_workload *work, const dt_throughput_query *q, dt_throughput *t)
{
    const double images = (double)t->batch * step_images(work, q), most = q->assumptions->step_images_limit;
    if (images > work->n_images)
        snprintf(t->why_not, sizeof t->why_not, "a step has %.0f image%s, more than an epoch, which has %.0f",
                 images, DT_PLURAL((int64_t)images), work->n_images);
    else if (most > 0 && images > most)
        snprintf(t->why_not, sizeof t->why_not,
                 "a step has %.0f image%s, and more than %.0f are assumed not to learn: fewer nodes or a "
                 "smaller --batch",
                 images, DT_PLURAL((int64_t)images), most);
}

/* The batch that fits, and whether the one that is wanted does. As in a training, --batch auto is no larger
 * than a GPU's share of an epoch. */
static void fit_batch(const dt_workload *work, const dt_throughput_query *q, dt_throughput *t)
{
    enum { MOST = 256 };
    const double usable = 0.95; /* CUDA's own share */
    const dt_instance *instance = q->instance;
    const int64_t share = (int64_t)fmax(1, floor(work->n_images / step_images(work, q)));
    t->memory_limit_bytes = instance->gpu_memory_gib.value * DT_GIB * usable;
    const double fits = floor((t->memory_limit_bytes - work->memory_fixed_bytes) / work->memory_image_bytes);
    t->batch = work->batch > 0 ? work->batch : share < MOST ? share : MOST;
    while (work->batch == 0 && t->batch > 1 && (double)t->batch > fits)
        t->batch /= 2;
    t->memory_bytes = dt_workload_memory(work, t->batch);
    if ((double)t->batch <= fits) {
        check_step(work, q, t);
        return;
    }
    const int n = snprintf(t->why_not, sizeof t->why_not,
                           "a batch of %lld needs %.1f GiB of GPU memory, and %.1f GiB can be used",
                           (long long)t->batch, t->memory_bytes / DT_GIB, t->memory_limit_bytes / DT_GIB);
    if (fits >= 1)
        snprintf(t->why_not + n, sizeof t->why_not - (size_t)n, "; at most %.0f fit", fits);
}

/* -- the other stages ------------------------------------------------------------------------------------ */

static double bytes_per_image(const dt_workload *work)
{
    return work->data_bytes / (work->n_images + work->n_val_images);
}

double dt_all_reduce_s(double bytes, int nodes, double bytes_s, double hop_s)
{
    const double n = nodes;
    const double ring_s = 2 * (n - 1) / n * bytes / bytes_s + 2 * (n - 1) * hop_s;
    const double tree_s = 2 * bytes / bytes_s + 2 * ceil(log2(n)) * hop_s;
    return nodes > 1 ? fmin(ring_s, tree_s) : 0;
}

/* The slowest of n equal ranks takes about this many standard deviations longer than the mean. */
static double slowest_of(int n)
{
    return n > 1 ? sqrt(2 * log(n)) : 0;
}

/* What backward does not hide of the sums, in a step that computes for step_s. */
static double exposed_s(const dt_throughput *t, const dt_assumptions *a, double step_s)
{
    return fmax(0, t->all_reduce_s - a->overlap * step_s * 2 / 3);
}

/* What several nodes add to a step: sums over the network, and waiting for the slowest rank, of which the
 * rate has a part already. Means over the sizes: at small ones there is less backward that hides the sums. */
static void add_step(const dt_workload *work, const dt_throughput_query *q, const double *relative,
                     double step_s, dt_throughput *t)
{
    const dt_assumptions *a = q->assumptions;
    const dt_instance *i = q->instance;
    const double card_gbit =
        dt_figure_is_known(i->network_baseline_gbit) ? i->network_baseline_gbit.value : a->network_gbit;
    const double n_cards =
        dt_figure_is_known(i->efa_interfaces) && i->efa_interfaces.value > 1 ? i->efa_interfaces.value : 1;
    const double bytes_s = card_gbit * n_cards * 1e9 / 8 * a->fabric_efficiency;
    t->step_s = step_s;
    if (q->nodes == 1)
        return;
    t->all_reduce_s = dt_all_reduce_s(work->gradient_bytes, q->nodes, bytes_s, a->hop_s);
    for (int k = 0; k < work->n_sizes; k++)
        t->exposed_s += work->sizes[k].share * exposed_s(t, a, step_s * relative[k]);
    t->straggler_s =
        step_s * a->step_spread * fmax(0, slowest_of(q->nodes * i->n_gpus) - slowest_of(t->rate->n_gpus));
}

#define LARGEST_VOLUME_BYTES (16384.0 * DT_GIB) /* of EBS's gp3 */

/* Where the images lie, how fast they are read, and how long it takes to bring them there. */
static void place_data(const dt_workload *work, const dt_throughput_query *q, dt_throughput *t)
{
    const dt_assumptions *a = q->assumptions;
    const dt_instance *i = q->instance;
    const double gbit =
        dt_figure_is_known(i->network_baseline_gbit) ? i->network_baseline_gbit.value : a->network_gbit;
    const double network_mb_s = fmin(gbit, a->s3_gbit_limit) * 1e3 / 8;
    const double ebs_mb_s =
        dt_figure_is_known(i->ebs_mb_s) ? fmin(i->ebs_mb_s.value, a->ebs_mb_s) : a->ebs_mb_s;
    const double nvme_gb = dt_figure_is_known(i->nvme_gb) ? i->nvme_gb.value : 0;
    const bool on_nvme = nvme_gb * 1e9 >= work->data_bytes * 1.02;
    const double disk_mb_s = on_nvme ? nvme_gb * a->nvme_mb_s_per_gb : ebs_mb_s;
    if (!on_nvme && work->data_bytes > LARGEST_VOLUME_BYTES)
        snprintf(t->why_not, sizeof t->why_not,
                 "%.0f GB of images fit neither on its local disks (%.0f GB) nor on a volume (16 TiB)",
                 work->data_bytes / 1e9, nvme_gb);
    const bool in_ram = work->data_bytes <= i->ram_gib.value * DT_GIB * a->ram_share;
    const double disk_images_s = disk_mb_s * 1e6 / bytes_per_image(work) * q->nodes;
    t->location = in_ram ? DT_DATA_RAM : on_nvme ? DT_DATA_NVME : DT_DATA_EBS;
    t->is_staged_once = !on_nvme; /* a volume stays when its instance is lost */
    t->stage_images_s[DT_STAGE_DISK] = in_ram ? INFINITY : disk_images_s;
    t->stage_images_s[DT_STAGE_NETWORK] = network_mb_s * 1e6 / bytes_per_image(work) * q->nodes;
    t->staging_s = work->data_bytes / (fmin(network_mb_s, disk_mb_s) * 1e6);
    /* The first epoch reads from the disk, also where memory holds the images afterwards. */
    t->first_epoch_s = in_ram ? work->n_images / disk_images_s : 0;
}

static double decode_rate(const dt_workload *work, const dt_throughput_query *q)
{
    const double usual_bytes = DT_IMAGENET_BYTES / (DT_IMAGENET_IMAGES + DT_IMAGENET_VAL_IMAGES);
    if (!dt_figure_is_known(q->instance->decode_images_s))
        return INFINITY;
    /* Decoding takes as long as an image has bytes; what remains of it is the resize. */
    const double ratio = fmin(fmax(bytes_per_image(work) / usual_bytes, 0.05), 20);
    return q->instance->decode_images_s.value / ratio * q->nodes;
}

/* A stage's images per second while a share of the run is trained in which an image takes `relative` times as
 * long on the GPU as the mean. */
static double stage_rate(const dt_throughput *t, const dt_assumptions *a, dt_stage stage, double relative)
{
    const double gpu = t->stage_images_s[DT_STAGE_GPU], step_s = t->step_s * relative;
    const double extra_s = exposed_s(t, a, step_s) + t->straggler_s * relative;
    return stage == DT_STAGE_GPU          ? gpu / relative
           : stage != DT_STAGE_ALL_REDUCE ? t->stage_images_s[stage]
           : extra_s > 0                  ? gpu * t->step_s / (step_s + extra_s)
                                          : INFINITY;
}

static const dt_stage limiting[] = {DT_STAGE_GPU, DT_STAGE_DECODE, DT_STAGE_DISK, DT_STAGE_ALL_REDUCE};
enum { N_LIMITING = sizeof limiting / sizeof limiting[0] };

/* The run's images per second if the stages of `without`, a set of bits, limited nothing. The tightest stage
 * may be another one at each image size. */
static double rate_without(const dt_throughput *t, const dt_assumptions *a, const double *relative,
                           const dt_workload *work, unsigned without)
{
    double seconds = 0;
    for (int i = 0; i < work->n_sizes; i++) {
        double tightest = INFINITY;
        for (int k = 0; k < N_LIMITING; k++) {
            const dt_stage stage = limiting[k];
            if (t->stage_images_s[stage] > 0 && !(without & 1u << stage))
                tightest = fmin(tightest, stage_rate(t, a, stage, relative[i]));
        }
        seconds += work->sizes[i].share / tightest;
    }
    return 1 / seconds;
}

/* The stage without which the run gains most, beside those that are left out already. If none gains alone,
 * the first of those that are equally tight. */
static dt_stage tightest_stage(const dt_throughput *t, const dt_assumptions *a, const double *relative,
                               const dt_workload *work, unsigned without)
{
    dt_stage found = limiting[0];
    double best = -1, lowest = INFINITY;
    for (int k = 0; k < N_LIMITING; k++) {
        const dt_stage stage = limiting[k];
        if (!(t->stage_images_s[stage] > 0) || without & 1u << stage)
            continue;
        const double gained = rate_without(t, a, relative, work, without | 1u << stage);
        if (gained > best || (gained == best && t->stage_images_s[stage] < lowest)) {
            best = gained;
            lowest = t->stage_images_s[stage];
            found = stage;
        }
    }
    return found;
}

/* How many times as long as the mean an image of each size takes on the GPU. */
static void compare_sizes(const dt_workload *work, const dt_throughput_query *q,
                          double relative[DT_RESIZE_MAX])
{
    const dt_figure *bandwidth = &q->instance->gpu_bandwidth_gb_s;
    const double gb_s = dt_figure_is_known(*bandwidth) ? bandwidth->value : 1;
    const double tflops = tflops_of(q->instance, work->precision);
    const double mean_s = dt_roofline_image_s(work->sizes, work->n_sizes, gb_s, tflops);
    for (int i = 0; i < work->n_sizes; i++) {
        dt_workload_size alone = work->sizes[i];
        alone.share = 1;
        relative[i] = dt_roofline_image_s(&alone, 1, gb_s, tflops) / mean_s;
    }
}

static void find_limits(const dt_workload *work, const dt_assumptions *a, const double *relative,
                        dt_throughput *t)
{
    t->images_s = rate_without(t, a, relative, work, 0);
    t->limit = tightest_stage(t, a, relative, work, 0);
    t->without_limit_images_s = rate_without(t, a, relative, work, 1u << t->limit);
    t->next_limit = tightest_stage(t, a, relative, work, 1u << t->limit);
}

static void add_times(const dt_workload *work, const dt_throughput_query *q, dt_throughput *t)
{
    const dt_assumptions *a = q->assumptions;
    const double forward = 3; /* a training pass computes three times as much as an evaluation's */
    const double eval_images_s =
        fmin(forward * t->stage_images_s[DT_STAGE_GPU],
             fmin(t->stage_images_s[DT_STAGE_DECODE], t->stage_images_s[DT_STAGE_DISK]));
    const double step = (double)t->batch * step_images(work, q);
    const double trained =
        floor(work->n_images / step) * step / work->n_images; /* what whole steps leave over
                                                                                  is not trained */
    t->train_s = work->images_of_run * trained / t->images_s;
    t->eval_s = a->counts_evaluation ? work->val_images_of_run / eval_images_s : 0;
    t->first_epoch_s = fmax(0, t->first_epoch_s - work->n_images / t->images_s);
    t->boot_s = q->instance->n_gpus >= 8 ? a->boot_large_s : a->boot_s;
    t->tuning_s = a->tuning_s;
    if (a->startup_s > 0) {
        t->boot_s = a->startup_s;
        t->tuning_s = t->staging_s = t->first_epoch_s = 0;
    }
    t->startup_s = t->boot_s + t->staging_s + t->tuning_s + t->first_epoch_s;
    t->restart_s = t->startup_s - (t->is_staged_once ? t->staging_s : 0);
    t->stall_s = work->checkpoint_bytes / (a->snapshot_mb_s * 1e6);
    t->checkpoint_s = 1 + work->checkpoint_bytes / (a->checkpoint_mb_s * 1e6);
    t->stage_images_s[DT_STAGE_CHECKPOINT] = INFINITY; /* written while training goes on */
}

void dt_throughput_estimate(const dt_workload *work, const dt_throughput_query *query,
                            dt_throughput *throughput)
{
    const dt_instance *i = query->instance;
    dt_throughput t = {0};
    if (i->unsupported.text)
        snprintf(t.why_not, sizeof t.why_not, "not supported: %s", i->unsupported.text);
    const double rate = t.why_not[0] ? 0 : gpu_rate(work, query, &t);
    if (!t.why_not[0] && rate == 0)
        snprintf(t.why_not, sizeof t.why_not,
                 "no images per second are known for %s; --rates FILE gives some", i->gpu);
    if (!t.why_not[0])
        fit_batch(work, query, &t);
    if (!t.why_not[0])
        place_data(work, query, &t);
    if (!t.why_not[0]) {
        const double n_gpus = i->n_gpus * query->nodes;
        const double gpu_images = (double)(t.batch * work->accumulate);
        double relative[DT_RESIZE_MAX];
        compare_sizes(work, query, relative);
        add_step(work, query, relative, gpu_images / rate, &t);
        const double extra_s = t.exposed_s + t.straggler_s;
        t.stage_images_s[DT_STAGE_GPU] = rate * n_gpus;
        t.stage_images_s[DT_STAGE_ALL_REDUCE] = query->nodes == 1 ? 0
                                                : extra_s > 0     ? gpu_images * n_gpus / (t.step_s + extra_s)
                                                                  : INFINITY;
        t.stage_images_s[DT_STAGE_DECODE] = decode_rate(work, query);
        find_limits(work, query->assumptions, relative, &t);
        add_times(work, query, &t);
    }
    *throughput = t;
}
