/* Values of options that the user has not set: the table's defaults, the demo's settings, and values that
 * follow from other options. */
#include "config.h"

#include "launch/options/options.h"

#include <stdio.h>
#include <string.h>

void dt_options_set_defaults(dt_options *options, unsigned command)
{
    /* Options of other commands get their defaults too. Where a name has two rows, this command's comes last
     * and counts. */
    const unsigned order[] = {~command, command};
    memset(options, 0, sizeof *options);
    for (int i = 0; i < 2; i++)
        for (int row = 0; row < dt_options_count(); row++) {
            const dt_option *o = dt_options_at(row);
            if (o->commands & order[i]) /* never fails: a test sets every default */
                (void)dt_option_set(options, row, o->by_default, DT_ORIGIN_DEFAULT, o->name, NULL);
        }
}

/* -- the demo -------------------------------------------------------------------------------------------- */

/* The demo's values of options that the user has not set. They suit handwritten digits, which must not be
 * mirrored and fill their frame. Measured: seeds 1 to 8 end at 98.3 to 99.4%; with 5 epochs, or crops from
 * 0.6 on, some end at 97.2. --batch and --epochs depend on the number of ranks: dt_options_apply_demo. */
static const char *const demo_settings[][2] = {
    {"arch", "resnet18"},     {"image-size", "32"}, {"lr", "0.05"},
    {"warmup-epochs", "0.6"}, {"nesterov", "yes"},  {"weight-decay", "0.0005"},
    {"crop-scale", "0.75,1"}, {"flip", "0"},        {"eval-crop", "1"},
};

static void set_for_demo(dt_options *options, const char *name, const char *text)
{
    int row = dt_options_find(name, DT_COMMAND_TRAIN);
    if (options->origin[row] == DT_ORIGIN_DEFAULT)
        (void)dt_option_set(options, row, text, DT_ORIGIN_DEMO, name, NULL);
}

/* With a fixed batch, many ranks would make few steps in six epochs: 16 ranks with a batch of 32 made 12
 * steps and ended at 12%. Therefore the ranks share the 64 images of a step, with at least 8 images per rank
 * (BatchNorm over 4 images ended at 93%), and with more than 16 ranks more epochs keep the number of steps
 * (97 to 99%). */
void dt_options_apply_demo(dt_options *options, int n_ranks)
{
    enum { STEP = 64, MOST = 32, LEAST = 8, EPOCHS = 6, RANKS_IN_TIME = 16 };
    char text[24];
    for (size_t i = 0; i < sizeof demo_settings / sizeof demo_settings[0]; i++)
        set_for_demo(options, demo_settings[i][0], demo_settings[i][1]);
    int share = STEP / n_ranks;
    snprintf(text, sizeof text, "%d", share > MOST ? MOST : share < LEAST ? LEAST : share);
    set_for_demo(options, "batch", text);
    snprintf(text, sizeof text, "%d",
             n_ranks > RANKS_IN_TIME ? (EPOCHS * n_ranks + RANKS_IN_TIME - 1) / RANKS_IN_TIME : EPOCHS);
    set_for_demo(options, "epochs", text);
}

/* -- from other options ---------------------------------------------------------------------------------- */

/* Sets --out to runs/DATA-ARCH. It is the same at every start, so that --resume auto finds the run. */
static void name_the_run(dt_options *options)
{
    char data[DT_PATH_BYTES];
    snprintf(data, sizeof data, "%s", options->config.data);
    for (size_t n = strlen(data); n > 1 && data[n - 1] == '/'; n--)
        data[n - 1] = '\0';
    const char *slash = strrchr(data, '/');
    const char *base = slash ? slash + 1 : data;
    if (options->input == DT_INPUT_SYNTHETIC)
        /* shown, but never created: launch/commands/train.c */
        snprintf(options->out, sizeof options->out, "runs/synthetic-%s", options->arch);
    else if (!options->config.data[0])
        snprintf(options->out, sizeof options->out, "runs/demo");
    else if (!base[0] || strcmp(base, ".") == 0 || strcmp(base, "..") == 0)
        snprintf(options->out, sizeof options->out, "runs/%s", options->arch);
    else
        snprintf(options->out, sizeof options->out, "runs/%.200s-%s", base, options->arch);
}

/* Limits a warm-up that the user has not set to a fifth of a short training. Why a fifth: 15 epochs on 5,000
 * images with 0, 1.5 and 3 epochs of warm-up ended at 44.8, 52.9 and 54.5% (benchmarks/RESULTS.md). */
static void shorten_the_warmup(dt_options *options)
{
    dt_config *c = &options->config;
    int row = dt_options_find("warmup-epochs", DT_COMMAND_TRAIN);
    double most = (double)c->epochs / 5;
    if (options->origin[row] == DT_ORIGIN_DEFAULT && c->warmup_epochs > most)
        c->warmup_epochs = most;
}

/* The paper of LARS and MLPerf's reference have no weight decay on BatchNorm's parameters and on biases. */
static void exclude_from_decay(dt_options *options)
{
    static const char *const names[] = {"no-bn-decay", "no-bias-decay"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++) {
        const int row = dt_options_find(names[i], DT_COMMAND_TRAIN);
        if (strcmp(options->config.optimizer, "lars") == 0 && options->origin[row] == DT_ORIGIN_DEFAULT)
            (void)dt_option_set(options, row, "yes", DT_ORIGIN_OPTIMIZER, names[i], NULL);
    }
}

/* Where the command line chooses the schedule, the optimizer or no averages, the file's options that belong
 * to another choice do not count. They become the defaults, so that the run's config.conf does not have them
 * either: it must be a configuration that is accepted. */
static void drop_options_that_do_not_count(dt_options *options)
{
    for (int row = 0; row < dt_options_count(); row++) {
        const dt_option *o = dt_options_at(row);
        if ((o->commands & DT_COMMAND_TRAIN) && !dt_option_counts(options, row) &&
            options->origin[row] < options->origin[dt_options_find(o->of, DT_COMMAND_TRAIN)])
            (void)dt_option_set(options, row, o->by_default, DT_ORIGIN_DEFAULT, o->name, NULL);
    }
}

void dt_options_complete(dt_options *options)
{
    drop_options_that_do_not_count(options);
    exclude_from_decay(options);
    shorten_the_warmup(options);
    if (!options->out[0])
        name_the_run(options);
}
