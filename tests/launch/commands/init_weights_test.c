/* What becomes of the classifier in the file of --init, and which labels the data gets. */
#include "launch/commands/init_weights.h"

#include "comm/self.h"
#include "io/weights/safetensors.h"
#include "tests/fakes/captured_log.h"
#include "tests/fakes/fake_source.h"
#include "tests/testing.h"

#include <stdio.h>
#include <string.h>

enum { N_CLASSES = 3 };

static dt_session session;
static dt_options options;
static dt_error err;
static dt_source *train, *val;

/* A file with a classifier of three outputs alone. names: a JSON array; NULL: it names no classes. */
static void write_file(const char *names)
{
    static const float values[N_CLASSES];
    const dt_safetensors_tensor fc = {
        .name = "fc.weight", .dtype = DT_F32, .n_dims = 2, .dims = {N_CLASSES, 1}};
    const char *const metadata[] = {"format", "pt", names ? "class_names" : NULL, names, NULL};
    dt_safetensors_writer *writer = NULL;
    dt_options_set_defaults(&options, DT_COMMAND_TRAIN);
    snprintf(options.init, sizeof options.init, "%s/w.safetensors", dt_test_temp_dir());
    DT_REQUIRE(dt_safetensors_writer_create(options.init, &fc, 1, metadata, &writer, &err) == DT_OK &&
               dt_safetensors_writer_add(writer, "fc.weight", values, &err) == DT_OK &&
               dt_safetensors_writer_commit(writer, &err) == DT_OK);
    dt_safetensors_writer_destroy(writer);
}

static dt_source *open_source(bool evaluation)
{
    return fake_source_create(&(fake_source_options){.n_samples = 6,
                                                     .n_classes = N_CLASSES,
                                                     .image_size = 2,
                                                     .batch = 6,
                                                     .accumulate = 1,
                                                     .size = 1,
                                                     .evaluation = evaluation});
}

/* Returns what becomes of the classifier. The log is captured. */
static dt_weights_head match(bool has_val)
{
    dt_weights_head head = DT_WEIGHTS_HEAD_SAME;
    DT_REQUIRE(dt_comm_self_create(&session.comm, &err) == DT_OK);
    train = open_source(false);
    val = has_val ? open_source(true) : NULL;
    captured_log_begin(DT_LOG_INFO);
    DT_CHECK_MSG(dt_init_weights_match(&session, &options, train, val, &head, &err) == DT_OK, "%s",
                 err.message);
    captured_log_end();
    return head;
}

static void check_names(dt_source *source, const char *const names[N_CLASSES])
{
    for (int64_t i = 0; i < N_CLASSES; i++)
        DT_CHECK_STR(source->ops->class_name(source, i), names[i]);
}

static void close_all(void)
{
    train->ops->destroy(train);
    if (val)
        val->ops->destroy(val);
    session.comm->ops->destroy(session.comm);
}

static const char *const usual[] = {"class 0", "class 1", "class 2"};

static void both_sources_get_the_labels_of_the_file(void)
{
    static const char *const other[] = {"class 2", "class 0", "class 1"};
    for (int has_val = 0; has_val < 2; has_val++) {
        write_file("[\"class 2\", \"class 0\", \"class 1\"]");
        DT_CHECK_INT(match(has_val), DT_WEIGHTS_HEAD_IF_IT_FITS);
        DT_CHECK_STR(captured_log_text(),
                     dt_test_path("--init %s: its classifier is used: it names the classes of this data, in "
                                  "another order, which labels follow\n",
                                  options.init));
        check_names(train, other);
        if (has_val)
            check_names(val, other);
        close_all();
    }
    write_file("[\"class 0\", \"class 1\", \"class 2\"]");
    DT_CHECK_INT(match(true), DT_WEIGHTS_HEAD_IF_IT_FITS);
    DT_CHECK_STR(
        captured_log_text(),
        dt_test_path("--init %s: its classifier is used: it names the classes of this data\n", options.init));
    check_names(train, usual);
    close_all();
}

static void a_classifier_of_other_classes_is_not_used(void)
{
    write_file("[\"class 0\", \"class 1\", \"zebra\"]");
    DT_CHECK_INT(match(true), DT_WEIGHTS_HEAD_NEW);
    DT_CHECK_CONTAINS(captured_log_text(), ": its classifier is not used, and a new one begins with random "
                                           "values: the classes differ: ");
    check_names(train, usual);
    check_names(val, usual);
    close_all();
}

static void without_names_a_classifier_of_as_many_outputs_is_used(void)
{
    write_file(NULL);
    DT_CHECK_INT(match(true), DT_WEIGHTS_HEAD_IF_IT_FITS);
    DT_CHECK_STR(captured_log_text(),
                 dt_test_path("--init %s: its classifier is used: it has 3 outputs and does not name their "
                              "classes, which are taken for those of this data in byte order\n",
                              options.init));
    close_all();
}

static void random_pixels_have_no_classes(void)
{
    write_file("[\"class 0\", \"class 1\", \"zebra\"]");
    options.input = DT_INPUT_SYNTHETIC;
    DT_CHECK_INT(match(false), DT_WEIGHTS_HEAD_IF_IT_FITS);
    DT_CHECK_STR(captured_log_text(), "");
    close_all();
}

static const dt_test tests[] = {
    DT_TEST(both_sources_get_the_labels_of_the_file),
    DT_TEST(a_classifier_of_other_classes_is_not_used),
    DT_TEST(without_names_a_classifier_of_as_many_outputs_is_used),
    DT_TEST(random_pixels_have_no_classes),
};
DT_TEST_MAIN("launch/commands/init_weights", tests)
