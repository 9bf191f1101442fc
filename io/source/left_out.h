/* left_out.h: counts the entries of a data folder that are not used, by kind, with an example of each kind.
 *
 *   dt_left_out left_out = {0};
 *   dt_left_out_add(&left_out, DT_LEFT_OUT_FILE, "cats/1.png");
 *   dt_left_out_text(&left_out, text, sizeof text);             "1 entry: 1 .png (e.g. cats/1.png)"
 */
#ifndef DT_IO_SOURCE_LEFT_OUT_H
#define DT_IO_SOURCE_LEFT_OUT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DT_LEFT_OUT_KINDS 24 /* the last one stands for all further kinds */
#define DT_LEFT_OUT_TEXT_BYTES 800

typedef enum dt_left_out_kind {
    DT_LEFT_OUT_FILE,        /* counted by its ending, in lower case */
    DT_LEFT_OUT_FOLDER,      /* a folder in a class */
    DT_LEFT_OUT_HIDDEN,      /* its name begins with a dot */
    DT_LEFT_OUT_BESIDE,      /* not a folder, where the classes are */
    DT_LEFT_OUT_BROKEN_LINK, /* where the classes are */
    DT_LEFT_OUT_SPECIAL      /* a FIFO, a socket or a device */
} dt_left_out_kind;

typedef struct dt_left_out {
    int64_t n, n_hidden; /* entries; those of them that are hidden */
    int n_kinds;
    struct {
        char name[24];
        int64_t n;
        char example[160]; /* the first one in byte order, cut if it is longer */
    } kinds[DT_LEFT_OUT_KINDS];
} dt_left_out;

/* `path` is shown as an example: relative to the folder that the log line names. */
void dt_left_out_add(dt_left_out *left_out, dt_left_out_kind kind, const char *path);

/* Add all of `from`, whose examples are in the folder `name`. */
void dt_left_out_merge(dt_left_out *left_out, const dt_left_out *from, const char *name);

/* "12 entries: 10 .png (e.g. a/b.png), 2 folders (e.g. a/sub)", the most frequent kinds first; "" if
 * there are none. Returns out. */
const char *dt_left_out_text(const dt_left_out *left_out, char *out, size_t out_bytes);

#endif
