/* What is asked of a catalog; catalog_load.c makes one. */
#include "launch/estimate/catalog.h"

#include "core/base/alloc.h"
#include "launch/estimate/catalog_date.h"
#include "launch/options/suggest.h"

#include <stdio.h>
#include <string.h>
#include <time.h>

const char *dt_confidence_name(dt_confidence confidence)
{
    static const char *const names[DT_N_CONFIDENCES] = {
        [DT_CONFIDENCE_MEASURED] = "measured",
        [DT_CONFIDENCE_PUBLISHED] = "published",
        [DT_CONFIDENCE_THIRD_PARTY] = "third party",
        [DT_CONFIDENCE_ESTIMATED] = "estimated",
    };
    return names[confidence];
}

const dt_instance *dt_catalog_find_instance(const dt_catalog *catalog, const char *type)
{
    for (int i = 0; i < catalog->n_instances; i++)
        if (strcmp(catalog->instances[i].type, type) == 0)
            return &catalog->instances[i];
    return NULL;
}

dt_status dt_catalog_get_instance(const dt_catalog *catalog, const char *type, const char *what,
                                  const dt_instance **instance, dt_error *err)
{
    const dt_instance *found = dt_catalog_find_instance(catalog, type);
    if (found) {
        *instance = found;
        return DT_OK;
    }
    const char **types = dt_calloc((size_t)catalog->n_instances + 1, sizeof *types);
    if (!types)
        return dt_fail_memory(err, (size_t)catalog->n_instances * sizeof *types, "a list of types");
    for (int i = 0; i < catalog->n_instances; i++)
        types[i] = catalog->instances[i].type;
    const char *meant = dt_suggest(type, types);
    dt_free(types);
    return dt_fail(err, DT_ERR_USAGE, "%s: there is no instance type '%s'%s%s%s", what, type,
                   meant ? "; did you mean '" : "", meant ? meant : "", meant ? "'?" : "");
}

/* Collects the regions that have prices, each once, in the order of the prices. */
static int list_regions(const dt_catalog *catalog, const char **regions)
{
    int n = 0;
    for (int i = 0; i < catalog->n_prices; i++) {
        int k = 0;
        while (k < n && strcmp(regions[k], catalog->prices[i].region) != 0)
            k++;
        if (k == n)
            regions[n++] = catalog->prices[i].region;
    }
    regions[n] = NULL;
    return n;
}

dt_status dt_catalog_check_region(const dt_catalog *catalog, const char *region, const char *what,
                                  dt_error *err)
{
    for (int i = 0; i < catalog->n_prices; i++)
        if (strcmp(catalog->prices[i].region, region) == 0)
            return DT_OK;
    char list[512] = "";
    const char **regions = dt_calloc((size_t)catalog->n_prices + 1, sizeof *regions);
    if (!regions)
        return dt_fail_memory(err, (size_t)catalog->n_prices * sizeof *regions, "a list of regions");
    const int n = list_regions(catalog, regions);
    for (int i = 0; i < n; i++)
        snprintf(list + strlen(list), sizeof list - strlen(list), "%s%s", i ? ", " : "", regions[i]);
    const char *meant = dt_suggest(region, regions);
    dt_free(regions);
    return dt_fail(err, DT_ERR_USAGE, "%s: no price is known in '%s'%s%s%s in %s", what, region,
                   meant ? "; did you mean '" : "", meant ? meant : "",
                   meant ? "'? There are prices" : "; there are prices", n ? list : "no region");
}

const dt_price *dt_catalog_find_price(const dt_catalog *catalog, const char *type, const char *region,
                                      const char *zone, bool is_spot)
{
    const dt_price *best = NULL;
    for (int i = 0; i < catalog->n_prices; i++) {
        const dt_price *price = &catalog->prices[i];
        if (price->is_spot != is_spot || strcmp(price->type, type) != 0 || strcmp(price->region, region) != 0)
            continue;
        if (is_spot && zone && (!price->zone || strcmp(price->zone, zone) != 0))
            continue;
        if (!best || price->usd_h < best->usd_h)
            best = price;
    }
    return best;
}

/* Whether `a` suits a training on n_gpus better than `b`, which stands before it. */
static bool is_better(const dt_rate *a, const dt_rate *b, int n_gpus)
{
    if (a->is_users != b->is_users)
        return a->is_users;
    return a->n_gpus == n_gpus && b->n_gpus != n_gpus;
}

const dt_rate *dt_catalog_find_rate(const dt_catalog *catalog, const char *gpu, const char *arch,
                                    const char *precision, int image_size, int n_gpus)
{
    const dt_rate *best = NULL;
    for (int i = 0; i < catalog->n_rates; i++) {
        const dt_rate *rate = &catalog->rates[i];
        if (strcmp(rate->gpu, gpu) == 0 && strcmp(rate->arch, arch) == 0 &&
            strcmp(rate->precision, precision) == 0 && rate->image_size == image_size &&
            (!best || is_better(rate, best, n_gpus)))
            best = rate;
    }
    return best;
}

int dt_price_age_days(const dt_price *price, const char *today)
{
    int from = 0, to = 0;
    if (!dt_catalog_day(price->date, &from) || !dt_catalog_day(today, &to))
        return 0;
    return to > from ? to - from : 0;
}

int dt_catalog_price_age_days(const dt_catalog *catalog, const char *today)
{
    int oldest = 0;
    for (int i = 0; i < catalog->n_prices; i++) {
        const int age = dt_price_age_days(&catalog->prices[i], today);
        oldest = age > oldest ? age : oldest;
    }
    return oldest;
}

void dt_catalog_today(char date[11])
{
    const time_t now = time(NULL);
    struct tm utc;
    gmtime_r(&now, &utc);
    strftime(date, 11, "%Y-%m-%d", &utc);
}
