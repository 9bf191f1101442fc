/* aws_renewal.h: credentials that are found again before they expire.
 *
 *   dt_aws_renewal r;
 *   DT_TRY(dt_aws_renewal_begin(&r, NULL, err));
 *   before each request: DT_TRY(dt_aws_renewal_poll(&r, err)); then r.now signs it
 *   dt_aws_renewal_end(&r);
 *
 * Credentials with an end are found again 5 minutes before it (a quarter of their time, where that is less).
 * Where that fails, or brings the same ones, they are used on, and it is tried again every 30 seconds.
 */
#ifndef DT_LAUNCH_CLOUD_AWS_RENEWAL_H
#define DT_LAUNCH_CLOUD_AWS_RENEWAL_H

#include "core/base/error.h"
#include "launch/cloud/aws_credentials.h"

#include <stdint.h>

typedef struct dt_aws_renewal {
    dt_aws_credentials now;
    int64_t n;      /* how often they were renewed: it names the present ones */
    char *profile;  /* NULL: none was chosen */
    double due_s;   /* in seconds since 1970, when they are to be found again; INFINITY: never */
    bool is_warned; /* that a renewal has failed */
} dt_aws_renewal;

/* `profile`, and errors: as dt_aws_credentials_find. */
dt_status dt_aws_renewal_begin(dt_aws_renewal *renewal, const char *profile, dt_error *err);
void dt_aws_renewal_end(dt_aws_renewal *renewal); /* overwrites the secrets. Zeroed is fine */

/* Renews if it is time; may then block for some seconds. Errors of dt_aws_credentials_find only when the
 * present credentials have expired. */
dt_status dt_aws_renewal_poll(dt_aws_renewal *renewal, dt_error *err);

/* A service says that the credentials number `n` have expired. *is_new: there are others now. */
dt_status dt_aws_renewal_expired(dt_aws_renewal *renewal, int64_t n, bool *is_new, dt_error *err);

#endif
