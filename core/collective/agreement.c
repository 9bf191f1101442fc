/* agreement.c: votes by small all-reduces and broadcasts. */
#include "core/collective/agreement.h"

#include "core/base/alloc.h"
#include "core/base/log.h"

#include <stdio.h>
#include <string.h>

enum {
    VALUE_BYTES = 256, /* compared, with the terminating zero */
    SHOWN_BYTES = 80,  /* of a value, in a message */
    HOST_BYTES = sizeof((dt_comm *)0)->host
};

/* What the lowest rank that failed broadcasts. */
typedef struct verdict {
    int32_t status, line;
    char host[HOST_BYTES];
    char message[DT_ERROR_MESSAGE_BYTES];
} verdict;

static verdict own_verdict(const dt_comm *comm, dt_status mine, const dt_error *err)
{
    verdict v;
    memset(&v, 0, sizeof v); /* all of it is sent */
    v.status = (int32_t)mine;
    snprintf(v.host, sizeof v.host, "%s", comm->host);
    if (mine != DT_OK) {
        v.line = err ? err->line : 0;
        snprintf(v.message, sizeof v.message, "%s",
                 err && err->message[0] ? err->message : dt_status_name(mine));
    }
    return v;
}

static dt_status report(const verdict *v, int size, int first, int64_t n_alike, dt_error *err)
{
    dt_error e = {.status = (dt_status)v->status, .shared = true, .file = __FILE__, .line = v->line};
    if (n_alike == size)
        snprintf(e.message, sizeof e.message, "%s", v->message);
    else if (n_alike > 1)
        snprintf(e.message, sizeof e.message, "%lld of %d ranks, the first is rank %d on %s: %.800s",
                 (long long)n_alike, size, first, v->host, v->message);
    else
        snprintf(e.message, sizeof e.message, "rank %d on %s: %.900s", first, v->host, v->message);
    if (err)
        *err = e;
    return e.status;
}

/* Allocates no memory, because ranks also agree on whether an allocation failed. */
dt_status dt_agree(dt_comm *comm, dt_status mine, dt_error *err)
{
    int64_t n_failed = mine != DT_OK, first = mine != DT_OK ? comm->rank : comm->size;
    DT_TRY(comm->ops->all_reduce(comm, &n_failed, 1, DT_I64, DT_REDUCE_SUM, err));
    if (n_failed == 0)
        return DT_OK;
    const verdict own = own_verdict(comm, mine, err);
    verdict v = own;
    DT_TRY(comm->ops->all_reduce(comm, &first, 1, DT_I64, DT_REDUCE_MIN, err));
    DT_TRY(comm->ops->broadcast(comm, &v, sizeof v, (int)first, err));
    int64_t n_alike = strcmp(own.message, v.message) == 0; /* a rank without an error has no message */
    DT_TRY(comm->ops->all_reduce(comm, &n_alike, 1, DT_I64, DT_REDUCE_SUM, err));
    return report(&v, comm->size, (int)first, n_alike, err);
}

dt_status dt_first_error(const dt_comm *comm, dt_status first, dt_error *err, dt_status next,
                         const dt_error *next_error)
{
    if (next == DT_OK)
        return first;
    if (first == DT_OK || !next_error->shared) {
        *err = *next_error;
        return next;
    }
    if (comm->rank == 0)
        dt_log_error("%s", next_error->message);
    return first;
}

/* List the ranks that have this value: "0-2, 5", or "0, 2, 4, ..." where not all fit into `out`. */
static void list_ranks(const char *values, int size, const char *value, char *out, size_t out_bytes)
{
    size_t used = 0;
    out[0] = '\0';
    for (int r = 0; r < size; r++) {
        if (strcmp(values + (size_t)r * VALUE_BYTES, value) != 0)
            continue;
        int last = r;
        while (last + 1 < size && strcmp(values + (size_t)(last + 1) * VALUE_BYTES, value) == 0)
            last++;
        const char *comma = used ? ", " : "";
        if (used + 32 > out_bytes) { /* ", 12345-12346" and ", ..." */
            snprintf(out + used, out_bytes - used, "%s...", comma);
            return;
        }
        if (last > r)
            used += (size_t)snprintf(out + used, out_bytes - used, "%s%d-%d", comma, r, last);
        else
            used += (size_t)snprintf(out + used, out_bytes - used, "%s%d", comma, r);
        r = last;
    }
}

static int count_starting_like(const char *values, int size, size_t n_bytes)
{
    int n = 0;
    for (int r = 0; r < size; r++)
        n += strncmp(values + (size_t)r * VALUE_BYTES, values, n_bytes) == 0;
    return n;
}

static int count_ranks(const char *values, int size, const char *value)
{
    int n = 0;
    for (int r = 0; r < size; r++)
        n += strcmp(values + (size_t)r * VALUE_BYTES, value) == 0;
    return n;
}

