/* s3_job: lists and reads objects, without `dtrain stage` around it.
 *
 *   s3_job list s3://BUCKET/PREFIX [NAME=VALUE...]   a line `BYTES ETAG KEY` for each object
 *   s3_job get s3://BUCKET/PREFIX [NAME=VALUE...]    reads each object; a line `CRC32 BYTES KEY CHECKSUM`
 *   s3_job http URL BYTES [NAME=VALUE...]            a line `CRC32 BYTES URL -`
 *
 * Keys are percent-encoded. CHECKSUM: the kind of the store's checksum, which has been compared, or -.
 * Options: part=BYTES, connections=N (fixed), most=N, tries=N, wait=SECONDS, stall=SECONDS, region=,
 * endpoint=, profile=, and the words anonymous, payer, own (signatures), nosum (no CRCs), head (a HEAD for
 * each object of several parts), stats (one more line at the end, on stderr). The exit code is that of dtrain
 * for the same error. */
#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "launch/cloud/object_checksum.h"
#include "launch/cloud/s3.h"
#include "launch/cloud/s3_address.h"
#include "launch/show/console.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct object {
    char *key, *etag;
    int64_t bytes;
    int n_parts, n_left;
    uint64_t *crcs; /* of each part */
    dt_object_checksum sum;
    bool has_sum, is_headed;
} object;

typedef struct part {
    dt_s3_get get;
    dt_transfer transfer; /* http */
    object *object;
    int index;
    char *buffer;
    struct part *next;
} part;

static struct {
    dt_s3_options s3;
    dt_transfers_options transfers;
    int64_t part_bytes;
    bool nosum, head, stats;
} o = {.part_bytes = 8 << 20};

static object *objects;
static int64_t n_objects, space;
static part *idle;
static int64_t next_object;
static int next_part;

static const char *value_of(const char *text, const char *name)
{
    const size_t n = strlen(name);
    return strncmp(text, name, n) == 0 && text[n] == '=' ? text + n + 1 : NULL;
}

static void set_option(const char *text)
{
    const char *v;
    if ((v = value_of(text, "part")))
        o.part_bytes = atoll(v);
    else if ((v = value_of(text, "connections")))
        o.transfers.min_connections = o.transfers.max_connections = atoi(v);
    else if ((v = value_of(text, "most")))
        o.transfers.max_connections = atoi(v);
    else if ((v = value_of(text, "tries")))
        o.transfers.max_tries = atoi(v);
    else if ((v = value_of(text, "wait")))
        o.transfers.wait_s = atof(v);
    else if ((v = value_of(text, "stall")))
        o.transfers.stall_s = atof(v);
    else if ((v = value_of(text, "region")))
        o.s3.region = v;
    else if ((v = value_of(text, "endpoint")))
        o.s3.endpoint_url = v;
    else if ((v = value_of(text, "profile")))
        o.s3.profile = v;
    o.s3.anonymous = o.s3.anonymous || strcmp(text, "anonymous") == 0;
    o.s3.requester_pays = o.s3.requester_pays || strcmp(text, "payer") == 0;
    o.s3.signs_itself = o.s3.signs_itself || strcmp(text, "own") == 0;
    o.nosum = o.nosum || strcmp(text, "nosum") == 0;
    o.head = o.head || strcmp(text, "head") == 0;
    o.stats = o.stats || strcmp(text, "stats") == 0;
}

static const char *encoded(const char *key)
{
    static char text[4 * DT_S3_KEY_BYTES];
    char *end = text;
    (void)dt_s3_encode(&end, text + sizeof text, key, true);
    return text;
}

static dt_status collect(void *context, const dt_s3_object *found, dt_error *err)
{
    (void)context;
    if (n_objects == space) {
        object *more =
            dt_realloc(objects, (size_t)space * sizeof *more, 2 * (size_t)(space + 500) * sizeof *more);
        if (!more)
            return dt_fail_memory(err, 0, "objects");
        objects = more;
        space = 2 * (space + 500);
    }
    const int n_parts = (int)((found->bytes + o.part_bytes - 1) / o.part_bytes);
    objects[n_objects++] = (object){.key = dt_strdup(found->key),
                                    .etag = dt_strdup(found->etag),
                                    .bytes = found->bytes,
                                    .n_parts = n_parts,
                                    .n_left = n_parts,
                                    .crcs = dt_calloc((size_t)n_parts + 1, sizeof(uint64_t))};
    return DT_OK;
}

