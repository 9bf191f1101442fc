/* error.h: how a function reports that it failed.
 *
 *   dt_status open_thing(const char *path, dt_thing **thing, dt_error *err)
 *   {
 *       if (!path[0]) return dt_fail(err, DT_ERR_USAGE, "thing: the path is empty; give --thing PATH");
 *
 * The function that detects a failure fills the error. Its callers pass the status on, or put words in front
 * with dt_error_prefix. Library code never prints, exits or aborts; only launch/main.c does. A function sets
 * its outputs on success only. A message is one line without a full stop at the end; it contains the value
 * that was wrong and what the user can do.
 */
#ifndef DT_CORE_BASE_ERROR_H
#define DT_CORE_BASE_ERROR_H

#include <stdarg.h>
#include <stdbool.h>

typedef enum dt_status {
    DT_OK = 0,
    DT_ERR_USAGE,       /* an option, a configuration or a path from the user is wrong: exit code 2 */
    DT_ERR_IO,          /* the operating system refused: open, read, write, disk space */
    DT_ERR_FORMAT,      /* a file's content is not what it should be */
    DT_ERR_MEMORY,      /* out of memory, on the host or on a device */
    DT_ERR_UNSUPPORTED, /* this build, backend or device cannot do it */
    DT_ERR_COMM,        /* ranks are in different collectives, or MPI or NCCL failed: a bug of dtrain or of
                           the installation */
    DT_ERR_PEER,        /* another rank is lost or late: exit code 75 */
    DT_ERR_DEVICE,      /* a compute library or device reported an error */
    DT_ERR_NUMERIC,     /* the loss or the gradients are not finite */
    DT_ERR_DATA,        /* too many samples are broken, or there are none */
    DT_ERR_INTERRUPTED, /* stopped on request; the state is saved: exit code 75 */
    DT_ERR_TIMEOUT,     /* a deadline passed */
    DT_ERR_INTERNAL     /* a bug of dtrain */
} dt_status;

#define DT_ERROR_MESSAGE_BYTES 1024

typedef struct dt_error {
    dt_status status;
    bool shared;      /* every rank returns this same error: no other rank waits for this one */
    int line;         /* where the error was detected, for bug reports */
    const char *file; /* static storage */
    char message[DT_ERROR_MESSAGE_BYTES];
} dt_error;

/* Fill *err (may be NULL) with a formatted message; return `status`. The error is this rank's alone
 * (err->shared is false). A message that is too long is cut and ends with "...". An argument may be
 * err->message itself. */
#define dt_fail(err, status, ...) dt_error_set((err), (status), __FILE__, __LINE__, __VA_ARGS__)

/* As dt_fail, with ": " and strerror(errno) after the message. The status is DT_ERR_IO, or DT_ERR_MEMORY for
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

/* Put "words: " in front of err's message. err->shared, file and line stay. If both texts do not fit, the end
 * of the words is cut. Returns err->status, or DT_ERR_INTERNAL if err is NULL. */
dt_status dt_error_prefix(dt_error *err, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A short name, such as "usage" or "I/O". Static storage. */
const char *dt_status_name(dt_status status);

/* The process's exit code for a status: 0 for OK; 2 for a usage error; 75 after an interruption or the loss
 * of a peer, when the same command continues the training; 1 for all other errors. */
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
