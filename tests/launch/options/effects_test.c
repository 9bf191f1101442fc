/* Which test shows what each option does, for every option of every command. A new option has a row here. Its
 * test compares what the option changes (a number, bits, a line, a file), and not only that it is parsed. */
#include "launch/options/options.h"
#include "tests/testing.h"

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

/* Files of tests/. */
#define DATA "launch/options/data_effects_test.c"
#define WEIGHTS "launch/options/weights_effects_test.c"
#define RUN "launch/options/run_effects_test.c"
#define PROGRAM "program/effects_test.sh"
#define SESSION "launch/commands/session_open_test.c"
#define MEASURE "program/measure_test.sh"
#define INSPECTS "program/inspect_test.sh"
#define PLANS "program/plans_test.sh"
#define HERE "program/plan_here_test.sh"
#define PLANNER "program/plan_test.sh"
#define CLUSTERS "program/cluster_test.sh"
#define STAGES "program/stage_test.sh"
#define CLUSTER_YAML "launch/cluster/parallelcluster_test.c"
#define TRAINS "program/train_test.sh"
#define BENCHES "program/bench_test.sh"
#define COMMANDS "program/commands_test.sh"
#define EVAL_RESIZE "program/eval_resize_test.sh"

static const struct effect {
    const char *option;
    unsigned commands;
    const char *file, *test; /* a case of a .c file; the beginning of one of a script */
} effects[] = {
    {"data", T, DATA, "the_sizes_of_images_and_batches_are_those_of_the_options"},
    {"data", E, PROGRAM, "eval computes with the options that it is given"},
    {"image-size", T, DATA, "the_sizes_of_images_and_batches_are_those_of_the_options"},
    {"image-size", T, PROGRAM, "--arch chooses the network, and --image-size its input"},
    {"image-size", E, PROGRAM, "eval computes with the options that it is given"},
    {"image-size", INFO, PLANS, "image-size, precision and arch change the plans"},
    {"batch", T, RUN, "batch_accumulate_epochs_and_steps_count_the_steps"},
    {"batch", T | E, MEASURE, "--batch auto chooses what fits, logs it, and all ranks use the same"},
    {"batch", E, TRAINS, "every image counts once, for any number of ranks and batch"},
    {"batch", INFO, PLANS, "a batch that is too large shows in the memory table"},
    {"augment", T, DATA, "augment_none_shows_the_whole_image_resized_and_centred"},
    {"crop-scale", T, DATA, "crop_scale_limits_the_share_of_a_crop"},
    {"flip", T, DATA, "flip_is_a_probability"},
    {"eval-crop", T, DATA, "eval_crop_and_eval_resize_choose_the_shorter_side"},
    {"eval-crop", E, EVAL_RESIZE, "eval_uses_the_trainings_values_unless_it_is_given_others"},
    {"eval-resize", T, DATA, "eval_crop_and_eval_resize_choose_the_shorter_side"},
    {"eval-resize", E, EVAL_RESIZE, "eval_uses_the_trainings_values_unless_it_is_given_others"},
    {"no-shuffle", T, DATA, "no_shuffle_reads_the_files_in_sorted_order"},
    {"max-broken", T, DATA, "max_broken_is_the_share_of_each_splits_files"},
    {"max-broken", T, RUN, "max_broken_is_the_largest_share_that_is_allowed"},
    {"max-broken", E, TRAINS, "broken images are named and counted, and too many stop the training"},
    {"resize-schedule", T, RUN, "resize_schedule_and_image_size_set_the_size_of_images"},
    {"input", T, DATA, "synthetic_input_opens_no_image"},

    {"arch", T, PROGRAM, "--arch chooses the network, and --image-size its input"},
    {"arch", E, "program/errors_test.sh",
     "missing weights, and weights of another network, are refused by name"},
    {"arch", INFO, PLANS, "image-size, precision and arch change the plans"},
    {"weights", E, TRAINS, "exported weights evaluate as at the end of the training"},
    {"zero-init-gamma", T, PROGRAM, "--zero-init-gamma sets the last scale of each branch to 0"},
    {"init", T, TRAINS, "weights for other classes start a run with a new classifier"},
    {"export", T, TRAINS, "exported weights evaluate as at the end of the training"},

    {"epochs", T, RUN, "batch_accumulate_epochs_and_steps_count_the_steps"},
    {"steps", T, RUN, "batch_accumulate_epochs_and_steps_count_the_steps"},
    {"accumulate", T, RUN, "batch_accumulate_epochs_and_steps_count_the_steps"},
    {"accumulate", T, DATA, "accumulate_and_the_world_choose_the_micro_batches"},
    {"optimizer", T, WEIGHTS, "lars_makes_steps_as_long_as_the_weights"},
    {"lars-trust", T, WEIGHTS, "lars_makes_steps_as_long_as_the_weights"},
    {"lars-form", T, WEIGHTS, "lars_form_chooses_the_rate_of_the_repeated_step"},
    {"ema", T, WEIGHTS, "ema_averages_the_weights_and_leaves_them_alone"},
    {"no-ema-warmup", T, WEIGHTS, "ema_averages_the_weights_and_leaves_them_alone"},
    {"loss-scale", T, WEIGHTS, "loss_scale_is_the_first_factor_and_changes_no_step_much"},
    {"lr", T, WEIGHTS, "lr_is_the_factor_of_the_gradient"},
    {"momentum", T, WEIGHTS, "momentum_repeats_its_share_of_the_step_before"},
    {"nesterov", T, WEIGHTS, "nesterov_lengthens_the_first_step"},
    {"weight-decay", T, WEIGHTS, "weight_decay_subtracts_its_share_of_the_weights"},
    {"no-bn-decay", T, WEIGHTS, "no_bn_decay_spares_scale_and_shift_only"},
    {"no-bias-decay", T, WEIGHTS, "no_bias_decay_spares_biases_and_shifts_only"},
    {"label-smoothing", T, WEIGHTS, "label_smoothing_mixes_two_losses"},
    {"warmup-epochs", T, RUN, "warmup_and_schedule_give_each_step_its_rate"},
    {"schedule", T, RUN, "warmup_and_schedule_give_each_step_its_rate"},
    {"poly-power", T, RUN, "options_of_a_schedule_change_its_rates"},
    {"step-epochs", T, RUN, "options_of_a_schedule_change_its_rates"},
    {"step-gamma", T, RUN, "options_of_a_schedule_change_its_rates"},
    {"seed", T, RUN, "the_seed_changes_the_data_and_the_weights"},
    {"seed", T, DATA, "the_seed_changes_order_and_crops"},

    {"out", T, "launch/options/derived_test.c", "the_runs_folder_is_named_after_data_and_network"},
    {"out", T, TRAINS, "$backend trains, evaluates, and writes a run's folder"},
    {"resume", T, RUN, "resume_goes_on_starts_over_or_fails"},
    {"resume", T, "program/resume_never_test.sh",
     "the older run stays where it is until the new one can begin"},
    {"checkpoint-every", T, RUN, "checkpoint_every_and_keep_count_the_checkpoints"},
    {"checkpoint-dir", T, "program/mirror_test.sh", "the mirror has the same bytes"},
    {"checkpoint-mirror", T, "program/mirror_test.sh", "the mirror has the same bytes"},
    {"mtti", T, "core/training/limits_test.c", "the_interval_is_dalys_in_whole_steps"},
    {"mtti", T, "program/checkpoint_test.sh", "checkpoint-every auto measures one checkpoint"},
    {"max-checkpoint-failures", T, RUN, "max_checkpoint_failures_ends_the_training_after_so_many"},
    {"time-limit", T, "program/time_limit_test.sh", "--time-limit stops $ranks ranks before it ends"},
    {"spot", T, "program/spot_test.sh", "nothing is polled with --spot off, nor by default outside EC2"},
    {"imds-endpoint", T, "program/spot_test.sh", "a notice with $seconds s left stops $ranks ranks"},
    {"keep", T, RUN, "checkpoint_every_and_keep_count_the_checkpoints"},
    {"eval-every", T, RUN, "eval_every_counts_epochs"},
    {"profile", T, MEASURE, "a profile names every layer, its time and its share of the roof"},
    {"log-every", T | E, PROGRAM, "--log-every chooses the steps and batches that are printed"},
    {"verify", INSPECT, INSPECTS, "damaged checkpoints are reported"},
    {"diff", INSPECT, INSPECTS, "--diff reports what differs between two checkpoints"},
    {"json", INSPECT, INSPECTS, "the table shows step, epoch, size, ranks and age"},
    {"json", INFO, COMMANDS, "info --json has the same rows: what was built in apart from the machine's"},
    {"output", EXPORT, INSPECTS, "export writes the same bytes as --export at the end of the training"},
    {"step", EXPORT, INSPECTS, "--diff reports what differs between two checkpoints"},
    {"fp16", EXPORT, INSPECTS, "export --fp16 rounds float32 values and keeps counts"},
    {"ema", EXPORT, INSPECTS, "export writes the same bytes as --export at the end of the training"},

    {"data", PLAN, PLANNER, "--data is counted, and --images and --data-bytes say other"},
    {"images", PLAN, PLANNER, "--data is counted, and --images and --data-bytes say other"},
    {"data-bytes", PLAN, PLANNER, "--data is counted, and --images and --data-bytes say other"},
    {"image-size", PLAN, PLANNER, "options of a training change what is planned"},
    {"batch", PLAN, PLANNER, "options of a training change what is planned"},
    {"resize-schedule", PLAN, PLANNER, "options of a training change what is planned"},
    {"arch", PLAN, PLANNER, "options of a training change what is planned"},
    {"epochs", PLAN, PLANNER, "options of a training change what is planned"},
    {"accumulate", PLAN, PLANNER, "options of a training change what is planned"},
    {"ema", PLAN, PLANNER, "options of a training change what is planned"},
    {"eval-every", PLAN, PLANNER, "options of a training change what is planned"},
    {"precision", PLAN, PLANNER, "options of a training change what is planned"},
    {"wire", PLAN, PLANNER, "options of a training change what is planned"},
    {"json", PLAN, PLANNER, "the JSON has the keys that its description names"},
    {"here", PLAN, HERE, "--here plans for the machine that was measured"},
    {"checkpoint-every", PLAN, HERE, "--checkpoint-every, --epochs and --eval-every change the parts"},
    {"markdown", PLAN, PLANNER, "Markdown has the rows of the table"},
    {"html", PLAN, PLANNER, "--html writes one page that needs nothing else"},
    {"mtti", PLAN, PLANNER, "--mtti changes hours more than dollars"},
    {"types", PLAN, PLANNER, "--types, --regions and --max-nodes choose the rows"},
    {"regions", PLAN, PLANNER, "--types, --regions and --max-nodes choose the rows"},
    {"max-nodes", PLAN, PLANNER, "--types, --regions and --max-nodes choose the rows"},
    {"nodes", PLAN, PLANNER, "--nodes shows how each type scales"},
    {"deadline", PLAN, PLANNER, "a deadline and a budget have their own recommendations"},
    {"budget", PLAN, PLANNER, "a deadline and a budget have their own recommendations"},
    {"startup", PLAN, PLANNER, "--startup replaces the estimate of a start"},
    {"assume", PLAN, PLANNER, "--assume seed has the four figures of the first table"},
    {"refresh-prices", PLAN, PLANNER, "--refresh-prices and --check say how to get credentials"},
    {"check", PLAN, PLANNER, "--refresh-prices and --check say how to get credentials"},
    {"instances", PLAN, PLANNER, "files of the user's override the built-in data"},
    {"prices", PLAN, PLANNER, "files of the user's override the built-in data"},
    {"rates", PLAN, PLANNER, "files of the user's override the built-in data"},

    {"stage-dir", T | E, STAGES, "a training begins with the copy of --data, and the next start uses it"},
    {"split", STAGE, "program/stage_hosts_test.sh", "--split gives each host a part"},
    {"endpoint-url", T | E, STAGES, "a training begins with the copy of --data, and the next start uses it"},
    {"endpoint-url", STAGE, STAGES, "options in place of variables"},
    {"anonymous", T | E, STAGES, "a training begins with the copy of --data, and the next start uses it"},
    {"anonymous", STAGE, STAGES, "options in place of variables"},
    {"requester-pays", T | E, STAGES,
     "a training begins with the copy of --data, and the next start uses it"},
    {"requester-pays", STAGE, STAGES, "options in place of variables"},
    {"profile", STAGE, STAGES, "options in place of variables"},
    {"region", STAGE, STAGES, "options in place of variables"},
    {"connections", STAGE, STAGES, "options in place of variables"},
    {"log-every", STAGE, STAGES, "the progress is logged every --log-every seconds"},
    {"peer-timeout", STAGE, "program/stage_hosts_test.sh", "a copy goes on after a host was lost"},
    {"plan", CLUSTER, CLUSTERS, "a plan's choice becomes a cluster"},
    {"choice", CLUSTER, CLUSTERS, "a plan's choice becomes a cluster"},
    {"types", CLUSTER, CLUSTERS, "the configuration is YAML with the right values for each kind of instance"},
    {"region", CLUSTER, CLUSTERS, "a plan's choice becomes a cluster"},
    {"zone", CLUSTER, CLUSTERS,
     "the network's template is written, and the next command puts its subnets in"},
    {"bucket", CLUSTER, CLUSTER_YAML, "one_queue_is_as_expected"},
    {"key", CLUSTER, CLUSTERS, "a YAML reader reads back what is quoted"},
    {"nodes", CLUSTER, CLUSTER_YAML, "both_queues_differ_in_what_they_buy"},
    {"buy", CLUSTER, CLUSTERS, "the configuration is YAML with the right values for each kind of instance"},
    {"subnet", CLUSTER, CLUSTER_YAML, "one_queue_is_as_expected"},
    {"head-subnet", CLUSTER, CLUSTER_YAML, "a_head_node_in_a_private_subnet_is_reached_by_session_manager"},
    {"create-network", CLUSTER, CLUSTERS,
     "the network's template is written, and the next command puts its subnets in"},
    {"name", CLUSTER, "launch/cluster/costs_test.c", "the_command_is_repeated_with_the_networks_subnets"},
    {"head-type", CLUSTER, CLUSTER_YAML, "options_choose_sizes_and_places"},
    {"ssh-from", CLUSTER, CLUSTER_YAML, "one_queue_is_as_expected"},
    {"shared-gb", CLUSTER, CLUSTER_YAML, "options_choose_sizes_and_places"},
    {"fsx-gb", CLUSTER, CLUSTER_YAML, "options_choose_sizes_and_places"},
    {"source", CLUSTER, CLUSTER_YAML, "one_queue_is_as_expected"},
    {"budget", CLUSTER, CLUSTER_YAML, "one_queue_is_as_expected"},
    {"instances", CLUSTER, CLUSTERS, "files of the user's add types and prices"},
    {"prices", CLUSTER, CLUSTERS, "files of the user's add types and prices"},
    {"output", CLUSTER, CLUSTERS, "a plan's choice becomes a cluster"},

    {"backend", T, TRAINS, "$backend trains, evaluates, and writes a run's folder"},
    {"backend", E, PROGRAM, "eval computes with the options that it is given"},
    {"comm", T | E, SESSION, "the_parts_get_what_is_given"},
    {"comm", T, "program/errors_test.sh", "--comm self is refused under mpirun"},
    {"comm", T | E, "launch/hardware/transports_test.c", "hosts_keep_mpi"},
    {"peer-timeout", T | E, SESSION, "the_parts_get_what_is_given"},
    {"peer-timeout", T, TRAINS, "a rank that freezes is named after --peer-timeout"},
    {"peer-timeout", E, TRAINS,
     "an evaluation that takes longer than --peer-timeout is no stall while it progresses"},
    {"precision", T, WEIGHTS, "each_precision_computes_other_bits_near_fp32"},
    {"precision", T, "core/training/step_options_test.c", "gradients_are_sent_in_the_type_of_the_precision"},
    {"precision", E, PROGRAM, "eval computes with the options that it is given"},
    {"precision", INFO, PLANS, "image-size, precision and arch change the plans"},
    {"wire", T, "core/training/step_options_test.c", "wire_chooses_the_type_in_which_gradients_are_sent"},
    {"wire", T, "core/collective/grad_exchange_test.c", "auto_sends_bf16_as_float32_from_32_ranks_on"},
    {"plans", INFO, PLANS, "a GPU by its name shows the fused graphs of ResNet-50 and their cost"},
    {"device", INFO, PLANS, "every built-in GPU has plans for every architecture's layers"},
    {"autotune", T | E, SESSION, "the_parts_get_what_is_given"},
    {"autotune", T | E, "layers/cuda_plan_cache_test.c", "off_chooses_the_first_that_fits_and_times_nothing"},
    {"no-graph", T, WEIGHTS, "no_graph_gives_the_same_bits_without_captured_graphs"},
    {"threads", T, "program/settings_test.sh", "fewer threads than requested are reported"},
    {"threads", T | E, "launch/hardware/affinity_test.c", "requested_numbers_of_threads_are_kept"},
    {"threads", T | E, SESSION, "the_parts_get_what_is_given"},
    {"workers", T | E, SESSION, "the_parts_get_what_is_given"},
    {"workers", T, DATA, "workers_are_the_decoding_threads"},
    {"workers", T | E, "launch/hardware/affinity_test.c", "requested_numbers_of_threads_are_kept"},
    {"bind", T | E, "launch/hardware/affinity_test.c", "bind_none_leaves_the_affinity_alone"},
    {"bind", T | E, SESSION, "the_parts_get_what_is_given"},

    {"data", BENCH, BENCHES, "--data names the images that are measured"},
    {"image-size", BENCH, BENCHES, "the file names what was measured"},
    {"batch", BENCH, BENCHES, "the file names what was measured"},
    {"arch", BENCH, BENCHES, "the file names what was measured"},
    {"precision", BENCH, BENCHES, "the file names what was measured"},
    {"crop-scale", BENCH, DATA, "crop_scale_limits_the_share_of_a_crop"},
    {"accumulate", BENCH, DATA, "accumulate_and_the_world_choose_the_micro_batches"},
    {"wire", BENCH, "core/training/step_options_test.c", "wire_chooses_the_type_in_which_gradients_are_sent"},
    {"output", BENCH, BENCHES, "the file names what was measured"},
    {"seconds", BENCH, BENCHES, "--seconds is how long each part takes"},
    {"url", BENCH, BENCHES, "--url measures a download"},
    {"checkpoint-dir", BENCH, BENCHES, "--checkpoint-dir is where checkpoints are measured"},
    {"backend", BENCH, SESSION, "the_parts_get_what_is_given"},
    {"comm", BENCH, SESSION, "the_parts_get_what_is_given"},
    {"peer-timeout", BENCH, SESSION, "the_parts_get_what_is_given"},
    {"autotune", BENCH, SESSION, "the_parts_get_what_is_given"},
    {"threads", BENCH, SESSION, "the_parts_get_what_is_given"},
    {"workers", BENCH, SESSION, "the_parts_get_what_is_given"},
    {"bind", BENCH, SESSION, "the_parts_get_what_is_given"},
};
enum { N = sizeof effects / sizeof *effects };

