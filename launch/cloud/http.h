/* http.h: small HTTP requests to a nearby server, by libcurl. One thread makes them; another one may cancel.
 *
 *   dt_http_create("http://169.254.169.254", 2.0, &http, err);
 *   http->ops->request(http, "GET", "/latest/meta-data/", "Header: value", body, sizeof body, &code, err);
 *   http->ops->destroy(http);
 *
 * Uses no proxy, follows no redirection, and speaks plain HTTP only.
 */
#ifndef DT_LAUNCH_CLOUD_HTTP_H
#define DT_LAUNCH_CLOUD_HTTP_H

#include "core/base/error.h"

#include <stddef.h>

typedef struct dt_http dt_http;

typedef struct dt_http_ops {
    void (*destroy)(dt_http *http);
    /* Blocks until the server answers or the time limit has passed. `header`: an additional one, or NULL.
     * DT_OK: *code is the answer's status (200, 404 ...), and `body` its text, cut to body_bytes and ended by
     * a zero byte. DT_ERR_IO: no answer, with the reason; DT_ERR_INTERRUPTED: cancelled. */
    dt_status (*request)(dt_http *http, const char *method, const char *path, const char *header, char *body,
                         size_t body_bytes, int *code, dt_error *err);
    /* For another thread: a request that is under way, and all later ones, return at once. */
    void (*cancel)(dt_http *http);
} dt_http_ops;

/* Implementations begin with this. */
struct dt_http {
    const dt_http_ops *ops;
};

/* Whether this build has libcurl. If not, create fails with DT_ERR_UNSUPPORTED. */
bool dt_http_is_built_in(void);

/* Does not connect yet. `timeout_s` limits each request. DT_ERR_MEMORY, DT_ERR_UNSUPPORTED. */
dt_status dt_http_create(const char *endpoint, double timeout_s, dt_http **http, dt_error *err);

#endif
