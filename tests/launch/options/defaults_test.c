/* Every option with its default, its limits, its commands and its field, listed a second time. A new option
 * has a row in `table` here, and one in effects_test.c. */
#include "tests/launch/options/options_kit.h"
#include "tests/testing.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define T DT_COMMAND_TRAIN
#define E DT_COMMAND_EVAL
#define INFO DT_COMMAND_INFO
#define INSPECT DT_COMMAND_INSPECT
#define EXPORT DT_COMMAND_EXPORT
#define BENCH DT_COMMAND_BENCH
#define PLAN DT_COMMAND_PLAN
#define CLUSTER DT_COMMAND_CLUSTER
#define STAGE DT_COMMAND_STAGE

/* flags of a row */
#define ABOVE_MIN 1U
#define PER_RANK 2U
#define ONE_START 4U

typedef struct expected {
    const char *name;
    unsigned commands;
    dt_option_type type;
    size_t offset, bytes; /* of the field */
    const char *by_default;
    unsigned flags;
    double min, max;
    dt_option_word words[DT_OPTION_WORDS];
    const char *choices; /* in the order of the enum, with commas */
} expected;

/* clang-format off */
#define ROW(name_, commands_, type_, field_, ...) \
    {.name = name_, .commands = commands_, .type = DT_OPTION_##type_, \
     .offset = offsetof(dt_options, field_), .bytes = sizeof(((dt_options *)NULL)->field_), \
     .by_default = __VA_ARGS__}
