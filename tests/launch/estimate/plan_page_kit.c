#include "tests/launch/estimate/plan_page_kit.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct {
    const char *type;
    int n_gpus;
    double images_s, decode_images_s, usd_h, spot_usd_h;
} types[] = {
    {"g4dn.xlarge", 1, 390, 1214, 0.526, 0.21},
    {"g5.xlarge", 1, 638, 1427, 1.006, 0.46},
    {"g5.2xlarge", 1, 638, 2855, 1.212, 0.51},
    {"g6.xlarge", 1, 365, 1427, 0.805, 0.40},
    {"g6.48xlarge", 8, 2920, 68544, 13.35, 2.74},
    {"g6e.xlarge", 1, 1853, 1428, 1.861, 0.75},
    {"g6e.2xlarge", 1, 1853, 2856, 2.242, 0.83},
    {"g6e.48xlarge", 8, 14828, 68544, 30.13, 8.71},
    {"p3.2xlarge", 1, 1376, 1998, 3.06, 0.48},
    {"p3.16xlarge", 8, 10723, 15980, 24.48, 4.04},
    {"p4d.24xlarge", 8, 24736, 29000, 21.96, 6.29},
    {"p4de.24xlarge", 8, 26674, 29000, 27.45, 9.73},
    {"p5.48xlarge", 8, 57100, 68544, 55.04, 14.25},
    {"p5en.48xlarge", 8, 63601, 68544, 63.30, 19.17},
    {"p6-b200.48xlarge", 8, 111200, 68544, 113.93, 19.09},
    {"g7e.2xlarge", 1, 2400, 2856, 3.363, 0},
};
enum { N_TYPES = sizeof types / sizeof *types };

static const dt_data_source source = {"kit", "a source of the tests", "2026-07-20",
                                      DT_CONFIDENCE_THIRD_PARTY};
static const dt_data_source estimated = {"guess", "by bandwidth", "2026-11-28", DT_CONFIDENCE_ESTIMATED};
static const dt_data_source hostile_source = {"kit", DT_HOSTILE_TYPE, DT_HOSTILE_TYPE,
                                              DT_CONFIDENCE_ESTIMATED};

static void fill_throughput(dt_throughput *t, int type, int nodes, const dt_rate *rate)
{
    const double gpu = types[type].images_s * nodes, decode = types[type].decode_images_s * nodes;
    *t = (dt_throughput){.stage_images_s = {[DT_STAGE_NETWORK] = 2840.0 * nodes,
                                            [DT_STAGE_DISK] = INFINITY,
                                            [DT_STAGE_DECODE] = decode,
                                            [DT_STAGE_GPU] = gpu,
                                            [DT_STAGE_ALL_REDUCE] = nodes > 1 ? gpu * 1.08 : 0,
                                            [DT_STAGE_CHECKPOINT] = gpu * 60},
                         .limit = decode < gpu ? DT_STAGE_DECODE : DT_STAGE_GPU,
                         .next_limit = decode < gpu ? DT_STAGE_GPU : DT_STAGE_DECODE,
                         .images_s = fmin(decode, gpu),
                         .without_limit_images_s = fmax(decode, gpu),
                         .boot_s = 300,
                         .staging_s = 460,
                         .startup_s = 900,
                         .restart_s = 900,
                         .checkpoint_s = 2,
                         .rate = rate,
                         .location = DT_DATA_NVME};
}

