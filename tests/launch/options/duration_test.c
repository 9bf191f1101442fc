/* Durations, also in Slurm's notation. */
#include "launch/options/duration.h"

#include "tests/testing.h"

#include <stdio.h>

static void durations_are_parsed(void)
{
    static const struct {
        const char *text;
        double seconds;
        const char *again;
    } cases[] = {
        {"0", 0, "0"},
        {"90", 90, "1m30s"},
        {"7.5", 7.5, "7.500s"},
        {"45s", 45, "45s"},
        {"0.25", 0.25, "0.250s"},
        {"0.001", 0.001, "0.001s"},
        {"00000000000000000061", 61, "1m1s"}, /* 20 digits */
        {"30m", 1800, "30m"},
        {"2h", 7200, "2h"},
        {"1.5h", 5400, "1h30m"},
        {"1h30m", 5400, "1h30m"},
        {"1d2h3m4s", 93784, "1d2h3m4s"},
        {"30:00", 1800, "30m"},
        {"90:05", 5405, "1h30m5s"},
        {"1:30:00", 5400, "1h30m"},
        {"0:30", 30, "30s"},
        {"1-12", 129600, "1d12h"},
        {"1-12:30", 131400, "1d12h30m"},
        {"2-00:00:01", 172801, "2d1s"},
        {"3650d", 315360000, "3650d"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        double seconds = -1.0, again = -1.0;
        char text[64];
        DT_CHECK_MSG(dt_duration_parse(cases[i].text, &seconds), "%s", cases[i].text);
        DT_CHECK_CLOSE(seconds, cases[i].seconds, 0);
        dt_duration_format(seconds, text, sizeof text);
        DT_CHECK_STR(text, cases[i].again);
        DT_CHECK(dt_duration_parse(text, &again) && again == seconds);
    }
}

static void other_texts_are_refused(void)
{
    static const char *const cases[] = {"",
                                        " ",
                                        "h",
                                        "1x",
                                        "1h2h",
                                        "30m1h",
                                        "1h ",
                                        " 1",
                                        "-5",
                                        "1-",
                                        "-1:00",
                                        "1:",
                                        ":30",
                                        "1::2",
                                        "1:60",
                                        "1:2:3:4",
                                        "1-2:3:4:5",
                                        "1e3",
                                        "inf",
                                        "nan",
                                        "0x10",
                                        "000000000000000000061",
                                        "1.2.3",
                                        "1.5:00",
                                        "1h30",
                                        "1-12h",
                                        "UNLIMITED",
                                        "36501d",
                                        "99999999999999999999999"};
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        double seconds = 7.0;
        DT_CHECK_MSG(!dt_duration_parse(cases[i], &seconds) && seconds == 7.0, "'%s' was read as %g",
                     cases[i], seconds);
    }
}

static const dt_test tests[] = {
    DT_TEST(durations_are_parsed),
    DT_TEST(other_texts_are_refused),
};
DT_TEST_MAIN("launch/duration", tests)
