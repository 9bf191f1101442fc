#include "config.h"

#include "launch/cloud/aws_prices.h"

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/base/json_limit.h"
#include "launch/cloud/aws_zones.h"
#include "launch/cloud/xml.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

enum {
    MAX_PAGES = 100, /* of one answer: more is a server that repeats itself */
    MAX_VALUES = 100000,
    MAX_DEPTH = 16
};

void dt_aws_prices_free(dt_aws_prices *prices)
{
    dt_free(prices->items);
    *prices = (dt_aws_prices){0};
}

static bool parse_usd(const char *text, double *usd)
{
    char *end;
    *usd = strtod(text, &end);
    return end != text && !*end && isfinite(*usd) && *usd > 0.0;
}

/* -- spot ------------------------------------------------------------------------------------------------ */

typedef struct page {
    const dt_aws_zones *zones;
    dt_aws_prices *prices;
    dt_aws_price row;
    char zone[48]; /* the row's, by name */
    char product[32], price[32];
    char *next; /* the token of the next page; NULL: none */
    const char *problem;
    bool is_spot_history;
} page;

#define SET "DescribeSpotPriceHistoryResponse/spotPriceHistorySet"

/* Several rows for one type and zone: the newest comes first. */
static bool is_there(const dt_aws_prices *prices, const dt_aws_price *row)
{
    for (int i = 0; i < prices->n; i++)
        if (strcmp(prices->items[i].zone, row->zone) == 0 && strcmp(prices->items[i].type, row->type) == 0)
            return true;
    return false;
}

static void end_row(page *p)
{
    dt_aws_prices *a = p->prices;
    const bool is_linux = strncmp(p->product, "Linux/UNIX", strlen("Linux/UNIX")) == 0;
    const dt_aws_zone *zone = dt_aws_zones_find(p->zones, p->zone);
    snprintf(p->row.zone, sizeof p->row.zone, "%s", zone ? zone->id : "");
    if (!p->row.type[0] || !p->zone[0] || !parse_usd(p->price, &p->row.usd_h))
        p->problem = "a price without type, zone or dollars";
    else if (is_linux && zone && !is_there(a, &p->row)) {
        if (a->n == a->n_allocated) {
            const int more = 2 * a->n_allocated + 64;
            dt_aws_price *items =
                dt_realloc(a->items, (size_t)a->n_allocated * sizeof *items, (size_t)more * sizeof *items);
            if (!items) {
                p->problem = "out of memory";
                return;
            }
            a->items = items;
            a->n_allocated = more;
        }
        a->items[a->n++] = p->row;
    }
    p->row = (dt_aws_price){0};
    p->product[0] = p->price[0] = p->zone[0] = '\0';
}

static void visit(void *context, const char *path, const char *text)
{
    page *p = context;
    const size_t set = strlen(SET "/item/");
    if (strcmp(path, "DescribeSpotPriceHistoryResponse") == 0)
        p->is_spot_history = true;
    else if (strcmp(path, SET "/item") == 0)
        end_row(p);
    else if (strcmp(path, "DescribeSpotPriceHistoryResponse/nextToken") == 0 && text[0]) {
        dt_free(p->next);
        if (!(p->next = dt_strdup(text)))
            p->problem = "out of memory";
    } else if (strncmp(path, SET "/item/", set) == 0) {
        const char *name = path + set;
        if (strcmp(name, "instanceType") == 0)
            snprintf(p->row.type, sizeof p->row.type, "%s", text);
        else if (strcmp(name, "availabilityZone") == 0)
            snprintf(p->zone, sizeof p->zone, "%s", text);
        else if (strcmp(name, "productDescription") == 0)
            snprintf(p->product, sizeof p->product, "%s", text);
        else if (strcmp(name, "spotPrice") == 0)
            snprintf(p->price, sizeof p->price, "%s", text);
    }
}