/* -- reading --------------------------------------------------------------------------------------------- */

static void note_sum(object *x, const dt_transfer_answer *answer)
{
    dt_object_checksum sum;
    if (!x->has_sum && answer &&
        dt_object_checksum_parse(answer->checksum_name, answer->checksum, x->etag, &sum)) {
        x->sum = sum;
        x->has_sum = true;
    }
}

static dt_status end_part(part *p, const dt_transfer_answer *answer, dt_error *err)
{
    object *x = p->object;
    const int64_t bytes = p->get.bytes;
    note_sum(x, answer);
    if (!o.nosum)
        x->crcs[p->index] = dt_object_crc(DT_CHECKSUM_CRC32, 0, p->buffer, (size_t)bytes);
    if (x->n_parts == 1 && x->has_sum && !o.nosum &&
        !dt_object_checksum_matches(&x->sum, p->buffer, (size_t)bytes))
        return dt_fail(err, DT_ERR_DATA, "%s: the %s is another", x->key,
                       dt_object_checksum_name(x->sum.kind));
    x->n_left--;
    p->next = idle;
    idle = p;
    return DT_OK;
}

static dt_status end_get(dt_s3_get *get, dt_status status, dt_error *err)
{
    return status == DT_OK ? end_part(get->context, get->transfer.answer, err) : status;
}

static dt_status end_http(dt_transfer *transfer, dt_status status, dt_error *err)
{
    return status == DT_OK ? end_part(transfer->context, transfer->answer, err) : status;
}

static dt_status end_head(dt_s3_get *get, dt_status status, dt_error *err)
{
    (void)err;
    if (status == DT_OK)
        note_sum(get->context, get->transfer.answer);
    dt_free(get);
    return status;
}

static void start_head(dt_s3 *s3, dt_transfers *t, object *x)
{
    dt_s3_get *get = dt_calloc(1, sizeof *get);
    x->is_headed = true;
    get->object = (dt_s3_object){.key = x->key, .bytes = x->bytes, .etag = x->etag};
    get->done = end_head;
    get->context = x;
    dt_s3_head_start(s3, t, get);
}

static void start_part(dt_s3 *s3, dt_transfers *t, object *x, int index)
{
    part *p = idle;
    idle = p->next;
    const int64_t offset = (int64_t)index * o.part_bytes, left = x->bytes - offset;
    p->object = x;
    p->index = index;
    p->get = (dt_s3_get){.object = {.key = x->key, .bytes = x->bytes, .etag = x->etag},
                         .offset = offset,
                         .bytes = left < o.part_bytes ? left : o.part_bytes,
                         .buffer = p->buffer,
                         .done = end_get,
                         .context = p};
    p->transfer = (dt_transfer){.url = x->key,
                                .kind = DT_TRANSFER_RANGE,
                                .offset = offset,
                                .bytes = p->get.bytes,
                                .buffer = p->buffer,
                                .follows_redirects = true,
                                .done = end_http,
                                .context = p};
    if (s3)
        dt_s3_get_start(s3, t, &p->get);
    else
        dt_transfers_add(t, &p->transfer);
}

static bool has_more(void)
{
    while (next_object < n_objects && next_part >= objects[next_object].n_parts) {
        next_object++;
        next_part = 0;
    }
    return next_object < n_objects;
}

static dt_status read_all(dt_s3 *s3, dt_transfers *t, dt_error *err)
{
    const int n = dt_transfers_most(t);
    part *parts = dt_calloc((size_t)n, sizeof *parts);
    for (int i = 0; i < n; i++) {
        parts[i].buffer = malloc((size_t)o.part_bytes); /* pages that are not used cost nothing */
        parts[i].next = idle;
        idle = &parts[i];
    }
    dt_status status = DT_OK;
    while (status == DT_OK && (has_more() || dt_transfers_left(t) > 0)) {
        while (idle && has_more() && dt_transfers_wanted(t) > 0) {
            object *x = &objects[next_object];
            if (o.head && s3 && x->n_parts > 1 && !x->is_headed)
                start_head(s3, t, x);
            start_part(s3, t, x, next_part++);
        }
        status = dt_transfers_run(t, 1.0, err);
    }
    for (int i = 0; i < n; i++)
        free(parts[i].buffer);
    dt_free(parts);
    return status;
}

