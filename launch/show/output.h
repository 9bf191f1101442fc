/* output.h: lines and JSON on stdout, with texts from outside made printable (core/base/printable.h); and
 * whether a command can write the file that its user has named.
 *
 *   dt_output_line(stdout, "%s holds %d images", folder, n);
 *   json_array_append_new(names, dt_output_text(name));
 *   DT_TRY(dt_output_json(root, stdout, err));
 */
#ifndef DT_LAUNCH_SHOW_OUTPUT_H
#define DT_LAUNCH_SHOW_OUTPUT_H

#include "core/base/error.h"

#include <jansson.h>
#include <stdio.h>

/* Print one line of any length; the newline is added. Out of memory, the first 1023 bytes are printed. Errors
 * stay in the stream: check fflush or ferror after the last line. */
void dt_output_line(FILE *stream, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Print a paragraph in lines of at most `columns`, each after `indent` spaces. Errors as above. */
void dt_output_paragraph(FILE *stream, const char *text, int columns, int indent);

/* A JSON string of a text that may hold any bytes; core/base/utf8.h says how those that are not
 * UTF-8 are kept. NULL: out of memory. The caller owns the reference. */
json_t *dt_output_text(const char *text);

/* Print a JSON value (borrowed; NULL: out of memory while it was made) in ASCII, where other characters are
 * \uXXXX, and a newline. DT_ERR_MEMORY, DT_ERR_IO. */
dt_status dt_output_json(const json_t *value, FILE *stream, dt_error *err);

/* Check before the work that a file can be written at `path`, by a trial beside it (io/trial.h).
 * DT_ERR_USAGE: it names a folder, or there is no such folder; DT_ERR_IO: the disk refuses, or the name is
 * too long. The message begins with the name of the option. */
dt_status dt_output_check_writable(const char *option, const char *path, dt_error *err);

#endif
