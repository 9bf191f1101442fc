/* What can happen to a checkpoint on a disk: whatever it is, loading takes the one before, bit
 * for bit, and says why; it does not crash, hang, or take the damaged one. Two threads as ranks, two
 * shards. */
#include "core/checkpoint/load.h"

#include "core/base/log.h"
#include "io/durable.h"
#include "io/store/hdf5_store.h"
#include "tests/fakes/fake_comm.h"
#include "tests/fakes/fake_state.h"
#include "tests/fakes/save_checkpoint.h"
#include "tests/testing.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RANKS 2
#define OLDER 100
#define NEWER 200
#define PATIENCE_S 30 /* with one load; it takes milliseconds */

static const char *const files[] = {"manifest.json", "shard-0000-of-0002.h5", "shard-0001-of-0002.h5"};
enum { N_FILES = sizeof files / sizeof files[0] };

typedef struct job {
    char folder[512];
    int64_t step;
    dt_store *store;
    fake_state states[RANKS];
    dt_status status[RANKS];
    dt_error errors[RANKS];
    bool found[RANKS];
    int64_t steps[RANKS];
} job;

static job the_job;
static char log_text[8192];
static pthread_mutex_t log_lock = PTHREAD_MUTEX_INITIALIZER;
static uint64_t random_state;

static uint64_t below(uint64_t n)
{
    random_state = random_state * 6364136223846793005U + 1442695040888963407U;
    return (random_state >> 33) % n;
}

static void collect(void *context, dt_log_level level, const char *line)
{
    (void)context;
    (void)level;
    pthread_mutex_lock(&log_lock);
    size_t n = strlen(log_text);
    snprintf(log_text + n, sizeof log_text - n, "%s\n", line);
    pthread_mutex_unlock(&log_lock);
}

/* -- two checkpoints ------------------------------------------------------------------------------------- */

static void save_on_rank(dt_comm *comm, void *context)
{
    job *j = context;
    int64_t bytes;
    dt_manifest m = fake_manifest(j->step);
    j->status[comm->rank] = save_checkpoint(comm, j->store, &j->states[comm->rank].layout,
                                            &j->states[comm->rank].io, &m, 10, &bytes, NULL);
    dt_manifest_clear(&m);
}

static void save(job *j, int64_t step, uint64_t seed)
{
    j->step = step;
    for (int r = 0; r < RANKS; r++)
        fake_state_init(&j->states[r], seed);
    fake_comm_run(RANKS, save_on_rank, j);
    for (int r = 0; r < RANKS; r++) {
        DT_REQUIRE(j->status[r] == DT_OK);
        fake_state_clear(&j->states[r]);
    }
}

/* In a folder of its own; OLDER is of seed 1, NEWER of this one. */
static job *two_checkpoints(uint64_t seed)
{
    static int n_jobs;
    job *j = &the_job;
    if (j->store)
        j->store->ops->destroy(j->store);
    memset(j, 0, sizeof *j);
    snprintf(j->folder, sizeof j->folder, "%s/%d", dt_test_temp_dir(), n_jobs++);
    DT_REQUIRE(dt_store_hdf5_create(j->folder, &j->store, NULL) == DT_OK);
    save(j, OLDER, 1);
    save(j, NEWER, seed);
    return j;
}

static const char *path_of(const job *j, int64_t step, const char *file)
{
    return dt_test_path("%s/step-%08d/%s", j->folder, (int)step, file);
}

/* -- loading --------------------------------------------------------------------------------------------- */

static void load_on_rank(dt_comm *comm, void *context)
{
    job *j = context;
    const int r = comm->rank;
    const dt_checkpoint_location place = {.store = j->store};
    dt_manifest m = {.step = -1};
    j->status[r] = dt_checkpoint_load(comm, &place, &j->states[r].layout, &j->states[r].io, NULL, NULL, &m,
                                      &j->found[r], &j->errors[r]);
    j->steps[r] = m.step;
    if (j->status[r] == DT_OK && j->found[r])
        dt_manifest_clear(&m);
}

static void load(job *j)
{
    for (int r = 0; r < RANKS; r++)
        fake_state_init(&j->states[r], 99);
    memset(j->found, 0, sizeof j->found);
    log_text[0] = '\0';
    dt_log_set_sink(collect, NULL, DT_LOG_INFO);
    alarm(PATIENCE_S); /* a hang ends the test program */
    fake_comm_run(RANKS, load_on_rank, j);
    alarm(0);
    dt_log_set_sink(NULL, NULL, DT_LOG_INFO);
}

