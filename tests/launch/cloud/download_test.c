/* Measuring a download, against a socket of the test. */
#include "launch/cloud/download.h"

#include "core/base/waits.h"
#include "launch/cloud/http.h"
#include "tests/testing.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define PIECE 65536

/* A server that answers each of `n_connections` with the next of its answers; then `n_pieces` pieces of PIECE
 * zero bytes to the last, or until the client goes. */
typedef struct server {
    const char *answers[2];
    int n_connections;
    int64_t n_pieces;
    int listening;
    char endpoint[64];
    pthread_t thread;
} server;

static void *serve(void *context)
{
    static char zeros[PIECE];
    server *v = context;
    for (int i = 0; i < v->n_connections; i++) {
        char request[2048];
        const int connection = accept(v->listening, NULL, NULL);
        (void)!recv(connection, request, sizeof request, 0);
        (void)!write(connection, v->answers[i], strlen(v->answers[i]));
        for (int64_t n = 0; i == v->n_connections - 1 && n < v->n_pieces; n++)
            if (send(connection, zeros, PIECE, MSG_NOSIGNAL) < 0)
                break;
        close(connection);
    }
    return NULL;
}

static void start(server *v)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    v->n_connections = v->answers[1] ? 2 : 1;
    v->listening = socket(AF_INET, SOCK_STREAM, 0);
    DT_REQUIRE(bind(v->listening, (struct sockaddr *)&address, sizeof address) == 0 &&
               listen(v->listening, 5) == 0);
    DT_REQUIRE(getsockname(v->listening, (struct sockaddr *)&address, &length) == 0);
    snprintf(v->endpoint, sizeof v->endpoint, "http://127.0.0.1:%d", ntohs(address.sin_port));
    DT_REQUIRE(pthread_create(&v->thread, NULL, serve, v) == 0);
}

static void stop(server *v)
{
    (void)shutdown(v->listening, SHUT_RDWR); /* a client that gives up early does not connect */
    pthread_join(v->thread, NULL);
    close(v->listening);
}

static dt_error err;
static dt_download d;

#define NEED_CURL()                                                                                          \
    do {                                                                                                     \
        if (!dt_http_is_built_in())                                                                          \
            DT_SKIP("this build has no libcurl");                                                            \
    } while (0)

static void all_bytes_of_an_answer_count(void)
{
    NEED_CURL();
    server v = {.answers = {"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"}, .n_pieces = 20};
    start(&v);
    DT_REQUIRE_MSG(dt_download_measure(v.endpoint, 30.0, &d, &err) == DT_OK, "%s", err.message);
    DT_CHECK_INT(d.bytes, 20 * PIECE);
    DT_CHECK_MSG(d.seconds > 0.0 && d.seconds < 30.0, "%g s", d.seconds);
    stop(&v);
}

static void a_redirection_is_followed(void)
{
    NEED_CURL();
    server v = {.answers = {"HTTP/1.1 302 Found\r\nLocation: /other\r\nContent-Length: 0\r\n"
                            "Connection: close\r\n\r\n",
                            "HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"},
                .n_pieces = 1};
    start(&v);
    DT_REQUIRE_MSG(dt_download_measure(v.endpoint, 30.0, &d, &err) == DT_OK, "%s", err.message);
    DT_CHECK_INT(d.bytes, PIECE);
    stop(&v);
}

static void the_limit_ends_a_long_download_with_what_has_come(void)
{
    NEED_CURL();
    server v = {.answers = {"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"}, .n_pieces = INT64_MAX};
    start(&v);
    DT_REQUIRE_MSG(dt_download_measure(v.endpoint, 0.3, &d, &err) == DT_OK, "%s", err.message);
    DT_CHECK(d.bytes > 0);
    DT_CHECK_MSG(d.seconds >= 0.3 && d.seconds < 5.0, "%g s", d.seconds);
    stop(&v);
}

static void an_error_of_the_server_is_one(void)
{
    NEED_CURL();
    server v = {.answers = {"HTTP/1.1 404 Not Found\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno"}};
    start(&v);
    DT_CHECK_INT(dt_download_measure(v.endpoint, 30.0, &d, &err), DT_ERR_IO);
    DT_CHECK_CONTAINS(err.message, "404");
    stop(&v);
}

static void an_empty_answer_measures_nothing(void)
{
    NEED_CURL();
    server v = {.answers = {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"}};
    start(&v);
    DT_CHECK_INT(dt_download_measure(v.endpoint, 30.0, &d, &err), DT_ERR_IO);
    DT_CHECK_CONTAINS(err.message, "the answer is empty");
    stop(&v);
}

static const char *ask(void *context)
{
    return context;
}

static void a_request_to_stop_ends_it(void)
{
    NEED_CURL();
    static char why[] = "SIGINT";
    server v = {.answers = {"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"}, .n_pieces = INT64_MAX};
    start(&v);
    dt_waits_set_stop(ask, why);
    DT_CHECK_INT(dt_download_measure(v.endpoint, 30.0, &d, &err), DT_ERR_INTERRUPTED);
    dt_waits_set_stop(NULL, NULL);
    DT_CHECK_CONTAINS(err.message, "SIGINT");
    stop(&v);
}

static void nobody_listens_there(void)
{
    NEED_CURL();
    DT_CHECK_INT(dt_download_measure("http://127.0.0.1:1/x", 30.0, &d, &err), DT_ERR_IO);
    DT_CHECK_CONTAINS(err.message, "http://127.0.0.1:1/x: ");
}

static void other_schemes_are_refused(void)
{
    static const char *const urls[] = {"ftp://host/x", "file:///etc/passwd", "host/x", "http://", "s3://b/k"};
    for (size_t i = 0; i < sizeof urls / sizeof *urls; i++) {
        DT_CHECK_INT(dt_download_measure(urls[i], 1.0, &d, &err), DT_ERR_USAGE);
        DT_CHECK_CONTAINS(err.message, "does not begin with http:// or https://");
    }
}

static void without_libcurl_it_is_an_error(void)
{
    if (dt_http_is_built_in())
        DT_SKIP("this build has libcurl");
    DT_CHECK_INT(dt_download_measure("http://host/x", 1.0, &d, &err), DT_ERR_UNSUPPORTED);
}

static const dt_test tests[] = {
    DT_TEST(all_bytes_of_an_answer_count),
    DT_TEST(a_redirection_is_followed),
    DT_TEST(the_limit_ends_a_long_download_with_what_has_come),
    DT_TEST(an_error_of_the_server_is_one),
    DT_TEST(an_empty_answer_measures_nothing),
    DT_TEST(a_request_to_stop_ends_it),
    DT_TEST(nobody_listens_there),
    DT_TEST(other_schemes_are_refused),
    DT_TEST(without_libcurl_it_is_an_error),
};
DT_TEST_MAIN("launch/cloud/download", tests)