#define LIMITS(min_, max_) .min = min_, .max = max_
#define WORD(word_, value_) .words = {{word_, value_}}
#define CHOICES(names_) .choices = names_
#define FLAGS(flags_) .flags = flags_
#define NETWORKS "resnet18,resnet34,resnet50,resnet101,resnet152"
static const expected table[] = {
    ROW("data", T | E, PATH, config.data, ""),
    ROW("data", BENCH, PATH, config.data, ""),
    ROW("data", PLAN, PATH, config.data, ""),
    ROW("images", PLAN, INT, images, "auto", LIMITS(1, 1e10), WORD("auto", 0)),
    ROW("data-bytes", PLAN, PATH, data_bytes, ""),
    ROW("image-size", T | E | INFO | BENCH | PLAN, INT, config.image_size, "224", LIMITS(16, 2048)),
    ROW("batch", T | E | INFO | BENCH, INT, config.batch, "32", LIMITS(1, 65536), WORD("auto", 0)),
    ROW("batch", PLAN, INT, config.batch, "auto", LIMITS(1, 65536), WORD("auto", 0)),
    ROW("augment", T, CHOICE, augment, "standard", CHOICES("standard,none")),
    ROW("crop-scale", T | BENCH, RANGE, crop_scale_min, "0.08,1", LIMITS(0, 1), FLAGS(ABOVE_MIN)),
    ROW("flip", T, REAL, flip, "0.5", LIMITS(0, 1)),
    ROW("eval-crop", T | E, REAL, eval_crop, "0.875", LIMITS(0, 1), FLAGS(ABOVE_MIN)),
    ROW("eval-resize", T | E, INT, eval_resize, "auto", LIMITS(16, 8192),
        .words = {{"auto", 0}, {"none", -1}}),
    ROW("no-shuffle", T, UNFLAG, shuffle, "no"),
    ROW("max-broken", T | E, REAL, config.max_broken, "0.01", LIMITS(0, 1)),
    ROW("resize-schedule", T | PLAN, PATH, resize_schedule, ""),
    ROW("input", T, CHOICE, input, "loader", CHOICES("loader,synthetic")),
    ROW("arch", T | INFO | BENCH | PLAN, NAME, arch, "resnet50", CHOICES(NETWORKS)),
    ROW("arch", E, NAME, arch, "auto", CHOICES("auto," NETWORKS)),
    ROW("weights", E, PATH, weights, ""),
    ROW("zero-init-gamma", T, FLAG, zero_init_gamma, "no"),
    ROW("init", T, PATH, init, ""),
    ROW("export", T, PATH, export_to, "", FLAGS(ONE_START)),
    ROW("epochs", T | PLAN, INT, config.epochs, "90", LIMITS(1, 1000000)),
    ROW("steps", T, INT, config.steps, "0", LIMITS(0, 2147483647), FLAGS(ONE_START)),
    ROW("accumulate", T | BENCH | PLAN, INT, config.accumulate, "1", LIMITS(1, 65536)),
    ROW("optimizer", T, NAME, config.optimizer, "sgd", CHOICES("sgd,lars")),
    ROW("lars-trust", T, REAL, config.lars_trust, "0.001", LIMITS(0, 1), FLAGS(ABOVE_MIN)),
    ROW("lars-form", T, CHOICE, config.lars_form, "paper", CHOICES("paper,torch")),
    ROW("ema", T | PLAN, REAL, config.ema_decay, "0", LIMITS(0, 0.999999)),
    ROW("no-ema-warmup", T, UNFLAG, config.ema_warmup, "no"),
    ROW("loss-scale", T, REAL, config.loss_scale_init, "65536", LIMITS(1, 16777216)),
    ROW("lr", T, REAL, config.lr, "0.1", LIMITS(0, 1000)),
    ROW("momentum", T, REAL, config.momentum, "0.9", LIMITS(0, 0.9999)),
    ROW("nesterov", T, FLAG, config.nesterov, "no"),
    ROW("weight-decay", T, REAL, config.weight_decay, "0.0001", LIMITS(0, 1)),
    ROW("no-bn-decay", T, UNFLAG, config.bn_decay, "no"),
    ROW("no-bias-decay", T, UNFLAG, config.bias_decay, "no"),
    ROW("label-smoothing", T, REAL, config.label_smoothing, "0.1", LIMITS(0, 0.999)),
    ROW("warmup-epochs", T, REAL, config.warmup_epochs, "5", LIMITS(0, 1000000)),
    ROW("schedule", T, CHOICE, config.schedule, "cosine", CHOICES("cosine,poly,step,constant")),
    ROW("poly-power", T, REAL, config.poly_power, "2", LIMITS(0, 100), FLAGS(ABOVE_MIN)),
    ROW("step-epochs", T, PATH, step_epochs, ""),
    ROW("step-gamma", T, REAL, config.step_gamma, "0.1", LIMITS(0, 1), FLAGS(ABOVE_MIN)),
    ROW("seed", T, INT, config.seed, "1", LIMITS(0, 2147483647)),
    ROW("out", T, PATH, out, "", FLAGS(ONE_START)),
    ROW("resume", T, CHOICE, config.resume, "auto", FLAGS(ONE_START), CHOICES("auto,never,must")),
    ROW("checkpoint-every", T | PLAN, INT, config.checkpoint_every, "0", LIMITS(0, 2147483647),
        WORD("auto", -1)),
    ROW("checkpoint-dir", T, PATH, checkpoint_dir, "", FLAGS(ONE_START)),
    ROW("checkpoint-mirror", T, PATH, checkpoint_mirror, "", FLAGS(ONE_START)),
    ROW("mtti", T, REAL, config.mtti_h, "6", LIMITS(0, 1000000), FLAGS(ABOVE_MIN | ONE_START)),
    ROW("max-checkpoint-failures", T, INT, config.max_checkpoint_failures, "10",
        LIMITS(0, 2147483647), FLAGS(ONE_START)),
    ROW("time-limit", T, DURATION, time_limit_s, "0", FLAGS(ONE_START)),
    ROW("spot", T, CHOICE, spot, "auto", FLAGS(PER_RANK), CHOICES("auto,imds,off")),
    ROW("imds-endpoint", T, PATH, imds_endpoint, "http://169.254.169.254", FLAGS(PER_RANK)),
    ROW("keep", T, INT, config.keep, "3", LIMITS(1, 10000), FLAGS(ONE_START)),
    ROW("eval-every", T | PLAN, REAL, config.eval_every, "1", LIMITS(0, 1000000)),
    ROW("profile", T, INT, profile_steps, "0", LIMITS(0, 100000)),
    ROW("log-every", T | E | STAGE, REAL, log_every_s, "5", LIMITS(0, 86400), FLAGS(PER_RANK)),
    ROW("mtti", PLAN, REAL, config.mtti_h, "traces", LIMITS(0, 1000000), FLAGS(ABOVE_MIN),
        .words = {{"calm", 24}, {"normal", 8}, {"hard", 3}, {"traces", -1}}),
    ROW("types", PLAN, PATH, types, ""),
    ROW("plan", CLUSTER, PATH, plan_file, ""),
    ROW("choice", CLUSTER, CHOICE, choice, "auto",
        CHOICES("auto,cheapest,fastest,best-value,in-deadline,in-budget")),
    ROW("types", CLUSTER, PATH, types, ""),
    ROW("region", CLUSTER, PATH, region, ""),
    ROW("zone", CLUSTER, PATH, zone, ""),
    ROW("bucket", CLUSTER, PATH, bucket, ""),
    ROW("key", CLUSTER, PATH, key, ""),
    ROW("nodes", CLUSTER, INT, cluster_nodes, "auto", LIMITS(1, 512), WORD("auto", 0)),
    ROW("buy", CLUSTER, CHOICE, buy, "auto", CHOICES("auto,both,spot,on-demand")),
    ROW("subnet", CLUSTER, PATH, subnet, ""),
    ROW("head-subnet", CLUSTER, PATH, head_subnet, ""),
    ROW("create-network", CLUSTER, PATH, create_network, ""),
    ROW("name", CLUSTER, PATH, cluster_name, "dtrain"),
    ROW("head-type", CLUSTER, PATH, head_type, "c6i.xlarge"),
    ROW("ssh-from", CLUSTER, PATH, ssh_from, "0.0.0.0/0"),
    ROW("shared-gb", CLUSTER, INT, shared_gb, "100", LIMITS(20, 16384)),
    ROW("fsx-gb", CLUSTER, INT, fsx_gb, "0", LIMITS(0, 1000000)),
    ROW("source", CLUSTER, PATH, source, ""),
    ROW("regions", PLAN, PATH, regions, ""),
    ROW("max-nodes", PLAN, INT, max_nodes, "1", LIMITS(1, 512)),
    ROW("nodes", PLAN, PATH, nodes, ""),
    ROW("deadline", PLAN, DURATION, deadline_s, "0"),
    ROW("budget", PLAN, REAL, budget_usd, "none", LIMITS(0, 1e9), FLAGS(ABOVE_MIN), WORD("none", 0)),
    ROW("budget", CLUSTER, REAL, budget_usd, "none", LIMITS(0, 1e9), FLAGS(ABOVE_MIN), WORD("none", 0)),
    ROW("startup", PLAN, DURATION, startup_s, "0"),
    ROW("assume", PLAN, CHOICE, assume, "today", CHOICES("today,seed")),
    ROW("here", PLAN, FLAG, here, "no"),
    ROW("markdown", PLAN, FLAG, markdown, "no"),
    ROW("html", PLAN, PATH, html, ""),
    ROW("refresh-prices", PLAN, PATH, refresh_prices, ""),
    ROW("check", PLAN, FLAG, check, "no"),
    ROW("instances", PLAN | CLUSTER, PATH, instances_file, ""),
    ROW("prices", PLAN | CLUSTER, PATH, prices_file, ""),
    ROW("rates", PLAN, PATH, rates_file, ""),
    ROW("stage-dir", T | E, PATH, stage_dir, "", FLAGS(ONE_START)),
    ROW("split", STAGE, FLAG, split, "no"),
    ROW("endpoint-url", T | E | STAGE, PATH, endpoint_url, "", FLAGS(ONE_START)),
    ROW("anonymous", T | E | STAGE, FLAG, anonymous, "no", FLAGS(ONE_START)),
    ROW("requester-pays", T | E | STAGE, FLAG, requester_pays, "no", FLAGS(ONE_START)),
    ROW("profile", STAGE, PATH, aws_profile, ""),
    ROW("region", STAGE, PATH, region, ""),
    ROW("connections", STAGE, INT, connections, "auto", FLAGS(PER_RANK), LIMITS(0, 64), WORD("auto", 0)),
    ROW("verify", INSPECT, FLAG, verify, "no"),
    ROW("diff", INSPECT, FLAG, diff, "no"),
    ROW("json", INFO | INSPECT | PLAN, FLAG, json, "no"),
    ROW("output", EXPORT, PATH, output, ""),
    ROW("output", CLUSTER, PATH, output, "cluster.yaml"),
    ROW("output", BENCH, PATH, output, ""),
    ROW("seconds", BENCH, REAL, seconds, "10", LIMITS(0.1, 3600)),
    ROW("url", BENCH, PATH, url, ""),
    ROW("checkpoint-dir", BENCH, PATH, checkpoint_dir, ""),
    ROW("step", EXPORT, INT, step, "newest", LIMITS(0, 9007199254740992), WORD("newest", -1)),
    ROW("fp16", EXPORT, FLAG, fp16, "no"),
    ROW("ema", EXPORT, FLAG, ema, "no"),
    ROW("backend", T | E | BENCH, NAME, backend, "auto", CHOICES("auto,cuda,cpu,ref")),
    ROW("comm", T | E | BENCH, NAME, comm, "auto", FLAGS(ONE_START), CHOICES("auto,nccl,mpi,self")),
    ROW("peer-timeout", T | E | BENCH | STAGE, REAL, peer_timeout_s, "600", LIMITS(1, 86400)),
    ROW("precision", T | E | INFO | BENCH | PLAN, CHOICE, precision, "auto",
        CHOICES("auto,fp32,fp16,bf16,tf32")),
    ROW("wire", T | BENCH | PLAN, CHOICE, config.wire, "auto", CHOICES("auto,fp32,same")),
    ROW("plans", INFO, FLAG, plans, "no"),
    ROW("device", INFO, PATH, device, ""),
    ROW("autotune", T | E | BENCH, CHOICE, autotune, "full", FLAGS(PER_RANK), CHOICES("full,heuristic,off")),
    ROW("no-graph", T, FLAG, config.no_graph, "no"),
    ROW("threads", T | E | BENCH, INT, threads, "0", LIMITS(0, 4096), FLAGS(PER_RANK)),
    ROW("workers", T | E | BENCH, INT, workers, "0", LIMITS(0, 1024), FLAGS(PER_RANK)),
    ROW("bind", T | E | BENCH, CHOICE, bind, "auto", CHOICES("auto,none"), FLAGS(ONE_START)),
};
/* clang-format on */
enum { N = sizeof table / sizeof *table };

