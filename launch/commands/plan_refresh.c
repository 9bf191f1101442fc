/* dtrain plan --refresh-prices: asks AWS for today's prices and writes them to a file for --prices. */
#include "config.h"

#include "core/base/alloc.h"
#include "core/base/log.h"
#include "core/base/units.h"
#include "launch/cloud/aws_prices.h"
#include "launch/commands/plan_aws.h"
#include "launch/show/output.h"
#include "launch/show/table.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define CHANGE 0.005 /* smaller ones are not shown */

/* One price of AWS, with texts of its own or of the catalog and the caller's lists. */
typedef struct fetched {
    const char *type, *region;
    char zone[32]; /* its id; "": none */
    bool is_spot;
    double usd_h;
} fetched;

typedef struct refresh {
    const dt_catalog *catalog;
    dt_aws_client *client;
    const char *const *types, *const *regions;
    fetched *rows;
    int n_rows, n_allocated;
} refresh;

/* -- asking ---------------------------------------------------------------------------------------------- */

static dt_status add(refresh *r, fetched row, dt_error *err)
{
    if (r->n_rows == r->n_allocated) {
        const int more = 2 * r->n_allocated + 64;
        fetched *rows =
            dt_realloc(r->rows, (size_t)r->n_allocated * sizeof *rows, (size_t)more * sizeof *rows);
        if (!rows)
            return dt_fail_memory(err, (size_t)more * sizeof *rows, "prices");
        r->rows = rows;
        r->n_allocated = more;
    }
    r->rows[r->n_rows++] = row;
    return DT_OK;
}

/* The caller's pointer for a type that AWS has named; NULL: it was not asked for. */
static const char *own_name(const char *const *names, const char *name)
{
    for (; *names; names++)
        if (strcmp(*names, name) == 0)
            return *names;
    return NULL;
}

static dt_status ask_spot(refresh *r, const char *region, dt_error *err)
{
    dt_aws_prices prices = {0};
    dt_log_info("asking AWS for spot prices in %s", region);
    dt_status status = dt_aws_spot_prices(r->client, region, r->types, &prices, err);
    for (int i = 0; i < prices.n && status == DT_OK; i++) {
        fetched row = {.type = own_name(r->types, prices.items[i].type),
                       .region = region,
                       .is_spot = true,
                       .usd_h = prices.items[i].usd_h};
        snprintf(row.zone, sizeof row.zone, "%s", prices.items[i].zone);
        if (row.type)
            status = add(r, row, err);
    }
    dt_aws_prices_free(&prices);
    return status;
}

static dt_status ask_all(refresh *r, dt_error *err)
{
    for (const char *const *region = r->regions; *region; region++) {
        DT_TRY(ask_spot(r, *region, err));
        dt_log_info("asking AWS for prices on demand in %s: a second for each type", *region);
        for (const char *const *type = r->types; *type; type++) {
            fetched row = {.type = *type, .region = *region};
            DT_TRY(dt_aws_on_demand_price(r->client, *region, *type, &row.usd_h, err));
            if (!isnan(row.usd_h))
                DT_TRY(add(r, row, err));
        }
    }
    return r->n_rows > 0 ? DT_OK
                         : dt_fail(err, DT_ERR_IO,
                                   "AWS has no price for any of these types and regions: nothing "
                                   "was written");
}

/* -- writing --------------------------------------------------------------------------------------------- */

static bool is_same_text(const char *a, const char *b)
{
    return strcmp(a ? a : "", b ? b : "") == 0;
}

static bool is_asked(const refresh *r, const dt_price *p)
{
    return own_name(r->types, p->type) && own_name(r->regions, p->region);
}

