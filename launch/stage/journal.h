/* journal.h: the file in which a target's folder records what is whole in it.
 *
 *   DT_TRY(dt_stage_journal_read(path, visit, context, &n_damaged, err));
 *   DT_TRY(dt_stage_journal_open(path, &journal, err));
 *   DT_TRY(dt_stage_journal_add(journal, &record, err));
 *   DT_TRY(dt_stage_journal_write(journal, err));
 *   dt_stage_journal_close(journal);
 *
 * One line a record, appended after the bytes that it is about are on the disk:
 *
 *   HASH whole BYTES MTIME_NS ETAG PATH     the file is there, complete and checked
 *   HASH part BYTES NUMBER CRC ETAG PATH    this part of 8 MiB is in the unfinished file; NUMBER -1: none is
 *
 * HASH is of the rest of the line: one that a power cut has cut short, or filled with zeros, does not
 * count. A later record of a path replaces an earlier one. One thread uses a journal.
 */
#ifndef DT_LAUNCH_STAGE_JOURNAL_H
#define DT_LAUNCH_STAGE_JOURNAL_H

#include "core/base/error.h"

#include <stdbool.h>
#include <stdint.h>

enum { DT_STAGE_NO_PARTS = -1 };

typedef struct dt_stage_record {
    bool is_part;
    int64_t bytes;    /* of the whole object */
    int64_t mtime_ns; /* whole: of the file when it was complete */
    int64_t part;
    uint64_t crc;     /* of the part; 0 if the source has no CRC of the object */
    const char *etag; /* as dt_stage_journal_etag writes it */
    const char *path;
} dt_stage_record;

typedef struct dt_stage_journal dt_stage_journal;

enum { DT_STAGE_ETAG_BYTES = 96 };

/* An ETag as one word: "-" for an empty one; one with blanks or of more than 80 bytes becomes its hash. */
void dt_stage_journal_etag(const char *etag, char word[DT_STAGE_ETAG_BYTES]);

/* The record's texts are valid during the call. */
typedef void dt_stage_journal_visit(void *context, const dt_stage_record *record);

/* Calls visit for each record, in their order. A file that is not there has none. *n_damaged: lines that
 * do not count. DT_ERR_IO, DT_ERR_MEMORY. */
dt_status dt_stage_journal_read(const char *path, dt_stage_journal_visit *visit, void *context,
                                int64_t *n_damaged, dt_error *err);

/* Opens to append. DT_ERR_IO, DT_ERR_MEMORY. */
dt_status dt_stage_journal_open(const char *path, dt_stage_journal **journal, dt_error *err);
/* Keeps the record in memory until the next write. DT_ERR_MEMORY. */
dt_status dt_stage_journal_add(dt_stage_journal *journal, const dt_stage_record *record, dt_error *err);
/* DT_ERR_IO: the disk refuses; the records stay in memory. */
dt_status dt_stage_journal_write(dt_stage_journal *journal, dt_error *err);
void dt_stage_journal_close(dt_stage_journal *journal); /* drops what was not written; NULL is fine */

#endif
