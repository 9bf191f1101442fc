#include "config.h"

#include "launch/stage/journal.h"

#include "core/base/alloc.h"
#include "core/base/file.h"
#include "io/durable.h"
#include "launch/stage/listing.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { HASH_DIGITS = 8 };

struct dt_stage_journal {
    int fd;
    char *path, *text;
    int64_t end; /* of the file */
    size_t n, capacity;
};

void dt_stage_journal_etag(const char *etag, char word[DT_STAGE_ETAG_BYTES])
{
    bool is_word = strlen(etag) <= 80;
    for (const char *c = etag; *c; c++)
        is_word = is_word && (unsigned char)*c > ' ';
    if (is_word)
        snprintf(word, DT_STAGE_ETAG_BYTES, "%.80s", etag[0] ? etag : "-");
    else
        snprintf(word, DT_STAGE_ETAG_BYTES, "#%016" PRIx64, dt_stage_hash(etag));
}

static void hash_line(const char *rest, char digits[HASH_DIGITS + 1])
{
    snprintf(digits, HASH_DIGITS + 1, "%08" PRIx64, dt_stage_hash(rest) & 0xffffffffU);
}

/* -- reading --------------------------------------------------------------------------------------------- */

/* Parses and cuts a line without its newline. */
static bool parse(char *line, dt_stage_record *r)
{
    char digits[HASH_DIGITS + 1], kind[8];
    int at = 0, more = 0;
    if (strlen(line) <= HASH_DIGITS + 1 || line[HASH_DIGITS] != ' ')
        return false;
    char *rest = line + HASH_DIGITS + 1;
    hash_line(rest, digits);
    if (strncmp(line, digits, HASH_DIGITS) != 0)
        return false;
    *r = (dt_stage_record){0};
    if (sscanf(rest, "%7s %" SCNd64 " %n", kind, &r->bytes, &at) != 2 || at == 0)
        return false;
    r->is_part = strcmp(kind, "part") == 0;
    if (r->is_part ? sscanf(rest + at, "%" SCNd64 " %" SCNx64 " %n", &r->part, &r->crc, &more) != 2
                   : sscanf(rest + at, "%" SCNd64 " %n", &r->mtime_ns, &more) != 1)
        return false;
    char *etag = rest + at + more, *blank = strchr(etag, ' ');
    if (more == 0 || !blank || blank == etag || !blank[1])
        return false;
    *blank = '\0';
    r->etag = etag;
    r->path = blank + 1;
    return true;
}

dt_status dt_stage_journal_read(const char *path, dt_stage_journal_visit *visit, void *context,
                                int64_t *n_damaged, dt_error *err)
{
    FILE *stream = NULL;
    char *line = NULL;
    size_t capacity = 0;
    ssize_t n;
    struct stat st;
    *n_damaged = 0;
    if (lstat(path, &st) != 0 && errno == ENOENT)
        return DT_OK;
    DT_TRY(dt_file_open_stream(path, &stream, err));
    while ((n = getline(&line, &capacity, stream)) > 0) {
        dt_stage_record record;
        const bool is_complete = line[n - 1] == '\n';
        line[n - is_complete] = '\0';
        if (is_complete && strlen(line) == (size_t)n - 1 && parse(line, &record))
            visit(context, &record);
        else
            (*n_damaged)++;
    }
    const bool failed = ferror(stream);
    free(line);
    fclose(stream);
    return failed ? dt_fail(err, DT_ERR_IO, "%s: cannot read it", path) : DT_OK;
}

/* -- writing --------------------------------------------------------------------------------------------- */

dt_status dt_stage_journal_open(const char *path, dt_stage_journal **journal, dt_error *err)
{
    dt_stage_journal *j = dt_calloc(1, sizeof *j);
    struct stat st;
    if (!j)
        return dt_fail_memory(err, sizeof *j, "the journal");
    j->fd = -1;
    j->path = dt_strdup(path);
    dt_status status = j->path ? dt_file_open(path, O_RDWR | O_CREAT, 0666, &j->fd, err)
                               : dt_fail_memory(err, strlen(path) + 1, "the journal");
    if (status == DT_OK && fstat(j->fd, &st) != 0)
        status = dt_fail_errno(err, "%s", path);
    if (status != DT_OK) {
        dt_stage_journal_close(j);
        return status;
    }
    j->end = st.st_size;
    char last = '\n';
    if (j->end > 0 && pread(j->fd, &last, 1, j->end - 1) == 1 && last != '\n') {
        j->capacity = 64;
        j->text = dt_alloc(j->capacity);
        if (j->text)
            j->text[j->n++] = '\n'; /* ends the line that was cut short */
        else
            j->capacity = 0;
    }
    *journal = j;
    return DT_OK;
}

static dt_status append(dt_stage_journal *j, const char *text, size_t bytes, dt_error *err)
{
    if (j->n + bytes > j->capacity) {
        const size_t capacity = (j->n + bytes) * 2;
        char *grown = dt_realloc(j->text, j->capacity, capacity);
        if (!grown)
            return dt_fail_memory(err, capacity, "the journal");
        j->text = grown;
        j->capacity = capacity;
    }
    memcpy(j->text + j->n, text, bytes);
    j->n += bytes;
    return DT_OK;
}

dt_status dt_stage_journal_add(dt_stage_journal *j, const dt_stage_record *r, dt_error *err)
{
    char digits[HASH_DIGITS + 1], head[HASH_DIGITS + 2];
    char *rest = r->is_part ? dt_strprintf("part %" PRId64 " %" PRId64 " %016" PRIx64 " %s %s\n", r->bytes,
                                           r->part, r->crc, r->etag, r->path)
                            : dt_strprintf("whole %" PRId64 " %" PRId64 " %s %s\n", r->bytes, r->mtime_ns,
                                           r->etag, r->path);
    if (!rest)
        return dt_fail_memory(err, strlen(r->path), "the journal");
    const size_t n = strlen(rest);
    rest[n - 1] = '\0';
    hash_line(rest, digits);
    rest[n - 1] = '\n';
    snprintf(head, sizeof head, "%s ", digits);
    dt_status status = append(j, head, strlen(head), err);
    if (status == DT_OK)
        status = append(j, rest, n, err);
    dt_free(rest);
    return status;
}

dt_status dt_stage_journal_write(dt_stage_journal *j, dt_error *err)
{
    DT_TRY(dt_durable_write(j->fd, j->path, j->text, (int64_t)j->n, j->end, err));
    j->end += (int64_t)j->n;
    j->n = 0;
    return DT_OK;
}

void dt_stage_journal_close(dt_stage_journal *j)
{
    if (!j)
        return;
    if (j->fd >= 0)
        close(j->fd);
    dt_free(j->path);
    dt_free(j->text);
    dt_free(j);
}
