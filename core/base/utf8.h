/* utf8.h: strings of any bytes as UTF-8 texts, and back without loss.
 *
 *   char *text = dt_utf8_escape(path);        NULL: out of memory
 *   ... text in a JSON string, read again as `text` ...
 *   char *same = dt_utf8_unescape(text);      the bytes of `path`
 *   dt_free(text);
 *
 * Paths, host names and the names of classes are bytes; JSON holds UTF-8 only. A byte that is not part of
 * valid UTF-8 becomes the character U+EF00 + byte, from the private use area (U+EF80 to U+EFFF). Such a
 * character that is in the string already is escaped byte by byte too, so that every string has one escaped
 * form, and dt_utf8_unescape returns exactly the string that was escaped. Valid UTF-8 without these 128
 * characters, which includes all ASCII, stays as it is. In Python:
 *
 *   b"".join(bytes([ord(c) - 0xEF00]) if 0xEF80 <= ord(c) <= 0xEFFF else c.encode() for c in text)
 */
#ifndef DT_CORE_BASE_UTF8_H
#define DT_CORE_BASE_UTF8_H

#include <stddef.h>

/* The bytes, 1 to 4, of the valid UTF-8 character that `s` begins with. 0: it does not begin with one: an
 * unexpected byte, an overlong form, a surrogate, a number above U+10FFFF, or the end of the string. */
size_t dt_utf8_character_bytes(const char *s);

/* The escaped form of a string, at most three times as long. The caller frees it with dt_free. NULL: out of
 * memory. */
char *dt_utf8_escape(const char *bytes);

/* The string that dt_utf8_escape made `text` of. A text that was never escaped is returned with its
 * characters U+EF80 to U+EFFF replaced by bytes. The caller frees it with dt_free. NULL: out of memory. */
char *dt_utf8_unescape(const char *text);

#endif
