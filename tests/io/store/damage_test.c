/* What can happen to a checkpoint on a disk. In every case loading uses the checkpoint before it, bit for
 * bit, and logs why; it does not crash, hang, or use the damaged one. Two threads as ranks, two shards. */
#include "io/durable.h"
#include "tests/fakes/captured_log.h"
#include "tests/io/store/checkpoint_kit.h"
#include "tests/testing.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define RANKS 2
#define OLDER 100
#define NEWER 200
#define PATIENCE_S 30 /* for one load, which takes milliseconds */

static const char *const files[] = {"manifest.json", "shard-0000-of-0002.h5", "shard-0001-of-0002.h5"};
enum { N_FILES = sizeof files / sizeof files[0] };

/* Two checkpoints in a folder of their own. */
typedef struct pair {
    char folder[512];
    dt_store *store;
    checkpoint_job *job; /* for loading */
} pair;

static uint64_t random_state;

static uint64_t below(uint64_t n)
{
    random_state = random_state * 6364136223846793005U + 1442695040888963407U;
    return (random_state >> 33) % n;
}

static pair pairs[2];

static void close_pair(pair *p)
{
    if (!p->job)
        return;
    checkpoint_job_free(p->job);
    p->store->ops->destroy(p->store);
    *p = (pair){0};
}

void dt_test_tear_down(void)
{
    close_pair(&pairs[0]);
    close_pair(&pairs[1]);
}

/* OLDER is of seed 1, NEWER of this one. Valid until the second next call. */
static pair *two_checkpoints(uint64_t seed)
{
    static int n_pairs;
    pair *p = &pairs[n_pairs % 2];
    close_pair(p);
    snprintf(p->folder, sizeof p->folder, "%s/%d", dt_test_temp_dir(), n_pairs++);
    p->store = checkpoint_kit_open(p->folder);
    checkpoint_kit_check_saved(p->store, RANKS, OLDER, 1);
    checkpoint_kit_check_saved(p->store, RANKS, NEWER, seed);
    p->job = checkpoint_job_new(p->store, 99);
    return p;
}

static const char *path_of(const pair *p, int64_t step, const char *file)
{
    return dt_test_path("%s/step-%08d/%s", p->folder, (int)step, file);
}

static void load(const pair *p)
{
    alarm(PATIENCE_S); /* a hang ends the test program */
    checkpoint_job_load(p->job, RANKS);
    alarm(0);
}

/* Loading gives this step and seed on all ranks. `why`: part of the line about the checkpoint that was passed
 * over; NULL: nothing was logged. */
static void check_loads(const pair *p, int64_t step, uint64_t seed, const char *why, const char *what)
{
    alarm(PATIENCE_S);
    checkpoint_job_check_loads(p->job, RANKS, step, seed, what);
    alarm(0);
    const char *log = captured_log_text();
    if (why)
        DT_CHECK_MSG(strstr(log, "passing over step 200") && strstr(log, why), "%s: the log says: %s", what,
                     log);
    else
        DT_CHECK_STR(log, "");
}

/* A file of the newer checkpoint. */
typedef struct content {
    char *bytes;
    size_t n;
} content;

static content read_newer(const pair *p, const char *file)
{
    content c = {0};
    c.bytes = dt_test_read_file(path_of(p, NEWER, file), &c.n);
    DT_REQUIRE(c.bytes != NULL);
    return c;
}

static void write_newer(const pair *p, const char *file, const char *bytes, size_t n)
{
    dt_test_write_file(path_of(p, NEWER, file), bytes, n);
}

/* -- cases ----------------------------------------------------------------------------------------------- */

static void an_undamaged_checkpoint_is_loaded(void)
{
    const pair *p = two_checkpoints(2);
    check_loads(p, NEWER, 2, NULL, "as it was written");
}

static void files_cut_short_at_64_places_are_damage(void)
{
    const pair *p = two_checkpoints(2);
    int n = 0;
    for (int f = 0; f < N_FILES; f++) {
        content c = read_newer(p, files[f]);
        const int n_cuts = f == 0 ? 22 : 21;
        for (int i = 0; i < n_cuts; i++, n++) {
            const size_t at = i < 4   ? (size_t)i
                              : i < 8 ? c.n - (size_t)(i - 3)
                                      : (size_t)i * c.n / (size_t)n_cuts;
            write_newer(p, files[f], c.bytes, at);
            check_loads(p, OLDER, 1, files[f], dt_test_path("%s cut to %zu of %zu bytes", files[f], at, c.n));
        }
        write_newer(p, files[f], c.bytes, c.n);
        free(c.bytes);
    }
    DT_CHECK_INT(n, 64);
    check_loads(p, NEWER, 2, NULL, "mended");
}

