/* The page of dtrain plan: what is in it, for usual plans, empty ones, and names that look like markup.
 * tests/program/plan_page_test.sh opens it in a browser. */
#include "launch/estimate/plan_page.h"

#include "core/base/alloc.h"
#include "tests/launch/estimate/plan_page_kit.h"
#include "tests/testing.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static dt_page_kit kit;

/* The page of kit.plan; the caller calls free(). */
static char *written(void)
{
    dt_error err = {0};
    const char *path = dt_test_path("%s/plan.html", dt_test_temp_dir());
    DT_REQUIRE(dt_plan_page_save(&kit.plan, path, &err) == DT_OK);
    char *text = dt_test_read_file(path, NULL);
    DT_REQUIRE(text);
    return text;
}

static int count(const char *text, const char *part)
{
    int n = 0;
    for (const char *s = text; (s = strstr(s, part)); s++)
        n++;
    return n;
}

static void each_chart_has_two_forms_and_a_table(void)
{
    static const char *const titles[] = {"Dollars against hours", "Dollars by instance",
                                         "One run on spot instances", "What limits the speed"};
    dt_page_kit_fill(&kit, false);
    char *text = written();
    for (size_t i = 0; i < sizeof titles / sizeof *titles; i++) {
        char part[128];
        snprintf(part, sizeof part, "-title\">%s</title>", titles[i]);
        DT_CHECK_INT(count(text, part), 2);
    }
    DT_CHECK_INT(count(text, "role=\"img\""), 8);
    DT_CHECK_INT(count(text, "<desc id="), 8);
    DT_CHECK_INT(count(text, "The same figures as a table"), 4);
    free(text);
}

static void the_recommended_choice_is_said_first(void)
{
    dt_page_kit_fill(&kit, false);
    char *text = written();
    DT_CHECK_CONTAINS(text,
                      "<h1>What it costs to train ResNet-50 on EC2</h1>\n<p class=\"lead\">The best value: "
                      "p4d.24xlarge on spot in us-east-1a, $10.80 in 2 h 10 min.</p>");
    DT_CHECK_CONTAINS(text, "<dd>1,281,167 \u00d7 90</dd>");
    DT_CHECK_CONTAINS(text, "<h3>Fastest</h3>\n<p class=\"choice\">4 \u00d7 p6-b200.48xlarge on demand</p>");
    DT_CHECK_CONTAINS(text, "95 of 100 runs: at most $13.71 and 5 h 16 min");
    DT_CHECK_CONTAINS(text, "<span class=\"word\">--spot</span>");
    free(text);
}

/* The front's line goes through every row on the front, and its points are the larger ones. */
static void the_front_goes_through_all_its_choices(void)
{
    int n_front = 0;
    dt_page_kit_fill(&kit, false);
    for (int64_t i = 0; i < kit.plan.n_possible; i++)
        n_front += kit.plan.rows[i].is_front;
    char *text = written(), *line = strstr(text, "<polyline class=\"curve front\" points=\"");
    DT_REQUIRE(line);
    line = strstr(line, "points=\"") + 8;
    line[strcspn(line, "\"")] = 0;
    DT_CHECK_INT(count(line, ","), n_front);
    DT_CHECK(n_front > 5);
    free(text);
}

static void a_bar_is_the_cheapest_offer_of_its_type(void)
{
    dt_page_kit_fill(&kit, false);
    char *text = written();
    DT_CHECK_INT(count(text, "\">$34.32</text>"), 2); /* one node on demand; two and four cost more */
    DT_CHECK_INT(count(text, "\">$10.80</text>"), 2);
    DT_CHECK_CONTAINS(
        text, "<tr><th scope=\"row\">p4d.24xlarge</th><td>us-east-1</td><td class=\"number\">34.32</td>");
    free(text);
}

/* The last number of the row of a table that ends before `end`. */
static double last_number(const char *text, const char *end)
{
    static const char cell[] = "<td class=\"number\">";
    const char *found = NULL;
    for (const char *s = text; (s = strstr(s, cell)) && s < end; s++)
        found = s + sizeof cell - 1;
    DT_REQUIRE(found);
    return strtod(found, NULL);
}

