#include "core/base/error.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

/* Formats into a buffer of its own, so that an argument may be err->message itself. */
static void format_message(char message[DT_ERROR_MESSAGE_BYTES], const char *format, va_list args)
{
    static const char cut[] = "...";
    int n = vsnprintf(message, DT_ERROR_MESSAGE_BYTES, format, args);
    if (n < 0)
        snprintf(message, DT_ERROR_MESSAGE_BYTES, "(the message \"%s\" cannot be formatted)", format);
    else if (n >= DT_ERROR_MESSAGE_BYTES)
        memcpy(message + DT_ERROR_MESSAGE_BYTES - sizeof cut, cut, sizeof cut);
}

static dt_status fill(dt_error *err, dt_status status, const char *file, int line, const char *message)
{
    if (err) {
        err->status = status;
        err->shared = false;
        err->file = file;
        err->line = line;
        memcpy(err->message, message, strlen(message) + 1);
    }
    return status;
}

dt_status dt_error_set(dt_error *err, dt_status status, const char *file, int line, const char *format, ...)
{
    char message[DT_ERROR_MESSAGE_BYTES];
    va_list args;
    va_start(args, format);
    format_message(message, format, args);
    va_end(args);
    return fill(err, status, file, line, message);
}

/* Write "what: why" into `out`. If both do not fit, the end of `what` is cut, since the reason matters
 * more. */
static void join(char out[DT_ERROR_MESSAGE_BYTES], const char *what, const char *why)
{
    int what_bytes = DT_ERROR_MESSAGE_BYTES - 3 - (int)strnlen(why, DT_ERROR_MESSAGE_BYTES / 2);
    snprintf(out, DT_ERROR_MESSAGE_BYTES, "%.*s: %s", what_bytes, what, why);
}

dt_status dt_error_set_errno(dt_error *err, const char *file, int line, const char *format, ...)
{
    const int error = errno; /* before anything else can change it */
    const dt_status status = error == ENOMEM ? DT_ERR_MEMORY : DT_ERR_IO;
    char what[DT_ERROR_MESSAGE_BYTES], message[DT_ERROR_MESSAGE_BYTES];
    va_list args;
    va_start(args, format);
    format_message(what, format, args);
    va_end(args);
    join(message, what, strerror(error)); /* safe between threads since glibc 2.32 */
    return fill(err, status, file, line, message);
}

dt_status dt_error_share(dt_error *err, dt_status status)
{
    if (err)
        err->shared = true;
    return status;
}

dt_status dt_error_prefix(dt_error *err, const char *format, ...)
{
    if (!err)
        return DT_ERR_INTERNAL;
    char words[DT_ERROR_MESSAGE_BYTES], message[DT_ERROR_MESSAGE_BYTES];
    va_list args;
    va_start(args, format);
    format_message(words, format, args);
    va_end(args);
    join(message, words, err->message);
    memcpy(err->message, message, sizeof message);
    return err->status;
}

const char *dt_status_name(dt_status status)
{
    switch (status) {
    case DT_OK:
        return "OK";
    case DT_ERR_USAGE:
        return "usage";
    case DT_ERR_IO:
        return "I/O";
    case DT_ERR_FORMAT:
        return "format";
    case DT_ERR_MEMORY:
        return "memory";
    case DT_ERR_UNSUPPORTED:
        return "unsupported";
    case DT_ERR_COMM:
        return "communication";
    case DT_ERR_PEER:
        return "lost peer";
    case DT_ERR_DEVICE:
        return "device";
    case DT_ERR_NUMERIC:
        return "numeric";
    case DT_ERR_DATA:
        return "data";
    case DT_ERR_INTERRUPTED:
        return "interrupted";
    case DT_ERR_TIMEOUT:
        return "timeout";
    case DT_ERR_INTERNAL:
        return "internal";
    }
    return "unknown";
}

int dt_status_exit_code(dt_status status)
{
    switch (status) {
    case DT_OK:
        return 0;
    case DT_ERR_USAGE:
        return 2;
    case DT_ERR_INTERRUPTED:
    case DT_ERR_PEER:
        return 75; /* EX_TEMPFAIL of sysexits.h: "checkpointed, run me again" */
    default:
        return 1;
    }
}
