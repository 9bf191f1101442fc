/* shell.h: commands that a user copies into a shell. Local.
 *
 *   char word[256];
 *   dt_shell_word("it's.pem", word, sizeof word);          'it'\''s.pem'
 */
#ifndef DT_LAUNCH_SHOW_SHELL_H
#define DT_LAUNCH_SHOW_SHELL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdio.h>

/* Writes a text as one word of a POSIX shell, in single quotes where it needs them. Returns false if it does
 * not fit; out then ends early. */
bool dt_shell_word(const char *text, char *out, size_t bytes);

/* Prints a command in lines of at most `columns`, each after `indent` spaces, that a shell joins again: a
 * line ends with a backslash, between words. Errors stay in the stream. */
void dt_shell_print(FILE *stream, const char *command, int columns, int indent);

#endif
