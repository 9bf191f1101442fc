#include "config.h"

#include "launch/commands/rank_table.h"

#include "core/base/log.h"
#include "launch/hardware/machine.h"

#include <stdio.h>
#include <string.h>

/* Of more ranks than this, a host's ranks that are alike share a row. */
#define MOST_SINGLE_ROWS 32

/* Formats a set of processors; a list that is too long ends with "...". */
static void format_cpus(const dt_cpus *cpus, char *out, size_t out_bytes)
{
    dt_machine_format_cpus(cpus, out, out_bytes);
    if (strlen(out) + 1 == out_bytes)
        memcpy(out + out_bytes - 4, "...", 4);
}

void dt_rank_row_fill(const dt_session *s, dt_rank_row *row)
{
    dt_device_info info = {0};
    memset(row, 0, sizeof *row);
    s->device->ops->info(s->device, &info);
    memcpy(row->host, s->comm->host, sizeof row->host);
    memcpy(row->device, info.name, sizeof row->device);
    row->n_threads = s->affinity.n_threads;
    row->n_workers = s->affinity.n_workers;
    format_cpus(&s->affinity.cpus, row->cpus, sizeof row->cpus);
    memcpy(row->near, s->affinity.near, sizeof row->near);
    row->is_far = s->affinity.is_far;
}

static bool are_alike(const dt_rank_row *a, const dt_rank_row *b)
{
    return strcmp(a->host, b->host) == 0 && strcmp(a->device, b->device) == 0 &&
           a->n_threads == b->n_threads && a->n_workers == b->n_workers;
}

/* Returns the end of the ranks that share the row of rank `first`. */
static int end_of_row(const dt_rank_row *rows, int n, int first)
{
    int end = first + 1;
    while (n > MOST_SINGLE_ROWS && end < n && are_alike(&rows[first], &rows[end]))
        end++;
    return end;
}

/* Formats the processors of the ranks [first, end) together. */
static void join_cpus(const dt_rank_row *rows, int first, int end, char *out, size_t out_bytes)
{
    dt_cpus all = {{0}}, one;
    snprintf(out, out_bytes, "%s", rows[first].cpus);
    for (int r = first; r < end; r++) {
        if (!dt_machine_parse_cpus(rows[r].cpus, &one)) { /* it was too long to be sent */
            snprintf(out, out_bytes, end == first + 1 ? "%s" : "...", rows[first].cpus);
            return;
        }
        for (int i = 0; i < DT_CPUS_MAX / 64; i++)
            all.bits[i] |= one.bits[i];
    }
    format_cpus(&all, out, out_bytes);
}

static dt_status add_row(dt_table *table, const dt_rank_row *rows, int first, int end, dt_error *err)
{
    char rank[32], threads[24], workers[24], cpus[sizeof rows->cpus];
    bool same_place = true;
    for (int r = first; r < end; r++)
        same_place = same_place && strcmp(rows[r].near, rows[first].near) == 0;
    if (end > first + 1)
        snprintf(rank, sizeof rank, "%d-%d", first, end - 1);
    else
        snprintf(rank, sizeof rank, "%d", first);
    snprintf(threads, sizeof threads, "%lld", (long long)rows[first].n_threads);
    snprintf(workers, sizeof workers, "%lld", (long long)rows[first].n_workers);
    join_cpus(rows, first, end, cpus, sizeof cpus);
    return dt_table_add(table,
                        (const char *const[]){rank, rows[first].host, rows[first].device, threads, workers,
                                              cpus, same_place ? rows[first].near : ""},
                        err);
}

/* The column `near` is left out where it would be empty. */
dt_status dt_rank_table_create(const dt_rank_row *rows, int n, dt_table **out, dt_error *err)
{
    static const char *const headings[] = {"rank",    "host",       "device", "threads",
                                           "workers", "processors", "near"};
    bool any_near = false;
    dt_table *table = NULL;
    for (int r = 0; r < n; r++)
        any_near = any_near || rows[r].near[0];
    DT_TRY(dt_table_create(headings, any_near ? 7 : 6, &table, err));
    dt_table_align_right(table, 0);
    dt_table_align_right(table, 3);
    dt_table_align_right(table, 4);
    dt_status status = DT_OK;
    for (int r = 0, next; r < n && status == DT_OK; r = next) {
        next = end_of_row(rows, n, r);
        status = add_row(table, rows, r, next, err);
    }
    if (status == DT_OK)
        *out = table;
    else
        dt_table_destroy(table);
    return status;
}

void dt_rank_table_warn(const dt_rank_row *rows, int n)
{
    char ranks[48] = "";
    int n_far = 0;
    for (int r = 0; r < n; r++) {
        const size_t used = strlen(ranks);
        if (!rows[r].is_far)
            continue;
        n_far++;
        if (used < 32)
            snprintf(ranks + used, sizeof ranks - used, "%s%d", used ? ", " : "", r);
        else if (ranks[used - 1] != '.')
            snprintf(ranks + used, sizeof ranks - used, ", ...");
    }
    if (n_far > 0)
        dt_log_warn(
            "%d rank%s run%s on processors that are not near %s GPU (rank%s %s), because the launcher has "
            "chosen them: copies and launches are slower. dtrain chooses near ones where the launcher "
            "leaves that to it: mpirun --bind-to none, srun --cpu-bind=none",
            n_far, n_far == 1 ? "" : "s", n_far == 1 ? "s" : "", n_far == 1 ? "its" : "their",
            n_far == 1 ? "" : "s", ranks);
}
