/* Disks and mirrors in random states: the checkpoint that ranks load is the one that a search of all of them
 * at once finds. */
#include "core/base/rng.h"
#include "tests/fakes/fleet.h"
#include "tests/testing.h"

#include <string.h>

#define N_STEPS 3
#define N_FOLDERS (FLEET_MAX_HOSTS + 1) /* of each host, then the mirror */

typedef struct world {
    fake_checkpoint g[N_FOLDERS][N_STEPS]; /* n_shards 0: not there */
    bool has_folder[N_FOLDERS];
    dt_rng rng;
} world;

static unsigned draw(world *w, unsigned below)
{
    return (unsigned)dt_rng_below(&w->rng, below);
}

/* Bits that are mostly 1, or mostly 0. */
static unsigned bits(world *w, unsigned n, unsigned of_10)
{
    unsigned mask = 0;
    for (unsigned i = 0; i < n; i++)
        mask |= (unsigned)(draw(w, 10) < of_10) << i;
    return mask;
}

/* Two attempts at a step may have any number of shards. */
static fake_checkpoint some_checkpoint(world *w, int64_t step)
{
    const bool second = draw(w, 5) == 0;
    fake_checkpoint g = {
        .step = step, .n_shards = second ? 2 : 1 + step % 3, .seed = (uint64_t)(step * 2 + second)};
    g.has = bits(w, (unsigned)g.n_shards, 5);
    g.damaged = bits(w, (unsigned)g.n_shards, 2);
    g.manifest = draw(w, 8) ? DT_OK : draw(w, 2) ? DT_ERR_FORMAT : DT_ERR_IO;
    return g;
}

static fleet *some_fleet(world *w, int n_hosts)
{
    fleet *f = fleet_new(n_hosts, draw(w, 3) > 0);
    for (int i = 0; i < N_FOLDERS; i++) {
        dt_store *disk = i == FLEET_MAX_HOSTS ? f->mirror : f->disks[i];
        w->has_folder[i] = disk != NULL;
        for (int s = 0; disk && s < N_STEPS; s++)
            if (draw(w, 3)) {
                w->g[i][s] = some_checkpoint(w, s + 1);
                fake_shelf_put(disk, &w->g[i][s]);
            }
    }
    return f;
}

static bool has_whole(const fake_checkpoint *g, uint64_t seed, int64_t shard)
{
    return g->n_shards && g->seed == seed && g->has >> shard & 1 && !(g->damaged >> shard & 1);
}

/* Whether every shard of the manifest in folder `i`, of step s + 1, is whole in some folder. */
static bool is_whole(const world *w, int i, int s)
{
    const fake_checkpoint *manifest = &w->g[i][s];
    if (!manifest->n_shards || manifest->manifest != DT_OK)
        return false;
    for (int64_t shard = 0; shard < manifest->n_shards; shard++) {
        bool somewhere = false;
        for (int k = 0; k < N_FOLDERS; k++)
            somewhere = somewhere || has_whole(&w->g[k][s], manifest->seed, shard);
        if (!somewhere)
            return false;
    }
    return true;
}

static bool there_is_one(const world *w, int s)
{
    for (int i = 0; i < N_FOLDERS; i++)
        if (w->g[i][s].n_shards)
            return true;
    return false;
}

/* Returns whether a checkpoint was loaded. */
static bool check_one(uint64_t key)
{
    world w = {.rng = dt_rng_at(key, DT_RNG_TEST, 0, 0)};
    int n_hosts = (int)draw(&w, FLEET_MAX_HOSTS + 1);
    fleet *f = some_fleet(&w, n_hosts);
    f->ranks_per_host = 1 + (int)draw(&w, 2);
    int n_ranks = n_hosts ? n_hosts * f->ranks_per_host : 1 + (int)draw(&w, 4), newest = N_STEPS - 1;
    bool seeds[2] = {false, false}, any = false;
    for (; newest >= 0 && !seeds[0] && !seeds[1]; newest--) {
        any = any || there_is_one(&w, newest);
        for (int i = 0; i < N_FOLDERS; i++)
            if (is_whole(&w, i, newest))
                seeds[w.g[i][newest].seed % 2] = true;
    }
    newest += 2; /* its step */
    dt_status status = fleet_load(f, n_ranks);
    if (seeds[0] || seeds[1]) {
        DT_CHECK_MSG(status == DT_OK && f->found[0] && f->steps[0] == newest,
                     "world %llu: step %d, expected %d: %s\n%s", (unsigned long long)key, (int)f->steps[0],
                     newest, f->errors[0].message, f->log);
        bool same = false;
        for (unsigned second = 0; second < 2; second++) {
            fake_state expected;
            fake_state_init(&expected, (uint64_t)newest * 2 + second);
            size_t bytes = (size_t)expected.layout.n_elems * sizeof(float), n_same = 0;
            for (int r = 0; r < n_ranks; r++)
                n_same += memcmp(f->states[r].values, expected.values, bytes) == 0;
            same = same || (seeds[second] && n_same == (size_t)n_ranks);
            fake_state_clear(&expected);
        }
        DT_CHECK_MSG(same, "world %llu: the values are of no attempt that is whole", (unsigned long long)key);
    } else {
        DT_CHECK_MSG(status == (any ? DT_ERR_FORMAT : DT_OK) && !f->found[0], "world %llu: %s",
                     (unsigned long long)key, dt_status_name(status));
    }
    fleet_end(f);
    return seeds[0] || seeds[1];
}

static void the_newest_checkpoint_with_all_parts_whole_somewhere_is_loaded(void)
{
    int n_loaded = 0;
    for (uint64_t key = 1; key <= 1000; key++)
        n_loaded += check_one(key);
    DT_CHECK_MSG(n_loaded > 300 && n_loaded < 900, "%d were loaded", n_loaded);
}

static const dt_test tests[] = {
    DT_TEST(the_newest_checkpoint_with_all_parts_whole_somewhere_is_loaded),
};
DT_TEST_MAIN("core/checkpoint/load_random", tests)