static dt_options options;
static dt_error err;

static int product_row(const expected *e)
{
    for (int row = 0; row < dt_options_count(); row++)
        if (strcmp(dt_options_at(row)->name, e->name) == 0 && dt_options_at(row)->commands & e->commands)
            return row;
    return -1;
}

static bool set(const expected *e, const char *text)
{
    return dt_option_set(&options, product_row(e), text, DT_ORIGIN_COMMAND_LINE, e->name, &err) == DT_OK;
}

static void the_table_has_the_programs_options(void)
{
    DT_CHECK_INT(dt_options_count(), N);
    for (int i = 0; i < N; i++)
        DT_CHECK_MSG(product_row(&table[i]) >= 0, "there is no --%s", table[i].name);
    for (int row = 0; row < dt_options_count(); row++) {
        int n = 0;
        for (int i = 0; i < N; i++)
            n += product_row(&table[i]) == row;
        DT_CHECK_MSG(n == 1, "--%s has %d rows here", dt_options_at(row)->name, n);
    }
}

static void each_option_belongs_to_its_commands(void)
{
    for (int i = 0; i < N; i++) {
        const int row = product_row(&table[i]);
        DT_REQUIRE_MSG(row >= 0, "%s", table[i].name);
        for (unsigned command = 1; command <= CLUSTER; command *= 2)
            DT_CHECK_MSG((dt_options_find(table[i].name, command) == row) == !!(table[i].commands & command),
                         "--%s, command %u", table[i].name, command);
    }
}

