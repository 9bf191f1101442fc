/* transfer_slot.h: one try of one transfer in a handle of libcurl that is used again and again. For
 * transfers.c; only where there is libcurl.
 *
 *   DT_TRY(dt_transfer_slot_create(&options, &slot, err));
 *   DT_TRY(dt_transfer_slot_load(slot, transfer, err));         what the try sends
 *   curl_multi_add_handle(multi, slot->easy) ... CURLMSG_DONE
 *   if (!dt_transfer_slot_end(slot, result, &verdict, err)) ...  the try has failed
 */
#ifndef DT_LAUNCH_CLOUD_TRANSFER_SLOT_H
#define DT_LAUNCH_CLOUD_TRANSFER_SLOT_H

#include "launch/cloud/transfers.h"

#include <curl/curl.h>

typedef struct dt_transfer_slot {
    CURL *easy;
    dt_transfer *transfer; /* NULL: idle */
    dt_transfer_answer answer;
    struct dt_transfer_slot *next; /* the caller's */

    int64_t start;       /* transfer->received before this try */
    int64_t range_start; /* of Content-Range; -1: none */
    int64_t n_received;  /* bytes that this try has put into the buffer */
    double marked_s;     /* since then, n_received has hardly grown beyond marked_bytes */
    int64_t marked_bytes;
    bool is_unreachable; /* after dt_transfer_slot_end: there was no connection to a server */
    const char *problem; /* why the body was refused; NULL: it was not. Static storage */
    struct curl_slist headers[DT_TRANSFER_MAX_HEADERS];
    char *header_text; /* of the headers, one after the other */
    size_t header_space;
    char why[CURL_ERROR_SIZE];
} dt_transfer_slot;

/* `bundle`: a file of certificates, or NULL. DT_ERR_MEMORY. */
dt_status dt_transfer_slot_create(const dt_transfers_options *options, const char *bundle,
                                  dt_transfer_slot **slot, dt_error *err);
void dt_transfer_slot_destroy(dt_transfer_slot *slot); /* NULL is fine */

/* Sets all that the next try of `transfer` sends. An error is the transfer's. */
dt_status dt_transfer_slot_load(dt_transfer_slot *slot, dt_transfer *transfer, dt_error *err);

/* Whether less than 1 KB/s has come for stall_s seconds. */
bool dt_transfer_slot_is_stalled(dt_transfer_slot *slot, double stall_s, double now_s);

/* The try has ended. True: the transfer has all its bytes. False: *verdict says what is to be done, and *err
 * why. */
bool dt_transfer_slot_end(dt_transfer_slot *slot, CURLcode result, dt_transfer_verdict *verdict,
                          dt_error *err);

#endif
