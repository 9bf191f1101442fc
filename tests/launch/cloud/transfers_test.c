/* Transfers: what becomes of each answer, against a socket of the test. */
#include "launch/cloud/transfers.h"

#include "core/base/alloc.h"
#include "core/base/waits.h"
#include "tests/testing.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <unistd.h>

enum { MAX_ANSWERS = 8, REQUEST_BYTES = 2048 };

/* A server that reads a request on each connection, sends the next answer, and closes the connection. */
static struct {
    const char *answers[MAX_ANSWERS + 1];
    char requests[MAX_ANSWERS][REQUEST_BYTES];
    int n, listening;
    char url[64];
    pthread_t thread;
} server;

static void *serve(void *context)
{
    (void)context;
    for (server.n = 0; server.answers[server.n]; server.n++) {
        char *request = server.requests[server.n];
        const int connection = accept(server.listening, NULL, NULL);
        size_t used = 0;
        if (connection < 0)
            break;
        for (ssize_t got = 1; got > 0 && !strstr(request, "\r\n\r\n"); used += (size_t)got) {
            got = recv(connection, request + used, REQUEST_BYTES - 1 - used, 0);
            request[used + (size_t)(got > 0 ? got : 0)] = '\0';
        }
        (void)!send(connection, server.answers[server.n], strlen(server.answers[server.n]), MSG_NOSIGNAL);
        close(connection);
    }
    return NULL;
}

static void start(const char *const *answers)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    memset(&server, 0, sizeof server);
    for (int i = 0; answers[i]; i++)
        server.answers[i] = answers[i];
    server.listening = socket(AF_INET, SOCK_STREAM, 0);
    DT_REQUIRE(bind(server.listening, (struct sockaddr *)&address, sizeof address) == 0 &&
               listen(server.listening, 5) == 0);
    DT_REQUIRE(getsockname(server.listening, (struct sockaddr *)&address, &length) == 0);
    snprintf(server.url, sizeof server.url, "http://127.0.0.1:%d/file", ntohs(address.sin_port));
    DT_REQUIRE(pthread_create(&server.thread, NULL, serve, NULL) == 0);
}

static int stop(void)
{
    (void)shutdown(server.listening, SHUT_RDWR);
    pthread_join(server.thread, NULL);
    close(server.listening);
    return server.n;
}

/* -- one transfer ---------------------------------------------------------------------------------------- */

static dt_error err;
static struct {
    char buffer[64];
    dt_transfer transfer;
    int n_done, n_prepared;
    dt_status status;
    char message[1024], etag[80], checksum[80];
    int64_t object_bytes;
    dt_transfers_stats stats;
} r;

static dt_status done(dt_transfer *transfer, dt_status status, dt_error *e)
{
    r.n_done++;
    r.status = status;
    snprintf(r.message, sizeof r.message, "%s", e->message);
    if (transfer->answer) {
        snprintf(r.etag, sizeof r.etag, "%s", transfer->answer->etag);
        snprintf(r.checksum, sizeof r.checksum, "%s %s", transfer->answer->checksum_name,
                 transfer->answer->checksum);
        r.object_bytes = transfer->answer->object_bytes;
    }
    return DT_OK;
}

static dt_status prepare(dt_transfer *transfer, dt_transfer_request *request, dt_error *e)
{
    static char header[32];
    (void)e;
    snprintf(header, sizeof header, "x-try: %d", ++r.n_prepared);
    request->url = transfer->url;
    request->headers[request->n_headers++] = header;
    request->headers[request->n_headers++] = "x-more: yes";
    return DT_OK;
}

static const dt_transfers_options quick = {.wait_s = 0.01, .stall_s = 1.0, .max_tries = 3};