static void forget_states(job *j)
{
    for (int r = 0; r < RANKS; r++)
        fake_state_clear(&j->states[r]);
}

/* The checkpoint of this step and seed, on all ranks; `why`: part of what is said of the one that was passed
 * over, NULL: none was. */
static void check_loads(job *j, int64_t step, uint64_t seed, const char *why, const char *what)
{
    fake_state expected;
    fake_state_init(&expected, seed);
    load(j);
    for (int r = 0; r < RANKS; r++) {
        DT_CHECK_MSG(j->status[r] == DT_OK && j->found[r] && j->steps[r] == step,
                     "%s: rank %d: %s, step %lld: %s", what, r, dt_status_name(j->status[r]),
                     (long long)j->steps[r], j->errors[r].message);
        DT_CHECK_MSG(memcmp(j->states[r].values, expected.values,
                            (size_t)expected.layout.n_elems * sizeof(float)) == 0,
                     "%s: rank %d: other values", what, r);
    }
    if (why)
        DT_CHECK_MSG(strstr(log_text, "passing over step 200") && strstr(log_text, why),
                     "%s: the log says: %s", what, log_text);
    else
        DT_CHECK_STR(log_text, "");
    forget_states(j);
    fake_state_clear(&expected);
}

/* Damage one file in place, load, and mend it. */
typedef struct content {
    char *bytes;
    size_t n;
} content;

static content take(const job *j, const char *file)
{
    content c = {0};
    c.bytes = dt_test_read_file(path_of(j, NEWER, file), &c.n);
    DT_REQUIRE(c.bytes != NULL);
    return c;
}

static void put(const job *j, const char *file, const char *bytes, size_t n)
{
    dt_test_write_file(path_of(j, NEWER, file), bytes, n);
}

/* -- cases ----------------------------------------------------------------------------------------------- */

static void what_is_not_damaged_is_loaded(void)
{
    job *j = two_checkpoints(2);
    check_loads(j, NEWER, 2, NULL, "as it was written");
}

static void a_file_that_is_cut_short_at_64_places(void)
{
    job *j = two_checkpoints(2);
    int n = 0;
    for (int f = 0; f < N_FILES; f++) {
        content c = take(j, files[f]);
        const int places = f == 0 ? 22 : 21;
        for (int i = 0; i < places; i++, n++) {
            const size_t at = i < 4   ? (size_t)i
                              : i < 8 ? c.n - (size_t)(i - 3)
                                      : (size_t)i * c.n / (size_t)places;
            put(j, files[f], c.bytes, at);
            check_loads(j, OLDER, 1, files[f], dt_test_path("%s cut to %zu of %zu bytes", files[f], at, c.n));
        }
        put(j, files[f], c.bytes, c.n);
        free(c.bytes);
    }
    DT_CHECK_INT(n, 64);
    check_loads(j, NEWER, 2, NULL, "mended");
}

static void each_of_200_flipped_bits(void)
{
    job *j = two_checkpoints(2);
    int n = 0;
    random_state = 2026;
    for (int f = 0; f < N_FILES; f++) {
        content c = take(j, files[f]);
        for (int i = 0; i < (f == 0 ? 80 : 60); i++, n++) {
            const size_t at = below(c.n);
            const int bit = (int)below(8);
            c.bytes[at] = (char)(c.bytes[at] ^ 1 << bit);
            put(j, files[f], c.bytes, c.n);
            check_loads(j, OLDER, 1, files[f], dt_test_path("%s, byte %zu, bit %d", files[f], at, bit));
            c.bytes[at] = (char)(c.bytes[at] ^ 1 << bit);
        }
        put(j, files[f], c.bytes, c.n);
        free(c.bytes);
    }
    DT_CHECK_INT(n, 200);
    printf("  %d bits flipped, one at a time\n", n);
}

