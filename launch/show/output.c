#include "launch/show/output.h"

#include "core/base/alloc.h"
#include "core/base/printable.h"
#include "core/base/utf8.h"
#include "io/durable.h"
#include "io/trial.h"

#include <errno.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

void dt_output_line(FILE *stream, const char *format, ...)
{
    char usual[1024], shown[4 * sizeof usual];
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    const int n = vsnprintf(usual, sizeof usual, format, args);
    char *longer = n >= (int)sizeof usual ? dt_alloc((size_t)n + 1) : NULL, *copy = NULL;
    if (longer) {
        vsnprintf(longer, (size_t)n + 1, format, again);
        copy = dt_printable_copy(longer);
    }
    va_end(again);
    va_end(args);
    (void)dt_printable(shown, sizeof shown, usual);
    fprintf(stream, "%s\n", copy ? copy : shown);
    dt_free(copy);
    dt_free(longer);
}

void dt_output_paragraph(FILE *stream, const char *text, int columns, int indent)
{
    const int width = columns - indent;
    while (*text) {
        int length = (int)strlen(text);
        if (length > width) {
            length = width;
            while (length > 0 && text[length] != ' ')
                length--;
            length = length == 0 ? width : length;
        }
        dt_output_line(stream, "%*s%.*s", indent, "", length, text);
        text += length;
        text += strspn(text, " ");
    }
}

json_t *dt_output_text(const char *text)
{
    char *utf8 = dt_utf8_escape(text);
    json_t *string = utf8 ? json_string(utf8) : NULL;
    dt_free(utf8);
    return string;
}

/* jansson leaves DEL, which JSON allows, as it is. */
static dt_status print_text(const char *json, FILE *stream, dt_error *err)
{
    for (const char *p = json; *p; p++)
        if (*p == 0x7f)
            fputs("\\u007f", stream);
        else
            fputc(*p, stream);
    fputc('\n', stream);
    return ferror(stream) ? dt_fail_errno(err, "cannot print the result") : DT_OK;
}

dt_status dt_output_json(const json_t *value, FILE *stream, dt_error *err)
{
    char *json = value ? json_dumps(value, JSON_INDENT(2) | JSON_ENSURE_ASCII) : NULL;
    if (!json)
        return dt_fail(err, DT_ERR_MEMORY, "out of memory for the result as JSON");
    dt_status status = print_text(json, stream, err);
    free(json);
    return status;
}

dt_status dt_output_check_writable(const char *option, const char *path, dt_error *err)
{
    char folder[1100];
    const char *slash = strrchr(path, '/');
    snprintf(folder, sizeof folder, "%.*s", slash ? (int)(slash - path) + (slash == path) : 1,
             slash ? path : ".");
    if (dt_durable_is_folder(path))
        return dt_fail(err, DT_ERR_USAGE, "--%s %s: this is a folder", option, path);
    if (access(folder, W_OK) != 0)
        return dt_fail(err, DT_ERR_USAGE, "--%s %s: the folder %s: %s", option, path, folder,
                       strerror(errno));
    dt_status status = dt_trial_file(path, err);
    return status == DT_OK ? DT_OK : dt_error_prefix(err, "--%s", option);
}
