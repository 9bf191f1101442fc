/* Which node reads what: each byte once, from a node that has it, or from the source. */
#include "core/base/alloc.h"
#include "launch/stage/plan.h"
#include "tests/testing.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define PART DT_STAGE_PART_BYTES

static dt_stage_listing list;
static unsigned char *bits;
static dt_stage_plan plan;
static int n_nodes;

static void begin(const int64_t *sizes, int n, int nodes)
{
    dt_error err;
    char key[16];
    free(bits);
    dt_stage_plan_free(&plan);
    dt_stage_listing_free(&list);
    for (int i = 0; i < n; i++) {
        snprintf(key, sizeof key, "%05d", i);
        DT_REQUIRE(dt_stage_listing_add(&list, key, sizes[i], "", &err) == DT_OK);
    }
    n_nodes = nodes;
    bits = calloc((size_t)nodes, (size_t)dt_stage_bits_bytes(&list));
}

static void has_object(int node, int64_t object)
{
    dt_stage_set_bit(bits + node * dt_stage_bits_bytes(&list), object);
}

static void has_part(int node, int64_t object, int64_t part)
{
    has_object(node, list.n + list.objects[object].first_part + part);
}

static void make(const int *keeper)
{
    dt_error err;
    dt_stage_plan_free(&plan);
    DT_REQUIRE(dt_stage_plan_make(&list, bits, n_nodes, keeper, &plan, &err) == DT_OK);
}

/* Who reads a part: -1: any node from the source; 100 + node: from its disk; node: from the source, for
 * itself; -2: nobody. Fails where two do. */
static int reader(int64_t object, int64_t offset)
{
    int found = -2;
    for (int64_t b = 0; b < plan.n_batches; b++)
        for (int64_t i = 0; i < plan.batches[b].n; i++) {
            const dt_stage_piece *p = &plan.pieces[plan.batches[b].first + i];
            if (p->object != object || p->offset != offset)
                continue;
            DT_CHECK_INT(found, -2);
            found = plan.batches[b].node + (plan.batches[b].on_disk ? 100 : 0);
        }
    return found;
}

static void small_objects_share_batches_and_large_ones_are_cut(void)
{
    const int64_t sizes[] = {100, 0, PART, 200, 2 * PART + 5};
    begin(sizes, 5, 1);
    make(NULL);
    DT_CHECK_INT(list.objects[2].first_part, -1); /* as large as a part: read as a whole */
    DT_CHECK_INT(list.n_parts, 3);
    DT_CHECK_INT(plan.n_pieces, 7);
    DT_CHECK_INT(plan.n_batches, 6); /* 100 + 0; PART; 200; three parts, of which 5 bytes are alone */
    DT_CHECK_INT(plan.source_bytes, list.bytes);
    DT_CHECK_INT(plan.source_objects, 5);
    DT_CHECK_INT(plan.disk_bytes, 0);
    int64_t covered = 0;
    for (int64_t b = 0; b < plan.n_batches; b++) {
        DT_CHECK(plan.batches[b].bytes <= PART && plan.batches[b].node == -1);
        DT_CHECK_INT(plan.batches[b].first, covered);
        covered += plan.batches[b].n;
    }
    DT_CHECK_INT(covered, plan.n_pieces);
    DT_CHECK_INT(plan.pieces[6].offset, 2 * PART);
    DT_CHECK_INT(plan.pieces[6].bytes, 5);
}

static void a_batch_has_at_most_256_objects(void)
{
    enum { N = 600 };
    static int64_t sizes[N];
    begin(sizes, N, 1); /* all empty */
    make(NULL);
    DT_CHECK_INT(plan.n_batches, 3);
    DT_CHECK_INT(plan.batches[0].n, DT_STAGE_BATCH_PIECES);
}

static void what_all_nodes_have_is_not_read(void)
{
    const int64_t sizes[] = {10, 20, 3 * PART};
    begin(sizes, 3, 2);
    has_object(0, 0);
    has_object(1, 0);
    has_part(0, 2, 1);
    has_part(1, 2, 1);
    make(NULL);
    DT_CHECK_INT(reader(0, 0), -2);
    DT_CHECK_INT(reader(1, 0), -1);
    DT_CHECK_INT(reader(2, 0), -1);
    DT_CHECK_INT(reader(2, PART), -2);
    DT_CHECK_INT(reader(2, 2 * PART), -1);
    DT_CHECK_INT(plan.source_bytes, 20 + 2 * PART);
}

