/* file_slips.h: what people write in a configuration file that libconfig cannot read, or reads as something
 * else. Local. */
#ifndef DT_LAUNCH_OPTIONS_FILE_SLIPS_H
#define DT_LAUNCH_OPTIONS_FILE_SLIPS_H

#include "core/base/error.h"

#include <stddef.h>

/* Change a text in place to what libconfig reads: without a byte order mark, with line feeds alone.
 * DT_ERR_USAGE, "NAME:LINE: ...": a comment that does not end, which libconfig takes for the whole rest of
 * the file. */
dt_status dt_file_slips_normalize(const char *name, char *text, dt_error *err);

/* For a syntax error that libconfig found in a line: what is probably wrong there, such as "texts need
 * quotes", in static storage or in buffer[bytes]; "syntax error" if nothing is recognised. */
const char *dt_file_slips_explain(const char *line, char *buffer, size_t bytes);

#endif
