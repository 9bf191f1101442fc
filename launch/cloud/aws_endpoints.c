#include "config.h"

#include "launch/cloud/aws_endpoints.h"

#include "core/base/alloc.h"
#include "core/base/file.h"
#include "launch/cloud/aws_environment.h"
#include "launch/cloud/http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ANSWER_BYTES = 32768, /* tokens have about a thousand bytes; AWS names no limit */
    NAME_BYTES = 256
};
#define INSTANCE_TIMEOUT_S 1.0 /* a service on the same host; elsewhere nothing answers */
#define CONTAINER_TIMEOUT_S 5.0
#define ECS_ENDPOINT "http://169.254.170.2"
#define IMDS_ENDPOINT "http://169.254.169.254"

/* -- requests -------------------------------------------------------------------------------------------- */

/* One request. DT_OK with *code for every answer. */
static dt_status ask(const char *endpoint, double timeout_s, const char *method, const char *path,
                     const char *header, char answer[ANSWER_BYTES], int *code, dt_error *err)
{
    dt_http *http = NULL;
    DT_TRY(dt_http_create(endpoint, timeout_s, &http, err));
    const dt_status status = http->ops->request(http, method, path, header, answer, ANSWER_BYTES, code, err);
    http->ops->destroy(http);
    return status;
}

/* -- a container's endpoint ------------------------------------------------------------------------------ */

/* The hosts to which botocore sends a token without encryption. */
static bool is_local(const char *url)
{
    static const char *const hosts[] = {"169.254.170.2", "169.254.170.23", "[fd00:ec2::23]",
                                        "localhost",     "127.0.0.1",      "[::1]"};
    const char *host = url + strlen("http://");
    const size_t n = strcspn(host, host[0] == '[' ? "/?#" : ":/?#@");
    for (size_t i = 0; i < sizeof hosts / sizeof hosts[0]; i++) {
        const size_t own = strlen(hosts[i]);
        if (strncmp(host, hosts[i], own) == 0 && (n == own || (host[0] == '[' && host[own] == ':')))
            return host[n] != '@';
    }
    return false;
}

/* The header Authorization; "" where the environment has no token. */
static dt_status read_authorization(char *header, size_t bytes, dt_error *err)
{
    const char *token = dt_aws_environment("AWS_CONTAINER_AUTHORIZATION_TOKEN");
    const char *path = dt_aws_environment("AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE");
    char text[8000] = ""; /* the header has 8192 */
    FILE *in = NULL;
    if (path) {
        DT_TRY(dt_file_open_stream(path, &in, err));
        text[fread(text, 1, sizeof text - 1, in)] = '\0';
        fclose(in);
        text[strcspn(text, "\r\n")] = '\0';
        token = text;
    }
    header[0] = '\0';
    if (token && (strpbrk(token, "\r\n") || strlen(token) + sizeof "Authorization: " > bytes))
        return dt_fail(err, DT_ERR_USAGE, "AWS_CONTAINER_AUTHORIZATION_TOKEN is no token");
    if (token && token[0])
        snprintf(header, bytes, "Authorization: %s", token);
    return DT_OK;
}

/* Splits the environment's address into endpoint and path. */
static dt_status find_container(char endpoint[NAME_BYTES], char path[NAME_BYTES], bool *found, dt_error *err)
{
    const char *relative = dt_aws_environment("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI");
    const char *full = dt_aws_environment("AWS_CONTAINER_CREDENTIALS_FULL_URI");
    *found = relative || full;
    if (relative) {
        snprintf(endpoint, NAME_BYTES, "%s", ECS_ENDPOINT);
        snprintf(path, NAME_BYTES, "%s%s", relative[0] == '/' ? "" : "/", relative);
    } else if (full) {
        if (strncmp(full, "http://", strlen("http://")) != 0)
            return dt_fail(err, DT_ERR_USAGE,
                           "AWS_CONTAINER_CREDENTIALS_FULL_URI is %s: dtrain reads http:// only", full);
        if (!is_local(full))
            return dt_fail(err, DT_ERR_USAGE,
                           "AWS_CONTAINER_CREDENTIALS_FULL_URI is %s: not an address of this machine", full);
        const char *host = full + strlen("http://");
        const size_t n = (size_t)(host - full) + strcspn(host, "/?");
        snprintf(endpoint, NAME_BYTES, "%.*s", (int)n, full);
        snprintf(path, NAME_BYTES, "%s%s", full[n] == '/' ? "" : "/", full + n);
    }
    return DT_OK;
}

