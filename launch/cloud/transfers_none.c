/* transfers.h in a build without libcurl. */
#include "config.h"

#include "launch/cloud/transfers.h"

#ifndef HAVE_CURL

static dt_status no_curl(dt_error *err)
{
    return dt_fail(err, DT_ERR_UNSUPPORTED, "this build has no libcurl: " DT_WHY_NO_CURL);
}

bool dt_transfers_are_built_in(void)
{
    return false;
}

bool dt_transfers_can_sign(void)
{
    return false;
}

dt_status dt_transfers_create(const dt_transfers_options *options, dt_transfers **transfers, dt_error *err)
{
    (void)options;
    (void)transfers;
    return no_curl(err);
}

void dt_transfers_destroy(dt_transfers *transfers)
{
    (void)transfers;
}

void dt_transfers_add(dt_transfers *transfers, dt_transfer *transfer)
{
    (void)transfers;
    (void)transfer;
}

void dt_transfers_add_first(dt_transfers *transfers, dt_transfer *transfer)
{
    (void)transfers;
    (void)transfer;
}

int64_t dt_transfers_left(const dt_transfers *transfers)
{
    (void)transfers;
    return 0;
}

int dt_transfers_wanted(const dt_transfers *transfers)
{
    (void)transfers;
    return 0;
}

int dt_transfers_most(const dt_transfers *transfers)
{
    (void)transfers;
    return 0;
}

dt_status dt_transfers_run(dt_transfers *transfers, double most_s, dt_error *err)
{
    (void)transfers;
    (void)most_s;
    return no_curl(err);
}

dt_status dt_transfers_finish(dt_transfers *transfers, dt_error *err)
{
    (void)transfers;
    return no_curl(err);
}

void dt_transfers_wake(dt_transfers *transfers)
{
    (void)transfers;
}

void dt_transfers_get_stats(const dt_transfers *transfers, dt_transfers_stats *stats)
{
    (void)transfers;
    *stats = (dt_transfers_stats){0};
}

#endif