/* Runs one transfer against `answers`; returns how many requests the server has got. */
static int get(dt_transfer transfer, const char *const *answers)
{
    dt_transfers *t = NULL;
    memset(&r, 0, sizeof r);
    start(answers);
    r.transfer = transfer;
    r.transfer.url = server.url;
    r.transfer.buffer = r.buffer;
    r.transfer.done = done;
    DT_REQUIRE(dt_transfers_create(&quick, &t, &err) == DT_OK);
    dt_transfers_add(t, &r.transfer);
    DT_CHECK_INT(dt_transfers_left(t), 1);
    DT_CHECK_INT(dt_transfers_finish(t, &err), DT_OK);
    DT_CHECK_INT(r.n_done, 1);
    dt_transfers_get_stats(t, &r.stats);
    dt_transfers_destroy(t);
    return stop();
}

#define GET(transfer, ...) get(transfer, (const char *const[]){__VA_ARGS__, NULL})
#define PART(from, n) ((dt_transfer){.kind = DT_TRANSFER_RANGE, .offset = (from), .bytes = (n)})
#define ANSWER(status, headers, body) "HTTP/1.1 " status "\r\nConnection: close\r\n" headers "\r\n" body
#define BUSY ANSWER("503 Slow Down", "Content-Length: 4\r\n", "wait")
#define FAULT ANSWER("500 Oops", "Content-Length: 0\r\n", "")
#define NEED_CURL()                                                                                          \
    do {                                                                                                     \
        if (!dt_transfers_are_built_in())                                                                    \
            DT_SKIP("this build has no libcurl");                                                            \
    } while (0)

static void a_range_goes_into_the_buffer(void)
{
    NEED_CURL();
    DT_CHECK_INT(
        GET(PART(100, 5), ANSWER("206 Partial",
                                 "Content-Range: bytes 100-104/1000\r\nContent-Length: 5\r\nETag: \"e\"\r\n"
                                 "x-amz-checksum-crc32: y/Q5Jg==\r\nx-amz-checksum-type: FULL_OBJECT\r\n",
                                 "hello")),
        1);
    DT_CHECK_INT(r.status, DT_OK);
    DT_CHECK_INT(r.transfer.received, 5);
    DT_CHECK_BYTES(r.buffer, "hello", 6);
    DT_CHECK_STR(r.etag, "\"e\"");
    DT_CHECK_STR(r.checksum, "crc32 y/Q5Jg==");
    DT_CHECK_INT(r.object_bytes, 1000);
    DT_CHECK_CONTAINS(server.requests[0], "Range: bytes=100-104\r\n");
}

static void a_busy_server_is_asked_again_and_gets_fewer_requests(void)
{
    NEED_CURL();
    DT_CHECK_INT(GET(((dt_transfer){.kind = DT_TRANSFER_WHOLE, .bytes = 2, .prepare = prepare}), BUSY, FAULT,
                     ANSWER("200 OK", "Content-Length: 2\r\n", "ok")),
                 3);
    DT_CHECK_INT(r.status, DT_OK);
    DT_CHECK_INT(r.stats.requests, 3);
    DT_CHECK_INT(r.stats.retries, 2);
    DT_CHECK_INT(r.stats.slow_downs, 1);
    DT_CHECK_INT(r.stats.width, 10);
    DT_CHECK_CONTAINS(server.requests[0], "x-try: 1\r\nx-more: yes\r\n"); /* prepare is called for each try */
    DT_CHECK_CONTAINS(server.requests[2], "x-try: 3\r\n");
    DT_CHECK(!strstr(server.requests[2], "Range:"));
}

static void a_cut_answer_goes_on_where_it_ended(void)
{
    NEED_CURL();
    DT_CHECK_INT(GET(PART(10, 8),
                     ANSWER("206 Partial", "Content-Range: bytes 10-17/30\r\nContent-Length: 8\r\n", "abcde"),
                     ANSWER("206 Partial", "Content-Range: bytes 15-16/30\r\nContent-Length: 2\r\n", "fg"),
                     ANSWER("206 Partial", "Content-Range: bytes 17-17/30\r\nContent-Length: 1\r\n", "h")),
                 3);
    DT_CHECK_INT(r.status, DT_OK);
    DT_CHECK_BYTES(r.buffer, "abcdefgh", 9);
    DT_CHECK_INT(r.stats.bytes, 8);
    DT_CHECK_CONTAINS(server.requests[1], "Range: bytes=15-17\r\n");
    DT_CHECK_CONTAINS(server.requests[2], "Range: bytes=17-17\r\n");
}

