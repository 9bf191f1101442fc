/* From which checkpoints --optimizer and --lars-form allow a training to go on. */
#include "launch/options/options.h"
#include "launch/run/resume_check.h"
#include "tests/testing.h"

#include "core/base/alloc.h"

static dt_options now;
static dt_error err;

/* Sets options of this start, and checks a manifest with this configuration. */
static dt_status check(const char *options, const char *config, bool *new_momentum)
{
    dt_manifest m = {.step = 7, .config_text = (char *)config};
    dt_options_set_defaults(&now, DT_COMMAND_TRAIN);
    DT_REQUIRE(dt_options_read_text("now", options, DT_COMMAND_TRAIN, &now, &err) == DT_OK);
    *new_momentum = true;
    return dt_resume_check(&now, &m, new_momentum, &err);
}

static void the_form_of_lars_must_be_the_checkpoints(void)
{
    static const struct {
        const char *now, *before;
        bool accepted;
    } cases[] = {
        {"optimizer = \"lars\";", "optimizer = \"lars\"; lars-form = \"paper\";", true},
        {"optimizer = \"lars\"; lars-form = \"torch\";", "optimizer = \"lars\"; lars-form = \"torch\";",
         true},
        {"optimizer = \"lars\"; lars-form = \"torch\";", "optimizer = \"lars\"; lars-form = \"paper\";",
         false},
        {"optimizer = \"lars\";", "optimizer = \"lars\"; lars-form = \"torch\";", false},
        /* older than the option */
        {"optimizer = \"lars\"; lars-form = \"torch\";", "optimizer = \"lars\";", true},
        {"optimizer = \"lars\";", "optimizer = \"lars\";", false},
        /* the form of SGD is no question */
        {"optimizer = \"sgd\"; lars-form = \"torch\";", "optimizer = \"sgd\"; lars-form = \"paper\";", true},
        {"lr = 1.0;", "lr = 2.0;", true},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        bool new_momentum;
        DT_CHECK_INT(check(cases[i].now, cases[i].before, &new_momentum),
                     cases[i].accepted ? DT_OK : DT_ERR_USAGE);
        DT_CHECK(!new_momentum);
    }
    bool new_momentum;
    DT_CHECK_INT(check("optimizer = \"lars\";", "optimizer = \"lars\";", &new_momentum), DT_ERR_USAGE);
    DT_CHECK_STR(
        err.message,
        "--lars-form: the checkpoint of step 7 was written with the form torch, whose momentum differs "
        "by the learning rate from that of the form paper: use --lars-form torch, another --out, or "
        "--resume never to start over");
}

static void another_optimizer_begins_with_a_momentum_of_zero(void)
{
    bool new_momentum;
    DT_CHECK_INT(check("optimizer = \"lars\";", "optimizer = \"sgd\";", &new_momentum), DT_OK);
    DT_CHECK(new_momentum);
    DT_CHECK_INT(check("optimizer = \"sgd\";", "optimizer = \"lars\"; lars-form = \"torch\";", &new_momentum),
                 DT_OK);
    DT_CHECK(new_momentum);
}

static void a_configuration_that_cannot_be_read_is_accepted(void)
{
    bool new_momentum;
    DT_CHECK_INT(check("optimizer = \"lars\";", "optimizer = ", &new_momentum), DT_OK);
    DT_CHECK(!new_momentum);
    DT_CHECK_INT(check("optimizer = \"lars\";", NULL, &new_momentum), DT_OK);
    DT_CHECK(!new_momentum);
}

static void memory_that_is_missing_is_an_error(void)
{
    const dt_manifest m = {.step = 7};
    bool new_momentum = false;
    dt_alloc_fail_after(1);
    const dt_status status = dt_resume_check(&now, &m, &new_momentum, &err);
    dt_alloc_fail_after(0);
    DT_CHECK_INT(status, DT_ERR_MEMORY);
}

static const dt_test tests[] = {
    DT_TEST(the_form_of_lars_must_be_the_checkpoints),
    DT_TEST(another_optimizer_begins_with_a_momentum_of_zero),
    DT_TEST(a_configuration_that_cannot_be_read_is_accepted),
    DT_TEST(memory_that_is_missing_is_an_error),
};
DT_TEST_MAIN("launch/run/resume_check", tests)
