/* aws_job: what `dtrain plan` asks AWS, without the planner around it.
 *
 *   aws_job refresh FILE TYPE,TYPE... REGION,REGION... [PRICES]     "all" for all types, or all regions
 *   aws_job check TYPE REGION ZONE|any NODES VCPUS spot|demand
 *
 * The exit code is that of dtrain for the same error. */
#include "core/base/log.h"
#include "launch/commands/plan_aws.h"
#include "launch/show/console.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_NAMES = 16 };

/* Splits `text` at commas; NULL for "all". */
static const char *const *split(char *text, const char *names[MAX_NAMES])
{
    int n = 0;
    for (char *name = strtok(text, ","); name && n < MAX_NAMES - 1; name = strtok(NULL, ","))
        names[n++] = name;
    names[n] = NULL;
    return n == 1 && strcmp(names[0], "all") == 0 ? NULL : names;
}

static dt_status refresh(int argc, char **argv, dt_error *err)
{
    const char *types[MAX_NAMES], *regions[MAX_NAMES];
    dt_catalog *catalog = NULL;
    DT_TRY(dt_catalog_load(NULL, argc > 5 ? argv[5] : NULL, NULL, &catalog, err));
    const dt_status status =
        dt_plan_refresh_prices(catalog, split(argv[3], types), split(argv[4], regions), argv[2], err);
    dt_catalog_free(catalog);
    return status;
}

int main(int argc, char **argv)
{
    dt_error err = {0};
    dt_status status = DT_ERR_USAGE;
    dt_console_open();
    if (argc >= 5 && strcmp(argv[1], "refresh") == 0)
        status = refresh(argc, argv, &err);
    else if (argc == 8 && strcmp(argv[1], "check") == 0)
        status = dt_plan_check_account(&(dt_plan_wanted){.type = argv[2],
                                                         .region = argv[3],
                                                         .zone = strcmp(argv[4], "any") ? argv[4] : NULL,
                                                         .n_nodes = atoi(argv[5]),
                                                         .n_vcpus = atoi(argv[6]),
                                                         .is_spot = strcmp(argv[7], "spot") == 0},
                                       1, stdout, &err);
    if (status != DT_OK)
        dt_console_fail(&err);
    return dt_status_exit_code(status);
}
