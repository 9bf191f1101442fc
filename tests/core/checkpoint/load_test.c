/* Loads of checkpoints whose parts are in different folders: on the hosts' own disks, some of them new and
 * empty, and in a mirror. Ranks are threads, two for each host; every host has a fake store. */
#include "core/base/alloc.h"
#include "tests/fakes/fleet.h"
#include "tests/testing.h"

#include <string.h>

/* The log is exactly this text. */
static void check_log(const fleet *f, const char *expected)
{
    DT_CHECK_STR(f->log, expected);
}

#define PUT(disk, ...) fake_shelf_put((disk), &(fake_checkpoint){__VA_ARGS__})

/* Steps 30 and 40 of 4 ranks on 2 hosts, with the seeds 3 and 4; mirrored where there is a mirror. */
static fleet *two_hosts(bool mirror)
{
    fleet *f = fleet_new(2, mirror);
    for (int h = 0; h < 2; h++)
        for (int64_t step = 30; step <= 40; step += 10)
            PUT(f->disks[h], .step = step, .n_shards = 4, .seed = (uint64_t)step / 10, .has = h ? 0xc : 0x3);
    for (int64_t step = 30; mirror && step <= 40; step += 10)
        PUT(f->mirror, .step = step, .n_shards = 4, .seed = (uint64_t)step / 10, .has = 0xf);
    return f;
}

static void without_a_checkpoint_nothing_is_set(void)
{
    for (int n_hosts = 0; n_hosts <= 2; n_hosts++) {
        fleet *f = fleet_new(n_hosts, n_hosts != 1);
        DT_CHECK_INT(fleet_load(f, n_hosts == 1 ? 2 : 4), DT_OK);
        DT_CHECK(!f->found[0]);
        check_log(f, "");
        fleet_end(f);
    }
}

static void each_host_reads_the_shards_that_it_has(void)
{
    fleet *f = two_hosts(false);
    fleet_check_loads(f, 4, 40, 4);
    check_log(f, "");
    DT_CHECK_INT(fake_shelf_reads(f->disks[0]), 2);
    DT_CHECK_INT(fake_shelf_reads(f->disks[1]), 2);
    for (int r = 0; r < 4; r++)
        DT_CHECK_INT(f->n_operations[r], 1); /* each rank reads one, once */
    fleet_end(f);
    f = fleet_new(2, false); /* ranks placed on hosts in turn, which share the work evenly, too */
    PUT(f->disks[0], .step = 1, .n_shards = 8, .seed = 1, .has = 0x55);
    PUT(f->disks[1], .step = 1, .n_shards = 8, .seed = 1, .has = 0xaa);
    fleet_check_loads(f, 4, 1, 1);
    for (int r = 0; r < 4; r++) {
        DT_CHECK_INT(f->n_operations[r], 2);
        DT_CHECK_INT(f->n_heartbeats[r], 2); /* one after each shard that it verified */
    }
    fleet_end(f);
}

static void a_new_empty_host_gets_everything_from_its_peers(void)
{
    fleet *f = two_hosts(false);
    f->disks[2] = fake_shelf_create("/nvme"); /* of a third host */
    fleet_check_loads(f, 6, 40, 4);
    check_log(f, "");
    fleet_end(f);
    f = fleet_new(2, false);
    /* rank 0's host has none of it */
    PUT(f->disks[1], .step = 1, .n_shards = 4, .seed = 1, .has = 0xf);
    fleet_check_loads(f, 4, 1, 1);
    DT_CHECK_INT(fake_shelf_reads(f->disks[0]), 0);
    fleet_end(f);
}