static void each_option_has_its_type_field_and_flags(void)
{
    for (int i = 0; i < N; i++) {
        const expected *e = &table[i];
        const dt_option *o = dt_options_at(product_row(e));
        DT_CHECK_MSG(o->type == e->type, "--%s: type %d", e->name, (int)o->type);
        DT_CHECK_MSG(o->offset == e->offset, "--%s: another field", e->name);
        DT_CHECK_MSG(o->per_rank == !!(e->flags & PER_RANK), "--%s: per_rank", e->name);
        DT_CHECK_MSG(o->one_start == !!(e->flags & ONE_START), "--%s: one_start", e->name);
        DT_CHECK_MSG(!o->metavar == (e->type == DT_OPTION_FLAG || e->type == DT_OPTION_UNFLAG),
                     "--%s: metavar", e->name);
        for (int k = 0; k < DT_OPTION_WORDS; k++)
            DT_CHECK_STR(o->words[k].name, e->words[k].name);
        DT_CHECK_MSG(o->help && strlen(o->help) > 10, "--%s: help", e->name);
    }
}

static void each_option_has_its_default_in_each_command(void)
{
    for (int i = 0; i < N; i++) {
        const expected *e = &table[i];
        char text[DT_PATH_BYTES];
        DT_CHECK_STR(dt_options_at(product_row(e))->by_default, e->by_default);
        for (unsigned command = 1; command <= CLUSTER; command *= 2) {
            if (!(e->commands & command))
                continue;
            memset(&options, 0x55, sizeof options);
            dt_options_set_defaults(&options, command);
            dt_option_format(&options, product_row(e), text, sizeof text);
            DT_CHECK_MSG(strcmp(text, e->by_default) == 0, "--%s: %s", e->name, text);
            DT_CHECK_INT(options.origin[product_row(e)], DT_ORIGIN_DEFAULT);
        }
    }
}

