/* The command of a recommendation is the training that was planned: parsed as dtrain parses it, it has the
 * same options. */
#include "launch/estimate/plan_command.h"
#include "tests/launch/estimate/plan_kit.h"
#include "tests/launch/options/options_kit.h"
#include "tests/testing.h"

#include "core/base/alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <wordexp.h>

static const dt_command_usage plan_usage = {.name = "dtrain plan", .bit = DT_COMMAND_PLAN};

static dt_error err;
static dt_interruptions interruptions;
static dt_options given, file_options, started;
static char command[8192], words[2048];

void dt_test_set_up(void)
{
    plan_kit_open();
}

void dt_test_tear_down(void)
{
    plan_kit_close();
}

/* Plans with these options, and writes the command of the cheapest row with this purchase and nodes. */
static void plan_command(dt_purchase purchase, int nodes, const char *const *options)
{
    static const char *const types[] = {"p4d.24xlarge", NULL};
    dt_workload work;
    dt_plan *plan = NULL;
    DT_REQUIRE_MSG(options_kit_parse(&plan_usage, options, &given, &err) == DT_OK, "%s", err.message);
    dt_options_set_defaults(&file_options, DT_COMMAND_TRAIN);
    if (given.config_file[0])
        DT_REQUIRE(dt_options_read_file(given.config_file, DT_COMMAND_TRAIN, &file_options, &err) == DT_OK);
    DT_REQUIRE(dt_interruptions_set(given.config.mtti_h, &interruptions, &err) == DT_OK);
    DT_REQUIRE_MSG(dt_workload_read(&given, &work, &err) == DT_OK, "%s", err.message);
    dt_plan_settings s = {.catalog = kit.catalog,
                          .work = &work,
                          .interruptions = &interruptions,
                          .options = &given,
                          .file_options = given.config_file[0] ? &file_options : NULL,
                          .types = types,
                          .max_nodes = nodes,
                          .deadline_s = given.deadline_s,
                          .n_runs = 100,
                          .seed = 1,
                          .today = "2026-11-30"};
    dt_assumptions_default(&s.assumptions);
    DT_REQUIRE_MSG(dt_plan_create(&s, &plan, &err) == DT_OK, "%s", err.message);
    const dt_plan_row *row = plan->rows;
    while (row < plan->rows + plan->n_possible && (row->purchase != purchase || row->nodes != nodes))
        row++;
    DT_REQUIRE(row < plan->rows + plan->n_possible);
    dt_plan_command(plan, row, command, sizeof command);
    dt_plan_command_explain(plan, row, words, sizeof words);
    dt_plan_destroy(plan);
}

/* Parses what follows "dtrain" in the command, as the shell and dtrain do. */
static void start_command(void)
{
    wordexp_t shell;
    DT_REQUIRE_MSG(wordexp(command, &shell, WRDE_NOCMD | WRDE_UNDEF) == 0, "%s", command);
    size_t first = 0;
    while (first < shell.we_wordc && strcmp(shell.we_wordv[first], "dtrain") != 0)
        first++;
    DT_REQUIRE(first < shell.we_wordc);
    const dt_status status = options_kit_parse(
        &options_kit_train, (const char *const *)shell.we_wordv + first + 1, &started, &err);
    DT_REQUIRE_MSG(status == DT_OK, "%s: %s", command, err.message);
    wordfree(&shell);
}