/* A new node gets from the others what they have; also parts of unfinished files. */
static void what_one_node_has_comes_from_its_disk(void)
{
    const int64_t sizes[] = {10, 20, 2 * PART, 2 * PART};
    begin(sizes, 4, 3);
    has_object(1, 0);
    has_object(2, 2); /* the whole object stands for its parts */
    has_part(0, 3, 1);
    make(NULL);
    DT_CHECK_INT(reader(0, 0), 101);
    DT_CHECK_INT(reader(1, 0), -1);
    DT_CHECK_INT(reader(2, 0), 102);
    DT_CHECK_INT(reader(2, PART), 102);
    DT_CHECK_INT(reader(3, 0), -1);
    DT_CHECK_INT(reader(3, PART), 100);
    DT_CHECK_INT(plan.source_bytes, 20 + PART);
    DT_CHECK_INT(plan.disk_bytes, 10 + 3 * PART);
}

/* One node does not send all. */
static void nodes_that_have_the_same_share_the_work(void)
{
    static int64_t sizes[300];
    int by_node[3] = {0};
    for (int i = 0; i < 300; i++)
        sizes[i] = 1000;
    begin(sizes, 300, 3);
    for (int i = 0; i < 300; i++) {
        has_object(0, i);
        has_object(1, i);
    }
    make(NULL);
    for (int i = 0; i < 300; i++) {
        const int r = reader(i, 0);
        DT_REQUIRE(r == 100 || r == 101);
        by_node[r - 100]++;
    }
    DT_CHECK(by_node[0] >= 100 && by_node[1] >= 100);
    DT_CHECK_INT(plan.source_bytes, 0);
}

static void a_split_is_balanced_and_mixes_the_classes(void)
{
    enum { N = 1000 };
    static int64_t sizes[N];
    static int keeper[N];
    int64_t bytes[4] = {0};
    int first_half[4] = {0};
    dt_error err;
    for (int i = 0; i < N; i++)
        sizes[i] = 1000 + i * 7919 % 5000;
    begin(sizes, N, 4);
    DT_REQUIRE(dt_stage_split(&list, 4, keeper, &err) == DT_OK);
    for (int i = 0; i < N; i++) {
        bytes[keeper[i]] += sizes[i];
        first_half[keeper[i]] += i < N / 2;
    }
    for (int k = 0; k < 4; k++) {
        DT_CHECK(llabs(bytes[k] - list.bytes / 4) < 6000);
        DT_CHECK(first_half[k] > 100 && first_half[k] < 150);
    }
    has_object(keeper[3], 3);
    has_object((keeper[4] + 1) % 4, 4); /* what another node has does not help its keeper */
    make(keeper);
    DT_CHECK_INT(reader(3, 0), -2);
    for (int i = 4; i < N; i++)
        DT_CHECK_INT(reader(i, 0), keeper[i]);
    DT_CHECK_INT(plan.source_bytes, list.bytes - sizes[3]);
}

static void check_order(const int *stored, int n, const int *expected)
{
    int parts[8];
    dt_stage_split_order(stored, n, parts);
    for (int i = 0; i < n; i++)
        DT_CHECK_INT(parts[i], expected[i]);
}

static void nodes_in_another_order_keep_their_parts(void)
{
    check_order((const int[]){-1, -1, -1}, 3, (const int[]){0, 1, 2});
    check_order((const int[]){2, 0, 1}, 3, (const int[]){2, 0, 1});
    check_order((const int[]){2, -1, 0}, 3, (const int[]){2, 1, 0});
    check_order((const int[]){1, 1, -1}, 3, (const int[]){1, 0, 2});
    check_order((const int[]){7, 0}, 2, (const int[]){1, 0});
}

static void running_out_of_memory_leaves_nothing_behind(void)
{
    const int64_t sizes[] = {100, 3 * PART};
    dt_error err;
    begin(sizes, 2, 2);
    dt_stage_plan_free(&plan);
    const int64_t before = dt_alloc_live_blocks();
    for (int64_t n = 1; n < 20; n++) {
        dt_alloc_fail_after(n);
        const dt_status status = dt_stage_plan_make(&list, bits, n_nodes, NULL, &plan, &err);
        dt_alloc_fail_after(0);
        if (status == DT_OK) {
            DT_CHECK(n > 2);
            dt_stage_plan_free(&plan);
            break;
        }
        DT_CHECK_INT(status, DT_ERR_MEMORY);
        DT_CHECK_INT(dt_alloc_live_blocks(), before);
    }
}

static const dt_test tests[] = {
    DT_TEST(small_objects_share_batches_and_large_ones_are_cut),
    DT_TEST(a_batch_has_at_most_256_objects),
    DT_TEST(what_all_nodes_have_is_not_read),
    DT_TEST(what_one_node_has_comes_from_its_disk),
    DT_TEST(nodes_that_have_the_same_share_the_work),
    DT_TEST(a_split_is_balanced_and_mixes_the_classes),
    DT_TEST(nodes_in_another_order_keep_their_parts),
    DT_TEST(running_out_of_memory_leaves_nothing_behind),
};
DT_TEST_MAIN("launch/stage/plan", tests)