static void fill_row(dt_page_kit *kit, int type, int nodes, dt_purchase purchase)
{
    static const char *const regions[] = {"us-east-1", "us-east-2"}, *const zones[] = {"us-east-1a",
                                                                                       "us-east-2b"};
    dt_plan_row *row = &kit->rows[kit->plan.n_possible];
    dt_price *price = &kit->prices[kit->plan.n_possible++];
    const bool is_spot = purchase != DT_PURCHASE_ON_DEMAND;
    *row = (dt_plan_row){.instance = &kit->instances[type],
                         .region = regions[type % 2],
                         .nodes = nodes,
                         .zone = is_spot ? zones[type % 2] : NULL,
                         .purchase = purchase,
                         .price = price,
                         .meets_deadline = true,
                         .meets_budget = true};
    fill_throughput(&row->throughput, type, nodes, &kit->rates[type]);
    const double work_h = kit->plan.work.images_of_run / row->throughput.images_s / 3600, start_h = 0.25;
    const double usd_h = is_spot ? types[type].spot_usd_h : types[type].usd_h;
    *price = (dt_price){.type = row->instance->type,
                        .region = row->region,
                        .zone = row->zone,
                        .is_spot = is_spot,
                        .usd_h = usd_h,
                        .date = "2026-07-20",
                        .source = row->instance->interruption_band.source};
    const double losses = is_spot ? work_h / kit->interruptions.mtti_h : 0;
    const double paid_h = work_h + start_h * (1 + losses);
    row->hours_mean = paid_h + losses * 1.2;
    row->hours_p95 = row->hours_mean + (is_spot ? 3.4 * sqrt(0.4 + losses) : 0);
    row->usd_mean = paid_h * usd_h * nodes + 0.4;
    if (purchase == DT_PURCHASE_MIXED)
        row->usd_mean += 0.12 * work_h * types[type].usd_h * nodes;
    row->usd_p95 = row->usd_mean * (is_spot ? 1.06 + 0.3 / (1 + losses) : 1);
    row->usd_part[DT_COST_STARTUP] = start_h * usd_h * nodes;
    row->usd_part[DT_COST_STORAGE] = 0.4;
    row->usd_part[DT_COST_TRAINING] = row->usd_mean - start_h * usd_h * nodes - 0.4;
    row->run = (dt_spot_run){.interruptions = &kit->interruptions,
                             .work_s = work_h * 3600,
                             .startup_s = start_h * 3600,
                             .requeue_s = 120,
                             .save_s = 2,
                             .notice_s = 0,
                             .deadline_s = purchase == DT_PURCHASE_MIXED ? kit->plan.settings.deadline_s : 0};
    if (is_spot)
        row->outcome = (dt_spot_outcome){.finishes = true,
                                         .interval_s = 640,
                                         .n_interruptions_mean = losses,
                                         .wall_s_mean = row->hours_mean * 3600,
                                         .wall_s_p95 = row->hours_p95 * 3600};
}

static int by_usd(const void *a, const void *b)
{
    const dt_plan_row *x = a, *y = b;
    return (x->usd_mean > y->usd_mean) - (x->usd_mean < y->usd_mean);
}

/* Sorts the rows; the front is where no cheaper row is as fast. */
static void mark(dt_plan *plan)
{
    double least_hours = INFINITY;
    int64_t fastest = 0;
    qsort(plan->rows, (size_t)plan->n_possible, sizeof *plan->rows, by_usd);
    for (int64_t i = 0; i < plan->n_possible; i++) {
        plan->rows[i].is_front = plan->rows[i].hours_mean < least_hours;
        if (plan->rows[i].is_front)
            fastest = i;
        least_hours = fmin(least_hours, plan->rows[i].hours_mean);
    }
    plan->rows[0].is_cheapest = true;
    plan->rows[fastest].is_fastest = true;
    for (int64_t i = 0; i < plan->n_possible; i++)
        if (plan->rows[i].nodes == 1 && strcmp(plan->rows[i].instance->type, "p4d.24xlarge") == 0 &&
            plan->rows[i].purchase == DT_PURCHASE_SPOT)
            plan->rows[i].is_best_value = true;
    const char *const titles[] = {"Best value", "Cheapest", "Fastest", "Cheapest in 12 h"};
    for (int k = 0; k < 4; k++) {
        dt_recommendation *r = &plan->recommendations[plan->n_recommendations++];
        *r = (dt_recommendation){.row = k == 2 ? fastest : 0};
        snprintf(r->title, sizeof r->title, "%s", titles[k]);
        for (int64_t i = 0; k == 0 && i < plan->n_possible; i++)
            r->row = plan->rows[i].is_best_value ? i : r->row;
        snprintf(r->text, sizeof r->text,
                 "Of the choices on the front it is the last one where another dollar still "
                 "saves more than an hour. It assumes that spot capacity comes back within an hour or so, "
                 "and that the "
                 "data are staged from a bucket in the same region. At twice the spot price it would cost as "
                 "much as "
                 "the next choice on demand.");
        snprintf(r->command, sizeof r->command, "dtrain cluster --types %s --spot --region us-east-1",
                 plan->rows[r->row].instance->type);
    }
}

static void exclude(dt_plan *plan, const dt_instance *instance, const char *zone, const char *why)
{
    dt_plan_row *row = &plan->rows[plan->n_rows++];
    *row = (dt_plan_row){.instance = instance, .region = "us-east-1", .zone = zone, .nodes = 1};
    snprintf(row->excluded, sizeof row->excluded, "%s", why);
}

