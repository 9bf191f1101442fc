/* s3_page.h: one page of a listing (ListObjectsV2). Pure. For s3_list.c. */
#ifndef DT_LAUNCH_CLOUD_S3_PAGE_H
#define DT_LAUNCH_CLOUD_S3_PAGE_H

#include "core/base/error.h"
#include "launch/cloud/s3.h"

#include <stddef.h>

enum { DT_S3_TOKEN_BYTES = 3072 };

/* Calls `visit` for each object in the page; keys are decoded if the page says that they are encoded.
 * `token`: of the next page, or "". DT_ERR_FORMAT: the text is no such page, or an object in it is none that
 * begins with `prefix`; objects before the mistake may have been visited. DT_ERR_MEMORY, DT_ERR_UNSUPPORTED
 * (no expat); what `visit` returned. */
dt_status dt_s3_page_walk(const char *text, size_t bytes, const char *prefix, dt_s3_visit *visit,
                          void *context, char token[DT_S3_TOKEN_BYTES], dt_error *err);

#endif
