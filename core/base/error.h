/* error.h: how a function says that it failed.
 *
 *   dt_status open_thing(const char *path, dt_thing **thing, dt_error *err)
 *   {
 *       if (!path[0]) return dt_fail(err, DT_ERR_USAGE, "thing: the path is empty; give --thing PATH");
 *
 * The first function that can tell what happened fills the error; callers only pass the status on, or put
 * words in front with dt_error_prefix. Library code never prints, exits or aborts: launch/main.c alone does.
 * Outputs are set on success only. Messages are one line, say the value that was wrong and what to do, and
 * end without a full stop.
 */
#ifndef DT_CORE_BASE_ERROR_H
#define DT_CORE_BASE_ERROR_H

#include <stdarg.h>
#include <stdbool.h>

typedef enum dt_status {
    DT_OK = 0,
    DT_ERR_USAGE,       /* an option, a configuration or a path the user gave: exit code 2 */
    DT_ERR_IO,          /* the system refused: open, read, write, space */
    DT_ERR_FORMAT,      /* a file's content is not what it should be */
    DT_ERR_MEMORY,      /* out of memory, on the host or on a device */
    DT_ERR_UNSUPPORTED, /* this build, backend or device cannot */
    DT_ERR_COMM,        /* ranks are in different collectives, or MPI or NCCL refuse: a bug, or the
                           installation */
    DT_ERR_PEER,        /* another rank is lost, or late: exit code 75 */
    DT_ERR_DEVICE,      /* a compute library or device reported an error */
    DT_ERR_NUMERIC,     /* the training went non-finite */
    DT_ERR_DATA,        /* too many broken samples, or none at all */
    DT_ERR_INTERRUPTED, /* stopped on request, state is saved: exit code 75 */
    DT_ERR_TIMEOUT,     /* a deadline passed */
    DT_ERR_INTERNAL     /* our own bug */
} dt_status;

#define DT_ERROR_MESSAGE_BYTES 1024

typedef struct dt_error {
    dt_status status;
    bool shared;      /* every rank returns this same error: no other rank waits for this one */
    int line;         /* where it was found, for bug reports */
    const char *file; /* static storage */
    char message[DT_ERROR_MESSAGE_BYTES];
} dt_error;

/* Fill *err (may be NULL) with a formatted message; return `status`. The error is this rank's alone
 * (err->shared is false). A message that is too long is cut and ends with "...". An argument may be
 * err->message itself. */
#define dt_fail(err, status, ...) dt_error_set((err), (status), __FILE__, __LINE__, __VA_ARGS__)

/* As dt_fail with strerror(errno) behind the message; the status is DT_ERR_IO, or DT_ERR_MEMORY for
 * ENOMEM. */
#define dt_fail_errno(err, ...) dt_error_set_errno((err), __FILE__, __LINE__, __VA_ARGS__)

/* As dt_fail, for an error that every rank finds by itself, because it follows from values that are equal on
 * all ranks: sets err->shared. An error that only some ranks may have goes through dt_agree
 * (core/collective/agreement.h), which sets err->shared on all of them. */
#define dt_fail_shared(err, status, ...) dt_error_share((err), dt_fail((err), (status), __VA_ARGS__))

/* Mark *err (may be NULL) as shared by all ranks; returns `status`. */
dt_status dt_error_share(dt_error *err, dt_status status);

dt_status dt_error_set(dt_error *err, dt_status status, const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 5, 6)));
dt_status dt_error_set_errno(dt_error *err, const char *file, int line, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Put "words: " in front of err's message; returns err->status (DT_ERR_INTERNAL if err is NULL). err->shared
 * stays. If both do not fit, the end of the words is cut. */
dt_status dt_error_prefix(dt_error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A short name, such as "usage" or "I/O". Static storage. */
const char *dt_status_name(dt_status status);

/* The process's exit code for a status: 0 OK, 2 usage, 75 interrupted or a peer lost (the same command goes
 * on), 1 everything else. */
int dt_status_exit_code(dt_status status);

/* Return from the calling function if `call` failed. */
#define DT_TRY(call)                                                                                         \
    do {                                                                                                     \
        dt_status dt_try_status = (call);                                                                    \
        if (dt_try_status != DT_OK)                                                                          \
            return dt_try_status;                                                                            \
    } while (0)

/* As DT_TRY with `status` assigned and a jump to `fail`, for functions that unwind. */
#define DT_TRY_OR_FAIL(status, call)                                                                         \
    do {                                                                                                     \
        (status) = (call);                                                                                   \
        if ((status) != DT_OK)                                                                               \
            goto fail;                                                                                       \
    } while (0)

#endif
