/* ticker.h: a thread that does something again and again, until it is told to leave.
 *
 *   static double look(void *context) { ...; return 5.0; }        again in five seconds
 *   dt_ticker_create(look, context, "looking", &ticker, err);     the first time at once
 *   dt_ticker_destroy(ticker);                                    wakes it, waits for a call that is under
 *                                                                 way, joins
 */
#ifndef DT_CORE_BASE_TICKER_H
#define DT_CORE_BASE_TICKER_H

#include "core/base/error.h"

typedef struct dt_ticker dt_ticker;

/* `tick` returns the seconds until its next call; INFINITY: none is needed any more. Signals are not
 * delivered to the thread. `what` goes on after "no thread for". DT_ERR_MEMORY. */
dt_status dt_ticker_create(double (*tick)(void *context), void *context, const char *what, dt_ticker **ticker,
                           dt_error *err);
void dt_ticker_destroy(dt_ticker *ticker); /* NULL is fine */

#endif