/* The value that --NAME TEXT gives to the field; a flag as 0 or 1. */
static double value_of(const expected *e, const char *text)
{
    const void *field = (const char *)&options + e->offset;
    DT_REQUIRE_MSG(set(e, text), "%s", err.message);
    if (e->type == DT_OPTION_INT)
        return (double)*(const int64_t *)field;
    if (e->type == DT_OPTION_CHOICE)
        return *(const int *)field;
    if (e->type == DT_OPTION_FLAG || e->type == DT_OPTION_UNFLAG)
        return *(const bool *)field;
    return *(const double *)field;
}

static void flags_turn_their_field_on_or_off(void)
{
    for (int i = 0; i < N; i++) {
        const expected *e = &table[i];
        if (e->type != DT_OPTION_FLAG && e->type != DT_OPTION_UNFLAG)
            continue;
        const int given = e->type == DT_OPTION_FLAG;
        DT_CHECK_MSG(value_of(e, NULL) == given, "--%s", e->name);
        DT_CHECK_MSG(value_of(e, "yes") == given, "--%s=yes", e->name);
        DT_CHECK_MSG(value_of(e, "no") == !given, "--%s=no", e->name);
    }
}

static void choices_and_words_have_their_values(void)
{
    for (int i = 0; i < N; i++) {
        const expected *e = &table[i];
        char list[128], all[128] = "";
        snprintf(list, sizeof list, "%s", e->choices ? e->choices : "");
        int n = 0;
        for (char *name = strtok(list, ","); name; name = strtok(NULL, ","), n++) {
            if (e->type == DT_OPTION_CHOICE)
                DT_CHECK_MSG(value_of(e, name) == n, "--%s %s", e->name, name);
            else if (set(e, name)) /* "cuda" where it is not built is checked later */
                DT_CHECK_STR((const char *)&options + e->offset, name);
        }
        const char *const *choices = dt_option_choices(dt_options_at(product_row(e)));
        for (int k = 0; choices && choices[k]; k++)
            snprintf(all + strlen(all), sizeof all - strlen(all), "%s%s", k ? "," : "", choices[k]);
        DT_CHECK_STR(all, e->choices ? e->choices : "");
        for (int k = 0; k < DT_OPTION_WORDS && e->words[k].name; k++)
            DT_CHECK_MSG(value_of(e, e->words[k].name) == (double)e->words[k].value, "--%s %s", e->name,
                         e->words[k].name);
    }
    DT_CHECK(DT_SCHEDULE_COSINE == 0 && DT_SCHEDULE_POLY == 1 && DT_SCHEDULE_STEP == 2 &&
             DT_SCHEDULE_CONSTANT == 3);
    DT_CHECK(DT_RESUME_AUTO == 0 && DT_RESUME_NEVER == 1 && DT_RESUME_MUST == 2);
    DT_CHECK(DT_F32 == 0 && DT_F16 == 1 && DT_BF16 == 2 && DT_TF32 == 3);
    DT_CHECK(DT_INPUT_LOADER == 0 && DT_INPUT_SYNTHETIC == 1);
    DT_CHECK(DT_AUGMENT_STANDARD == 0 && DT_AUGMENT_NONE == 1);
    DT_CHECK(DT_AUTOTUNE_FULL == 0 && DT_AUTOTUNE_HEURISTIC == 1 && DT_AUTOTUNE_OFF == 2);
    DT_CHECK(DT_CLUSTER_CHOICE_AUTO == 0 && DT_CLUSTER_CHOICE_CHEAPEST == 1 &&
             DT_CLUSTER_CHOICE_FASTEST == 2 && DT_CLUSTER_CHOICE_BEST_VALUE == 3 &&
             DT_CLUSTER_CHOICE_IN_DEADLINE == 4 && DT_CLUSTER_CHOICE_IN_BUDGET == 5);
    DT_CHECK(DT_BUY_AUTO == 0 && DT_BUY_BOTH == 1 && DT_BUY_SPOT == 2 && DT_BUY_ON_DEMAND == 3);
    DT_CHECK(DT_SPOT_AUTO == 0 && DT_SPOT_IMDS == 1 && DT_SPOT_OFF == 2);
}