static void the_rest_of_a_whole_object_is_a_range(void)
{
    NEED_CURL();
    DT_CHECK_INT(GET(((dt_transfer){.kind = DT_TRANSFER_WHOLE, .bytes = 4}),
                     ANSWER("200 OK", "Content-Length: 4\r\nETag: \"1\"\r\n", "ab"),
                     ANSWER("206 Partial", "Content-Range: bytes 2-3/4\r\nETag: \"1\"\r\n", "cd")),
                 2);
    DT_CHECK_INT(r.status, DT_OK);
    DT_CHECK_BYTES(r.buffer, "abcd", 5);
    DT_CHECK_CONTAINS(server.requests[1], "Range: bytes=2-3\r\n");
}

static void an_object_that_changes_between_tries_is_an_error(void)
{
    NEED_CURL();
    DT_CHECK_INT(
        GET(((dt_transfer){.kind = DT_TRANSFER_WHOLE, .bytes = 4, .folder = "s3://b/", .name = "key"}),
            ANSWER("200 OK", "Content-Length: 4\r\nETag: \"1\"\r\n", "ab"),
            ANSWER("206 Partial", "Content-Range: bytes 2-3/4\r\nETag: \"2\"\r\n", "cd")),
        2);
    DT_CHECK_INT(r.status, DT_ERR_DATA);
    DT_CHECK_STR(r.message, "s3://b/key has changed while it was being read");
}

static void tries_end(void)
{
    NEED_CURL();
    DT_CHECK_INT(GET(PART(0, 4), FAULT, FAULT, FAULT, FAULT), 3);
    DT_CHECK_INT(r.status, DT_ERR_IO);
    DT_CHECK_CONTAINS(r.message, "the server answers 500");
    DT_CHECK_INT(r.stats.transfers, 0);
}

/* As long as each try brings something, they go on. */
static void tries_that_bring_bytes_do_not_count(void)
{
    NEED_CURL();
    DT_CHECK_INT(GET(PART(0, 5),
                     ANSWER("206 Partial", "Content-Range: bytes 0-4/5\r\nContent-Length: 5\r\n", "a"),
                     ANSWER("206 Partial", "Content-Range: bytes 1-4/5\r\nContent-Length: 4\r\n", "b"),
                     ANSWER("206 Partial", "Content-Range: bytes 2-4/5\r\nContent-Length: 3\r\n", "c"),
                     ANSWER("206 Partial", "Content-Range: bytes 3-4/5\r\nContent-Length: 2\r\n", "d"),
                     ANSWER("206 Partial", "Content-Range: bytes 4-4/5\r\nContent-Length: 1\r\n", "e")),
                 5);
    DT_CHECK_INT(r.status, DT_OK);
    DT_CHECK_BYTES(r.buffer, "abcde", 6);
}

static void refusals_are_not_repeated(void)
{
    static const struct {
        const char *answer, *message;
        dt_status status;
    } rows[] = {
        {ANSWER("404 Not Found", "Content-Length: 0\r\n", ""), "there is no such file", DT_ERR_USAGE},
        {ANSWER("403 Forbidden", "Content-Length: 0\r\n", ""), "does not allow it (403)", DT_ERR_USAGE},
        {ANSWER("416 Range", "Content-Length: 0\r\n", ""), "has changed", DT_ERR_DATA},
        {ANSWER("302 Found", "Location: /x\r\nContent-Length: 0\r\n", ""), "answers 302", DT_ERR_IO},
        {ANSWER("200 OK", "Content-Length: 10\r\n", "0123456789"), "does not send ranges", DT_ERR_IO},
        {ANSWER("206 Partial", "Content-Range: bytes 4-7/10\r\n", "4567"), "another range", DT_ERR_IO},
        {ANSWER("206 Partial", "Content-Range: bytes 5-12/20\r\n", "56789012"), "longer than", DT_ERR_IO},
        {ANSWER("206 Partial", "Content-Range: bytes 5-6/7\r\nContent-Length: 2\r\n", "56"),
         "has 7 bytes, and should", DT_ERR_DATA},
    };
    NEED_CURL();
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        DT_CHECK_INT(GET(PART(5, 4), rows[i].answer), 1);
        DT_CHECK_INT(r.status, rows[i].status);
        DT_CHECK_CONTAINS(r.message, rows[i].message);
    }
}

