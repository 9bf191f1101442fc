/* Drawings: titles and descriptions, escaped texts, and axes whose numbers do not overlap. */
#include "launch/show/svg.h"

#include "tests/testing.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const dt_box frame = {50, 20, 330, 220};

/* The caller destroys the page. */
static dt_html *begin(void)
{
    dt_html *page = NULL;
    DT_REQUIRE(dt_html_create("t", &page, NULL) == DT_OK);
    return page;
}

/* The drawing alone: what comes after <main>. */
static const char *drawn(dt_html *page)
{
    static const char *text; /* GCC 12 takes a local one for what the text points to */
    DT_REQUIRE(dt_html_finish(page, &text, NULL) == DT_OK);
    const char *main = strstr(text, "<main>\n");
    DT_REQUIRE(main);
    return main + 7;
}

static int count(const char *text, const char *part)
{
    int n = 0;
    for (const char *s = text; (s = strstr(s, part)); s++)
        n++;
    return n;
}

static void a_drawing_has_a_title_and_a_description(void)
{
    dt_html *page = begin();
    dt_svg_begin(page, "cost", "wide", 860, 420, "Dollars & hours", "from \"a\" to <b>");
    dt_svg_end(page);
    DT_CHECK_CONTAINS(drawn(page),
                      "<svg class=\"wide\" viewBox=\"0 0 860 420\" role=\"img\" aria-labelledby=\"cost-title "
                      "cost-desc\">\n"
                      "<title id=\"cost-title\">Dollars &amp; hours</title>\n"
                      "<desc id=\"cost-desc\">from &quot;a&quot; to &lt;b&gt;</desc>\n</svg>\n");
    dt_html_destroy(page);
}

static void texts_and_tooltips_are_escaped(void)
{
    dt_html *page = begin();
    dt_svg_group_begin(page, "spot", "<script>1</script>");
    dt_svg_text(page, "figure", DT_TEXT_END, 1.25, 2, "%s", "</text><script>");
    const dt_label label = {.text = "<i>", .x = 10, .y = 10, .is_placed = true, .box = {20, 2, 40, 18}};
    dt_svg_labels(page, &label, 1);
    dt_svg_group_end(page);
    const char *text = drawn(page);
    DT_CHECK(strstr(text, "<script") == NULL && strstr(text, "<i>") == NULL);
    DT_CHECK_CONTAINS(text, "<title>&lt;script&gt;1&lt;/script&gt;</title>");
    DT_CHECK_CONTAINS(text, "text-anchor=\"end\" x=\"1.2\" y=\"2.0\">&lt;/text&gt;&lt;script&gt;</text>");
    dt_html_destroy(page);
}

static void shapes_have_their_classes_and_positions(void)
{
    dt_html *page = begin();
    dt_svg_line(page, "grid", 1, 2, 3, 4);
    dt_svg_polyline(page, "curve", (const double[]){0, 1, 2, 3.5}, 2);
    dt_svg_hatch(page, "bars", "spot", "spot");
    dt_svg_rect(page, "bar", &(dt_box){10, 20, 30, 25}, "bars", "spot");
    dt_svg_rect(page, "bar", &(dt_box){30, 20, 10, 25}, NULL, NULL); /* no negative width */
    for (int m = DT_MARKER_CIRCLE; m <= DT_MARKER_TRIANGLE; m++)
        dt_svg_marker(page, (dt_marker)m, 5, 5, 4);
    const char *text = drawn(page);
    DT_CHECK_CONTAINS(text, "<line class=\"grid\" x1=\"1.0\" y1=\"2.0\" x2=\"3.0\" y2=\"4.0\"/>");
    DT_CHECK_CONTAINS(text, "<polyline class=\"curve\" points=\"0.0,1.0 2.0,3.5\"/>");
    DT_CHECK_CONTAINS(text, "<pattern id=\"bars-spot\" class=\"hatch spot\"");
    DT_CHECK_CONTAINS(text,
                      "x=\"10.0\" y=\"20.0\" width=\"20.0\" height=\"5.0\" style=\"fill:url(#bars-spot)\"/>");
    DT_CHECK_CONTAINS(text, "x=\"30.0\" y=\"20.0\" width=\"0.0\" height=\"5.0\"/>");
    DT_CHECK_INT(count(text, "class=\"marker\""), 4);
    dt_html_destroy(page);
}

/* The places of the ticks' numbers, which are texts of the class "tick", in the order of the drawing. */
static int read_ticks(const char *text, bool is_bottom, dt_box *boxes, char names[][32])
{
    int n = 0;
    for (const char *s = text; (s = strstr(s, "<text class=\"tick\"")); s++) {
        double x = 0, y = 0;
        DT_REQUIRE(sscanf(strstr(s, " x=\""), " x=\"%lf\" y=\"%lf\">%31[^<]", &x, &y, names[n]) == 3);
        const double half = dt_text_width(names[n], DT_SVG_FONT_SIZE) / 2;
        boxes[n] = is_bottom ? (dt_box){x - half, 0, x + half, 1}
                             : (dt_box){0, y - DT_SVG_FONT_SIZE / 2, 1, y + DT_SVG_FONT_SIZE / 2};
        n++;
    }
    return n;
}

