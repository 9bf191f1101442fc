/* HTML pages: the writer escapes text from outside, never leaves a half-written file, and uses colours with
 * enough contrast in light and dark. */
#include "launch/show/html.h"

#include "core/base/alloc.h"
#include "tests/testing.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const dt_html_column columns[] = {{"Choice <b>", false}, {"$ \"mean\"", true}};

/* The caller destroys the page. */
static dt_html *begin(const char *title)
{
    dt_html *page = NULL;
    DT_REQUIRE(dt_html_create(title, &page, NULL) == DT_OK);
    return page;
}

static const char *text_of(dt_html *page)
{
    static const char *text; /* GCC 12 takes a local one for what the text points to */
    DT_REQUIRE(dt_html_finish(page, &text, NULL) == DT_OK);
    return text;
}

static void text_from_outside_is_escaped_everywhere(void)
{
    static const char hostile[] = "<script>alert('x')</script>\" onload=\"y & z";
    static const char escaped[] =
        "&lt;script&gt;alert(&#39;x&#39;)&lt;/script&gt;&quot; onload=&quot;y &amp; z";
    dt_html *page = begin(hostile);
    dt_html_text(page, "%s", hostile);
    dt_html_element(page, "p", "note", "%s", hostile);
    dt_html_table_begin(page, hostile, columns, 2);
    dt_html_row(page, (const char *const[]){hostile, hostile});
    dt_html_table_end(page);
    const char *text = text_of(page);
    DT_CHECK(strstr(text, "<script") == NULL);
    DT_CHECK(strstr(text, "\" onload") == NULL);
    int n = 0;
    for (const char *s = text; (s = strstr(s, escaped)); s++)
        n++;
    DT_CHECK_INT(n, 7); /* title, text, element, region, caption, two cells */
    DT_CHECK_CONTAINS(text, "Choice &lt;b&gt;");
    dt_html_destroy(page);
}

static void control_characters_and_broken_utf8_are_shown_as_text(void)
{
    dt_html *page = begin("t");
    dt_html_element(page, "p", NULL, "%s", "a\x1b[2J\x01 \xff \u202e \u00fc");
    DT_CHECK_CONTAINS(text_of(page), "<p>a\\x1b[2J\\x01 \\xff \\u{202e} \u00fc</p>");
    dt_html_destroy(page);
}

static void a_page_is_complete_and_asks_for_nothing(void)
{
    dt_html *page = begin("A plan");
    dt_html_element(page, "h1", NULL, "%s", "A plan");
    const char *text = text_of(page);
    DT_CHECK(strncmp(text, "<!DOCTYPE html>\n<html lang=\"en\">", 32) == 0);
    DT_CHECK_CONTAINS(text, "<title>A plan</title>");
    DT_CHECK_CONTAINS(text, "name=\"viewport\"");
    DT_CHECK_CONTAINS(text, "\"Content-Security-Policy\" content=\"default-src 'none'; ");
    DT_CHECK_CONTAINS(text, "</main>\n</body>\n</html>\n");
    static const char *const requests[] = {"http:", "https:",  "src=",      "@import",
                                           "url(",  "<script", "@font-face"};
    for (size_t i = 0; i < sizeof requests / sizeof *requests; i++)
        DT_CHECK_MSG(strstr(text, requests[i]) == NULL, "the page has %s", requests[i]);
    DT_CHECK_STR(text_of(page), text); /* a second end adds nothing */
    dt_html_destroy(page);
}

static void a_table_has_a_caption_and_headings_for_rows_and_columns(void)
{
    dt_html *page = begin("t");
    dt_html_figures_begin(page, "Dollars", columns, 2);
    dt_html_row(page, (const char *const[]){"g5.xlarge", "51"});
    dt_html_row(page, (const char *const[]){"p3.2xlarge", NULL});
    dt_html_figures_end(page);
    const char *text = text_of(page);
    DT_CHECK_CONTAINS(text, "<details><summary>The same figures as a table</summary>");
    DT_CHECK_CONTAINS(text, "aria-label=\"Dollars\"><table>\n<caption>Dollars</caption>");
    DT_CHECK_CONTAINS(text, "<th scope=\"col\" class=\"number\">$ &quot;mean&quot;</th></tr></thead>");
    DT_CHECK_CONTAINS(text, "<tr><th scope=\"row\">g5.xlarge</th><td class=\"number\">51</td></tr>\n");
    DT_CHECK_CONTAINS(text, "<tr><th scope=\"row\">p3.2xlarge</th><td class=\"number\"></td></tr>\n");
    DT_CHECK_CONTAINS(text, "</tbody></table></div>\n</details>\n");
    dt_html_destroy(page);
}

static void a_saved_page_replaces_the_older_one(void)
{
    const char *path = dt_test_path("%s/plan.html", dt_test_temp_dir());
    dt_test_write_file(path, "old", 3);
    dt_html *page = begin("new");
    DT_CHECK_INT(dt_html_save(page, path, NULL), DT_OK);
    char *saved = dt_test_read_file(path, NULL);
    DT_CHECK_STR(saved, text_of(page));
    DT_CHECK(access(dt_test_path("%s.tmp", path), F_OK) != 0);
    free(saved);
    dt_html_destroy(page);
}

