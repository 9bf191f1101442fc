/* spot_notice.h: watches for the notice that EC2 takes a spot instance back, and for the recommendation to
 * move away, by the instance metadata service (IMDSv2).
 *
 *   dt_spot_create(http, &(dt_spot_options){.poll_s = 5.0}, &spot, err);       one for each node; a thread
 *                                                                              asks from here on
 *   why = dt_spot_stop_requested(spot);                                        "an EC2 spot notice: terminate
 *                                                                              at 2026-01-01T12:00:00Z"
 *   dt_spot_destroy(spot);                                                     never waits for a server
 *
 * A token is fetched (PUT /latest/api/token) and renewed before it ends, or when it is refused. Two paths are
 * asked for each time:
 * /latest/meta-data/spot/instance-action and /latest/meta-data/events/recommendations/rebalance; 404 says
 * that there is nothing. Anything else (no answer, 5xx, garbage) is told once as a warning, and asking goes
 * on. A notice is told as a warning too.
 */
#ifndef DT_LAUNCH_CLOUD_SPOT_NOTICE_H
#define DT_LAUNCH_CLOUD_SPOT_NOTICE_H

#include "core/base/error.h"
#include "launch/cloud/http.h"

typedef struct dt_spot dt_spot;

typedef struct dt_spot_options {
    double poll_s;   /* between questions; 0: 5, as AWS advises */
    int token_ttl_s; /* of each token; 0: six hours, the longest that there is */
} dt_spot_options;

/* Local. Takes `http`, also when it fails. DT_ERR_MEMORY. */
dt_status dt_spot_create(dt_http *http, const dt_spot_options *options, dt_spot **spot, dt_error *err);
void dt_spot_destroy(dt_spot *spot); /* NULL is fine */

/* As in core/events.h. None blocks. */
const char *dt_spot_stop_requested(dt_spot *spot);
double dt_spot_seconds_left(dt_spot *spot);
const char *dt_spot_save_requested(dt_spot *spot);

/* What the service says, taken apart. `text` is {"action": "terminate", "time": "2026-01-01T12:00:00Z"}:
 * false if there is no such action ("terminate", "stop" or "hibernate") in it. *left_s is counted from
 * `now_unix_s`. A time that cannot be right (none at all, more than a minute ago, more than 15 minutes ahead:
 * clocks differ) is taken as the two minutes that EC2 promises. */
bool dt_spot_parse_notice(const char *text, double now_unix_s, char *action, size_t action_bytes, char *when,
                          size_t when_bytes, double *left_s);
/* {"noticeTime": "..."}: false if it is not that. */
bool dt_spot_parse_rebalance(const char *text, char *when, size_t when_bytes);

#endif
