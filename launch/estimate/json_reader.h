/* json_reader.h: reads JSON files that people edit, strictly, with errors that name the file and the line.
 *
 *   dt_json_file file;
 *   DT_TRY(dt_json_file_open("prices.json", &file, err));
 *   dt_json_place root = dt_json_root(&file), prices = dt_json_member(&root, "prices");
 *   for (int i = 0; i < dt_json_length(&prices); i++) {
 *       dt_json_place price = dt_json_element(&prices, i);
 *       status = dt_json_get_number(&price, "usd_h", &dollars, err);   "prices.json:12: ..."
 *   }
 *   dt_json_file_close(&file);
 *
 * A dt_json_place is a value and the way to it from the root; the line is found by walking that way through
 * the text. A place points to the one that it was made from, which must outlive it. Local.
 */
#ifndef DT_LAUNCH_ESTIMATE_JSON_READER_H
#define DT_LAUNCH_ESTIMATE_JSON_READER_H

#include "core/base/error.h"

#include <jansson.h>
#include <stdint.h>

typedef struct dt_json_file {
    const char *name; /* as messages show it; belongs to the caller */
    char *text;
    json_t *root;
} dt_json_file;

typedef struct dt_json_place {
    const dt_json_file *file;
    const struct dt_json_place *parent; /* NULL: the root */
    int index;           /* among the members or elements of the parent; -1: the parent has no such member */
    const char *key;     /* of a member */
    const json_t *value; /* NULL: the parent has no such member */
} dt_json_place;

/* Read a file, or a text (borrowed during the call; `name` stands for its path). On success the caller calls
 * dt_json_file_close. DT_ERR_USAGE: it cannot be read, is no JSON, names a key twice, or is larger than
 * 8 MiB or 200,000 values. DT_ERR_MEMORY. */
dt_status dt_json_file_open(const char *path, dt_json_file *file, dt_error *err);
dt_status dt_json_text_open(const char *name, const char *text, dt_json_file *file, dt_error *err);
void dt_json_file_close(dt_json_file *file); /* a zeroed one is fine */

/* Places. A member that is not there has value NULL. The length of what is no array is 0. */
dt_json_place dt_json_root(const dt_json_file *file);
dt_json_place dt_json_member(const dt_json_place *object, const char *key);
dt_json_place dt_json_member_at(const dt_json_place *object, int index);
dt_json_place dt_json_element(const dt_json_place *array, int index);
int dt_json_length(const dt_json_place *array_or_object);

/* The line of a place, counted from 1; that of its parent for a member that is not there. */
int dt_json_line(const dt_json_place *place);

/* DT_ERR_USAGE with the message "FILE:LINE: ...". */
dt_status dt_json_fail(const dt_json_place *place, dt_error *err, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* DT_ERR_USAGE unless the place is an object all of whose keys are in the list (ended by NULL); the message
 * has the key that was probably meant. */
dt_status dt_json_check_keys(const dt_json_place *object, const char *const *keys, dt_error *err);

/* DT_ERR_USAGE unless the place is an array. */
dt_status dt_json_check_array(const dt_json_place *array, dt_error *err);

/* DT_ERR_USAGE with the range, unless `least` <= number <= `most`. */
dt_status dt_json_check_range(const dt_json_place *member, double number, double least, double most,
                              dt_error *err);

/* The member `key` as a number; as an integer from least to most; as a text that is not empty, which lives as
 * long as the file. DT_ERR_USAGE: it is missing or another thing. */
dt_status dt_json_get_number(const dt_json_place *object, const char *key, double *number, dt_error *err);
dt_status dt_json_get_int(const dt_json_place *object, const char *key, int least, int most, int *number,
                          dt_error *err);
dt_status dt_json_get_text(const dt_json_place *object, const char *key, const char **text, dt_error *err);

#endif
