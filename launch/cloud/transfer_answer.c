#include "config.h"

#ifdef HAVE_CURL

#    include "launch/cloud/transfer_answer.h"

#    include <curl/curl.h>
#    include <inttypes.h>
#    include <math.h>
#    include <stdio.h>
#    include <stdlib.h>
#    include <string.h>
#    include <strings.h>

void dt_transfer_answer_begin(dt_transfer_answer *answer, int64_t *range_start)
{
    dt_transfer_answer *a = answer;
    a->status = 0;
    a->object_bytes = -1;
    a->server_unix_s = NAN;
    a->etag[0] = a->checksum_name[0] = a->checksum[0] = a->region[0] = a->error[0] = '\0';
    a->has_ranges = a->etag_is_no_md5 = false;
    a->error_bytes = 0;
    *range_start = -1;
}

/* The value of the header `name` ("etag:") in a line; NULL: another header. */
static const char *value_of(const char *line, size_t n, const char *name)
{
    const size_t length = strlen(name);
    if (n <= length || strncasecmp(line, name, length) != 0)
        return NULL;
    for (line += length; *line == ' ' || *line == '\t';)
        line++;
    return line;
}

static void read_number(const char *text, int64_t *number)
{
    char *end;
    const long long n = strtoll(text, &end, 10);
    if (end != text && n >= 0)
        *number = n;
}

static void read_content_range(dt_transfer_answer *a, int64_t *range_start, const char *text)
{
    int64_t first = -1, last = -1, all = -1;
    const int n = sscanf(text, "bytes %" SCNd64 "-%" SCNd64 "/%" SCNd64, &first, &last, &all);
    if (n >= 2)
        *range_start = first;
    if (n == 3 && all >= 0)
        a->object_bytes = all;
}

/* What does not fit is left out: a part of an ETag is none. */
static void copy_text(char *out, size_t bytes, const char *text)
{
    const size_t n = strlen(text);
    out[0] = '\0';
    if (n < bytes)
        memcpy(out, text, n + 1);
}

/* "x-amz-checksum-crc32: abc=", but not the type of the sum. */
static void read_checksum(dt_transfer_answer *a, const char *rest)
{
    const char *colon = strchr(rest, ':');
    if (!colon || (size_t)(colon - rest) >= sizeof a->checksum_name || strncasecmp(rest, "type:", 5) == 0)
        return;
    snprintf(a->checksum_name, sizeof a->checksum_name, "%.*s", (int)(colon - rest), rest);
    copy_text(a->checksum, sizeof a->checksum, colon + 1 + strspn(colon + 1, " \t"));
}

static void read_line(dt_transfer_answer *a, int64_t *range_start, const char *line, size_t n)
{
    const char *v;
    if (n > 5 && strncmp(line, "HTTP/", 5) == 0) { /* also after a redirection */
        dt_transfer_answer_begin(a, range_start);
        a->status = strchr(line, ' ') ? atoi(strchr(line, ' ')) : 0;
    } else if ((v = value_of(line, n, "content-range:")) != NULL) {
        read_content_range(a, range_start, v);
    } else if ((v = value_of(line, n, "content-length:")) != NULL) {
        if (a->status == 200)
            read_number(v, &a->object_bytes);
    } else if ((v = value_of(line, n, "etag:")) != NULL) {
        copy_text(a->etag, sizeof a->etag, v);
    } else if ((v = value_of(line, n, "x-amz-server-side-encryption")) != NULL) {
        a->etag_is_no_md5 = a->etag_is_no_md5 || strncmp(v, ": AES256", 8) != 0;
    } else if ((v = value_of(line, n, "x-amz-checksum-")) != NULL) {
        read_checksum(a, v);
    } else if ((v = value_of(line, n, "x-amz-bucket-region:")) != NULL) {
        copy_text(a->region, sizeof a->region, v);
    } else if ((v = value_of(line, n, "accept-ranges:")) != NULL) {
        a->has_ranges = strncasecmp(v, "bytes", 5) == 0;
    } else if ((v = value_of(line, n, "date:")) != NULL && a->status >= 300) { /* for messages about clocks */
        const time_t seconds = curl_getdate(v, NULL);
        if (seconds > 0)
            a->server_unix_s = (double)seconds;
    }
}

void dt_transfer_answer_add_header(dt_transfer_answer *answer, int64_t *range_start, const char *data,
                                   size_t bytes)
{
    char line[512];
    size_t kept = bytes < sizeof line - 1 ? bytes : sizeof line - 1;
    memcpy(line, data, kept);
    while (kept > 0 && strchr(" \r\n", line[kept - 1]))
        kept--;
    line[kept] = '\0';
    read_line(answer, range_start, line, kept);
}

#endif
