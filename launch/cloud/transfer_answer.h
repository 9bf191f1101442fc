/* transfer_answer.h: reads the headers of an answer. For transfer_slot.c; only where there is libcurl. */
#ifndef DT_LAUNCH_CLOUD_TRANSFER_ANSWER_H
#define DT_LAUNCH_CLOUD_TRANSFER_ANSWER_H

#include "launch/cloud/transfers.h"

/* Nothing has come. *range_start: of Content-Range; -1: none. */
void dt_transfer_answer_begin(dt_transfer_answer *answer, int64_t *range_start);

/* One line as it came, with its end. A status line begins another answer, as after a redirection. */
void dt_transfer_answer_add_header(dt_transfer_answer *answer, int64_t *range_start, const char *data,
                                   size_t bytes);

#endif