static void the_shards_of_a_lost_host_come_from_the_mirror(void)
{
    for (int host = 0; host < 2; host++) {
        fleet *f = two_hosts(true);
        fleet_replace_disk(f, host);
        fleet_check_loads(f, 4, 40, 4);
        check_log(f, "checkpoint: 2 of the 4 shards of step 40 come from the mirror /fsx\n");
        DT_CHECK_INT(fake_shelf_reads(f->mirror), 2);
        DT_CHECK_INT(fake_shelf_reads(f->disks[1 - host]), 2);
        fleet_end(f);
    }
    fleet *f = two_hosts(true);
    fleet_replace_disk(f, 0);
    fleet_replace_disk(f, 1);
    fleet_check_loads(f, 4, 40, 4);
    check_log(f, "checkpoint: 4 of the 4 shards of step 40 come from the mirror /fsx\n");
    for (int r = 0; r < 4; r++)
        DT_CHECK_INT(f->n_operations[r], 1); /* all ranks share the work */
    fleet_end(f);
}

static void without_a_mirror_the_missing_shard_and_its_folder_are_named(void)
{
    fleet *f = two_hosts(false);
    fleet_replace_disk(f, 1);
    fleet_check_refused(f, 4, DT_ERR_FORMAT,
                        "/nvme: none of the 2 checkpoints there is whole; bring a good copy back, or start "
                        "over with --resume never");
    check_log(f, "checkpoint: passing over step 40: no host has a whole shard-0002-of-0004.h5 in /nvme\n"
                 "checkpoint: passing over step 30: no host has a whole shard-0002-of-0004.h5 in /nvme\n");
    fleet_end(f);
}

static void with_a_mirror_that_lags_the_checkpoint_before_is_loaded(void)
{
    fleet *f = two_hosts(false);
    f->mirror = fake_shelf_create("/fsx");
    PUT(f->mirror, .step = 30, .n_shards = 4, .seed = 3, .has = 0xf);
    fleet_replace_disk(f, 1);
    fleet_check_loads(f, 4, 30, 3);
    check_log(f, "checkpoint: passing over step 40: no host has a whole shard-0002-of-0004.h5 in /nvme; the "
                 "mirror /fsx has no such checkpoint\n"
                 "checkpoint: 2 of the 4 shards of step 30 come from the mirror /fsx\n");
    fleet_end(f);
}

static void the_mirror_is_not_read_if_the_hosts_have_all_shards(void)
{
    fleet *f = fleet_new(2, true);
    PUT(f->disks[0], .step = 1, .n_shards = 4, .seed = 1, .has = 0x3);
    PUT(f->disks[1], .step = 1, .n_shards = 4, .seed = 1, .has = 0xc);
    PUT(f->mirror, .step = 1, .n_shards = 4, .seed = 1, .has = 0xf, .damaged = 0xf);
    fleet_check_loads(f, 4, 1, 1);
    check_log(f, "");
    fleet_end(f);
}

static void a_damaged_shard_is_logged_and_read_from_a_peer_or_the_mirror(void)
{
    fleet *f = fleet_new(2, false);
    PUT(f->disks[0], .step = 1, .n_shards = 4, .seed = 1, .has = 0x3, .damaged = 0x2);
    PUT(f->disks[1], .step = 1, .n_shards = 4, .seed = 1, .has = 0xe);
    fleet_check_loads(f, 4, 1, 1);
    check_log(f, "checkpoint: step 1: rank 1 on host0: /nvme/step-1/shard-0001-of-0004.h5: is damaged (there "
                 "is another copy)\n");
    fleet_end(f);
    for (int n_hosts = 0; n_hosts <= 2; n_hosts += 2) {
        f = fleet_new(n_hosts, true);
        PUT(f->disks[0], .step = 1, .n_shards = 4, .seed = 1, .has = 0xf, .damaged = 0x2);
        PUT(f->mirror, .step = 1, .n_shards = 4, .seed = 1, .has = 0xf);
        fleet_check_loads(f, 4, 1, 1);
        check_log(f, dt_test_path("checkpoint: 1 of the 4 shards of step 1 comes from the mirror "
                                  "/fsx\ncheckpoint: step 1: rank 1 on host0: %s/step-1/"
                                  "shard-0001-of-0004.h5: is damaged (there is another copy)\n",
                                  n_hosts ? "/nvme" : "/shared"));
        fleet_end(f);
    }
}

