/* Labels of charts: none overlaps another, however crowded the points are. */
#include "launch/show/labels.h"

#include "tests/testing.h"

#include <stdio.h>

#define FONT 13.0
static const dt_box frame = {50, 20, 850, 380};

/* No label leaves the frame, overlaps another or an obstacle. Returns how many are placed. */
static int check_placed(const dt_label *labels, int n, const dt_box *avoid, int n_avoid)
{
    int n_placed = 0;
    for (int i = 0; i < n; i++) {
        if (!labels[i].is_placed)
            continue;
        n_placed++;
        const dt_box *box = &labels[i].box;
        DT_CHECK(box->left >= frame.left && box->right <= frame.right && box->top >= frame.top &&
                 box->bottom <= frame.bottom);
        DT_CHECK(box->right - box->left >= dt_text_width(labels[i].text, FONT) - 1e-9);
        for (int k = 0; k < i; k++)
            DT_CHECK_MSG(!labels[k].is_placed || !dt_box_overlap(box, &labels[k].box), "labels %d and %d", k,
                         i);
        for (int k = 0; k < n_avoid; k++)
            DT_CHECK_MSG(!dt_box_overlap(box, &avoid[k]), "label %d and obstacle %d", i, k);
    }
    return n_placed;
}

static void a_lone_label_is_right_of_its_point(void)
{
    dt_label label = {.text = "p4d.24xlarge", .x = 400, .y = 200};
    dt_labels_place(&label, 1, FONT, &frame, NULL, 0);
    DT_CHECK_INT(check_placed(&label, 1, NULL, 0), 1);
    DT_CHECK(label.box.left > 400 && label.box.left < 415 && !label.has_leader);
    DT_CHECK_CLOSE((label.box.top + label.box.bottom) / 2, 200, 1e-9);
}

static void a_label_at_an_edge_stays_inside(void)
{
    dt_label labels[] = {{.text = "right", .x = 849, .y = 200},
                         {.text = "corner", .x = 849, .y = 21},
                         {.text = "left", .x = 51, .y = 379}};
    dt_labels_place(labels, 3, FONT, &frame, NULL, 0);
    DT_CHECK_INT(check_placed(labels, 3, NULL, 0), 3);
    DT_CHECK(labels[0].box.right < 849);
}

/* 40 points within 40 units, each with a marker: the first is placed, most are not, and none overlaps. */
static void crowded_labels_do_not_overlap(void)
{
    enum { N = 40 };
    float random[2 * N];
    dt_label labels[N];
    dt_box markers[N];
    char texts[N][32];
    for (int spread = 20; spread <= 320; spread *= 2) {
        dt_test_fill_random(random, 2 * N, (uint64_t)spread);
        for (int i = 0; i < N; i++) {
            snprintf(texts[i], sizeof texts[i], "%d x g6e.%dxlarge", 1 + i % 3, i);
            const double x = 450 + spread * (double)random[2 * i];
            const double y = 200 + spread * 0.5 * (double)random[2 * i + 1];
            labels[i] = (dt_label){.text = texts[i], .x = x, .y = y};
            markers[i] = (dt_box){x - 5, y - 5, x + 5, y + 5};
        }
        dt_labels_place(labels, N, FONT, &frame, markers, N);
        const int n = check_placed(labels, N, markers, N);
        DT_CHECK_MSG(n >= spread / 20 && n <= N, "%d of %d placed, spread over %d", n, N, spread);
    }
}

static void the_first_labels_have_precedence(void)
{
    dt_label labels[20];
    for (int i = 0; i < 20; i++)
        labels[i] = (dt_label){.text = "the same point", .x = 300, .y = 200};
    dt_labels_place(labels, 20, FONT, &frame, NULL, 0);
    const int n = check_placed(labels, 20, NULL, 0);
    DT_CHECK_MSG(n >= 4 && n < 20, "%d of 20 placed", n);
    DT_CHECK(labels[0].is_placed && !labels[0].has_leader && labels[1].is_placed && !labels[19].is_placed);
    DT_CHECK_CLOSE((labels[0].box.top + labels[0].box.bottom) / 2, 200, 1e-9);
}

static void a_label_far_from_its_point_has_a_leader(void)
{
    const dt_box wall = {380, 185, 550, 215};
    dt_label labels[2] = {{.text = "behind", .x = 400, .y = 200}, {.text = "free", .x = 100, .y = 100}};
    dt_labels_place(labels, 2, FONT, &frame, &wall, 1);
    DT_CHECK_INT(check_placed(labels, 2, &wall, 1), 2);
    DT_CHECK(labels[0].has_leader && !labels[1].has_leader);
}

static void a_text_wider_than_the_frame_is_not_placed(void)
{
    char text[200];
    snprintf(text, sizeof text, "%0180d", 0);
    dt_label label = {.text = text, .x = 400, .y = 200};
    dt_labels_place(&label, 1, FONT, &frame, NULL, 0);
    DT_CHECK(!label.is_placed);
}

static void widths_grow_with_the_text_and_count_characters_not_bytes(void)
{
    DT_CHECK_CLOSE(dt_text_width("", 10), 0, 1e-9);
    DT_CHECK(dt_text_width("mmm", 10) > dt_text_width("iii", 10));
    DT_CHECK_CLOSE(dt_text_width("\u00fc", 10), dt_text_width("\u2192", 10), 1e-9);
    DT_CHECK_CLOSE(dt_text_width("12", 26), 2 * dt_text_width("12", 13), 1e-9);
}

static const dt_test tests[] = {
    DT_TEST(a_lone_label_is_right_of_its_point),
    DT_TEST(a_label_at_an_edge_stays_inside),
    DT_TEST(crowded_labels_do_not_overlap),
    DT_TEST(the_first_labels_have_precedence),
    DT_TEST(a_label_far_from_its_point_has_a_leader),
    DT_TEST(a_text_wider_than_the_frame_is_not_placed),
    DT_TEST(widths_grow_with_the_text_and_count_characters_not_bytes),
};
DT_TEST_MAIN("launch/show/labels", tests)