static dt_status print_object(const object *x, dt_error *err)
{
    uint64_t crc = 0;
    const bool is_crc32 = x->has_sum && x->sum.kind == DT_CHECKSUM_CRC32;
    for (int i = 0; i < x->n_parts; i++) {
        const int64_t left = x->bytes - i * o.part_bytes;
        crc =
            dt_object_crc_join(DT_CHECKSUM_CRC32, crc, x->crcs[i], left < o.part_bytes ? left : o.part_bytes);
    }
    if (x->n_left != 0)
        return dt_fail(err, DT_ERR_INTERNAL, "%s: %d parts are missing", x->key, x->n_left);
    if (x->n_parts > 1 && is_crc32 && crc != x->sum.crc)
        return dt_fail(err, DT_ERR_DATA, "%s: the CRC32 of its parts is another", x->key);
    printf("%08" PRIx64 " %" PRId64 " %s %s\n", crc, x->bytes, encoded(x->key),
           x->has_sum && (x->n_parts <= 1 || is_crc32) ? dt_object_checksum_name(x->sum.kind) : "-");
    return DT_OK;
}

static void print_stats(const dt_transfers *t, const dt_s3 *s3, int64_t listed_bytes, double seconds)
{
    dt_transfers_stats s;
    dt_s3_stats n = {0};
    dt_transfers_get_stats(t, &s);
    if (s3)
        dt_s3_get_stats(s3, &n);
    fflush(stdout);
    fprintf(stderr,
            "requests %" PRId64 " bytes %" PRId64 " retries %" PRId64 " slow %" PRId64 " connections %" PRId64
            " width %d most %d gets %" PRId64 " lists %" PRId64 " heads %" PRId64 " renewals %" PRId64
            " seconds %.2f cpu %.2f\n",
            s.requests, s.bytes - listed_bytes, s.retries, s.slow_downs, s.connections, s.width, s.most_width,
            n.gets, n.lists, n.heads, n.renewals, seconds, dt_clock_cpu_s());
}

static dt_status run(int argc, char **argv, dt_s3 *s3, dt_transfers *t, dt_error *err)
{
    dt_s3_location where = {0};
    dt_transfers_stats listed;
    const double begin_s = dt_clock_s();
    dt_status status = DT_OK;
    if (s3 && dt_s3_parse(argv[2], &where, err) == DT_OK)
        status = dt_s3_list(s3, t, where.prefix, collect, NULL, err);
    else if (argc > 3)
        status = collect(NULL, &(dt_s3_object){.key = argv[2], .bytes = atoll(argv[3]), .etag = ""}, err);
    dt_transfers_get_stats(t, &listed);
    if (status == DT_OK && strcmp(argv[1], "list") != 0)
        status = read_all(s3, t, err);
    for (int64_t i = 0; status == DT_OK && i < n_objects; i++)
        if (strcmp(argv[1], "list") == 0)
            printf("%" PRId64 " %s %s\n", objects[i].bytes, objects[i].etag, encoded(objects[i].key));
        else
            status = print_object(&objects[i], err);
    if (o.stats)
        print_stats(t, s3, listed.bytes, dt_clock_s() - begin_s);
    return status;
}

int main(int argc, char **argv)
{
    dt_error err = {0};
    dt_s3_location where = {0};
    dt_s3 *s3 = NULL;
    dt_transfers *t = NULL;
    dt_console_open();
    for (int i = 3; i < argc; i++)
        set_option(argv[i]);
    const bool is_s3 = argc > 2 && strcmp(argv[1], "http") != 0;
    dt_status status = argc > 2 ? dt_transfers_create(&o.transfers, &t, &err) : DT_ERR_USAGE;
    if (status == DT_OK && is_s3)
        status = dt_s3_parse(argv[2], &where, &err);
    o.s3.bucket = where.bucket;
    if (status == DT_OK && is_s3)
        status = dt_s3_create(&o.s3, &s3, &err);
    if (status == DT_OK)
        status = run(argc, argv, s3, t, &err);
    dt_transfers_destroy(t);
    dt_s3_destroy(s3);
    for (int64_t i = 0; i < n_objects; i++) {
        dt_free(objects[i].key);
        dt_free(objects[i].etag);
        dt_free(objects[i].crcs);
    }
    dt_free(objects);
    if (status != DT_OK)
        dt_console_fail(&err);
    return dt_status_exit_code(status);
}