dt_status dt_aws_container_credentials(dt_aws_credentials *credentials, bool *found, dt_error *err)
{
    char endpoint[NAME_BYTES], path[NAME_BYTES], header[8192], *answer;
    int code = 0;
    DT_TRY(find_container(endpoint, path, found, err));
    if (!*found)
        return DT_OK;
    DT_TRY(read_authorization(header, sizeof header, err));
    if (!(answer = dt_alloc(ANSWER_BYTES)))
        return dt_fail_memory(err, ANSWER_BYTES, "an answer");
    dt_status status =
        ask(endpoint, CONTAINER_TIMEOUT_S, "GET", path, header[0] ? header : NULL, answer, &code, err);
    if (status == DT_OK && code != 200)
        status = dt_fail(err, DT_ERR_IO, "%s%s: code %d", endpoint, path, code);
    if (status == DT_OK)
        status = dt_aws_credentials_parse(answer, "the container's endpoint", credentials, err);
    explicit_bzero(answer, ANSWER_BYTES);
    explicit_bzero(header, sizeof header);
    dt_free(answer);
    return status;
}

/* -- the metadata service of an EC2 instance ------------------------------------------------------------- */

/* Leaves the role's credentials in `answer`; *found is false if nothing answers, or there is no role. */
static dt_status ask_instance(const char *endpoint, char answer[ANSWER_BYTES], bool *found, dt_error *err)
{
    char header[512], path[512];
    int code = 0;
    *found = false;
    if (ask(endpoint, INSTANCE_TIMEOUT_S, "PUT", "/latest/api/token",
            "X-aws-ec2-metadata-token-ttl-seconds: 300", answer, &code, NULL) != DT_OK ||
        code != 200 || strlen(answer) > 400 || strpbrk(answer, "\r\n"))
        return DT_OK;
    snprintf(header, sizeof header, "X-aws-ec2-metadata-token: %s", answer);
    if (ask(endpoint, INSTANCE_TIMEOUT_S, "GET", "/latest/meta-data/iam/security-credentials/", header,
            answer, &code, NULL) != DT_OK ||
        code != 200)
        return DT_OK;
    answer[strcspn(answer, "\r\n")] = '\0';
    if (!answer[0] || strlen(answer) > 128)
        return DT_OK;
    snprintf(path, sizeof path, "/latest/meta-data/iam/security-credentials/%s", answer);
    DT_TRY(ask(endpoint, INSTANCE_TIMEOUT_S, "GET", path, header, answer, &code, err));
    *found = code == 200;
    return code == 200 ? DT_OK : dt_fail(err, DT_ERR_IO, "%s%s: code %d", endpoint, path, code);
}

dt_status dt_aws_instance_credentials(dt_aws_credentials *credentials, bool *found, dt_error *err)
{
    const char *endpoint = dt_aws_environment("AWS_EC2_METADATA_SERVICE_ENDPOINT");

    *found = false;
    if (dt_aws_environment_is_true("AWS_EC2_METADATA_DISABLED"))
        return DT_OK;
    char *answer = dt_alloc(ANSWER_BYTES);
    if (!answer)
        return dt_fail_memory(err, ANSWER_BYTES, "an answer");
    dt_status status = ask_instance(endpoint ? endpoint : IMDS_ENDPOINT, answer, found, err);
    if (status == DT_OK && *found)
        status = dt_aws_credentials_parse(answer, "this instance's role", credentials, err);
    explicit_bzero(answer, ANSWER_BYTES);
    dt_free(answer);
    return status;
}