static void each_of_200_flipped_bits_is_damage(void)
{
    const pair *p = two_checkpoints(2);
    int n = 0;
    random_state = 2026;
    for (int f = 0; f < N_FILES; f++) {
        content c = read_newer(p, files[f]);
        for (int i = 0; i < (f == 0 ? 80 : 60); i++, n++) {
            const size_t at = below(c.n);
            const int bit = (int)below(8);
            c.bytes[at] = (char)(c.bytes[at] ^ 1 << bit);
            write_newer(p, files[f], c.bytes, c.n);
            check_loads(p, OLDER, 1, files[f], dt_test_path("%s, byte %zu, bit %d", files[f], at, bit));
            c.bytes[at] = (char)(c.bytes[at] ^ 1 << bit);
        }
        write_newer(p, files[f], c.bytes, c.n);
        free(c.bytes);
    }
    DT_CHECK_INT(n, 200);
    printf("  %d bits flipped, one at a time\n", n);
}

static void blocks_of_zeros_are_damage(void)
{
    static const size_t blocks[] = {1, 16, 512, 4096, (size_t)1 << 30}; /* the last: all of it */
    const pair *p = two_checkpoints(2);
    for (int f = 0; f < N_FILES; f++) {
        content c = read_newer(p, files[f]);
        char *zeroed = malloc(c.n);
        for (size_t b = 0; b < sizeof blocks / sizeof blocks[0]; b++)
            for (size_t part = 0; part < 4; part++) {
                const size_t at = part * c.n / 4, n = blocks[b] < c.n - at ? blocks[b] : c.n - at;
                memcpy(zeroed, c.bytes, c.n);
                memset(zeroed + at, 0, n);
                if (memcmp(zeroed, c.bytes, c.n) == 0)
                    continue; /* zeros were there */
                write_newer(p, files[f], zeroed, c.n);
                check_loads(p, OLDER, 1, files[f], dt_test_path("%s, %zu zeros at %zu", files[f], n, at));
            }
        free(zeroed);
        write_newer(p, files[f], c.bytes, c.n);
        free(c.bytes);
    }
}

static void exchange(const char *a, const char *b)
{
    const char *aside = dt_test_path("%s.aside", a);
    DT_REQUIRE(rename(a, aside) == 0 && rename(b, a) == 0 && rename(aside, b) == 0);
}

static void swapped_shards_are_damage(void)
{
    const pair *p = two_checkpoints(2);
    exchange(path_of(p, NEWER, files[1]), path_of(p, OLDER, files[1])); /* now both are damaged */
    load(p);
    DT_CHECK_INT(p->job->status[0], DT_ERR_FORMAT);
    DT_CHECK_CONTAINS(p->job->errors[0].message, "none of the 2 checkpoints there is whole");
    exchange(path_of(p, NEWER, files[1]), path_of(p, OLDER, files[1]));
    content c = read_newer(p, files[2]);
    char *old = dt_test_read_file(path_of(p, OLDER, files[2]), &c.n);
    write_newer(p, files[2], old, c.n); /* of the same size, and whole */
    check_loads(p, OLDER, 1, files[2], "the older checkpoint's shard");
    write_newer(p, files[2], c.bytes, c.n);
    free(old);
    free(c.bytes);
    exchange(path_of(p, NEWER, files[1]), path_of(p, NEWER, files[2]));
    check_loads(p, OLDER, 1, "shard-0000-of-0002.h5", "shards in each other's place");
}

static void missing_files_folders_pipes_and_links_are_damage(void)
{
    for (int f = 0; f < N_FILES; f++)
        for (int what = 0; what < 6; what++) {
            static const char *const names[] = {"missing",          "a folder",          "a pipe",
                                                "a link to itself", "a link to nowhere", "huge and empty"};
            const pair *p = two_checkpoints(2);
            const char *path = path_of(p, NEWER, files[f]);
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
            check_loads(p, OLDER, 1, files[f], dt_test_path("%s is %s", files[f], names[what]));
        }
}

