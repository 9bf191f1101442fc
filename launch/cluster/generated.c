#include "config.h"

#include "launch/cluster/generated.h"

#include "core/base/alloc.h"
#include "core/base/file.h"
#include "io/replace.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { HEX = 32, MOST_BYTES = 1 << 20 };

#define LAST_LINE "# dtrain cluster replaces this file only while it is unchanged. Checksum: "

dt_status dt_generated_add_checksum(const char *text, char **whole, dt_error *err)
{
    char hex[HEX + 1];
    dt_durable_hash_memory(text, (int64_t)strlen(text), hex);
    char *out = dt_strprintf("%s" LAST_LINE "%s\n", text, hex);
    if (!out)
        return dt_fail_memory(err, strlen(text), "a file's text");
    *whole = out;
    return DT_OK;
}

/* Where the last line begins; the text's beginning if there is only one. */
static const char *last_line(const char *text)
{
    const char *s = text + strlen(text);
    if (s > text && s[-1] == '\n')
        s--;
    while (s > text && s[-1] != '\n')
        s--;
    return s;
}

/* Whether dtrain wrote the text (*is_ours), and whether it is as it was. */
static bool is_unchanged(const char *text, bool *is_ours)
{
    char hex[HEX + 1], line[sizeof LAST_LINE + HEX + 1];
    const char *last = last_line(text);
    *is_ours = strncmp(last, LAST_LINE, strlen(LAST_LINE)) == 0;
    dt_durable_hash_memory(text, last - text, hex);
    snprintf(line, sizeof line, "%s%s\n", LAST_LINE, hex);
    return strcmp(last, line) == 0;
}

/* Reads a file; *text is NULL if there is none. The caller frees it with dt_free. Of a file that is larger
 * than any that dtrain writes, the beginning is read. */
static dt_status read_file(const char *what, const char *path, char **text, dt_error *err)
{
    struct stat st;
    FILE *f = NULL;
    *text = NULL;
    if (stat(path, &st) != 0 && errno == ENOENT)
        return DT_OK;
    const dt_status opened = dt_file_open_stream(path, &f, err);
    if (opened != DT_OK)
        return err ? dt_error_prefix(err, "%s", what) : opened;
    char *read = dt_calloc(1, MOST_BYTES + 1);
    const size_t n = read ? fread(read, 1, MOST_BYTES, f) : 0;
    const bool is_bad = ferror(f) != 0;
    const int why = errno;
    fclose(f);
    if (read && !is_bad) {
        read[n] = '\0';
        *text = read;
        return DT_OK;
    }
    dt_free(read);
    if (!read)
        return dt_fail_memory(err, MOST_BYTES, "a file's text");
    errno = why;
    return dt_fail_errno(err, "%s %s", what, path);
}

dt_status dt_generated_check(const char *what, const char *path, const char *whole, dt_generated_state *state,
                             dt_error *err)
{
    char *there = NULL;
    bool is_ours = false;
    DT_TRY(read_file(what, path, &there, err));
    const bool is_missing = !there, is_same = there && strcmp(there, whole) == 0;
    const bool unchanged = there && is_unchanged(there, &is_ours);
    dt_free(there);
    if (!is_missing && !is_same && !unchanged)
        return dt_fail(
            err, DT_ERR_USAGE,
            is_ours ? "%s: %s was changed since dtrain cluster wrote it, and would lose these changes: "
                      "move it away, or write elsewhere"
                    : "%s: %s is there, and dtrain cluster did not write it as it is: move it away, or "
                      "write elsewhere",
            what, path);
    *state = is_missing ? DT_GENERATED_NEW : is_same ? DT_GENERATED_SAME : DT_GENERATED_REPLACED;
    return DT_OK;
}

dt_status dt_generated_write(const char *what, const char *path, const char *whole, dt_error *err)
{
    const dt_status status = dt_replace_file(path, whole, (int64_t)strlen(whole), err);
    return status != DT_OK && err ? dt_error_prefix(err, "%s", what) : status;
}