static void redirections_are_followed_where_the_caller_wants_it(void)
{
    NEED_CURL();
    dt_transfer t = PART(5, 2);
    t.follows_redirects = true;
    DT_CHECK_INT(GET(t,
                     ANSWER("302 Found", "Location: /x\r\nETag: \"wrong\"\r\nContent-Length: 3\r\n", "not"),
                     ANSWER("206 Partial", "Content-Range: bytes 5-6/9\r\n", "56")),
                 2);
    DT_CHECK_INT(r.status, DT_OK);
    DT_CHECK_STR(r.etag, "");
    DT_CHECK_CONTAINS(server.requests[1], "GET /x HTTP/1.1\r\n");
    DT_CHECK_CONTAINS(server.requests[1], "Range: bytes=5-6\r\n");
}

static void texts_and_headers_have_any_length(void)
{
    NEED_CURL();
    DT_CHECK_INT(GET(((dt_transfer){.kind = DT_TRANSFER_TEXT, .bytes = 64}),
                     ANSWER("200 OK", "Content-Length: 9\r\n", "abc"), ANSWER("200 OK", "", "abcdef")),
                 2);
    DT_CHECK_INT(r.status, DT_OK);
    DT_CHECK_INT(r.transfer.received, 6);
    DT_CHECK_BYTES(r.buffer, "abcdef", 6); /* a text is read again from its beginning */
    DT_CHECK_INT(GET(((dt_transfer){.kind = DT_TRANSFER_TEXT, .bytes = 5}), ANSWER("200 OK", "", "abcdef")),
                 1);
    DT_CHECK_CONTAINS(r.message, "longer than");
    DT_CHECK_INT(GET(((dt_transfer){.kind = DT_TRANSFER_HEAD}),
                     ANSWER("200 OK", "Content-Length: 5000000000\r\n", "")),
                 1);
    DT_CHECK_INT(r.status, DT_OK);
    DT_CHECK_INT(r.object_bytes, 5000000000);
    DT_CHECK_CONTAINS(server.requests[0], "HEAD /file");
}

/* -- the engine ------------------------------------------------------------------------------------------ */

static void a_server_that_is_not_there_is_an_error_soon(void)
{
    NEED_CURL();
    dt_transfers *t = NULL;
    const dt_transfers_options many = {.wait_s = 0.01, .max_tries = 1000};
    memset(&r, 0, sizeof r);
    r.transfer = PART(0, 1);
    r.transfer.url = "http://127.0.0.1:1/";
    r.transfer.buffer = r.buffer;
    r.transfer.done = done;
    DT_REQUIRE(dt_transfers_create(&many, &t, &err) == DT_OK);
    dt_transfers_add(t, &r.transfer);
    DT_CHECK_INT(dt_transfers_finish(t, &err), DT_OK);
    DT_CHECK_INT(r.status, DT_ERR_IO);
    DT_CHECK_CONTAINS(r.message, "http://127.0.0.1:1/: ");
    dt_transfers_destroy(t);
}

static const char *sigterm(void *context)
{
    (void)context;
    return "SIGTERM";
}

static dt_status refuse(dt_transfer *transfer, dt_status status, dt_error *e)
{
    (void)transfer;
    return dt_fail(e, DT_ERR_USAGE, "no more, after status %d", (int)status);
}