static void folders_with_other_names_are_ignored(void)
{
    const pair *p = two_checkpoints(2);
    DT_REQUIRE(mkdir(dt_test_path("%s/step-00000300", p->folder), 0755) == 0); /* empty */
    load(p);
    DT_CHECK_INT(p->job->status[0], DT_OK);
    DT_CHECK_INT(p->job->steps[0], NEWER);
    DT_CHECK_CONTAINS(captured_log_text(), "passing over step 300");
    DT_REQUIRE(rmdir(dt_test_path("%s/step-00000300", p->folder)) == 0);
    dt_test_write_file(dt_test_path("%s/step-00000400", p->folder), "a file", 6);
    static const char *const others[] = {
        "step-99999999999999999999", "step--0000005", "step-5",    "step-00000500x",
        "step-00000500.tmp",         "step-",         "lost+found"};
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++)
        DT_REQUIRE(mkdir(dt_test_path("%s/%s", p->folder, others[i]), 0755) == 0);
    check_loads(p, NEWER, 2, NULL, "other names");
}

static void dangling_links_are_reported(void)
{
    const pair *p = two_checkpoints(2);
    const char *link = dt_test_path("%s/step-00000300", p->folder);
    DT_REQUIRE(symlink("/nowhere/at/all", link) == 0);
    load(p);
    DT_CHECK_INT(p->job->status[0], DT_OK);
    DT_CHECK_INT(p->job->steps[0], NEWER);
    DT_CHECK_CONTAINS(captured_log_text(), "passing over step 300");
    /* the folder of all of them: a disk that is not mounted, not a new training */
    dt_store *all = checkpoint_kit_open(link);
    p->job->stores[0] = all;
    load(p);
    DT_CHECK_INT(p->job->status[0], DT_ERR_IO);
    DT_CHECK_CONTAINS(p->job->errors[0].message, "cannot list the checkpoints");
    p->job->stores[0] = p->store;
    all->ops->destroy(all);
}

static void the_manifest_of_another_run_is_damage(void)
{
    const pair *p = two_checkpoints(2), *other_run = two_checkpoints(3);
    content good = read_newer(p, files[0]), other = read_newer(other_run, files[0]);
    write_newer(p, files[0], other.bytes, other.n);
    check_loads(p, OLDER, 1, ".h5", "the other run's manifest");
    write_newer(p, files[0], good.bytes, good.n);
    check_loads(p, NEWER, 2, NULL, "its own");
    free(good.bytes);
    free(other.bytes);
}

/* Replace the first `from` in the manifest by `to`, which is as long, and correct the hash. */
static void rewrite_manifest(const pair *p, const char *from, const char *to)
{
    content c = read_newer(p, files[0]);
    char hex[33];
    c.bytes = realloc(c.bytes, c.n + 1);
    c.bytes[c.n] = '\0';
    char *at = strstr(c.bytes, from), *hash = strstr(c.bytes, "manifest_xxh3_128\": \"");
    DT_REQUIRE(strlen(from) == strlen(to) && at && hash);
    memcpy(at, to, strlen(to));
    hash += strlen("manifest_xxh3_128\": \"");
    memset(hash, '0', 32);
    dt_durable_hash_memory(c.bytes, (int64_t)c.n, hex);
    memcpy(hash, hex, 32);
    write_newer(p, files[0], c.bytes, c.n);
    free(c.bytes);
}

static void a_newer_format_is_refused_not_passed_over(void)
{
    const pair *p = two_checkpoints(2);
    rewrite_manifest(p, dt_test_path("\"format_version\": %d", DT_MANIFEST_VERSION),
                     dt_test_path("\"format_version\": %d", DT_MANIFEST_VERSION + 1));
    load(p);
    for (int r = 0; r < RANKS; r++)
        DT_CHECK_INT(p->job->status[r], DT_ERR_UNSUPPORTED);
    DT_CHECK_CONTAINS(p->job->errors[0].message, "a newer dtrain wrote it");
}

static void a_manifest_of_another_step_is_damage(void)
{
    const pair *p = two_checkpoints(2);
    rewrite_manifest(p, "\"step\": 200", "\"step\": 201");
    check_loads(p, OLDER, 1, "not of the step that its folder is named after", "another step");
}

static const dt_test tests[] = {
    DT_TEST(an_undamaged_checkpoint_is_loaded),
    DT_TEST(files_cut_short_at_64_places_are_damage),
    DT_TEST(each_of_200_flipped_bits_is_damage),
    DT_TEST(blocks_of_zeros_are_damage),
    DT_TEST(swapped_shards_are_damage),
    DT_TEST(missing_files_folders_pipes_and_links_are_damage),
    DT_TEST(folders_with_other_names_are_ignored),
    DT_TEST(dangling_links_are_reported),
    DT_TEST(the_manifest_of_another_run_is_damage),
    DT_TEST(a_newer_format_is_refused_not_passed_over),
    DT_TEST(a_manifest_of_another_step_is_damage),
};

DT_TEST_MAIN("io/store/damage", tests)
