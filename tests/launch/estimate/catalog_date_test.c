/* Dates of the planner's data. */
#include "launch/estimate/catalog_date.h"

#include "tests/testing.h"

static void days_are_counted_from_1970(void)
{
    int day = -1;
    DT_CHECK(dt_catalog_day("1970-01-01", &day));
    DT_CHECK_INT(day, 0);
    DT_CHECK(dt_catalog_day("2000-02-29", &day));
    DT_CHECK_INT(day, 11016); /* date -u -d 2000-02-29 +%s, by 86400 */
    DT_CHECK(dt_catalog_day("2026-11-30", &day));
    DT_CHECK_INT(day, 20787);
    DT_CHECK(dt_catalog_day("2101-01-01", &day));
    DT_CHECK_INT(day, 47847);
}

static void what_is_no_day_of_the_calendar_is_refused(void)
{
    static const char *const bad[] = {"",           "2026",       "2026-11",     "2026-11-31", "2026-02-29",
                                      "2100-02-29", "2026-00-10", "2026-13-10",  "2026-11-00", "2026/11/30",
                                      "2026-11/30", "2026-1-030", "2026-11-30 ", "x026-11-30", "1969-12-31",
                                      "2026-11-3x"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        int day = -1;
        DT_CHECK_MSG(!dt_catalog_day(bad[i], &day) && day == -1, "'%s'", bad[i]);
    }
}

static void a_date_may_be_a_month_or_a_year(void)
{
    static const char *const good[] = {"2026", "1970", "2026-11", "2026-01", "2026-12-31"};
    static const char *const bad[] = {"",       "26",      "1969",    "20x6",      "2026-",
                                      "2026-1", "2026-13", "2026-00", "2026-02-30"};
    for (size_t i = 0; i < sizeof good / sizeof *good; i++)
        DT_CHECK_MSG(dt_catalog_is_date(good[i]), "'%s'", good[i]);
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        DT_CHECK_MSG(!dt_catalog_is_date(bad[i]), "'%s'", bad[i]);
}

static const dt_test tests[] = {
    DT_TEST(days_are_counted_from_1970),
    DT_TEST(what_is_no_day_of_the_calendar_is_refused),
    DT_TEST(a_date_may_be_a_month_or_a_year),
};
DT_TEST_MAIN("launch/estimate/catalog_date", tests)