static dt_status spot_form(const char *const *types, const char *token, char **form, dt_error *err)
{
    char now[32], name[32];
    const time_t t = (time_t)dt_clock_unix_s();
    struct tm utc;
    gmtime_r(&t, &utc);
    (void)strftime(now, sizeof now, "%Y-%m-%dT%H:%M:%SZ", &utc);
    for (int i = 0; types[i]; i++) {
        snprintf(name, sizeof name, "InstanceType.%d", i + 1);
        DT_TRY(dt_aws_form_add(form, name, types[i], err));
    }
    DT_TRY(dt_aws_form_add(form, "ProductDescription.1", "Linux/UNIX", err));
    DT_TRY(dt_aws_form_add(form, "StartTime", now, err)); /* what was set last before counts now */
    DT_TRY(dt_aws_form_add(form, "MaxResults", "1000", err));
    return token ? dt_aws_form_add(form, "NextToken", token, err) : DT_OK;
}

/* One page; *token becomes the next one's, or NULL. */
static dt_status spot_page(dt_aws_client *client, const char *region, const char *const *types,
                           const dt_aws_zones *zones, char **token, dt_aws_prices *prices, dt_error *err)
{
    char *form = NULL;
    dt_aws_answer answer = {0};
    page p = {.zones = zones, .prices = prices};
    dt_status status = spot_form(types, *token, &form, err);
    if (status == DT_OK)
        status = dt_aws_call(client,
                             &(dt_aws_request){.service = DT_AWS_EC2,
                                               .region = region,
                                               .action = "DescribeSpotPriceHistory",
                                               .parameters = form},
                             &answer, err);
    dt_free(form);
    dt_free(*token);
    *token = NULL;
    if (status == DT_OK)
        status = dt_xml_walk(answer.text, answer.bytes, visit, &p, err);
    if (status == DT_OK && (p.problem || !p.is_spot_history))
        status = dt_fail(err, DT_ERR_FORMAT, "ec2:DescribeSpotPriceHistory in %s: %s", region,
                         p.problem ? p.problem : "the answer has no prices");
    dt_aws_answer_free(&answer);
    *token = p.next;
    return status;
}

dt_status dt_aws_spot_prices(dt_aws_client *client, const char *region, const char *const *types,
                             dt_aws_prices *prices, dt_error *err)
{
    char *token = NULL;
    dt_aws_zones zones;
    dt_aws_finding finding;
    int n_pages = 0;
    dt_status status = dt_aws_zones_read(client, region, &zones, &finding, err);
    if (status == DT_OK && finding != DT_AWS_KNOWN)
        return dt_fail(
            err, DT_ERR_USAGE,
            "the credentials may not do ec2:DescribeAvailabilityZones: the policy in launch/README.md "
            "allows it");
    while (status == DT_OK && (n_pages == 0 || token))
        status = n_pages++ < MAX_PAGES
                     ? spot_page(client, region, types, &zones, &token, prices, err)
                     : dt_fail(err, DT_ERR_FORMAT,
                               "ec2:DescribeSpotPriceHistory in %s: the answer does not end", region);
    dt_free(token);
    return status;
}

/* -- on demand ------------------------------------------------------------------------------------------- */

/* What a price must be of; other products of a type are licences, hosts and reservations. */
static const struct {
    const char *field, *value; /* NULL: the caller's */
} filters[] = {
    {"instanceType", NULL}, {"regionCode", NULL},     {"operatingSystem", "Linux"},
    {"tenancy", "Shared"},  {"preInstalledSw", "NA"}, {"capacitystatus", "Used"},
};

static json_t *price_request(const char *type, const char *region, const char *token)
{
    json_t *list = json_array();
    const char *own[] = {type, region};
    for (size_t i = 0; i < sizeof filters / sizeof filters[0]; i++)
        if (json_array_append_new(list,
                                  json_pack("{s:s,s:s,s:s}", "Type", "TERM_MATCH", "Field", filters[i].field,
                                            "Value", filters[i].value ? filters[i].value : own[i])) != 0) {
            json_decref(list);
            return NULL;
        }
    return json_pack("{s:s,s:s,s:i,s:o,s:s*}", "ServiceCode", "AmazonEC2", "FormatVersion", "aws_v1",
                     "MaxResults", 100, "Filters", list, "NextToken", token);
}