static void check_limit(const expected *e, double value, bool accepted)
{
    char text[64];
    const bool is_int = e->type == DT_OPTION_INT;
    if (is_int)
        snprintf(text, sizeof text, "%lld", (long long)value);
    else
        snprintf(text, sizeof text, "%.17g", value);
    const bool ok = set(e, text);
    DT_CHECK_MSG(ok == accepted, "--%s %s is %s", e->name, text, ok ? "accepted" : "refused");
    if (ok && accepted)
        DT_CHECK_MSG(value_of(e, text) == value, "--%s %s gives another value", e->name, text);
    if (!ok)
        DT_CHECK_CONTAINS(err.message, "is out of range: ");
}

static void limits_are_exact(void)
{
    int n = 0;
    for (int i = 0; i < N; i++) {
        const expected *e = &table[i];
        const bool is_int = e->type == DT_OPTION_INT;
        if (!is_int && e->type != DT_OPTION_REAL)
            continue;
        n++;
        check_limit(e, is_int ? e->min - 1 : nextafter(e->min, -INFINITY), false);
        check_limit(e, e->min, !(e->flags & ABOVE_MIN));
        check_limit(e, is_int ? e->min + 1 : nextafter(e->min, INFINITY), true);
        check_limit(e, is_int ? e->max - 1 : nextafter(e->max, -INFINITY), true);
        check_limit(e, e->max, true);
        if (e->max < 9007199254740992.0)
            check_limit(e, is_int ? e->max + 1 : nextafter(e->max, INFINITY), false);
    }
    DT_CHECK(n > 20);
}

