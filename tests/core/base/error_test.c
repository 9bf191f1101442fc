/* Errors: messages, prefixes, exit codes. */
#include "core/base/error.h"
#include "tests/testing.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

static char long_text[2 * DT_ERROR_MESSAGE_BYTES];

static void fail_fills_status_file_line_and_message(void)
{
    dt_error err = {0};
    const int line = __LINE__ + 1;
    DT_CHECK_INT(dt_fail(&err, DT_ERR_FORMAT, "%s: %d bytes", "a.jpg", 7), DT_ERR_FORMAT);
    DT_CHECK_INT(err.status, DT_ERR_FORMAT);
    DT_CHECK_INT(err.line, line);
    DT_CHECK_CONTAINS(err.file, "error_test.c");
    DT_CHECK_STR(err.message, "a.jpg: 7 bytes");
}

static void without_an_error_struct_the_status_is_returned(void)
{
    errno = ENOSPC;
    DT_CHECK_INT(dt_fail(NULL, DT_ERR_COMM, "lost"), DT_ERR_COMM);
    DT_CHECK_INT(dt_fail_errno(NULL, "write"), DT_ERR_IO);
    DT_CHECK_INT(dt_error_prefix(NULL, "checkpoint"), DT_ERR_INTERNAL);
}

static void a_longer_message_is_cut_and_marked(void)
{
    struct {
        dt_error err;
        char guard[8];
    } s = {.guard = "guard"};
    dt_fail(&s.err, DT_ERR_IO, "%s", long_text);
    DT_CHECK_INT(strlen(s.err.message), DT_ERROR_MESSAGE_BYTES - 1);
    DT_CHECK_STR(s.err.message + DT_ERROR_MESSAGE_BYTES - 5, "x...");
    DT_CHECK_STR(s.guard, "guard");
}

static void a_message_that_just_fits_is_not_cut(void)
{
    dt_error err;
    dt_fail(&err, DT_ERR_IO, "%.*s", DT_ERROR_MESSAGE_BYTES - 1, long_text);
    DT_CHECK_INT(strlen(err.message), DT_ERROR_MESSAGE_BYTES - 1);
    DT_CHECK_STR(err.message + DT_ERROR_MESSAGE_BYTES - 5, "xxxx");
    dt_fail(&err, DT_ERR_IO, "%.*s", DT_ERROR_MESSAGE_BYTES, long_text); /* one more is */
    DT_CHECK_STR(err.message + DT_ERROR_MESSAGE_BYTES - 5, "x...");
}

static void an_argument_may_be_the_message_itself(void)
{
    dt_error err;
    dt_fail(&err, DT_ERR_IO, "no space");
    dt_fail(&err, DT_ERR_DATA, "rank 3: %s, and %s", err.message, err.message);
    DT_CHECK_STR(err.message, "rank 3: no space, and no space");
    dt_error_prefix(&err, "after \"%s\"", err.message);
    DT_CHECK_STR(err.message, "after \"rank 3: no space, and no space\": rank 3: no space, and no space");
}

static void errno_becomes_a_message_and_a_status(void)
{
    dt_error err;
    errno = ENOSPC;
    DT_CHECK_INT(dt_fail_errno(&err, "writing %s", "shard-0.h5"), DT_ERR_IO);
    DT_CHECK_STR(err.message, "writing shard-0.h5: No space left on device");
    errno = ENOMEM;
    DT_CHECK_INT(dt_fail_errno(&err, "mapping it"), DT_ERR_MEMORY);
    DT_CHECK_INT(err.status, DT_ERR_MEMORY);
}

static void a_prefix_keeps_status_file_and_line(void)
{
    dt_error err;
    const int line = __LINE__ + 1;
    dt_fail(&err, DT_ERR_IO, "no space");
    DT_CHECK_INT(dt_error_prefix(&err, "step %d", 12), DT_ERR_IO);
    DT_CHECK_STR(err.message, "step 12: no space");
    DT_CHECK_INT(err.line, line);
    DT_CHECK_INT(err.status, DT_ERR_IO);
}