/* The least price for an hour in the terms on demand of one product; NAN: it has none. */
static double price_of_product(const json_t *product)
{
    const char *term_key, *dimension_key;
    json_t *term, *dimension;
    double least = NAN, usd;
    const json_t *attributes = json_object_get(json_object_get(product, "product"), "attributes");
    const char *market = json_string_value(json_object_get(attributes, "marketoption"));
    if (market && strcmp(market, "OnDemand") != 0)
        return NAN; /* a block of capacity */
    json_object_foreach(json_object_get(json_object_get(product, "terms"), "OnDemand"), term_key, term)
        json_object_foreach(json_object_get(term, "priceDimensions"), dimension_key, dimension)
    {
        const char *unit = json_string_value(json_object_get(dimension, "unit"));
        const char *text =
            json_string_value(json_object_get(json_object_get(dimension, "pricePerUnit"), "USD"));
        if (unit && strcmp(unit, "Hrs") == 0 && text && parse_usd(text, &usd))
            least = fmin(least, usd); /* fmin ignores NAN */
    }
    return least;
}

/* The products are JSON texts inside the answer's JSON. */
static dt_status read_products(const dt_aws_answer *answer, double *usd_h, char **token, dt_error *err)
{
    json_t *root = NULL, *text;
    size_t i;
    if (dt_json_limit(answer->text, (int64_t)answer->bytes, MAX_VALUES, MAX_DEPTH, NULL) == DT_OK)
        root = json_loadb(answer->text, answer->bytes, 0, NULL);
    const json_t *list = json_object_get(root, "PriceList");
    dt_status status =
        json_is_array(list) ? DT_OK : dt_fail(err, DT_ERR_FORMAT, "the answer has no PriceList");
    json_array_foreach(list, i, text)
    {
        json_t *product = NULL;
        const size_t bytes = json_string_length(text);
        if (dt_json_limit(json_string_value(text) ? json_string_value(text) : "", (int64_t)bytes, MAX_VALUES,
                          MAX_DEPTH, NULL) == DT_OK)
            product = json_loadb(json_string_value(text) ? json_string_value(text) : "", bytes, 0, NULL);
        if (product)
            *usd_h = fmin(*usd_h, price_of_product(product));
        else if (status == DT_OK)
            status = dt_fail(err, DT_ERR_FORMAT, "a product of the answer is no JSON");
        json_decref(product);
    }
    const char *next = json_string_value(json_object_get(root, "NextToken"));
    *token = next && next[0] ? dt_strdup(next) : NULL;
    if (status == DT_OK && next && next[0] && !*token)
        status = dt_fail_memory(err, strlen(next), "an answer");
    json_decref(root);
    return status;
}

static dt_status price_page(dt_aws_client *client, const char *region, const char *type, char **token,
                            double *usd_h, dt_error *err)
{
    dt_aws_answer answer = {0};
    json_t *request = price_request(type, region, *token);
    char *text = request ? json_dumps(request, JSON_COMPACT) : NULL;
    json_decref(request);
    dt_free(*token);
    *token = NULL;
    if (!text)
        return dt_fail_memory(err, strlen(type), "a request");
    dt_status status = dt_aws_call(
        client,
        &(dt_aws_request){
            .service = DT_AWS_PRICING, .region = region, .action = "GetProducts", .parameters = text},
        &answer, err);
    free(text);
    if (status == DT_OK && (status = read_products(&answer, usd_h, token, err)) != DT_OK)
        dt_error_prefix(err, "pricing:GetProducts, %s in %s", type, region);
    dt_aws_answer_free(&answer);
    return status;
}

dt_status dt_aws_on_demand_price(dt_aws_client *client, const char *region, const char *type, double *usd_h,
                                 dt_error *err)
{
    char *token = NULL;
    double least = NAN;
    dt_status status = DT_OK;
    int n_pages = 0;
    do {
        status = n_pages++ < MAX_PAGES
                     ? price_page(client, region, type, &token, &least, err)
                     : dt_fail(err, DT_ERR_FORMAT, "pricing:GetProducts, %s in %s: the answer does not end",
                               type, region);
    } while (status == DT_OK && token);
    dt_free(token);
    if (status == DT_OK)
        *usd_h = least;
    return status;
}
