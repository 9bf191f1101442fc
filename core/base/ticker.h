/* ticker.h: a thread that calls a function repeatedly until it is destroyed.
 *
 *   static double poll(void *context) { ...; return 5.0; }           the next call is in five seconds
 *   dt_ticker_create(poll, context, "polling", &ticker, err);        the first call comes at once
 *   dt_ticker_destroy(ticker);
 */
#ifndef DT_CORE_BASE_TICKER_H
#define DT_CORE_BASE_TICKER_H

#include "core/base/error.h"

typedef struct dt_ticker dt_ticker;

/* Start the thread. `tick` returns the seconds until its next call, INFINITY for no further call. Signals are
 * not delivered to the thread. `what` continues an error message after "no thread for". DT_ERR_MEMORY. */
dt_status dt_ticker_create(double (*tick)(void *context), void *context, const char *what, dt_ticker **ticker,
                           dt_error *err);
/* Wake the thread, wait for a call of `tick` that is running, join the thread. NULL is fine. */
void dt_ticker_destroy(dt_ticker *ticker);

#endif