static void limits_of_a_range_and_a_duration_are_exact(void)
{
    const int crop = dt_options_find("crop-scale", T), limit = dt_options_find("time-limit", T);
    const struct {
        int row;
        const char *text;
        bool accepted;
    } cases[] = {{crop, "0,1", false},
                 {crop, "4.9406564584124654e-324,1", true},
                 {crop, "1,1", true},
                 {crop, "0.5,0.5", true},
                 {crop, "0.5,0.49999999999999994", false},
                 {crop, "0.5,1.0000000000000002", false},
                 {crop, "0,0", false},
                 {limit, "0", true},
                 {limit, "3153600000", true},
                 {limit, "3153600001", false},
                 {limit, "36500d", true},
                 {limit, "36500d1s", false},
                 {limit, "-1", false}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++)
        DT_CHECK_MSG((dt_option_set(&options, cases[i].row, cases[i].text, DT_ORIGIN_COMMAND_LINE, "x",
                                    &err) == DT_OK) == cases[i].accepted,
                     "%s", cases[i].text);
    DT_REQUIRE(dt_option_set(&options, crop, "0.25,0.75", DT_ORIGIN_COMMAND_LINE, "x", &err) == DT_OK);
    DT_CHECK(options.crop_scale_min == 0.25 && options.crop_scale_max == 0.75);
}

/* Sets the option to this many letters; "http://" first, which --imds-endpoint needs. */
static bool accepts_length(const expected *e, size_t n)
{
    char text[DT_PATH_BYTES + 1];
    memset(text, 'x', n);
    memcpy(text, "http://", 7);
    text[n] = '\0';
    return set(e, text) && strcmp((const char *)&options + e->offset, text) == 0;
}

static void texts_may_fill_their_field(void)
{
    for (int i = 0; i < N; i++) {
        const expected *e = &table[i];
        if (e->type != DT_OPTION_PATH)
            continue;
        DT_CHECK_MSG(accepts_length(e, e->bytes - 1), "--%s", e->name);
        DT_CHECK_MSG(!accepts_length(e, e->bytes), "--%s", e->name);
    }
}

static void the_demo_sets_these_values_and_no_other(void)
{
    static const char *const demo[][2] = {
        {"arch", "resnet18"},     {"image-size", "32"}, {"lr", "0.05"},
        {"warmup-epochs", "0.6"}, {"nesterov", "yes"},  {"weight-decay", "0.0005"},
        {"crop-scale", "0.75,1"}, {"flip", "0"},        {"eval-crop", "1"},
        {"batch", "32"},          {"epochs", "6"},
    };
    enum { N_DEMO = sizeof demo / sizeof *demo };
    char text[DT_PATH_BYTES];
    dt_options_set_defaults(&options, T);
    dt_options_apply_demo(&options, 1);
    for (int i = 0; i < N; i++) {
        if (!(table[i].commands & T))
            continue;
        int k = 0;
        while (k < N_DEMO && strcmp(demo[k][0], table[i].name) != 0)
            k++;
        dt_option_format(&options, product_row(&table[i]), text, sizeof text);
        DT_CHECK_MSG(strcmp(text, k < N_DEMO ? demo[k][1] : table[i].by_default) == 0, "--%s is %s",
                     table[i].name, text);
        DT_CHECK_INT(options.origin[product_row(&table[i])], k < N_DEMO ? DT_ORIGIN_DEMO : DT_ORIGIN_DEFAULT);
    }
}

static const dt_test tests[] = {
    DT_TEST(the_table_has_the_programs_options),
    DT_TEST(each_option_belongs_to_its_commands),
    DT_TEST(each_option_has_its_type_field_and_flags),
    DT_TEST(each_option_has_its_default_in_each_command),
    DT_TEST(flags_turn_their_field_on_or_off),
    DT_TEST(choices_and_words_have_their_values),
    DT_TEST(limits_are_exact),
    DT_TEST(limits_of_a_range_and_a_duration_are_exact),
    DT_TEST(texts_may_fill_their_field),
    DT_TEST(the_demo_sets_these_values_and_no_other),
};
DT_TEST_MAIN("launch/options/defaults", tests)