static void a_page_that_cannot_be_written_leaves_the_older_one(void)
{
    dt_error err = {0};
    const char *path = dt_test_path("%s/plan.html", dt_test_temp_dir());
    dt_test_write_file(path, "old", 3);
    DT_REQUIRE(mkdir(dt_test_path("%s.tmp", path), 0700) == 0);
    dt_html *page = begin("new");
    DT_CHECK(dt_html_save(page, path, &err) != DT_OK);
    DT_CHECK_CONTAINS(err.message, "plan.html.tmp");
    char *saved = dt_test_read_file(path, NULL);
    DT_CHECK_STR(saved, "old");
    free(saved);
    DT_CHECK_INT(dt_html_save(page, dt_test_temp_dir(), &err), DT_ERR_IO);
    DT_CHECK_CONTAINS(err.message, "is a folder; name a file");
    DT_CHECK_INT(dt_html_save(page, "/nowhere/plan.html", &err), DT_ERR_IO);
    DT_CHECK_CONTAINS(err.message, "/nowhere/plan.html");
    dt_html_destroy(page);
}

static void every_failing_allocation_is_an_error(void)
{
    const int64_t live = dt_alloc_live_blocks();
    for (int64_t i = 1;; i++) {
        dt_html *page = NULL;
        const char *text = NULL;
        dt_error err = {0};
        dt_alloc_fail_after(i);
        dt_status status = dt_html_create("t", &page, &err);
        if (status == DT_OK) {
            dt_html_printf(page, "<g id=\"%d\">", 1);
            dt_html_element(page, "p", NULL, "%s", "text");
            dt_html_table_begin(page, "c", columns, 2);
            dt_html_row(page, (const char *const[]){"a", "b"});
            dt_html_table_end(page);
            status = dt_html_finish(page, &text, &err);
        }
        dt_alloc_fail_after(0);
        dt_html_destroy(page);
        DT_CHECK_INT(dt_alloc_live_blocks(), live);
        if (status == DT_OK)
            break;
        DT_CHECK_INT(status, DT_ERR_MEMORY);
        DT_CHECK_CONTAINS(err.message, "out of memory");
        DT_REQUIRE(i < 500);
    }
}

/* -- contrast -------------------------------------------------------------------------------------------- */

/* The relative luminance of the colour that `name` has in this part of the style (WCAG 2.2). */
static double luminance(const char *part, const char *name)
{
    const char *s = strstr(part, name);
    unsigned red = 0, green = 0, blue = 0;
    DT_CHECK_MSG(s && sscanf(s + strlen(name), " #%2x%2x%2x", &red, &green, &blue) == 3, "no colour %s",
                 name);
    double value = 0;
    const double shares[] = {0.2126, 0.7152, 0.0722}, levels[] = {red, green, blue};
    for (int i = 0; i < 3; i++) {
        const double level = levels[i] / 255;
        value += shares[i] * (level <= 0.04045 ? level / 12.92 : pow((level + 0.055) / 1.055, 2.4));
    }
    return value;
}

static void check_contrast(const char *part, const char *theme, const char *front, const char *back,
                           double least)
{
    const double a = luminance(part, front), b = luminance(part, back);
    const double contrast = (fmax(a, b) + 0.05) / (fmin(a, b) + 0.05);
    DT_CHECK_MSG(contrast >= least, "%s: %s on %s has %.2f to 1, not %.1f", theme, front, back, contrast,
                 least);
}

static void texts_and_lines_can_be_told_from_their_ground_in_both_themes(void)
{
    static const char *const texts[] = {"--ink:", "--muted:", "--on-demand:"};
    static const char *const lines[] = {
        "--line:", "--on-demand:", "--spot:", "--mixed:", "--front:", "--warning:"};
    static const char *const grounds[] = {"--bg:", "--panel:"};
    dt_html *page = begin("t");
    const char *light = strstr(text_of(page), ":root {"),
               *dark = strstr(text_of(page), "(prefers-color-scheme: dark)");
    DT_REQUIRE(light && dark && light < dark);
    for (int theme = 0; theme < 2; theme++)
        for (int g = 0; g < 2; g++) {
            for (size_t i = 0; i < sizeof texts / sizeof *texts; i++)
                check_contrast(theme ? dark : light, theme ? "dark" : "light", texts[i], grounds[g], 4.5);
            for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
                check_contrast(theme ? dark : light, theme ? "dark" : "light", lines[i], grounds[g], 3);
        }
    dt_html_destroy(page);
}

static const dt_test tests[] = {
    DT_TEST(text_from_outside_is_escaped_everywhere),
    DT_TEST(control_characters_and_broken_utf8_are_shown_as_text),
    DT_TEST(a_page_is_complete_and_asks_for_nothing),
    DT_TEST(a_table_has_a_caption_and_headings_for_rows_and_columns),
    DT_TEST(a_saved_page_replaces_the_older_one),
    DT_TEST(a_page_that_cannot_be_written_leaves_the_older_one),
    DT_TEST(every_failing_allocation_is_an_error),
    DT_TEST(texts_and_lines_can_be_told_from_their_ground_in_both_themes),
};
DT_TEST_MAIN("launch/show/html", tests)
