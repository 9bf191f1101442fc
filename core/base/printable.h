/* printable.h: text from outside (names of files, classes, hosts and tensors, values of options, other
 * programs' answers), made fit for a terminal and a log.
 *
 *   char shown[256];
 *   dt_printable(shown, sizeof shown, name);     an escape (byte 27) becomes the four letters \x1b
 *
 * Such a text may hold any bytes. Printed as it is, it could clear the screen, begin a line that looks like
 * one of dtrain's own, or show its letters in another order. Therefore control characters (C0, DEL, C1) and
 * bytes that are not UTF-8 become \xNN, one for each byte, and characters that are not seen themselves (marks
 * of direction, separators of lines, zero-width and other ignorable characters) become \u{XXXX}. All other
 * UTF-8 stays. A backslash stays too, so that a text that is printable already does not change.
 *
 * The sinks do this: launch/show (log lines, errors, tables, lines on stdout) and io/metrics. Code that makes
 * a message, such as dt_fail or dt_log, passes on the text as it is.
 */
#ifndef DT_CORE_BASE_PRINTABLE_H
#define DT_CORE_BASE_PRINTABLE_H

#include <stddef.h>

/* Write the printable form of `text` to out[bytes], with a zero at its end. What does not fit is left out,
 * never a part of a character or of an escape. Returns the bytes of the whole form without the zero, as
 * snprintf does. bytes may be 0, and out NULL then. */
size_t dt_printable(char *out, size_t bytes, const char *text);

/* As dt_printable, for the inside of a string in JSON: \uXXXX for what JSON or a terminal must not see. Bytes
 * that are not UTF-8 become "\\xNN", the text \xNN; call dt_utf8_escape before to keep them
 * (core/base/utf8.h). */
size_t dt_printable_json(char *out, size_t bytes, const char *text);

/* The printable form in memory of its own; NULL: out of memory. The caller frees it with dt_free. */
char *dt_printable_copy(const char *text);

#endif
