/* Trainings that go on from a checkpoint, with fakes on every side but the arithmetic:
 * tests/fakes/trainer_job.h. */
#include "tests/fakes/captured_log.h"
#include "tests/fakes/fake_store.h"
#include "tests/fakes/trainer_job.h"
#include "tests/testing.h"

static void resume_gives_the_same_bits(int size)
{
    job whole = new_job(size);
    whole.config.checkpoint_every = 3;
    whole.store = fake_store_create(&(fake_store_options){0});
    run(&whole);
    check_all(&whole, DT_OK);
    const size_t bytes = kept_bytes(&whole);
    DT_CHECK_INT(whole.checkpoints[0], 3);
    DT_CHECK_INT(fake_store_count(whole.store), 3);
    whole.store->ops->destroy(whole.store);

    job again = new_job(size);
    again.config.checkpoint_every = 3;
    again.store = fake_store_create(&(fake_store_options){0});
    again.config.steps = size == 1 ? 22 : 10; /* the first start ends there, in the middle of an epoch */
    run(&again);
    check_all(&again, DT_OK);
    fake_store_forget_after(again.store, size == 1 ? 21 : 9);
    again.config.steps = 0;
    run_again(&again);
    check_all(&again, DT_OK);
    DT_CHECK_INT(again.steps[0].step, size == 1 ? 22 : 10);
    DT_CHECK_BYTES(again.values[0], whole.values[0], bytes);
    again.store->ops->destroy(again.store);
    free_job(&whole);
    free_job(&again);
}

static void resume_on_one_rank_gives_the_same_bits(void)
{
    resume_gives_the_same_bits(1);
}

static void resume_on_two_ranks_gives_the_same_bits(void)
{
    resume_gives_the_same_bits(2);
}

static void a_run_resumes_at_another_world_size(void)
{
    job first = new_job(1);
    first.store = fake_store_create(&(fake_store_options){0});
    first.config.steps = 5; /* 20 of 64 samples */
    run(&first);
    job second = new_job(2);
    second.store = first.store;
    captured_log_begin(DT_LOG_WARN);
    run(&second);
    captured_log_end();
    check_all(&second, DT_OK);
    DT_CHECK_CONTAINS(captured_log_text(),
                      "the global batch was 4 when the checkpoint was made and is 8 now");
    DT_CHECK_INT(second.steps[0].step, 6);
    DT_CHECK_INT(second.n_steps, 5 + 8); /* 44 samples left: 5 global batches of 8, then an epoch of 8 */
    DT_CHECK_INT(second.end[0].epochs, 2);
    first.store->ops->destroy(first.store);
    free_job(&first);
    free_job(&second);
}

static void a_finished_run_only_evaluates_when_it_is_started_again(void)
{
    job j = new_job(1);
    j.store = fake_store_create(&(fake_store_options){0});
    run(&j);
    run_again(&j);
    check_all(&j, DT_OK);
    DT_CHECK_INT(j.n_steps, 0);
    DT_CHECK_INT(j.n_evals, 1);
    j.store->ops->destroy(j.store);
    free_job(&j);
}

/* 2 epochs of 16 steps. */
static void the_epoch_of_a_resume_is_one_of_the_training(void)
{
    static const struct {
        int64_t steps, epoch;
        const char *message;
    } cases[] = {{15, 0, "going on after step 15, epoch 1, from "},
                 {16, 1, "going on after step 16, epoch 2, from "},
                 {32, 1, "going on after step 32, epoch 2, from "}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        job j = new_job(1);
        j.store = fake_store_create(&(fake_store_options){0});
        j.config.steps = cases[i].steps;
        run(&j);
        j.config.steps = 0;
        captured_log_begin(DT_LOG_INFO);
        run_again(&j);
        captured_log_end();
        DT_CHECK_CONTAINS(captured_log_text(), cases[i].message);
        DT_CHECK_INT(j.start.first_epoch, cases[i].epoch);
        j.store->ops->destroy(j.store);
        free_job(&j);
    }
}

static void resume_refuses_another_seed_and_other_data(void)
{
    job j = new_job(2);
    j.store = fake_store_create(&(fake_store_options){0});
    j.config.resume = DT_RESUME_MUST;
    run(&j);
    check_all(&j, DT_ERR_USAGE);
    DT_CHECK_CONTAINS(j.error[1].message, "--resume must");
    DT_CHECK(j.error[0].shared && j.error[1].shared);
    free_job(&j);

    job first = new_job(2);
    first.store = j.store;
    run(&first);
    check_all(&first, DT_OK);
    job other_seed = new_job(2), other_data = new_job(2);
    other_seed.store = other_data.store = j.store;
    other_seed.config.seed = 4;
    other_data.n_train = 80;
    run(&other_seed);
    run(&other_data);
    check_all(&other_seed, DT_ERR_USAGE);
    check_all(&other_data, DT_ERR_USAGE);
    DT_CHECK_CONTAINS(other_seed.error[0].message, "--seed says 4");
    DT_CHECK_CONTAINS(other_data.error[0].message, "other training data");
    j.store->ops->destroy(j.store);
    free_job(&first);
    free_job(&other_seed);
    free_job(&other_data);
}

static const dt_store_ops *true_ops;
static int64_t said_epoch, said_position; /* -1: as in the manifest */

static dt_status read_other_cursor(dt_store *store, int64_t step, dt_manifest *m, dt_error *err)
{
    DT_TRY(true_ops->read_manifest(store, step, m, err));
    m->epoch = said_epoch < 0 ? m->epoch : said_epoch;
    m->position = said_position < 0 ? m->position : said_position;
    return DT_OK;
}