/* The first byte to show of values that are too long for a message: shortly before the first difference. */
static size_t first_shown(const char *values, int size)
{
    size_t alike = 0, longest = 0;
    while (values[alike] && count_starting_like(values, size, alike + 1) == size)
        alike++;
    for (int r = 0; r < size; r++) {
        size_t length = strlen(values + (size_t)r * VALUE_BYTES);
        longest = length > longest ? length : longest;
    }
    return longest > SHOWN_BYTES && alike > SHOWN_BYTES / 4 ? alike - SHOWN_BYTES / 4 : 0;
}

/* Fail with "--batch differs between ranks: 32 on ranks 0-2, 64 on rank 3 (node7)". values[] and hosts[] have
 * one entry for each rank, of VALUE_BYTES and HOST_BYTES. */
static dt_status describe_difference(const char *field, const char *values, const char *hosts, int size,
                                     dt_error *err)
{
    char text[800], ranks[100];
    size_t used = 0, from = first_shown(values, size);
    for (int r = 0; r < size; r++) {
        const char *value = values + (size_t)r * VALUE_BYTES;
        bool seen = false;
        for (int q = 0; q < r; q++)
            seen = seen || strcmp(values + (size_t)q * VALUE_BYTES, value) == 0;
        if (seen)
            continue;
        if (used + SHOWN_BYTES + sizeof ranks + 32 > sizeof text) {
            snprintf(text + used, sizeof text - used, ", ...");
            break;
        }
        list_ranks(values, size, value, ranks, sizeof ranks);
        bool one = count_ranks(values, size, value) == 1;
        const char *shown = strlen(value) >= from ? value + from : "";
        used += (size_t)snprintf(text + used, sizeof text - used, "%s%s%.*s%s on rank%s %s", used ? ", " : "",
                                 from ? "..." : "", SHOWN_BYTES, value[0] ? shown : "(nothing)",
                                 strlen(shown) > SHOWN_BYTES ? "..." : "", one ? "" : "s", ranks);
        if (one)
            used +=
                (size_t)snprintf(text + used, sizeof text - used, " (%s)", hosts + (size_t)r * HOST_BYTES);
    }
    return dt_fail_shared(err, DT_ERR_USAGE, "%s differs between ranks: %s", field, text);
}

/* Collect a field's values of all ranks, which are not all the same, for the message. */
static dt_status report_difference(dt_comm *comm, const char *field, const char *value, dt_error *err)
{
    const size_t size = (size_t)comm->size;
    char *values = dt_alloc(size * VALUE_BYTES), *hosts = dt_alloc(size * HOST_BYTES);
    dt_status status = values && hosts ? DT_OK
                                       : dt_fail_memory(err, size * (VALUE_BYTES + HOST_BYTES),
                                                        "a value that differs between ranks");
    status = dt_agree(comm, status, err);
    if (status == DT_OK)
        status = comm->ops->all_gather(comm, comm->host, HOST_BYTES, hosts, err);
    if (status == DT_OK)
        status = comm->ops->all_gather(comm, value, VALUE_BYTES, values, err);
    if (status == DT_OK)
        status = describe_difference(field, values, hosts, comm->size, err);
    dt_free(values);
    dt_free(hosts);
    return status;
}

/* Every rank compares its values with rank 0's: time and memory do not grow with the number of ranks. */
dt_status dt_check_same(dt_comm *comm, const dt_same *fields, int64_t n, dt_error *err)
{
    const size_t bytes = (size_t)n * VALUE_BYTES;
    char *mine = dt_calloc((size_t)n, VALUE_BYTES), *first = dt_calloc((size_t)n, VALUE_BYTES);
    int64_t differs = 0; /* the first field that differs */
    dt_status status =
        mine && first ? DT_OK : dt_fail_memory(err, 2 * bytes, "comparing values between ranks");
    status = dt_agree(comm, status, err);
    if (status == DT_OK) {
        for (int64_t i = 0; i < n; i++)
            snprintf(mine + i * VALUE_BYTES, VALUE_BYTES, "%s", fields[i].value);
        memcpy(first, mine, bytes);
        status = comm->ops->broadcast(comm, first, (int64_t)bytes, 0, err);
    }
    if (status == DT_OK) {
        while (differs < n && strcmp(mine + differs * VALUE_BYTES, first + differs * VALUE_BYTES) == 0)
            differs++;
        status = comm->ops->all_reduce(comm, &differs, 1, DT_I64, DT_REDUCE_MIN, err);
    }
    if (status == DT_OK && differs < n)
        status = report_difference(comm, fields[differs].field, mine + differs * VALUE_BYTES, err);
    dt_free(mine);
    dt_free(first);
    return status;
}
