/* A resume with the engines of the checkpoint, with other ones, and with a device of another kind. The
 * kernels are those of layers/ref; a list of engines beside them says which one a library would have
 * used. */
#include "tests/fakes/captured_log.h"
#include "tests/fakes/fake_store.h"
#include "tests/fakes/trainer_job.h"
#include "tests/testing.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define CONV "conv 8x8 3->16" /* the one of the job's net */

static struct {
    const char *kind, *engine; /* of the present start; kind NULL: the kernels choose no engines */
    const char *cannot;        /* an engine that cannot be used now */
    int n_without;             /* this many ranks choose no engines */
    int n_built;
    struct {
        dt_kernels *kernels;
        dt_engine_choices choices;
    } ranks[2];
    int n_ranks;
} now;
static dt_kernels_ops real, changed;
static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;

static dt_engine_choices *engines_of(dt_kernels *k)
{
    dt_engine_choices *found = NULL;
    (void)pthread_mutex_lock(&mutex);
    for (int i = 0; i < now.n_ranks; i++)
        if (now.ranks[i].kernels == k)
            found = &now.ranks[i].choices;
    (void)pthread_mutex_unlock(&mutex);
    return found;
}

static dt_status conv_create(dt_kernels *k, const dt_conv_desc *d, dt_conv **conv, dt_error *err)
{
    char name[DT_ENGINE_NAME_BYTES];
    dt_engine_choices *choices = engines_of(k);
    snprintf(name, sizeof name, "conv %lldx%lld %lld->%lld", (long long)d->h, (long long)d->w,
             (long long)d->c, (long long)d->k);
    const char *chosen = dt_engines_find(&choices->list, choices->kind, name);
    if (!chosen || (now.cannot && dt_engine_is_same(chosen, now.cannot)))
        chosen = now.engine;
    (void)pthread_mutex_lock(&mutex);
    now.n_built++;
    (void)pthread_mutex_unlock(&mutex);
    DT_TRY(dt_engine_choices_note(choices, name, chosen, err));
    return real.conv_create(k, d, conv, err);
}

static void change_kernels(dt_kernels *k)
{
    if (!now.kind)
        return;
    (void)pthread_mutex_lock(&mutex);
    if (now.n_without > 0) {
        now.n_without--;
        (void)pthread_mutex_unlock(&mutex);
        return;
    }
    real = *k->ops;
    changed = real;
    changed.conv_create = conv_create;
    changed.engines = engines_of;
    k->ops = &changed;
    now.ranks[now.n_ranks].kernels = k;
    snprintf(now.ranks[now.n_ranks++].choices.kind, DT_ENGINE_KIND_BYTES, "%s", now.kind);
    (void)pthread_mutex_unlock(&mutex);
}

/* Trains on two ranks up to this step, with what the present start chooses. What is logged goes to the
 * captured log. Returns how often a rank's net was built. */
static int train(dt_store *store, int64_t steps, const char *kind, const char *engine)
{
    job j = new_job(2);
    j.store = store;
    j.config.steps = steps;
    j.change_kernels = change_kernels;
    now.kind = kind;
    now.engine = engine;
    now.n_built = now.n_ranks = 0;
    captured_log_begin(DT_LOG_WARN);
    run(&j);
    captured_log_end();
    check_all(&j, DT_OK);
    for (int i = 0; i < now.n_ranks; i++)
        dt_engines_clear(&now.ranks[i].choices.list);
    free_job(&j);
    return now.n_built;
}

static bool has_warned(void)
{
    return strstr(captured_log_text(), "engine") != NULL;
}

static void check_saved(dt_store *store, int64_t step, const char *kind, const char *engine)
{
    dt_manifest m = {0};
    DT_REQUIRE(store->ops->read_manifest(store, step, &m, NULL) == DT_OK);
    const char *saved = dt_engines_find(&m.engines, kind, CONV);
    DT_CHECK_STR(saved ? saved : "nothing", engine);
    dt_manifest_clear(&m);
}

static void a_resume_uses_the_checkpoints_engines_and_says_nothing(void)
{
    dt_store *store = fake_store_create(&(fake_store_options){0});
    DT_CHECK_INT(train(store, 2, "GPU A", "1 0.5"), 2);
    check_saved(store, 2, "GPU A", "1 0.5");
    DT_CHECK_INT(train(store, 4, "GPU A", "1 0.75"), 2); /* another time is no other engine */
    DT_CHECK(!has_warned());
    check_saved(store, 4, "GPU A", "1 0.5");
    DT_CHECK_INT(train(store, 6, "GPU A", "2 0.5"), 4); /* built again with the checkpoint's */
    DT_CHECK(!has_warned());
    check_saved(store, 6, "GPU A", "1 0.5");
    store->ops->destroy(store);
}

