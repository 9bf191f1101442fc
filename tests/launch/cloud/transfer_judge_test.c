/* Which answers are worth another try, and after how long. */
#include "launch/cloud/transfer_wait.h"
#include "launch/cloud/transfers.h"
#include "tests/testing.h"

#include <math.h>

static dt_error err;

static void the_status_of_an_answer_decides(void)
{
    static const struct {
        int status;
        dt_transfer_verdict verdict;
    } rows[] = {{503, DT_TRANSFER_RETRY_SLOW}, {429, DT_TRANSFER_RETRY_SLOW}, {500, DT_TRANSFER_RETRY},
                {502, DT_TRANSFER_RETRY},      {504, DT_TRANSFER_RETRY},      {408, DT_TRANSFER_RETRY},
                {501, DT_TRANSFER_FAIL},       {400, DT_TRANSFER_FAIL},       {404, DT_TRANSFER_FAIL},
                {301, DT_TRANSFER_FAIL},       {412, DT_TRANSFER_FAIL},       {416, DT_TRANSFER_FAIL}};
    static dt_transfer_answer a;
    dt_transfer t = {.url = "http://h/x"};
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        a.status = rows[i].status;
        DT_CHECK_INT(dt_transfer_judge_http(&t, &a, &err), rows[i].verdict);
        DT_CHECK_CONTAINS(err.message, "http://h/x");
    }
}

/* Full jitter: anything from 0 to the limit, which doubles. */
static void waits_are_random_and_grow(void)
{
    static const double limits[] = {0.0, 0.5, 1.0, 2.0, 3.0, 3.0};
    for (int tries = 1; tries <= 5; tries++) {
        double least = INFINITY, most = 0.0;
        for (int i = 0; i < 1000; i++) {
            const double wait_s = dt_transfer_wait_s(tries, 0.5, 3.0);
            least = fmin(least, wait_s);
            most = fmax(most, wait_s);
        }
        DT_CHECK_MSG(least >= 0.0 && least < 0.1 * limits[tries], "%d tries: at least %g s", tries, least);
        DT_CHECK_MSG(most <= limits[tries] && most > 0.9 * limits[tries], "%d tries: at most %g s", tries,
                     most);
    }
}

static const dt_test tests[] = {
    DT_TEST(the_status_of_an_answer_decides),
    DT_TEST(waits_are_random_and_grow),
};
DT_TEST_MAIN("launch/cloud/transfer_judge", tests)
