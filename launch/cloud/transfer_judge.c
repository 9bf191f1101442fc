#include "launch/cloud/transfers.h"

/* Too many requests, faults of the server or of a proxy, and a server that has waited too long for the
 * request. */
static dt_transfer_verdict verdict_of(int status)
{
    switch (status) {
    case 429:
    case 503:
        return DT_TRANSFER_RETRY_SLOW;
    case 408:
    case 500:
    case 502:
    case 504:
        return DT_TRANSFER_RETRY;
    default:
        return DT_TRANSFER_FAIL;
    }
}

dt_transfer_verdict dt_transfer_judge_http(dt_transfer *transfer, const dt_transfer_answer *answer,
                                           dt_error *err)
{
    const dt_transfer_verdict verdict = verdict_of(answer->status);
    const char *folder = transfer->folder ? transfer->folder : "";
    const char *name = transfer->name ? transfer->name : transfer->url ? transfer->url : "a request";
    if (answer->status == 404 || answer->status == 410)
        (void)dt_fail(err, DT_ERR_USAGE, "%s%s: there is no such file (the server answers %d)", folder, name,
                      answer->status);
    else if (answer->status == 401 || answer->status == 403)
        (void)dt_fail(err, DT_ERR_USAGE, "%s%s: the server does not allow it (%d)", folder, name,
                      answer->status);
    else if (answer->status == 412 || answer->status == 416)
        (void)dt_fail(err, DT_ERR_DATA, "%s%s has changed while it was being read (the server answers %d)",
                      folder, name, answer->status);
    else
        (void)dt_fail(err, DT_ERR_IO, "%s%s: the server answers %d%s", folder, name, answer->status,
                      verdict == DT_TRANSFER_FAIL ? "" : ", which may pass");
    return verdict;
}
