/* Reads prices.json. */
#include "launch/estimate/catalog_build.h"

#include "launch/estimate/catalog_date.h"
#include "launch/estimate/zone.h"

#include <stdio.h>
#include <string.h>

static bool is_same_text(const char *a, const char *b)
{
    return a == b || (a && b && strcmp(a, b) == 0);
}

static dt_status read_kind(const dt_json_place *entry, bool *is_spot, dt_error *err)
{
    const dt_json_place kind = dt_json_member(entry, "kind"), zone = dt_json_member(entry, "zone");
    const char *text = NULL;
    DT_TRY(dt_json_get_text(entry, "kind", &text, err));
    *is_spot = strcmp(text, "spot") == 0;
    if (!*is_spot && strcmp(text, "on demand") != 0)
        return dt_json_fail(&kind, err, "\"kind\" is \"%s\"; it is \"spot\" or \"on demand\"", text);
    if (!*is_spot && zone.value)
        return dt_json_fail(&zone, err, "a price on demand is that of a whole region; leave \"zone\" out");
    return DT_OK;
}

/* The entry's date, or its source's. */
static dt_status read_date(const dt_catalog_input *input, const dt_json_place *entry, dt_price *price,
                           dt_error *err)
{
    const dt_json_place date = dt_json_member(entry, "date");
    int day;
    price->date = price->source->date;
    DT_TRY(dt_catalog_read_text(input, entry, "date", &price->date, err));
    if (date.value && !dt_catalog_day(price->date, &day))
        return dt_json_fail(&date, err, "\"date\" is \"%s\"; write the day as YYYY-MM-DD", price->date);
    if (!dt_catalog_day(price->date, &day))
        return dt_json_fail(entry, err,
                            "this price needs a \"date\", YYYY-MM-DD: that of its source is no day, but %s",
                            price->date);
    return DT_OK;
}

/* Refuses a zone of another region: "usw2-az1" or "us-west-2a" in us-east-1. */
static dt_status check_zone(const dt_json_place *entry, const dt_price *price, dt_error *err)
{
    const dt_json_place zone = dt_json_member(entry, "zone");
    char prefix[8];
    if (!price->zone || dt_zone_is_in(price->zone, price->region) || !dt_zone_prefix(price->region, prefix))
        return DT_OK;
    return dt_json_fail(&zone, err, "\"zone\" is \"%s\", which is not in %s: its zones are %s-az1, ...",
                        price->zone, price->region, prefix);
}

static dt_status read_entry(const dt_catalog_input *input, const dt_json_place *entry, dt_price *price,
                            dt_error *err)
{
    static const char *const keys[] = {"type", "region", "zone", "kind", "usd_h", "date", "source", NULL};
    const dt_json_place type = dt_json_member(entry, "type"), usd_h = dt_json_member(entry, "usd_h");
    const dt_instance *instance = NULL;
    char where[512];
    DT_TRY(dt_json_check_keys(entry, keys, err));
    DT_TRY(dt_catalog_need_text(input, entry, "type", &price->type, err));
    snprintf(where, sizeof where, "%s:%d", entry->file->name, dt_json_line(&type));
    DT_TRY(dt_catalog_get_instance(&input->build->catalog, price->type, where, &instance, err));
    DT_TRY(dt_catalog_need_text(input, entry, "region", &price->region, err));
    DT_TRY(read_kind(entry, &price->is_spot, err));
    DT_TRY(dt_catalog_read_text(input, entry, "zone", &price->zone, err));
    DT_TRY(check_zone(entry, price, err));
    DT_TRY(dt_json_get_number(entry, "usd_h", &price->usd_h, err));
    DT_TRY(dt_json_check_range(&usd_h, price->usd_h, 1e-4, 1e5, err));
    DT_TRY(dt_catalog_read_source(input, entry, NULL, &price->source, err));
    if (!price->source)
        return dt_json_fail(entry, err, "this price has no \"source\"; write an id of \"sources\"");
    return read_date(input, entry, price, err);
}

/* Removes the built-in prices that a price of the user's stands for: all of one kind of a type in a region.
 * Spot prices of one day only: the cheapest zone of a mixture would be that of the day on which all were
 * cheap. */
static void remove_replaced(dt_catalog_build *build, const dt_price *price)
{
    for (int i = build->catalog.n_prices - 1; i >= 0; i--) {
        const dt_price *old = &build->prices[i];
        if (!old->is_users && old->is_spot == price->is_spot && strcmp(old->type, price->type) == 0 &&
            strcmp(old->region, price->region) == 0)
            dt_catalog_remove_price(build, i);
    }
}

static dt_status read_price(const dt_catalog_input *input, const dt_json_place *entry, dt_error *err)
{
    dt_price price = {.is_users = input->is_users};
    DT_TRY(read_entry(input, entry, &price, err));
    if (price.is_users)
        remove_replaced(input->build, &price);
    for (int i = 0; i < input->build->catalog.n_prices; i++) {
        const dt_price *other = &input->build->prices[i];
        if (other->is_spot == price.is_spot && strcmp(other->type, price.type) == 0 &&
            strcmp(other->region, price.region) == 0 && is_same_text(other->zone, price.zone))
            return dt_json_fail(entry, err, "the price of %s %s in %s stands twice in this file", price.type,
                                price.is_spot ? "spot" : "on demand", price.zone ? price.zone : price.region);
    }
    return dt_catalog_add_price(input->build, &price, err);
}

dt_status dt_catalog_read_prices(dt_catalog_input *input, dt_error *err)
{
    static const char *const root_keys[] = {"sources", "prices", NULL};
    const dt_json_place all = dt_json_member(&input->root, "prices");
    DT_TRY(dt_json_check_keys(&input->root, root_keys, err));
    DT_TRY(dt_json_check_array(&all, err));
    for (int i = 0; i < dt_json_length(&all); i++) {
        const dt_json_place entry = dt_json_element(&all, i);
        DT_TRY(read_price(input, &entry, err));
    }
    return DT_OK;
}