static void lost_work_is_not_counted_as_done(void)
{
    dt_page_kit_fill(&kit, false);
    char *text = written();
    const char *lost = strstr(text, "<td>training that is lost</td>");
    DT_REQUIRE(lost);
    const double before = last_number(text, lost), after = last_number(lost, strstr(lost, "</tr>"));
    DT_CHECK_MSG(before > 0 && before < 100 && after == before, "%g %% before, %g %% after", before, after);
    free(text);
}

/* The segments of the table are those of the drawing, and each wait begins with an interruption. */
static void a_run_has_a_marker_for_each_interruption(void)
{
    dt_page_kit_fill(&kit, false);
    for (int64_t i = 0; i < kit.plan.n_possible; i++) /* a run of days, with many interruptions */
        kit.plan.rows[i].is_best_value = strcmp(kit.plan.rows[i].instance->type, "g4dn.xlarge") == 0 &&
                                         kit.plan.rows[i].purchase == DT_PURCHASE_SPOT;
    char *text = written();
    const int n = count(text, "<td>waiting, unpaid</td>");
    DT_CHECK_MSG(n > 5, "%d interruptions", n);
    DT_CHECK_INT(count(text, "<g class=\"interruption\">"), 2 * n + 1); /* the legend has one */
    DT_CHECK_INT(count(text, "class=\"pause\""), 2 * n + 1);
    char part[64];
    snprintf(part, sizeof part, "%d interruptions; done after ", n);
    DT_CHECK_INT(count(text, part), 2);
    DT_CHECK_CONTAINS(text, "<td class=\"number\">100</td></tr>\n</tbody>");
    free(text);
}

static void the_tightest_stage_is_marked_and_no_other(void)
{
    static const struct {
        const char *type, *stage, *sentence;
    } cases[] = {
        {"p4d.24xlarge", "8 GPUs",
         "GPU is the tightest stage; without that limit the next one, decode, would allow 29,000"},
        {"g6e.xlarge", "decode",
         "decode is the tightest stage; without that limit the next one, GPU, would allow 1,853"},
    };
    for (size_t c = 0; c < 2; c++) {
        dt_page_kit_fill(&kit, false);
        for (int64_t i = 0; i < kit.plan.n_possible; i++)
            kit.plan.rows[i].is_best_value = strcmp(kit.plan.rows[i].instance->type, cases[c].type) == 0;
        char *text = written(), part[128];
        snprintf(part, sizeof part, "<th scope=\"row\">%s</th>", cases[c].stage);
        const char *row = strstr(text, part);
        DT_REQUIRE(row);
        DT_CHECK_CONTAINS(row, "the tightest");
        DT_CHECK(strstr(row, "the tightest") < strstr(row, "</tr>"));
        DT_CHECK_INT(count(text, "<g class=\"tightest\">"), 2);
        DT_CHECK_CONTAINS(text, cases[c].sentence);
        free(text);
    }
}

static void what_the_dollars_are_for_adds_up(void)
{
    dt_page_kit_fill(&kit, false);
    char *text = written(), *row = strstr(text, "<th scope=\"col\" class=\"number\">$ together</th>");
    DT_REQUIRE(row);
    DT_CHECK_CONTAINS(row, "<tbody>\n<tr><th scope=\"row\">p4d.24xlarge</th><td>spot</td>");
    double parts[6] = {0};
    int n = 0;
    for (const char *s = strstr(row, "<td>spot</td>"); n < 6 && (s = strstr(s, "\"number\">")); n++)
        parts[n] = strtod(s += 9, NULL);
    DT_CHECK_CLOSE(parts[0] + parts[1] + parts[2] + parts[3] + parts[4], parts[5], 0.02);
    DT_CHECK_CLOSE(parts[5], 10.80, 1e-9);
    *strstr(row, "</section>") = 0;
    DT_CHECK_INT(count(row, "</tr>"), 3); /* heading, and each choice once though two are recommended twice */
    free(text);
}