static void a_shard_damaged_everywhere_is_logged_with_both_reasons(void)
{
    fleet *f = fleet_new(0, true);
    PUT(f->disks[0], .step = 1, .n_shards = 4, .seed = 1, .has = 0xf);
    PUT(f->disks[0], .step = 2, .n_shards = 4, .seed = 2, .has = 0xf, .damaged = 0x4);
    PUT(f->mirror, .step = 2, .n_shards = 4, .seed = 2, .has = 0xb);
    fleet_check_loads(f, 4, 1, 1);
    check_log(
        f,
        "checkpoint: passing over step 2: rank 2 on host1: /shared/step-2/shard-0002-of-0004.h5: is damaged; "
        "rank 0 on host0: /fsx/step-2/shard-0002-of-0004.h5: is not there\n");
    fleet_end(f);
}

static void the_mirror_replaces_a_folder_that_is_empty_or_older(void)
{
    fleet *f = fleet_new(0, true);
    PUT(f->mirror, .step = 2, .n_shards = 3, .seed = 2, .has = 0x7);
    fleet_check_loads(f, 4, 2, 2);
    PUT(f->disks[0], .step = 1, .n_shards = 3, .seed = 1, .has = 0x7);
    fleet_check_loads(f, 2, 2, 2);
    /* the mirror's manifest describes its shards */
    PUT(f->disks[0], .step = 2, .n_shards = 3, .seed = 2, .has = 0x7, .manifest = DT_ERR_IO);
    fleet_check_loads(f, 1, 2, 2);
    check_log(f, "checkpoint: step 2: /shared/step-2/manifest.json: the fake does not give it (there is "
                 "another copy)\n");
    fleet_end(f);
}

static void a_manifest_lost_on_one_host_is_read_on_another(void)
{
    fleet *f = fleet_new(2, false);
    PUT(f->disks[0], .step = 1, .n_shards = 4, .seed = 1, .has = 0x3, .manifest = DT_ERR_FORMAT);
    PUT(f->disks[1], .step = 1, .n_shards = 4, .seed = 1, .has = 0xc);
    fleet_check_loads(f, 4, 1, 1);
    check_log(f, "checkpoint: step 1: rank 0 on host0: /nvme/step-1/manifest.json: the fake does not give it "
                 "(there is another copy)\n");
    PUT(f->disks[1], .step = 2, .n_shards = 4, .seed = 1, .has = 0xc, .manifest = DT_ERR_FORMAT);
    fleet_check_loads(f, 4, 1, 1);
    DT_CHECK_CONTAINS(f->log, "checkpoint: passing over step 2: rank 2 on host1: /nvme/step-2/manifest.json: "
                              "the fake does not give it\n");
    fleet_end(f);
}

static void two_attempts_at_a_step_are_never_mixed(void)
{
    fleet *f = fleet_new(2, true);
    PUT(f->disks[0], .step = 2, .n_shards = 4, .seed = 10, .has = 0x3);
    PUT(f->disks[1], .step = 2, .n_shards = 4, .seed = 20, .has = 0xc);
    PUT(f->mirror, .step = 1, .n_shards = 2, .seed = 1, .has = 0x3);
    fleet_check_loads(f, 4, 1, 1);
    check_log(f, "checkpoint: passing over step 2: no host has a whole shard-0002-of-0004.h5 in /nvme; the "
                 "mirror /fsx has no such checkpoint\n"
                 "checkpoint: passing over step 2: no host has a whole shard-0000-of-0004.h5 in /nvme; the "
                 "mirror /fsx has no such checkpoint\n"
                 "checkpoint: 2 of the 2 shards of step 1 come from the mirror /fsx\n");
    PUT(f->mirror, .step = 2, .n_shards = 4, .seed = 20, .has = 0xf); /* completes the second attempt */
    fleet_check_loads(f, 4, 2, 20);
    DT_CHECK_INT(fake_shelf_reads(f->mirror), 4);
    fleet_end(f);
}