static void an_engine_that_cannot_be_used_is_reported_before_the_first_step(void)
{
    dt_store *store = fake_store_create(&(fake_store_options){0});
    train(store, 2, "GPU A", "1 0.5");
    now.cannot = "1";
    train(store, 4, "GPU A", "2 0.5");
    now.cannot = NULL;
    DT_CHECK_CONTAINS(captured_log_text(),
                      "1 operation of the checkpoint of step 2 cannot run with its engine here: " CONV
                      ": this start has chosen another one, so later bits will differ from those of an "
                      "uninterrupted run\n");
    check_saved(store, 4, "GPU A", "2 0.5");
    train(store, 6, "GPU A", "2 0.5");
    DT_CHECK(!has_warned());
    store->ops->destroy(store);
}

static void a_device_of_another_kind_chooses_and_is_reported(void)
{
    dt_store *store = fake_store_create(&(fake_store_options){0});
    train(store, 2, "GPU A", "1 0.5");
    DT_CHECK_INT(train(store, 4, "GPU B", "2 0.5"), 2);
    DT_CHECK_CONTAINS(captured_log_text(),
                      "the checkpoint of step 2 has engines for GPU A, not for GPU B: this start has chosen "
                      "its own, so later bits will differ from those of an uninterrupted run\n");
    check_saved(store, 4, "GPU A", "1 0.5"); /* for a return to such a device */
    check_saved(store, 4, "GPU B", "2 0.5");
    train(store, 6, "GPU A", "3 0.5");
    DT_CHECK(!has_warned());
    check_saved(store, 6, "GPU A", "1 0.5");
    store->ops->destroy(store);
}

static void a_checkpoint_without_engines_leaves_a_start_its_own(void)
{
    dt_store *store = fake_store_create(&(fake_store_options){0});
    train(store, 2, NULL, NULL);
    check_saved(store, 2, "GPU A", "nothing");
    DT_CHECK_INT(train(store, 4, "GPU A", "1 0.5"), 2);
    DT_CHECK(!has_warned());
    check_saved(store, 4, "GPU A", "1 0.5");
    train(store, 6, NULL, NULL);
    DT_CHECK(!has_warned());
    check_saved(store, 6, "GPU A", "nothing");
    store->ops->destroy(store);
}

/* A job with a CPU's rank beside a GPU's: all ranks take part when the GPU's net is built again. */
static void a_rank_without_engines_waits_for_one_that_builds_again(void)
{
    dt_store *store = fake_store_create(&(fake_store_options){0});
    train(store, 2, "GPU A", "1 0.5");
    now.n_without = 1;
    DT_CHECK_INT(train(store, 4, "GPU A", "2 0.5"), 2); /* one rank, twice */
    store->ops->destroy(store);
}

static void other_sizes_of_images_have_engines_of_their_own(void)
{
    dt_store *store = fake_store_create(&(fake_store_options){0});
    job j = new_job(2);
    j.store = store;
    j.change_kernels = change_kernels;
    j.config.resize[0] = (dt_resize_point){12, 0.0};
    j.config.resize[1] = (dt_resize_point){SIZE, 0.5};
    j.config.n_resize = 2;
    now.kind = "GPU A";
    now.engine = "1 0.5";
    now.n_built = now.n_ranks = 0;
    run(&j);
    check_all(&j, DT_OK);
    dt_manifest m = {0};
    DT_REQUIRE(store->ops->read_manifest(store, j.checkpoints[j.n_checkpoints - 1], &m, NULL) == DT_OK);
    DT_CHECK_INT(m.engines.n, 2);
    DT_CHECK_STR(dt_engines_find(&m.engines, "GPU A", "conv 12x12 3->16"), "1 0.5");
    dt_manifest_clear(&m);
    for (int i = 0; i < now.n_ranks; i++)
        dt_engines_clear(&now.ranks[i].choices.list);
    free_job(&j);
    store->ops->destroy(store);
}

static const dt_test tests[] = {
    DT_TEST(a_resume_uses_the_checkpoints_engines_and_says_nothing),
    DT_TEST(an_engine_that_cannot_be_used_is_reported_before_the_first_step),
    DT_TEST(a_device_of_another_kind_chooses_and_is_reported),
    DT_TEST(a_checkpoint_without_engines_leaves_a_start_its_own),
    DT_TEST(a_rank_without_engines_waits_for_one_that_builds_again),
    DT_TEST(other_sizes_of_images_have_engines_of_their_own),
};
DT_TEST_MAIN("core/training/resume_engines", tests)