static dt_status write_file(const refresh *r, const char *path, dt_error *err)
{
    char today[11], ids[2][32];
    dt_catalog_today(today);
    snprintf(ids[0], sizeof ids[0], "aws-price-list-%s", today);
    snprintf(ids[1], sizeof ids[1], "ec2-spot-%s", today);
    const dt_data_source sources[] = {
        {ids[0], "AWS price list, GetProducts", today, DT_CONFIDENCE_PUBLISHED},
        {ids[1], "EC2, DescribeSpotPriceHistory", today, DT_CONFIDENCE_PUBLISHED},
    };
    const size_t most = (size_t)(r->n_rows + r->catalog->n_prices);
    int n = 0;
    dt_price *prices = dt_calloc(most, sizeof *prices);
    if (!prices)
        return dt_fail_memory(err, most * sizeof *prices, "prices");
    for (int i = 0; i < r->n_rows; i++) {
        const fetched *f = &r->rows[i];
        prices[n++] = (dt_price){.type = f->type,
                                 .region = f->region,
                                 .zone = f->zone[0] ? f->zone : NULL,
                                 .is_spot = f->is_spot,
                                 .usd_h = f->usd_h,
                                 .date = today,
                                 .source = &sources[f->is_spot]};
    }
    for (int i = 0; i < r->catalog->n_prices; i++)
        if (r->catalog->prices[i].is_users && !is_asked(r, &r->catalog->prices[i]))
            prices[n++] = r->catalog->prices[i];
    const dt_status status = dt_catalog_write_prices(path, prices, n, err);
    dt_free(prices);
    return status;
}

/* -- what has changed ------------------------------------------------------------------------------------ */

typedef struct counts {
    int changed, same, added, gone;
    int kept; /* of `gone`: the file has nothing in their place */
} counts;

static const dt_price *find_known(const refresh *r, const fetched *f)
{
    for (int i = 0; i < r->catalog->n_prices; i++) {
        const dt_price *p = &r->catalog->prices[i];
        if (p->is_spot == f->is_spot && is_same_text(p->zone, f->zone) && strcmp(p->type, f->type) == 0 &&
            strcmp(p->region, f->region) == 0)
            return p;
    }
    return NULL;
}

/* Whether AWS has a price for the same place; with `anywhere`, for any zone of the region. */
static bool is_listed(const refresh *r, const dt_price *p, bool anywhere)
{
    for (int i = 0; i < r->n_rows; i++)
        if (p->is_spot == r->rows[i].is_spot && (anywhere || is_same_text(p->zone, r->rows[i].zone)) &&
            strcmp(p->type, r->rows[i].type) == 0 && strcmp(p->region, r->rows[i].region) == 0)
            return true;
    return false;
}

/* NAN: none. */
static dt_status add_row(dt_table *table, const char *type, const char *place, bool is_spot, double was,
                         double is, dt_error *err)
{
    char texts[3][32] = {"-", "-", ""};
    if (!isnan(was))
        snprintf(texts[0], sizeof texts[0], "%.4g", was);
    if (!isnan(is))
        snprintf(texts[1], sizeof texts[1], "%.4g", is);
    if (isnan(is))
        snprintf(texts[2], sizeof texts[2], "not offered");
    else if (isnan(was))
        snprintf(texts[2], sizeof texts[2], "new");
    else
        snprintf(texts[2], sizeof texts[2], "%+.1f%%", 100.0 * (is / was - 1.0));
    return dt_table_add(
        table,
        (const char *const[]){type, place, is_spot ? "spot" : "on demand", texts[0], texts[1], texts[2]},
        err);
}

static dt_status compare(const refresh *r, dt_table *table, counts *n, dt_error *err)
{
    for (int i = 0; i < r->n_rows; i++) {
        const fetched *f = &r->rows[i];
        const dt_price *known = find_known(r, f);
        if (known && fabs(f->usd_h / known->usd_h - 1.0) < CHANGE) {
            n->same++;
            continue;
        }
        *(known ? &n->changed : &n->added) += 1;
        DT_TRY(add_row(table, f->type, f->zone[0] ? f->zone : f->region, f->is_spot,
                       known ? known->usd_h : NAN, f->usd_h, err));
    }
    for (int i = 0; i < r->catalog->n_prices; i++) {
        const dt_price *p = &r->catalog->prices[i];
        if (!is_asked(r, p) || is_listed(r, p, false))
            continue;
        n->gone++;
        n->kept += !p->is_users && !is_listed(r, p, true);
        DT_TRY(add_row(table, p->type, p->zone ? p->zone : p->region, p->is_spot, p->usd_h, NAN, err));
    }
    return DT_OK;
}

