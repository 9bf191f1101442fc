/* download.h: how fast does a server send? Reads an address by libcurl and drops what comes.
 *
 *   dt_download d;
 *   DT_TRY(dt_download_measure("https://bucket.s3.amazonaws.com/shard.tar", 10.0, &d, err));
 *   d.bytes / d.seconds
 *
 * HTTP and HTTPS, one connection. Follows redirections, and uses the proxy that the environment names.
 */
#ifndef DT_LAUNCH_CLOUD_DOWNLOAD_H
#define DT_LAUNCH_CLOUD_DOWNLOAD_H

#include "core/base/error.h"

#include <stdint.h>

typedef struct dt_download {
    int64_t bytes;  /* of the answer's body, more than 0 */
    double seconds; /* from the request to the last of them */
} dt_download;

/* Blocks until all has come, or limit_s have passed. DT_ERR_USAGE: the address does not begin with http:// or
 * https://; DT_ERR_IO: no answer, one with an error's code, or an empty one; DT_ERR_INTERRUPTED: a stop is
 * requested (core/base/waits.h); DT_ERR_UNSUPPORTED: this build has no libcurl; DT_ERR_MEMORY. */
dt_status dt_download_measure(const char *url, double limit_s, dt_download *download, dt_error *err);

#endif