static void check_axis(const dt_axis *axis, bool is_bottom, int least)
{
    dt_box boxes[DT_AXIS_MAX_TICKS];
    char names[DT_AXIS_MAX_TICKS][32];
    dt_html *page = begin();
    if (is_bottom)
        dt_svg_axis_bottom(page, axis, &frame, "$", "dollars");
    else
        dt_svg_axis_left(page, axis, &frame, NULL, "hours");
    const char *text = drawn(page);
    DT_CHECK_INT(count(text, "class=\"grid\""), axis->n_ticks);
    const int n = read_ticks(text, is_bottom, boxes, names);
    DT_CHECK_MSG(n >= least, "%d of %d ticks have a number, not %d", n, axis->n_ticks, least);
    for (int i = 0; i < n; i++)
        for (int k = 0; k < i; k++)
            DT_CHECK_MSG(!dt_box_overlap(&boxes[i], &boxes[k]), "%s overlaps %s", names[i], names[k]);
    dt_html_destroy(page);
}

static void numbers_of_crowded_axes_do_not_overlap(void)
{
    static const double lows[] = {0.02, 1, 300};
    for (double decades = 0.2; decades < 9; decades += 0.3)
        for (int i = 0; i < 3; i++)
            for (int narrow = 0; narrow < 2; narrow++) {
                dt_axis axis;
                const double high = lows[i] * pow(10, decades);
                dt_axis_log(lows[i], high, frame.left, narrow ? 150 : frame.right, &axis);
                check_axis(&axis, true, 2);
                dt_axis_log(lows[i], high, frame.bottom, narrow ? 150 : frame.top, &axis);
                check_axis(&axis, false, 2);
                dt_axis_linear(0, high, frame.left, narrow ? 150 : frame.right, 20, &axis);
                check_axis(&axis, true, 2);
            }
}

static void powers_of_ten_keep_their_numbers_where_there_is_little_space(void)
{
    dt_axis axis;
    dt_axis_log(1, 1000, 0, 130, &axis); /* 1 2 5 10 ... 1,000, 13 units apart */
    dt_html *page = begin();
    dt_svg_axis_bottom(page, &axis, &frame, NULL, "hours");
    const char *text = drawn(page);
    DT_CHECK_CONTAINS(text, ">1</text>");
    DT_CHECK_CONTAINS(text, ">10</text>");
    DT_CHECK_CONTAINS(text, ">100</text>");
    DT_CHECK_CONTAINS(text, ">1,000</text>");
    DT_CHECK(strstr(text, ">500</text>") == NULL);
    dt_html_destroy(page);
}

static void the_width_of_an_axis_is_that_of_its_widest_number(void)
{
    dt_axis axis;
    dt_axis_log(0.2, 2000, 0, 100, &axis);
    DT_CHECK_CLOSE(dt_svg_axis_width(&axis, "$"), dt_text_width("$2,000", DT_SVG_FONT_SIZE), 1e-9);
    DT_CHECK_CLOSE(dt_svg_axis_width(&axis, NULL), dt_text_width("2,000", DT_SVG_FONT_SIZE), 1e-9);
}

static void only_placed_labels_are_drawn_and_far_ones_have_a_leader(void)
{
    const dt_label labels[] = {
        {.text = "near", .x = 10, .y = 10, .is_placed = true, .box = {20, 2, 60, 18}},
        {.text = "far", .x = 10, .y = 10, .is_placed = true, .has_leader = true, .box = {50, 60, 80, 76}},
        {.text = "none", .x = 10, .y = 10},
    };
    dt_html *page = begin();
    dt_svg_labels(page, labels, 3);
    const char *text = drawn(page);
    DT_CHECK_CONTAINS(text, ">near</text>");
    DT_CHECK_CONTAINS(text, ">far</text>");
    DT_CHECK(strstr(text, ">none</text>") == NULL);
    DT_CHECK_INT(count(text, "class=\"leader\""), 1);
    DT_CHECK_CONTAINS(text, "x1=\"10.0\" y1=\"10.0\" x2=\"50.0\" y2=\"60.0\"");
    dt_html_destroy(page);
}

static const dt_test tests[] = {
    DT_TEST(a_drawing_has_a_title_and_a_description),
    DT_TEST(texts_and_tooltips_are_escaped),
    DT_TEST(shapes_have_their_classes_and_positions),
    DT_TEST(numbers_of_crowded_axes_do_not_overlap),
    DT_TEST(powers_of_ten_keep_their_numbers_where_there_is_little_space),
    DT_TEST(the_width_of_an_axis_is_that_of_its_widest_number),
    DT_TEST(only_placed_labels_are_drawn_and_far_ones_have_a_leader),
};
DT_TEST_MAIN("launch/show/svg", tests)
