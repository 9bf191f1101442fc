#include "core/training/agreement.h"

#include "core/base/alloc.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define VALUE_BYTES 256

typedef struct vote {
    int32_t status, line;
    char host[64];
    char message[DT_ERROR_MESSAGE_BYTES];
} vote;

/* How many failed, and how many with the message of the first that did. */
static int count_failures(const vote *votes, int size, int *first, int *like_first)
{
    int failed = 0;
    *first = -1;
    *like_first = 0;
    for (int r = 0; r < size; r++) {
        if (votes[r].status == DT_OK)
            continue;
        if (*first < 0)
            *first = r;
        failed++;
        *like_first += strcmp(votes[r].message, votes[*first].message) == 0;
    }
    return failed;
}

static dt_status report(const vote *votes, int size, int first, int like_first, dt_error *err)
{
    const vote *v = &votes[first];
    dt_error e = {.status = (dt_status)v->status, .file = __FILE__, .line = v->line};
    if (size == 1 || like_first == size)
        snprintf(e.message, sizeof e.message, "%s", v->message);
    else if (like_first > 1)
        snprintf(e.message, sizeof e.message, "%d of %d ranks, the first is rank %d on %s: %.800s", like_first, size, first, v->host, v->message);
    else
        snprintf(e.message, sizeof e.message, "rank %d on %s: %.900s", first, v->host, v->message);
    if (err)
        *err = e;
    return e.status;
}

dt_status dt_agree(dt_comm *comm, dt_status mine, dt_error *err)
{
    int32_t worst = (int32_t)mine;
    int64_t failed = worst != DT_OK;
    DT_TRY(comm->ops->all_reduce(comm, &failed, 1, DT_I64, DT_REDUCE_SUM, err));
    if (failed == 0)
        return DT_OK;
    vote own = {.status = worst};
    snprintf(own.host, sizeof own.host, "%s", comm->host);
    if (mine != DT_OK && err) {
        own.line = err->line;
        snprintf(own.message, sizeof own.message, "%s", err->message);
    }
    /* Not dt_alloc: a vote about memory must not need what a test has made fail. */
    vote *votes = malloc((size_t)comm->size * sizeof *votes);
    if (!votes)
        return mine != DT_OK ? mine : dt_fail_memory(err, (size_t)comm->size * sizeof *votes, "a vote");
    dt_status status = comm->ops->all_gather(comm, &own, sizeof own, votes, err);
    if (status == DT_OK) {
        int first = 0, like_first = 0;
        count_failures(votes, comm->size, &first, &like_first);
        status = report(votes, comm->size, first, like_first, err);
    }
    free(votes);
    return status;
}

/* "0-2, 5" for the ranks whose value is `value`. */
static void list_ranks(const char *values, int size, const char *value, char *out, size_t out_bytes)
{
    size_t used = 0;
    out[0] = '\0';
    for (int r = 0; r < size && used + 16 < out_bytes; r++) {
        if (strcmp(values + (size_t)r * VALUE_BYTES, value) != 0)
            continue;
        int last = r;
        while (last + 1 < size && strcmp(values + (size_t)(last + 1) * VALUE_BYTES, value) == 0)
            last++;
        const char *comma = used ? ", " : "";
        if (last > r)
            used += (size_t)snprintf(out + used, out_bytes - used, "%s%d-%d", comma, r, last);
        else
            used += (size_t)snprintf(out + used, out_bytes - used, "%s%d", comma, r);
        r = last;
    }
}

static int count_ranks(const char *values, int size, const char *value)
{
    int n = 0;
    for (int r = 0; r < size; r++)
        n += strcmp(values + (size_t)r * VALUE_BYTES, value) == 0;
    return n;
}

/* "--batch differs between ranks: 32 on ranks 0-2, 64 on rank 3 (node7)" */
static dt_status describe_difference(const char *field, const char *values, const char *hosts, int size, dt_error *err)
{
    char text[700];
    size_t used = 0;
    for (int r = 0; r < size && used + 200 < sizeof text; r++) {
        const char *value = values + (size_t)r * VALUE_BYTES;
        bool seen = false;
        for (int q = 0; q < r; q++)
            seen = seen || strcmp(values + (size_t)q * VALUE_BYTES, value) == 0;
        if (seen)
            continue;
        char ranks[64];
        list_ranks(values, size, value, ranks, sizeof ranks);
        bool one = count_ranks(values, size, value) == 1;
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%.80s on rank%s %s", used ? ", " : "", value, one ? "" : "s", ranks);
        if (one)
            used += (size_t)snprintf(text + used, sizeof text - used, " (%s)", hosts + (size_t)r * 64);
    }
    return dt_fail(err, DT_ERR_USAGE, "%s differs between ranks: %s", field, text);
}

dt_status dt_check_same(dt_comm *comm, const dt_same *fields, int64_t n, dt_error *err)
{
    size_t bytes = (size_t)n * VALUE_BYTES, size = (size_t)comm->size;
    char *mine = dt_calloc((size_t)n, VALUE_BYTES), *all = dt_alloc(bytes * size), *column = dt_alloc(size * VALUE_BYTES), *hosts = dt_alloc(size * 64);
    dt_status status = mine && all && column && hosts ? DT_OK : dt_fail_memory(err, bytes * size, "comparing options between ranks");
    status = dt_agree(comm, status, err);
    for (int64_t i = 0; status == DT_OK && i < n; i++)
        snprintf(mine + i * VALUE_BYTES, VALUE_BYTES, "%s", fields[i].value);
    if (status == DT_OK)
        status = comm->ops->all_gather(comm, comm->host, 64, hosts, err);
    if (status == DT_OK)
        status = comm->ops->all_gather(comm, mine, (int64_t)bytes, all, err);
    for (int64_t i = 0; status == DT_OK && i < n; i++) {
        for (size_t r = 0; r < size; r++)
            memcpy(column + r * VALUE_BYTES, all + r * bytes + (size_t)i * VALUE_BYTES, VALUE_BYTES);
        if (count_ranks(column, comm->size, column) != comm->size)
            status = describe_difference(fields[i].field, column, hosts, comm->size, err);
    }
    dt_free(mine);
    dt_free(all);
    dt_free(column);
    dt_free(hosts);
    return status;
}
