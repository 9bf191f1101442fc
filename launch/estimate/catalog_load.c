/* Makes a catalog from the built-in data and the user's files. */
#include "launch/estimate/catalog_build.h"

#include "core/base/alloc.h"
#include "launch/estimate/data_files.h"

#include <stdio.h>

typedef dt_status read_function(dt_catalog_input *input, dt_error *err);

static dt_status read_open_file(dt_catalog_build *build, const dt_json_file *file, bool is_users,
                                read_function *read, dt_error *err)
{
    dt_catalog_input input = {.build = build, .root = dt_json_root(file), .is_users = is_users};
    DT_TRY(dt_catalog_read_sources(&input, err));
    dt_status status = read(&input, err);
    dt_free(input.sources);
    return status;
}

/* Reads the built-in file `name`, then the user's, if there is one. */
static dt_status read_both(dt_catalog_build *build, const char *name, const char *path, read_function *read,
                           dt_error *err)
{
    char shown[64];
    dt_json_file file = {0};
    snprintf(shown, sizeof shown, "built-in %s", name);
    DT_TRY(dt_json_text_open(shown, dt_data_file_text(name), &file, err));
    dt_status status = read_open_file(build, &file, false, read, err);
    dt_json_file_close(&file);
    if (status != DT_OK || !path)
        return status;
    DT_TRY(dt_json_file_open(path, &file, err));
    status = read_open_file(build, &file, true, read, err);
    dt_json_file_close(&file);
    return status;
}

dt_status dt_catalog_load(const char *instances, const char *prices, const char *rates, dt_catalog **catalog,
                          dt_error *err)
{
    dt_catalog_build *build = dt_calloc(1, sizeof *build);
    dt_status status;
    if (!build)
        return dt_fail_memory(err, sizeof *build, "the planner's data");
    DT_TRY_OR_FAIL(status, read_both(build, "instances.json", instances, dt_catalog_read_instances, err));
    DT_TRY_OR_FAIL(status, read_both(build, "prices.json", prices, dt_catalog_read_prices, err));
    DT_TRY_OR_FAIL(status, read_both(build, "rates.json", rates, dt_catalog_read_rates, err));
    *catalog = &build->catalog;
    return DT_OK;
fail:
    dt_catalog_free(&build->catalog);
    return status;
}