static void an_error_is_of_one_rank_alone_until_it_is_shared(void)
{
    dt_error err = {.shared = true};
    dt_fail(&err, DT_ERR_IO, "no space");
    DT_CHECK(!err.shared);
    DT_CHECK_INT(dt_fail_shared(&err, DT_ERR_USAGE, "--lr: %s", "no"), DT_ERR_USAGE);
    DT_CHECK(err.shared);
    DT_CHECK_STR(err.message, "--lr: no");
    dt_error_prefix(&err, "a.conf:2");
    DT_CHECK(err.shared);
    errno = ENOSPC;
    dt_fail_errno(&err, "writing");
    DT_CHECK(!err.shared);
    DT_CHECK_INT(dt_fail_shared(NULL, DT_ERR_DATA, "x"), DT_ERR_DATA);
    DT_CHECK_INT(dt_error_share(&err, DT_ERR_IO), DT_ERR_IO);
    DT_CHECK(err.shared);
}

static void the_reason_survives_a_prefix_that_is_too_long(void)
{
    dt_error err;
    dt_fail(&err, DT_ERR_IO, "no space");
    dt_error_prefix(&err, "%s", long_text);
    DT_CHECK_INT(strlen(err.message), DT_ERROR_MESSAGE_BYTES - 1);
    DT_CHECK_STR(err.message + DT_ERROR_MESSAGE_BYTES - 1 - strlen("x: no space"), "x: no space");
    errno = EACCES;
    dt_fail_errno(&err, "%s", long_text);
    DT_CHECK_CONTAINS(err.message, ": Permission denied");
}

static void exit_codes_are_those_of_the_manual(void)
{
    for (int status = DT_OK; status <= DT_ERR_INTERNAL; status++) {
        const int expected = status == DT_OK                                         ? 0
                             : status == DT_ERR_USAGE                                ? 2
                             : status == DT_ERR_INTERRUPTED || status == DT_ERR_PEER ? 75
                                                                                     : 1;
        DT_CHECK_INT(dt_status_exit_code((dt_status)status), expected);
    }
}

static void every_status_has_a_name_of_its_own(void)
{
    for (int a = DT_OK; a <= DT_ERR_INTERNAL; a++) {
        DT_CHECK(strcmp(dt_status_name((dt_status)a), "unknown") != 0);
        for (int b = DT_OK; b < a; b++)
            DT_CHECK(strcmp(dt_status_name((dt_status)a), dt_status_name((dt_status)b)) != 0);
    }
}

static dt_status tries(dt_status first, bool *went_on)
{
    DT_TRY(first);
    *went_on = true;
    return DT_OK;
}

static dt_status tries_and_unwinds(dt_status first, bool *unwound)
{
    dt_status status;
    DT_TRY_OR_FAIL(status, first);
    return DT_OK;
fail:
    *unwound = true;
    return status;
}

static void try_returns_at_the_first_failure(void)
{
    bool went_on = false, unwound = false;
    DT_CHECK_INT(tries(DT_ERR_DATA, &went_on), DT_ERR_DATA);
    DT_CHECK(!went_on);
    DT_CHECK_INT(tries(DT_OK, &went_on), DT_OK);
    DT_CHECK(went_on);
    DT_CHECK_INT(tries_and_unwinds(DT_OK, &unwound), DT_OK);
    DT_CHECK(!unwound);
    DT_CHECK_INT(tries_and_unwinds(DT_ERR_DATA, &unwound), DT_ERR_DATA);
    DT_CHECK(unwound);
}

void dt_test_set_up(void)
{
    memset(long_text, 'x', sizeof long_text - 1);
}

static const dt_test tests[] = {
    DT_TEST(fail_fills_status_file_line_and_message),
    DT_TEST(without_an_error_struct_the_status_is_returned),
    DT_TEST(a_longer_message_is_cut_and_marked),
    DT_TEST(a_message_that_just_fits_is_not_cut),
    DT_TEST(an_argument_may_be_the_message_itself),
    DT_TEST(errno_becomes_a_message_and_a_status),
    DT_TEST(a_prefix_keeps_status_file_and_line),
    DT_TEST(an_error_is_of_one_rank_alone_until_it_is_shared),
    DT_TEST(the_reason_survives_a_prefix_that_is_too_long),
    DT_TEST(exit_codes_are_those_of_the_manual),
    DT_TEST(every_status_has_a_name_of_its_own),
    DT_TEST(try_returns_at_the_first_failure),
};

DT_TEST_MAIN("core/base/error", tests)
