/* Small HTTP requests, against a socket of the test. */
#include "launch/cloud/http.h"

#include "core/base/clock.h"
#include "tests/testing.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

/* A server that accepts one connection, keeps the request, and sends `answer`; NULL: it never answers. With
 * `next`, it then sends that to a second connection. */
typedef struct server {
    const char *answer, *next;
    int listening;
    char endpoint[64], received[2048];
    pthread_t thread;
} server;

static void *serve(void *context)
{
    server *v = context;
    int connection = accept(v->listening, NULL, NULL);
    const ssize_t n = recv(connection, v->received, sizeof v->received - 1, 0);
    v->received[n > 0 ? n : 0] = '\0';
    if (v->answer)
        (void)!write(connection, v->answer, strlen(v->answer));
    else
        (void)!recv(connection, v->received, 1, 0); /* until the client gives up */
    close(connection);
    if (v->next && (connection = accept(v->listening, NULL, NULL)) >= 0) {
        char request[2048];
        (void)!recv(connection, request, sizeof request, 0);
        (void)!write(connection, v->next, strlen(v->next));
        close(connection);
    }
    return NULL;
}

static void start_two(server *v, const char *answer, const char *next)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t length = sizeof address;
    *v = (server){.answer = answer, .next = next, .listening = socket(AF_INET, SOCK_STREAM, 0)};
    DT_REQUIRE(bind(v->listening, (struct sockaddr *)&address, sizeof address) == 0 &&
               listen(v->listening, 5) == 0);
    DT_REQUIRE(getsockname(v->listening, (struct sockaddr *)&address, &length) == 0);
    snprintf(v->endpoint, sizeof v->endpoint, "http://127.0.0.1:%d/", ntohs(address.sin_port));
    DT_REQUIRE(pthread_create(&v->thread, NULL, serve, v) == 0);
}

static void start(server *v, const char *answer)
{
    start_two(v, answer, NULL);
}

static void stop(server *v)
{
    pthread_join(v->thread, NULL);
    close(v->listening);
}

static dt_http *open_http(const char *endpoint, double timeout_s)
{
    dt_http *http = NULL;
    dt_error err = {0};
    DT_REQUIRE_MSG(dt_http_create(endpoint, timeout_s, &http, &err) == DT_OK, "%s", err.message);
    return http;
}

static void a_request_is_sent_and_its_answer_returned(void)
{
    server v;
    dt_error err = {0};
    char body[8];
    int code = 0;
    if (!dt_http_is_built_in())
        DT_SKIP("this build has no libcurl");
    DT_REQUIRE(setenv("http_proxy", "http://127.0.0.1:9", 1) == 0); /* must not be used */
    start(&v, "HTTP/1.1 404 Not Found\r\nContent-Length: 12\r\n\r\nnothing here");
    dt_http *http = open_http(dt_test_path("%s//", v.endpoint), 30.0); /* the path has its own slash */
    DT_CHECK_MSG(http->ops->request(http, "PUT", "/latest/api/token", "X-one: 1", body, sizeof body, &code,
                                    &err) == DT_OK,
                 "%s", err.message);
    DT_CHECK_INT(code, 404);
    DT_CHECK_STR(body, "nothing"); /* what fits */
    stop(&v);
    http->ops->destroy(http);
    unsetenv("http_proxy");
    DT_CHECK(strncmp(v.received, "PUT /latest/api/token HTTP/1.1\r\n", 32) == 0);
    DT_CHECK_CONTAINS(v.received, "\r\nX-one: 1\r\n");
}

static void a_missing_answer_is_an_error_with_the_reason(void)
{
    server v;
    dt_error err = {0};
    char body[64];
    int code = 0;
    if (!dt_http_is_built_in())
        DT_SKIP("this build has no libcurl");
    start(&v, NULL);
    dt_http *http = open_http(v.endpoint, 0.1);
    DT_CHECK_INT(http->ops->request(http, "GET", "/x", NULL, body, sizeof body, &code, &err), DT_ERR_IO);
    DT_CHECK_CONTAINS(err.message, "/x: ");
    DT_CHECK_CONTAINS(err.message, "timed out");
    http->ops->destroy(http);
    stop(&v);
    start(&v, "SSH-2.0-OpenSSH_9.2\r\n"); /* the port of another service */
    http = open_http(v.endpoint, 30.0);
    DT_CHECK_INT(http->ops->request(http, "GET", "/x", NULL, body, sizeof body, &code, &err), DT_ERR_IO);
    http->ops->destroy(http);
    stop(&v);
}

static void a_client_takes_several_answers(void)
{
    server v;
    dt_error err = {0};
    char body[32];
    int code = 0;
    if (!dt_http_is_built_in())
        DT_SKIP("this build has no libcurl");
    start_two(&v, "HTTP/1.1 200 OK\r\nContent-Length: 12\r\nConnection: close\r\n\r\nhere it is..",
              "HTTP/1.1 404 Not Found\r\nContent-Length: 4\r\nConnection: close\r\n\r\nnone");
    dt_http *http = open_http(v.endpoint, 30.0);
    DT_CHECK_INT(http->ops->request(http, "GET", "/a", NULL, body, sizeof body, &code, &err), DT_OK);
    DT_CHECK_INT(code, 200);
    DT_CHECK_STR(body, "here it is..");
    DT_CHECK_INT(http->ops->request(http, "GET", "/b", NULL, body, sizeof body, &code, &err), DT_OK);
    DT_CHECK_INT(code, 404);
    DT_CHECK_STR(body, "none");
    http->ops->destroy(http);
    stop(&v);
}

static void *cancel_later(void *http)
{
    dt_clock_sleep_s(0.1);
    ((dt_http *)http)->ops->cancel(http);
    return NULL;
}

/* The request's time limit is longer than the program's. */
static void a_request_can_be_cancelled(void)
{
    server v;
    dt_error err = {0};
    char body[64];
    int code = 0;
    pthread_t other;
    if (!dt_http_is_built_in())
        DT_SKIP("this build has no libcurl");
    start(&v, NULL);
    dt_http *http = open_http(v.endpoint, 10000.0);
    DT_REQUIRE(pthread_create(&other, NULL, cancel_later, http) == 0);
    DT_CHECK_INT(http->ops->request(http, "GET", "/x", NULL, body, sizeof body, &code, &err),
                 DT_ERR_INTERRUPTED);
    pthread_join(other, NULL);
    /* later requests return at once too */
    DT_CHECK_INT(http->ops->request(http, "GET", "/x", NULL, body, sizeof body, &code, &err),
                 DT_ERR_INTERRUPTED);
    http->ops->destroy(http);
    stop(&v);
}

static const dt_test tests[] = {
    DT_TEST(a_request_is_sent_and_its_answer_returned),
    DT_TEST(a_client_takes_several_answers),
    DT_TEST(a_missing_answer_is_an_error_with_the_reason),
    DT_TEST(a_request_can_be_cancelled),
};
DT_TEST_MAIN("launch/http", tests)