static void any_number_of_ranks_on_any_number_of_hosts_can_load(void)
{
    static const int n_ranks[] = {1, 2, 3, 4, 8}, n_per_host[] = {1, 2, 3, 8};
    for (size_t i = 0; i < sizeof n_ranks / sizeof *n_ranks; i++)
        for (size_t k = 0; k < sizeof n_per_host / sizeof *n_per_host; k++) {
            int n_hosts = (n_ranks[i] + n_per_host[k] - 1) / n_per_host[k];
            if (n_hosts > FLEET_MAX_HOSTS)
                continue;
            fleet *f = fleet_new(n_hosts, n_hosts == 1);
            f->ranks_per_host = n_per_host[k];
            PUT(f->disks[0], .step = 5, .n_shards = 4, .seed = 5, .has = n_hosts == 1 ? 0x5 : 0x3);
            if (n_hosts > 1)
                PUT(f->disks[n_hosts - 1], .step = 5, .n_shards = 4, .seed = 5, .has = 0xc);
            else
                PUT(f->mirror, .step = 5, .n_shards = 4, .seed = 5, .has = 0xa);
            fleet_check_loads(f, n_ranks[i], 5, 5);
            fleet_end(f);
        }
}

/* It sets tensors while it reads. Tensors are cut at the ends of shards; a damaged shard gives numbers that
 * are not finite before its hash is known. */
static void a_rank_alone_sets_again_what_a_damaged_shard_has_set(void)
{
    for (unsigned damaged = 0; damaged < 256; damaged++) {
        fleet *f = fleet_new(0, true);
        PUT(f->disks[0], .step = 40, .n_shards = 8, .seed = 4, .has = 0xff, .damaged = damaged);
        PUT(f->mirror, .step = 40, .n_shards = 8, .seed = 4, .has = 0xff);
        fleet_check_loads(f, 1, 40, 4);
        fleet_end(f);
        f = fleet_new(0, false);
        PUT(f->disks[0], .step = 30, .n_shards = 3, .seed = 3, .has = 7);
        PUT(f->disks[0], .step = 40, .n_shards = 8, .seed = 4, .has = 0xff, .damaged = damaged);
        fleet_check_loads(f, 1, damaged ? 30 : 40, damaged ? 3 : 4);
        fleet_end(f);
    }
}

static void after_a_read_error_the_checkpoint_before_is_loaded(void)
{
    fleet *f = fleet_new(2, false);
    PUT(f->disks[0], .step = 1, .n_shards = 4, .seed = 1, .has = 0x3);
    PUT(f->disks[1], .step = 1, .n_shards = 4, .seed = 1, .has = 0xc);
    PUT(f->disks[0], .step = 2, .n_shards = 4, .seed = 2, .has = 0x3);
    PUT(f->disks[1], .step = 2, .n_shards = 4, .seed = 2, .has = 0xc, .unreadable = 0x8);
    fleet_check_loads(f, 4, 1, 1);
    check_log(f, "checkpoint: passing over step 2: rank 3 on host1: /nvme/step-2/shard-0003-of-0004.h5: "
                 "cannot be read\n");
    fleet_end(f);
}

static void a_newer_format_on_any_host_ends_the_load(void)
{
    for (int host = 0; host <= 2; host++) {
        fleet *f = two_hosts(true);
        PUT(host < 2 ? f->disks[host] : f->mirror, .step = 50, .n_shards = 4, .seed = 5, .has = 0xf,
            .manifest = DT_ERR_UNSUPPORTED);
        fleet_check_refused(f, 4, DT_ERR_UNSUPPORTED, "step-50/manifest.json");
        fleet_end(f);
    }
}

static void another_setting_of_ema_is_refused(void)
{
    fleet *f = two_hosts(false);
    f->averages = true;
    fleet_check_refused(
        f, 4, DT_ERR_USAGE,
        "the checkpoint of step 40 was made without --ema, and this run wants running averages");
    fleet_end(f);
}