static void blocks_of_zeros(void)
{
    static const size_t blocks[] = {1, 16, 512, 4096, (size_t)1 << 30}; /* the last: all of it */
    job *j = two_checkpoints(2);
    for (int f = 0; f < N_FILES; f++) {
        content c = take(j, files[f]);
        char *zeroed = malloc(c.n);
        for (size_t b = 0; b < sizeof blocks / sizeof blocks[0]; b++)
            for (size_t part = 0; part < 4; part++) {
                const size_t at = part * c.n / 4, n = blocks[b] < c.n - at ? blocks[b] : c.n - at;
                memcpy(zeroed, c.bytes, c.n);
                memset(zeroed + at, 0, n);
                if (memcmp(zeroed, c.bytes, c.n) == 0)
                    continue; /* zeros were there */
                put(j, files[f], zeroed, c.n);
                check_loads(j, OLDER, 1, files[f], dt_test_path("%s, %zu zeros at %zu", files[f], n, at));
            }
        free(zeroed);
        put(j, files[f], c.bytes, c.n);
        free(c.bytes);
    }
}

static void exchange(const char *a, const char *b)
{
    const char *aside = dt_test_path("%s.aside", a);
    DT_REQUIRE(rename(a, aside) == 0 && rename(b, a) == 0 && rename(aside, b) == 0);
}

static void a_shard_of_another_checkpoint_and_shards_in_each_others_place(void)
{
    job *j = two_checkpoints(2);
    exchange(path_of(j, NEWER, files[1]), path_of(j, OLDER, files[1])); /* now both are damaged */
    load(j);
    DT_CHECK_INT(j->status[0], DT_ERR_FORMAT);
    DT_CHECK_CONTAINS(j->errors[0].message, "none of the 2 checkpoints there is whole");
    forget_states(j);
    exchange(path_of(j, NEWER, files[1]), path_of(j, OLDER, files[1]));
    content c = take(j, files[2]);
    char *old = dt_test_read_file(path_of(j, OLDER, files[2]), &c.n);
    put(j, files[2], old, c.n); /* of the same size, and whole */
    check_loads(j, OLDER, 1, files[2], "the older checkpoint's shard");
    put(j, files[2], c.bytes, c.n);
    free(old);
    free(c.bytes);
    exchange(path_of(j, NEWER, files[1]), path_of(j, NEWER, files[2]));
    check_loads(j, OLDER, 1, "shard-0000-of-0002.h5", "shards in each other's place");
}

static void files_that_are_missing_or_something_else(void)
{
    for (int f = 0; f < N_FILES; f++)
        for (int what = 0; what < 6; what++) {
            static const char *const names[] = {"missing",          "a folder",          "a pipe",
                                                "a link to itself", "a link to nowhere", "huge and empty"};
            job *j = two_checkpoints(2);
            const char *path = path_of(j, NEWER, files[f]);
            DT_REQUIRE(unlink(path) == 0);
            if (what == 1)
                DT_REQUIRE(mkdir(path, 0755) == 0);
            else if (what == 2)
                DT_REQUIRE(mkfifo(path, 0644) == 0);
            else if (what == 3)
                DT_REQUIRE(symlink(files[f], path) == 0);
            else if (what == 4)
                DT_REQUIRE(symlink("/nowhere/at/all", path) == 0);
            else if (what == 5) {
                int fd = open(path, O_WRONLY | O_CREAT, 0644);
                DT_REQUIRE(fd >= 0 && ftruncate(fd, (off_t)1 << 40) == 0);
                close(fd);
            }
            check_loads(j, OLDER, 1, files[f], dt_test_path("%s is %s", files[f], names[what]));
        }
}

