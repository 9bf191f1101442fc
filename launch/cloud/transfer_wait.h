/* transfer_wait.h: how long a failed try waits. For transfers.c. */
#ifndef DT_LAUNCH_CLOUD_TRANSFER_WAIT_H
#define DT_LAUNCH_CLOUD_TRANSFER_WAIT_H

/* Seconds before the next try, after `tries` (1 or more) that have failed in a row: random between 0 and
 * first_s, twice, four times ... first_s, at most most_s. So many clients that a busy server has refused at
 * the same time do not come back together. */
double dt_transfer_wait_s(int tries, double first_s, double most_s);

#endif