static void begin(dt_page_kit *kit, bool is_hostile)
{
    memset(kit, 0, sizeof *kit);
    kit->interruptions = (dt_interruptions){.name = "hard", .mtti_h = 3, .down_mean_h = 1};
    for (int i = 0; i < DT_SPOT_QUANTILES; i++) {
        kit->interruptions.up_h[i] = -3 * log(1 - (i + 0.5) / DT_SPOT_QUANTILES);
        kit->interruptions.down_h[i] = -log(1 - (i + 0.5) / DT_SPOT_QUANTILES);
    }
    kit->plan = (dt_plan){.rows = kit->rows,
                          .settings = {.interruptions = &kit->interruptions,
                                       .n_runs = 10000,
                                       .seed = 1,
                                       .max_nodes = 4,
                                       .deadline_s = 12 * 3600,
                                       .budget_usd = 50,
                                       .today = "2026-11-30"},
                          .work = {.arch = "resnet50",
                                   .precision = DT_F16,
                                   .image_size = 224,
                                   .epochs = 90,
                                   .n_images = DT_IMAGENET_IMAGES,
                                   .images_of_run = 90.0 * DT_IMAGENET_IMAGES,
                                   .data_bytes = DT_IMAGENET_BYTES,
                                   .n_sizes = 1,
                                   .sizes = {{.image_size = 224, .share = 1}}}};
    for (int i = 0; i < N_TYPES; i++) {
        const bool is_odd = is_hostile && i == 5;
        const dt_data_source *from = is_odd ? &hostile_source : &source;
        kit->instances[i] = (dt_instance){.type = is_odd ? DT_HOSTILE_TYPE : types[i].type,
                                          .n_gpus = types[i].n_gpus,
                                          .gpu = "GPU",
                                          .interruption_band = {">20%", from}};
        kit->rates[i] = (dt_rate){.gpu = "GPU",
                                  .arch = "resnet50",
                                  .precision = "fp16",
                                  .image_size = 224,
                                  .n_gpus = 1,
                                  .images_s = types[i].images_s / types[i].n_gpus,
                                  .source = from};
    }
}

void dt_page_kit_fill(dt_page_kit *kit, bool is_hostile)
{
    begin(kit, is_hostile);
    kit->instances[8].retiring = (dt_remark){"being retired: no region lists p3.2xlarge any more", &source};
    kit->rates[3].source = &estimated;
    for (int i = 0; i < N_TYPES; i++)
        for (int nodes = 1; nodes <= (types[i].n_gpus > 1 ? 4 : 2); nodes *= 2) {
            fill_row(kit, i, nodes, DT_PURCHASE_ON_DEMAND);
            if (types[i].spot_usd_h > 0)
                fill_row(kit, i, nodes, DT_PURCHASE_SPOT);
            if (types[i].spot_usd_h > 0 && nodes == 1 && i % 4 == 0)
                fill_row(kit, i, nodes, DT_PURCHASE_MIXED);
        }
    dt_plan *plan = &kit->plan;
    mark(plan);
    plan->n_rows = plan->n_possible;
    kit->instances[N_TYPES] =
        (dt_instance){.type = "trn1.32xlarge", .n_gpus = 16, .unsupported = {"no CUDA", &source}};
    exclude(plan, &kit->instances[N_TYPES], NULL, "trn1 has no CUDA: dtrain has no backend for it");
    exclude(plan, &kit->instances[N_TYPES], NULL, "trn1 has no CUDA: dtrain has no backend for it");
    exclude(plan, &kit->instances[12], "use1-az1", "spot is as dear as on demand in this zone");
    exclude(plan, &kit->instances[12], "use1-az10", "spot is as dear as on demand in this zone");
    exclude(plan, &kit->instances[12], "use1-az1", "spot is as dear as on demand in this zone");
    exclude(plan, &kit->instances[0], NULL,
            is_hostile ? DT_HOSTILE_TYPE : "its 125 GB of NVMe do not hold the data");
    static char note[] = "Prices are 133 days old: dtrain plan --refresh-prices fetches new ones",
                odd[] = DT_HOSTILE_TYPE;
    plan->notes[plan->n_notes++] = note;
    if (is_hostile)
        plan->notes[plan->n_notes++] = odd;
}