/* Every option that plan and a training share has the value that was planned with. */
static void check_same_options(void)
{
    for (int row = 0; row < dt_options_count(); row++) {
        const dt_option *o = dt_options_at(row);
        const int train = dt_options_find(o->name, DT_COMMAND_TRAIN);
        char planned[DT_PATH_BYTES], runs[DT_PATH_BYTES];
        if (!(o->commands & DT_COMMAND_PLAN) || train < 0 || given.origin[row] == DT_ORIGIN_DEFAULT)
            continue;
        if (strcmp(o->name, "mtti") == 0) /* calm is a word of plan alone, and 24 for both */
            continue;
        dt_option_format(&given, row, planned, sizeof planned);
        dt_option_format(&started, train, runs, sizeof runs);
        DT_CHECK_MSG(strcmp(planned, runs) == 0, "--%s: planned with %s, and '%s' has %s", o->name, planned,
                     command, runs);
    }
}
#define PLAN_COMMAND(purchase, nodes, ...)                                                                   \
    do {                                                                                                     \
        plan_command(DT_PURCHASE_##purchase, nodes, (const char *const[]){__VA_ARGS__, NULL});               \
        start_command();                                                                                     \
        check_same_options();                                                                                \
    } while (0)

static void the_options_of_plan_are_repeated(void)
{
    PLAN_COMMAND(ON_DEMAND, 1, "--ema", "0.999", "--wire", "fp32", "--eval-every", "0", "--arch", "resnet18",
                 "--epochs", "16", "--precision", "bf16", "--accumulate", "2", "--batch", "128",
                 "--image-size", "160");
    DT_CHECK_STR(command,
                 "mpirun -np 8 dtrain --data DIR --image-size 160 --batch 128 --arch resnet18 --epochs 16 "
                 "--accumulate 2 --ema 0.999 --eval-every 0 --precision bf16 --wire fp32 --lr 0.8");
    DT_CHECK(strstr(words, "--lr is scaled to the global batch of 2048: 0.1 for a batch of 256") != NULL);
    PLAN_COMMAND(SPOT, 1, "--resize-schedule", "160:0,192:0.5");
    DT_CHECK_STR(command,
                 "mpirun -np 8 dtrain --data DIR --resize-schedule 160:0,192:0.5 --batch 256 --lr 0.8 "
                 "--checkpoint-every auto --mtti 3.1");
}

static void a_configuration_file_stays_in_charge(void)
{
    char path[DT_PATH_BYTES], config[DT_PATH_BYTES + 16];
    snprintf(path, sizeof path, "%s",
             options_kit_write_file("lr = 0.4; momentum = 0.8; arch = \"resnet18\"; batch = 64;\n"
                                    "data = \"/nowhere/images\"; deadline = \"3h\";\n"));
    snprintf(config, sizeof config, "--config=%s", path);
    PLAN_COMMAND(SPOT, 1, config, "--epochs", "3");
    DT_CHECK_CLOSE(started.config.lr, 0.4, 1e-9);
    DT_CHECK_CLOSE(started.config.momentum, 0.8, 1e-9);
    DT_CHECK_INT(started.config.batch, 64);
    DT_CHECK_STR(started.config.data, "/nowhere/images");
    DT_CHECK(strstr(command, "--data") == NULL);
    DT_CHECK(strstr(words, "The file's lr = 0.4 stays as it is, for a global batch of 512.") != NULL);
    options_kit_write_file("optimizer = \"lars\"; epochs = 4;\n");
    PLAN_COMMAND(SPOT, 1, config);
    DT_CHECK(strstr(command, "--lr") == NULL && strstr(command, "--batch 256") != NULL);
}

static void words_for_a_shell_are_quoted(void)
{
    static const char text[] = "data = \"/no where/$x\";\n";
    char path[DT_PATH_BYTES], config[2 * DT_PATH_BYTES];
    snprintf(path, sizeof path, "%s/it's $HOME.conf", dt_test_temp_dir());
    dt_test_write_file(path, text, strlen(text));
    snprintf(config, sizeof config, "--config=%s", path);
    PLAN_COMMAND(ON_DEMAND, 1, config);
    DT_CHECK_STR(started.config_file, path);
    DT_CHECK_STR(started.config.data, "/no where/$x");
}

static void checkpoints_of_the_user_stay(void)
{
    PLAN_COMMAND(SPOT, 1, "--checkpoint-every", "500");
    DT_CHECK_INT(started.config.checkpoint_every, 500);
    DT_CHECK(strstr(command, "--mtti") == NULL);
    PLAN_COMMAND(SPOT, 1, "--checkpoint-every", "auto", "--mtti", "calm");
    DT_CHECK_CLOSE(started.config.mtti_h, 24, 1e-9);
    PLAN_COMMAND(ON_DEMAND, 1, "--epochs", "90");
    DT_CHECK(strstr(command, "--checkpoint-every") == NULL);
}

static void several_nodes_have_a_file_of_hosts(void)
{
    PLAN_COMMAND(ON_DEMAND, 2, "--epochs", "90");
    DT_CHECK_MSG(strncmp(command, "mpirun -np 16 --hostfile HOSTS dtrain ", 38) == 0, "%s", command);
    DT_CHECK(strstr(words, "'NAME slots=8' for each of the 2 nodes") != NULL);
}

static void a_mixed_choice_says_when_to_change(void)
{
    PLAN_COMMAND(MIXED, 1, "--deadline", "3h");
    DT_CHECK_MSG(strstr(words, "must change 1.5 h after its beginning") != NULL, "%s", words);
}

static const dt_test tests[] = {
    DT_TEST(the_options_of_plan_are_repeated),   DT_TEST(a_configuration_file_stays_in_charge),
    DT_TEST(words_for_a_shell_are_quoted),       DT_TEST(checkpoints_of_the_user_stay),
    DT_TEST(several_nodes_have_a_file_of_hosts), DT_TEST(a_mixed_choice_says_when_to_change),
};
DT_TEST_MAIN("launch/estimate/plan_command", tests)