static void folders_that_are_no_checkpoints(void)
{
    job *j = two_checkpoints(2);
    DT_REQUIRE(mkdir(dt_test_path("%s/step-00000300", j->folder), 0755) == 0); /* empty */
    load(j);
    DT_CHECK_INT(j->status[0], DT_OK);
    DT_CHECK_INT(j->steps[0], NEWER);
    DT_CHECK_CONTAINS(log_text, "passing over step 300");
    forget_states(j);
    DT_REQUIRE(rmdir(dt_test_path("%s/step-00000300", j->folder)) == 0);
    dt_test_write_file(dt_test_path("%s/step-00000400", j->folder), "a file", 6);
    static const char *const others[] = {
        "step-99999999999999999999", "step--0000005", "step-5",    "step-00000500x",
        "step-00000500.tmp",         "step-",         "lost+found"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        DT_REQUIRE(mkdir(dt_test_path("%s/%s", j->folder, others[i]), 0755) == 0);
    check_loads(j, NEWER, 2, NULL, "other names");
}

static void links_to_nowhere_are_told(void)
{
    job *j = two_checkpoints(2);
    const char *link = dt_test_path("%s/step-00000300", j->folder);
    DT_REQUIRE(symlink("/nowhere/at/all", link) == 0);
    load(j);
    DT_CHECK_INT(j->status[0], DT_OK);
    DT_CHECK_INT(j->steps[0], NEWER);
    DT_CHECK_CONTAINS(log_text, "passing over step 300");
    forget_states(j);
    dt_store *all;
    /* the folder of all of them: a disk that is not mounted, not a new training */
    DT_REQUIRE(dt_store_hdf5_create(link, &all, NULL) == DT_OK);
    dt_store *good = j->store;
    j->store = all;
    load(j);
    DT_CHECK_INT(j->status[0], DT_ERR_IO);
    DT_CHECK_CONTAINS(j->errors[0].message, "cannot look for checkpoints");
    forget_states(j);
    j->store = good;
    all->ops->destroy(all);
}

static void the_manifest_of_another_run(void)
{
    job *j = two_checkpoints(2);
    content good = take(j, files[0]);
    job first = *j;
    j->store = NULL; /* first's */
    j = two_checkpoints(3);
    content other = take(j, files[0]);
    put(&first, files[0], other.bytes, other.n);
    j->store->ops->destroy(j->store);
    *j = first;
    check_loads(j, OLDER, 1, ".h5", "the other run's manifest");
    put(j, files[0], good.bytes, good.n);
    check_loads(j, NEWER, 2, NULL, "its own");
    free(good.bytes);
    free(other.bytes);
}

/* A manifest whose hash holds, with the first `from` replaced by `to`, which is as long. */
static void rewrite_manifest(const job *j, const char *from, const char *to)
{
    content c = take(j, files[0]);
    char hex[33];
    c.bytes = realloc(c.bytes, c.n + 1);
    c.bytes[c.n] = '\0';
    char *place = strstr(c.bytes, from), *hash = strstr(c.bytes, "manifest_xxh3_128\": \"");
    DT_REQUIRE(strlen(from) == strlen(to) && place && hash);
    memcpy(place, to, strlen(to));
    hash += strlen("manifest_xxh3_128\": \"");
    memset(hash, '0', 32);
    dt_durable_hash_memory(c.bytes, (int64_t)c.n, hex);
    memcpy(hash, hex, 32);
    put(j, files[0], c.bytes, c.n);
    free(c.bytes);
}

static void a_newer_format_is_refused_and_not_passed_over(void)
{
    job *j = two_checkpoints(2);
    rewrite_manifest(j, dt_test_path("\"format_version\": %d", DT_MANIFEST_VERSION),
                     dt_test_path("\"format_version\": %d", DT_MANIFEST_VERSION + 1));
    load(j);
    for (int r = 0; r < RANKS; r++)
        DT_CHECK_INT(j->status[r], DT_ERR_UNSUPPORTED);
    DT_CHECK_CONTAINS(j->errors[0].message, "a newer dtrain wrote it");
    forget_states(j);
}

static void a_manifest_that_lies_with_a_good_hash(void)
{
    job *j = two_checkpoints(2);
    rewrite_manifest(j, "\"step\": 200", "\"step\": 201");
    check_loads(j, OLDER, 1, "the folder is named for another", "another step");
}

static const dt_test tests[] = {
    DT_TEST(what_is_not_damaged_is_loaded),
    DT_TEST(a_file_that_is_cut_short_at_64_places),
    DT_TEST(each_of_200_flipped_bits),
    DT_TEST(blocks_of_zeros),
    DT_TEST(a_shard_of_another_checkpoint_and_shards_in_each_others_place),
    DT_TEST(files_that_are_missing_or_something_else),
    DT_TEST(folders_that_are_no_checkpoints),
    DT_TEST(links_to_nowhere_are_told),
    DT_TEST(the_manifest_of_another_run),
    DT_TEST(a_newer_format_is_refused_and_not_passed_over),
    DT_TEST(a_manifest_that_lies_with_a_good_hash),
};

DT_TEST_MAIN("io/damage", tests)