/* 64 samples, 2 epochs; the checkpoint is of step 5, epoch 0, position 40. */
static void a_cursor_beyond_the_data_is_refused(void)
{
    static const struct {
        int64_t epoch, position;
        const char *message;
    } cases[] = {{INT64_MAX, -1, "is in epoch 9223372036854775808, and --epochs says 2"},
                 {70, 0, "is in epoch 71, and --epochs says 2: raise --epochs"},
                 {2, 8, "is in epoch 3, and --epochs says 2"},
                 {-1, INT64_MAX, "has read 9223372036854775807 images of its epoch, and the data has 64"},
                 {-1, 64, "has read 64 images of its epoch, and the data has 64"},
                 {0, 4, "step 5 is in epoch 1 of 64 images, which has fewer steps"},
                 {0, 5, NULL}, /* one image each */
                 {2, 0, NULL}};
    job first = new_job(2);
    first.store = fake_store_create(&(fake_store_options){0});
    first.config.steps = 5;
    run(&first);
    check_all(&first, DT_OK);
    true_ops = first.store->ops;
    dt_store_ops lying = *true_ops;
    lying.read_manifest = read_other_cursor;
    first.store->ops = &lying;
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        job second = new_job(2);
        second.store = first.store;
        said_epoch = cases[i].epoch;
        said_position = cases[i].position;
        second.config.keep = 60;
        run(&second);
        check_all(&second, cases[i].message ? DT_ERR_USAGE : DT_OK);
        if (cases[i].message)
            DT_CHECK_CONTAINS(second.error[0].message, cases[i].message);
        free_job(&second);
        fake_store_forget_after(first.store, 5);
    }
    first.store->ops = true_ops;
    first.store->ops->destroy(first.store);
    free_job(&first);
}

static int64_t other_dim; /* this dimension of the first tensor is larger than it was */

static dt_status read_other_shape(dt_store *store, int64_t step, dt_manifest *m, dt_error *err)
{
    DT_TRY(true_ops->read_manifest(store, step, m, err));
    m->tensors[0].dims[other_dim]++;
    return DT_OK;
}

static void a_tensor_of_another_shape_is_refused(void)
{
    job first = new_job(1);
    first.store = fake_store_create(&(fake_store_options){0});
    first.config.steps = 5;
    run(&first);
    check_all(&first, DT_OK);
    true_ops = first.store->ops;
    dt_store_ops lying = *true_ops;
    lying.read_manifest = read_other_shape;
    first.store->ops = &lying;
    for (other_dim = 0; other_dim < 4; other_dim++) { /* of a convolution's weights */
        job second = new_job(1);
        second.store = first.store;
        run(&second);
        check_all(&second, DT_ERR_USAGE);
        DT_CHECK_CONTAINS(
            second.error[0].message,
            "the checkpoint of step 5 has param/conv1.weight with 432 elements and another shape than "
            "this model's with 432: another model");
        free_job(&second);
    }
    first.store->ops = true_ops;
    first.store->ops->destroy(first.store);
    free_job(&first);
}

/* The second start's data gives the classes other labels, as an --init in another order may do. */
static void classes_keep_the_labels_that_the_checkpoint_has(void)
{
    job whole = new_job(2), again = new_job(2);
    run(&whole);
    check_all(&whole, DT_OK);
    again.store = fake_store_create(&(fake_store_options){0});
    again.config.steps = 5;
    run(&again);
    check_all(&again, DT_OK);
    again.config.steps = 0;
    again.label_shift = 1;
    captured_log_begin(DT_LOG_INFO);
    run_again(&again);
    captured_log_end();
    check_all(&again, DT_OK);
    DT_CHECK_CONTAINS(captured_log_text(), "the classes keep the labels that they have in the checkpoint");
    DT_CHECK_BYTES(again.values[0], whole.values[0], kept_bytes(&whole));
    DT_CHECK(again.evals[again.n_evals - 1].val_top1 == whole.evals[whole.n_evals - 1].val_top1);
    /* the next checkpoint names them in that order, too */
    dt_manifest m = {0};
    dt_error err = {0};
    DT_REQUIRE(again.store->ops->read_manifest(again.store, 16, &m, &err) == DT_OK);
    DT_CHECK_INT(m.class_names.n, CLASSES);
    DT_CHECK_STR(dt_class_names_at(&m.class_names, 0), "class 0");
    DT_CHECK_INT(m.best_step, whole.end[0].best_step);
    dt_manifest_clear(&m);
    again.store->ops->destroy(again.store);
    free_job(&whole);
    free_job(&again);
}

static const dt_test tests[] = {
    DT_TEST(resume_on_one_rank_gives_the_same_bits),
    DT_TEST(resume_on_two_ranks_gives_the_same_bits),
    DT_TEST(a_run_resumes_at_another_world_size),
    DT_TEST(a_finished_run_only_evaluates_when_it_is_started_again),
    DT_TEST(the_epoch_of_a_resume_is_one_of_the_training),
    DT_TEST(resume_refuses_another_seed_and_other_data),
    DT_TEST(a_tensor_of_another_shape_is_refused),
    DT_TEST(a_cursor_beyond_the_data_is_refused),
    DT_TEST(classes_keep_the_labels_that_the_checkpoint_has),
};
DT_TEST_MAIN("core/trainer_resume", tests)