static dt_status report(const refresh *r, const char *path, dt_error *err)
{
    static const char *const headings[] = {"type", "where", "kind", "was USD/h", "is USD/h", "change"};
    counts n = {0};
    dt_table *table = NULL;
    DT_TRY(dt_table_create(headings, 6, &table, err));
    for (int column = 3; column < 6; column++)
        dt_table_align_right(table, column);
    dt_status status = compare(r, table, &n, err);
    if (status == DT_OK && n.changed + n.added + n.gone > 0)
        status = dt_table_print(table, stdout, dt_table_utf8(), dt_table_columns(stdout), err);
    dt_table_destroy(table);
    DT_TRY(status);
    dt_output_line(
        stdout,
        "%s: %d price%s of AWS: %d changed, %d new, %d the same, %d not offered; use %s with --prices %s",
        path, r->n_rows, DT_PLURAL(r->n_rows), n.changed, n.added, n.same, n.gone,
        r->n_rows == 1 ? "it" : "them", path);
    if (n.kept > 0)
        dt_output_line(
            stdout,
            "AWS has nothing in the place of %d built-in price%s, which a file cannot remove: leave "
            "out what is not offered with --types and --regions",
            n.kept, DT_PLURAL(n.kept));
    return fflush(stdout) == 0 ? DT_OK : dt_fail_errno(err, "cannot print the prices");
}

/* -- all of it ------------------------------------------------------------------------------------------- */

/* All types that dtrain supports, or all regions with a price; the caller frees the list. */
static const char **all_types(const dt_catalog *catalog)
{
    int n = 0;
    const char **types = dt_calloc((size_t)catalog->n_instances + 1, sizeof *types);
    for (int i = 0; types && i < catalog->n_instances; i++)
        if (!catalog->instances[i].unsupported.text)
            types[n++] = catalog->instances[i].type;
    return types;
}

static const char **all_regions(const dt_catalog *catalog)
{
    int n = 0;
    const char **regions = dt_calloc((size_t)catalog->n_prices + 1, sizeof *regions);
    for (int i = 0; regions && i < catalog->n_prices; i++)
        if (!own_name(regions, catalog->prices[i].region))
            regions[n++] = catalog->prices[i].region;
    return regions;
}

static dt_status refresh_all(refresh *r, const char *path, dt_error *err)
{
    dt_aws_credentials credentials = {0};
    DT_TRY(dt_aws_credentials_find(NULL, &credentials, err));
    dt_log_info("credentials from %s", credentials.source);
    dt_status status = dt_aws_client_create(&credentials, &(dt_aws_options){0}, &r->client, err);
    if (status == DT_OK)
        status = ask_all(r, err);
    dt_aws_client_destroy(r->client);
    dt_aws_credentials_free(&credentials);
    if (status == DT_OK)
        status = write_file(r, path, err);
    return status == DT_OK ? report(r, path, err) : status;
}

dt_status dt_plan_refresh_prices(const dt_catalog *catalog, const char *const *types,
                                 const char *const *regions, const char *path, dt_error *err)
{
    const dt_instance *instance;
    for (int i = 0; types && types[i]; i++)
        DT_TRY(dt_catalog_get_instance(catalog, types[i], "--types", &instance, err));
    if (dt_aws_why_not())
        return dt_fail(err, DT_ERR_UNSUPPORTED, "--refresh-prices: %s", dt_aws_why_not());
    DT_TRY(dt_output_check_writable("refresh-prices", path, err));
    const char **own_types = types ? NULL : all_types(catalog);
    const char **own_regions = regions ? NULL : all_regions(catalog);
    refresh r = {
        .catalog = catalog, .types = types ? types : own_types, .regions = regions ? regions : own_regions};
    dt_status status =
        r.types && r.regions ? refresh_all(&r, path, err) : dt_fail_memory(err, sizeof r, "a list of types");
    dt_free(r.rows);
    dt_free(own_types);
    dt_free(own_regions);
    return status;
}