static void stops_and_errors_of_the_caller_end_it(void)
{
    NEED_CURL();
    dt_transfers *t = NULL;
    DT_REQUIRE(dt_transfers_create(&quick, &t, &err) == DT_OK);
    r.transfer = PART(0, 1);
    r.transfer.url = "http://127.0.0.1:1/";
    r.transfer.buffer = r.buffer;
    r.transfer.done = refuse;
    dt_transfers_add(t, &r.transfer);
    dt_waits_set_stop(sigterm, NULL);
    DT_CHECK_INT(dt_transfers_finish(t, &err), DT_ERR_INTERRUPTED);
    DT_CHECK_CONTAINS(err.message, "stopped on SIGTERM");
    dt_waits_set_stop(NULL, NULL);
    DT_CHECK_INT(dt_transfers_finish(t, &err), DT_ERR_USAGE);
    DT_CHECK_CONTAINS(err.message, "no more, after status");
    dt_transfers_destroy(t);
}

static void another_thread_can_wake_it(void)
{
    NEED_CURL();
    dt_transfers *t = NULL;
    DT_REQUIRE(dt_transfers_create(&(dt_transfers_options){.max_connections = 4}, &t, &err) == DT_OK);
    DT_CHECK_INT(dt_transfers_wanted(t), 7);
    DT_CHECK_INT(dt_transfers_most(t), 7);
    start((const char *const[]){FAULT, NULL}); /* the second try waits for ever */
    r.transfer = PART(0, 1);
    r.transfer.url = server.url;
    r.transfer.buffer = r.buffer;
    r.transfer.done = done;
    dt_transfers_add(t, &r.transfer);
    dt_transfers_wake(t);
    DT_CHECK_INT(dt_transfers_run(t, 60.0, &err), DT_OK); /* the test's limit of time ends a wait */
    DT_CHECK_INT(dt_transfers_left(t), 1);
    dt_transfers_destroy(t);
    (void)stop();
}

static void an_engine_that_cannot_be_made_leaves_nothing(void)
{
    NEED_CURL();
    dt_transfers *t = NULL;
    dt_status status = DT_ERR_MEMORY;
    const int64_t live = dt_alloc_live_blocks();
    for (int n = 1; status == DT_ERR_MEMORY && n < 20; n++) {
        dt_alloc_fail_after(n);
        status = dt_transfers_create(&quick, &t, &err);
        if (status == DT_OK) {
            r.transfer = PART(0, 1);
            r.transfer.url = "http://127.0.0.1:1/";
            r.transfer.buffer = r.buffer;
            r.transfer.done = done;
            dt_transfers_add(t, &r.transfer);
            status = dt_transfers_run(t, 0.0, &err);
            dt_transfers_destroy(t); /* with a transfer under way */
        }
        dt_alloc_fail_after(0);
        DT_CHECK_INT(dt_alloc_live_blocks(), live);
    }
    DT_CHECK_INT(status, DT_OK);
}

static void a_build_without_libcurl_says_so(void)
{
    dt_transfers *t = NULL;
    if (dt_transfers_are_built_in())
        DT_SKIP("this build has libcurl");
    DT_CHECK_INT(dt_transfers_create(&quick, &t, &err), DT_ERR_UNSUPPORTED);
    DT_CHECK_CONTAINS(err.message, "libcurl");
    DT_CHECK(!dt_transfers_can_sign());
}

static const dt_test tests[] = {
    DT_TEST(a_range_goes_into_the_buffer),
    DT_TEST(a_busy_server_is_asked_again_and_gets_fewer_requests),
    DT_TEST(a_cut_answer_goes_on_where_it_ended),
    DT_TEST(the_rest_of_a_whole_object_is_a_range),
    DT_TEST(an_object_that_changes_between_tries_is_an_error),
    DT_TEST(tries_end),
    DT_TEST(tries_that_bring_bytes_do_not_count),
    DT_TEST(refusals_are_not_repeated),
    DT_TEST(redirections_are_followed_where_the_caller_wants_it),
    DT_TEST(texts_and_headers_have_any_length),
    DT_TEST(a_server_that_is_not_there_is_an_error_soon),
    DT_TEST(stops_and_errors_of_the_caller_end_it),
    DT_TEST(another_thread_can_wake_it),
    DT_TEST(an_engine_that_cannot_be_made_leaves_nothing),
    DT_TEST(a_build_without_libcurl_says_so),
};
DT_TEST_MAIN("launch/cloud/transfers", tests)