/* The other ranks notice it in their next collective. */
static void a_rank_that_dies_is_an_error_on_all_others(void)
{
    int n_deaths = 0;
    for (int rank = 0; rank < 4; rank++)
        for (int at = 1; at <= 2; at++) { /* a rank reads one shard, once */
            fleet *f = two_hosts(true);
            fleet_replace_disk(f, 1);
            f->leaving_rank = rank;
            f->leaves_at = at;
            dt_status status = fleet_load(f, 4);
            bool died = f->n_operations[rank] >= at;
            DT_CHECK_INT(status, died ? DT_ERR_PEER : DT_OK);
            DT_CHECK_INT(f->found[(rank + 1) % 4], !died);
            DT_CHECK(!strstr(f->log, "passing over"));
            n_deaths += died;
            fleet_end(f);
        }
    DT_CHECK_INT(n_deaths, 4);
}

static void every_allocation_may_fail(void)
{
    int64_t n = 0;
    for (bool fails = true; fails;) {
        fleet *f = two_hosts(true);
        fleet_replace_disk(f, 1);
        dt_alloc_fail_after(++n);
        dt_status status = fleet_load(f, 4);
        dt_alloc_fail_after(0);
        fails = status != DT_OK;
        DT_CHECK(status == DT_OK || status == DT_ERR_MEMORY);
        fleet_end(f);
        DT_REQUIRE(n < 200);
    }
    DT_CHECK_MSG(n > 20, "only %d allocations", (int)n);
}

/* As an earlier version may have written them. */
static void a_checkpoint_that_is_not_finite_is_passed_over(void)
{
    fleet *f = fleet_new(1, false);
    PUT(f->disks[0], .step = 2, .n_shards = 2, .seed = 2, .has = 0x3, .not_finite = true);
    PUT(f->disks[0], .step = 1, .n_shards = 2, .seed = 1, .has = 0x3);
    fleet_check_loads(f, 2, 1, 1);
    check_log(f, "checkpoint: passing over step 2: conv1.weight is not finite: its element 0 is nan\n");
    fleet_end(f);
}

static const dt_test tests[] = {
    DT_TEST(a_checkpoint_that_is_not_finite_is_passed_over),
    DT_TEST(without_a_checkpoint_nothing_is_set),
    DT_TEST(each_host_reads_the_shards_that_it_has),
    DT_TEST(a_new_empty_host_gets_everything_from_its_peers),
    DT_TEST(the_shards_of_a_lost_host_come_from_the_mirror),
    DT_TEST(without_a_mirror_the_missing_shard_and_its_folder_are_named),
    DT_TEST(with_a_mirror_that_lags_the_checkpoint_before_is_loaded),
    DT_TEST(the_mirror_is_not_read_if_the_hosts_have_all_shards),
    DT_TEST(a_damaged_shard_is_logged_and_read_from_a_peer_or_the_mirror),
    DT_TEST(a_shard_damaged_everywhere_is_logged_with_both_reasons),
    DT_TEST(the_mirror_replaces_a_folder_that_is_empty_or_older),
    DT_TEST(a_manifest_lost_on_one_host_is_read_on_another),
    DT_TEST(two_attempts_at_a_step_are_never_mixed),
    DT_TEST(any_number_of_ranks_on_any_number_of_hosts_can_load),
    DT_TEST(a_rank_alone_sets_again_what_a_damaged_shard_has_set),
    DT_TEST(after_a_read_error_the_checkpoint_before_is_loaded),
    DT_TEST(a_newer_format_on_any_host_ends_the_load),
    DT_TEST(another_setting_of_ema_is_refused),
    DT_TEST(a_rank_that_dies_is_an_error_on_all_others),
    DT_TEST(every_allocation_may_fail),
};
DT_TEST_MAIN("core/checkpoint/load", tests)