static unsigned commands_with_a_test(const char *option)
{
    unsigned commands = 0;
    for (int i = 0; i < N; i++)
        if (strcmp(effects[i].option, option) == 0)
            commands |= effects[i].commands;
    return commands;
}

static void each_option_of_each_command_has_a_test_of_its_effect(void)
{
    for (int row = 0; row < dt_options_count(); row++) {
        const dt_option *o = dt_options_at(row);
        const unsigned missing = o->commands & ~commands_with_a_test(o->name);
        DT_CHECK_MSG(!missing, "--%s: no test for the commands %u", o->name, missing);
    }
}

static void no_row_is_of_an_option_that_is_gone(void)
{
    for (int i = 0; i < N; i++)
        for (unsigned command = 1; command <= CLUSTER; command *= 2)
            if (effects[i].commands & command)
                DT_CHECK_MSG(dt_options_find(effects[i].option, command) >= 0, "--%s, command %u",
                             effects[i].option, command);
}

static void each_test_exists(void)
{
    for (int i = 0; i < N; i++) {
        const char *path = dt_test_source_path(dt_test_path("tests/%s", effects[i].file));
        char *text = dt_test_read_file(path, NULL);
        const bool is_script = strstr(effects[i].file, ".sh") != NULL;
        DT_CHECK_MSG(text != NULL, "--%s: there is no %s", effects[i].option, path);
        if (!text)
            continue;
        DT_CHECK_MSG(strstr(text, dt_test_path(is_script ? "begin \"%s" : "DT_TEST(%s)", effects[i].test)),
                     "--%s: %s has no test %s", effects[i].option, effects[i].file, effects[i].test);
        free(text);
    }
}

static const dt_test tests[] = {
    DT_TEST(each_option_of_each_command_has_a_test_of_its_effect),
    DT_TEST(no_row_is_of_an_option_that_is_gone),
    DT_TEST(each_test_exists),
};
DT_TEST_MAIN("launch/options/effects", tests)
