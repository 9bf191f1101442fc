/* The memory of a catalog. */
#include "launch/estimate/catalog_build.h"

#include "core/base/alloc.h"

#include <string.h>

/* Many small texts share a block. */
enum { BLOCK_BYTES = 16 << 10 };

struct dt_catalog_block {
    struct dt_catalog_block *next;
    size_t used, bytes;
    double data[]; /* aligned for all that a catalog keeps */
};

void *dt_catalog_keep(dt_catalog_build *build, size_t bytes)
{
    struct dt_catalog_block *block = build->blocks;
    bytes = (bytes + sizeof(double) - 1) / sizeof(double) * sizeof(double);
    if (!block || block->bytes - block->used < bytes) {
        const size_t room = bytes > BLOCK_BYTES ? bytes : BLOCK_BYTES;
        block = dt_alloc(sizeof *block + room);
        if (!block)
            return NULL;
        *block = (struct dt_catalog_block){.next = build->blocks, .bytes = room};
        build->blocks = block;
    }
    block->used += bytes;
    return (char *)block->data + block->used - bytes;
}

const char *dt_catalog_keep_text(dt_catalog_build *build, const char *text)
{
    char *copy = dt_catalog_keep(build, strlen(text) + 1);
    return copy ? memcpy(copy, text, strlen(text) + 1) : NULL;
}

void dt_catalog_free(dt_catalog *catalog)
{
    dt_catalog_build *build = (dt_catalog_build *)catalog;
    if (!build)
        return;
    for (struct dt_catalog_block *block = build->blocks, *next; block; block = next) {
        next = block->next;
        dt_free(block);
    }
    dt_free(build->instances);
    dt_free(build->prices);
    dt_free(build->rates);
    dt_free(build);
}

/* Makes place for one more entry: doubles an array whose n entries fill it. NULL: out of memory, and the
 * array stays. */
static void *grow(void *array, int n, size_t entry_bytes)
{
    enum { FIRST = 16 };
    const size_t bytes = (size_t)n * entry_bytes;
    if (n != 0 && (n < FIRST || (n & (n - 1)) != 0))
        return array;
    return dt_realloc(array, bytes, n ? 2 * bytes : FIRST * entry_bytes);
}

dt_status dt_catalog_add_instance(dt_catalog_build *build, const dt_instance *instance, dt_error *err)
{
    const int n = build->catalog.n_instances;
    dt_instance *grown = grow(build->instances, n, sizeof *grown);
    if (!grown)
        return dt_fail_memory(err, sizeof *grown, "an instance type");
    grown[n] = *instance;
    build->catalog.instances = build->instances = grown;
    build->catalog.n_instances++;
    return DT_OK;
}

dt_status dt_catalog_add_price(dt_catalog_build *build, const dt_price *price, dt_error *err)
{
    const int n = build->catalog.n_prices;
    dt_price *grown = grow(build->prices, n, sizeof *grown);
    if (!grown)
        return dt_fail_memory(err, sizeof *grown, "a price");
    grown[n] = *price;
    build->catalog.prices = build->prices = grown;
    build->catalog.n_prices++;
    return DT_OK;
}

dt_status dt_catalog_add_rate(dt_catalog_build *build, const dt_rate *rate, dt_error *err)
{
    const int n = build->catalog.n_rates;
    dt_rate *grown = grow(build->rates, n, sizeof *grown);
    if (!grown)
        return dt_fail_memory(err, sizeof *grown, "a rate");
    grown[n] = *rate;
    build->catalog.rates = build->rates = grown;
    build->catalog.n_rates++;
    return DT_OK;
}

void dt_catalog_remove_price(dt_catalog_build *build, int index)
{
    dt_price *at = build->prices + index;
    memmove(at, at + 1, (size_t)(--build->catalog.n_prices - index) * sizeof *at);
}

void dt_catalog_remove_rate(dt_catalog_build *build, int index)
{
    dt_rate *at = build->rates + index;
    memmove(at, at + 1, (size_t)(--build->catalog.n_rates - index) * sizeof *at);
}
