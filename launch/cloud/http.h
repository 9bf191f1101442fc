/* http.h: small questions to a server that is near, over HTTP, by libcurl. For one thread; another one may
 * cancel.
 *
 *   dt_http_create("http://169.254.169.254", 2.0, &http, err);
 *   http->ops->request(http, "GET", "/latest/meta-data/", "Header: value", body, sizeof body, &code, err);
 *   http->ops->destroy(http);
 *
 * No proxy is used, no redirection followed, and nothing but HTTP spoken.
 */
#ifndef DT_LAUNCH_CLOUD_HTTP_H
#define DT_LAUNCH_CLOUD_HTTP_H

#include "core/base/error.h"

#include <stddef.h>

typedef struct dt_http dt_http;

typedef struct dt_http_ops {
    void (*destroy)(dt_http *http);
    /* Blocks until there is an answer or the time limit has passed. `header`: one more, or NULL. DT_OK with
     * the code (200, 404 ...) and the body, with a zero behind it, cut to what fits; DT_ERR_IO: no answer,
     * and why; DT_ERR_INTERRUPTED: cancelled. */
    dt_status (*request)(dt_http *http, const char *method, const char *path, const char *header, char *body,
                         size_t body_bytes, int *code, dt_error *err);
    /* By another thread: a request that is under way, and all that follow, return at once. */
    void (*cancel)(dt_http *http);
} dt_http_ops;

/* Implementations begin with this. */
struct dt_http {
    const dt_http_ops *ops;
};

/* Was it built with libcurl? If not, create fails with DT_ERR_UNSUPPORTED. */
bool dt_http_is_built_in(void);

/* Does not connect. `timeout_s` is for a whole request. DT_ERR_MEMORY, DT_ERR_UNSUPPORTED. */
dt_status dt_http_create(const char *endpoint, double timeout_s, dt_http **http, dt_error *err);

#endif