static void reasons_notes_and_sources_are_listed_once(void)
{
    dt_page_kit_fill(&kit, false);
    char *text = written();
    DT_CHECK_INT(count(text, "<td>everywhere</td><td>trn1 has no CUDA"), 1);
    DT_CHECK_INT(count(text, "<td>use1-az1, use1-az10</td><td>spot is as dear"), 1);
    DT_CHECK_INT(count(text, "<td>being retired: no region lists p3.2xlarge"), 1);
    DT_CHECK_CONTAINS(text, "<td class=\"number\">~365</td>");
    DT_CHECK_CONTAINS(text, "<td class=\"number\">24,736</td>");
    DT_CHECK_INT(count(text, "<li>Prices are 133 days old"), 1);
    DT_CHECK_CONTAINS(text, "third party: a source of the tests, 2026-07-20");
    DT_CHECK_CONTAINS(text, "133 days");
    free(text);
}

static void names_from_files_are_no_markup(void)
{
    dt_page_kit_fill(&kit, true);
    char *text = written();
    DT_CHECK_INT(count(text, "<script"), 0);
    DT_CHECK_INT(count(text, "x='"), 0);
    /* Charts, tables, tooltips, the excluded one's reason, the note, the source. */
    DT_CHECK(count(text, "&lt;script&gt;alert(1)&lt;/script&gt;&quot; x=&#39;&amp;") > 12);
    free(text);
}

static void a_plan_without_a_possible_row_says_why(void)
{
    dt_page_kit_fill(&kit, false);
    kit.plan.rows += kit.plan.n_possible;
    kit.plan.n_rows -= kit.plan.n_possible;
    kit.plan.n_possible = kit.plan.n_recommendations = 0;
    char *text = written();
    DT_CHECK_CONTAINS(text, "None of the instance types can run this training");
    DT_CHECK_CONTAINS(text, "trn1 has no CUDA");
    DT_CHECK_INT(count(text, "<svg"), 0);
    free(text);
}

/* One row, without any spread; and rates and times at the ends of what numbers can be. */
static void extreme_plans_give_pages_without_nan(void)
{
    static const double factors[] = {1, 1e-9, 1e12};
    for (size_t f = 0; f < sizeof factors / sizeof *factors; f++) {
        dt_page_kit_fill(&kit, false);
        kit.plan.n_possible = kit.plan.n_rows = f == 0 ? 1 : 20;
        kit.plan.n_recommendations = 0;
        for (int64_t i = 0; i < kit.plan.n_possible; i++) {
            dt_plan_row *row = &kit.plan.rows[i];
            row->hours_mean *= factors[f];
            row->hours_p95 *= factors[f];
            row->usd_mean *= factors[f];
            row->usd_p95 *= factors[f];
            row->outcome.finishes = false;
        }
        char *text = written();
        const char *main = strstr(text, "<main>");
        DT_CHECK_INT(count(main, "nan") + count(main, "\"inf") + count(main, "-inf"), 0);
        free(text);
    }
}

static void every_failing_allocation_is_an_error(void)
{
    const int64_t live = dt_alloc_live_blocks();
    const char *path = dt_test_path("%s/plan.html", dt_test_temp_dir());
    dt_page_kit_fill(&kit, false);
    int64_t i = 1;
    for (bool is_done = false; !is_done; i += 1 + i / 50) {
        dt_error err = {0};
        dt_alloc_fail_after(i);
        const dt_status status = dt_plan_page_save(&kit.plan, path, &err);
        dt_alloc_fail_after(0);
        DT_CHECK_INT(dt_alloc_live_blocks(), live);
        is_done = status == DT_OK;
        if (!is_done)
            DT_CHECK_INT(status, DT_ERR_MEMORY);
    }
    DT_CHECK(i > 100);
}

static const dt_test tests[] = {
    DT_TEST(each_chart_has_two_forms_and_a_table),      DT_TEST(the_recommended_choice_is_said_first),
    DT_TEST(the_front_goes_through_all_its_choices),    DT_TEST(a_bar_is_the_cheapest_offer_of_its_type),
    DT_TEST(lost_work_is_not_counted_as_done),          DT_TEST(a_run_has_a_marker_for_each_interruption),
    DT_TEST(the_tightest_stage_is_marked_and_no_other), DT_TEST(what_the_dollars_are_for_adds_up),
    DT_TEST(reasons_notes_and_sources_are_listed_once), DT_TEST(names_from_files_are_no_markup),
    DT_TEST(a_plan_without_a_possible_row_says_why),    DT_TEST(extreme_plans_give_pages_without_nan),
    DT_TEST(every_failing_allocation_is_an_error),
};
DT_TEST_MAIN("launch/estimate/plan_page", tests)
