/* spot_notice.h: watches for EC2's notice that a spot instance will be taken back, and for its recommendation
 * to rebalance, by asking the instance metadata service (IMDSv2).
 *
 *   dt_spot_notice_create(http, &(dt_spot_notice_options){.poll_s = 5.0}, &spot, err);
 *   why = dt_spot_notice_stop_requested(spot);
 *       "an EC2 spot notice: terminate at 2026-01-01T12:00:00Z", or NULL
 *   dt_spot_notice_destroy(spot);
 *
 * One object per node. A thread fetches a token (PUT /latest/api/token) and renews it before it expires, or
 * after the service refused it (401). Every poll asks for two paths:
 * /latest/meta-data/spot/instance-action and /latest/meta-data/events/recommendations/rebalance. The answer
 * 404 means that there is nothing. Any other failure (no answer, 5xx, an unreadable body) is logged once as a
 * warning, and polling goes on. A notice is logged as a warning too.
 */
#ifndef DT_LAUNCH_CLOUD_SPOT_NOTICE_H
#define DT_LAUNCH_CLOUD_SPOT_NOTICE_H

#include "core/base/error.h"
#include "launch/cloud/http.h"

typedef struct dt_spot_notice dt_spot_notice;

typedef struct dt_spot_notice_options {
    double poll_s;   /* seconds between polls; 0: 5, as AWS advises */
    int token_ttl_s; /* lifetime of each token; 0: six hours, the longest that IMDSv2 allows */
} dt_spot_notice_options;

/* Local. Starts the thread. Owns `http` from now on, also on failure. DT_ERR_MEMORY. */
dt_status dt_spot_notice_create(dt_http *http, const dt_spot_notice_options *options, dt_spot_notice **spot,
                                dt_error *err);
void dt_spot_notice_destroy(dt_spot_notice *spot); /* NULL is fine; cancels a request that is under way */

/* As in core/events.h. None blocks. */
const char *dt_spot_notice_stop_requested(dt_spot_notice *spot);
double dt_spot_notice_seconds_left(dt_spot_notice *spot);
const char *dt_spot_notice_save_requested(dt_spot_notice *spot);

/* Parses a notice, {"action": "terminate", "time": "2026-01-01T12:00:00Z"}; public for tests. False if it has
 * no action "terminate", "stop" or "hibernate". *left_s: the seconds from `now_unix_s` to that time. Where
 * the time is missing or implausible (more than a minute ago, or more than 15 minutes ahead: clocks differ),
 * *left_s is the two minutes that EC2 promises. */
bool dt_spot_notice_parse(const char *text, double now_unix_s, char *action, size_t action_bytes, char *when,
                          size_t when_bytes, double *left_s);
/* The same for a recommendation, {"noticeTime": "..."}. */
bool dt_spot_notice_parse_rebalance(const char *text, char *when, size_t when_bytes);

#endif
