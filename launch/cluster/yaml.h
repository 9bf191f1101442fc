/* yaml.h: writes YAML: mappings, sequences and scalars, in block style.
 *
 *   dt_yaml *y;
 *   DT_TRY(dt_yaml_create(&y, err));
 *   dt_yaml_text(y, "Region", "us-east-1");            Region: us-east-1
 *   dt_yaml_open(y, "SlurmQueues");                    SlurmQueues:
 *   dt_yaml_item(y);                                     - Name: spot
 *   dt_yaml_text(y, "Name", "spot");                       Networking:
 *   dt_yaml_open(y, "Networking");                           SubnetIds:
 *   dt_yaml_open(y, "SubnetIds");                              - subnet-1
 *   dt_yaml_item_text(y, "subnet-1");
 *   ...                                                each dt_yaml_open and dt_yaml_item has a dt_yaml_close
 *   status = dt_yaml_finish(y, &text, err);
 *   dt_yaml_destroy(y);
 *
 * A text is written plain where every reader of YAML 1.1 and 1.2 takes it for that text, and in double
 * quotes, in ASCII, where one might take it for a number, a date, a truth value, a comment or structure. Keys
 * are names from the program, and written as they are. A failed allocation is reported by dt_yaml_finish.
 * Local.
 */
#ifndef DT_LAUNCH_CLUSTER_YAML_H
#define DT_LAUNCH_CLUSTER_YAML_H

#include "core/base/error.h"

#include <stdbool.h>
#include <stdint.h>

typedef struct dt_yaml dt_yaml;

dt_status dt_yaml_create(dt_yaml **yaml, dt_error *err); /* DT_ERR_MEMORY */
void dt_yaml_destroy(dt_yaml *yaml);                     /* NULL is fine */

/* Members of a mapping. */
void dt_yaml_text(dt_yaml *yaml, const char *key, const char *text);
void dt_yaml_number(dt_yaml *yaml, const char *key, int64_t number);
void dt_yaml_flag(dt_yaml *yaml, const char *key, bool flag);

/* Begin a mapping or a sequence, as the member `key` of a mapping. */
void dt_yaml_open(dt_yaml *yaml, const char *key);

/* Begin an element of a sequence that is a mapping. */
void dt_yaml_item(dt_yaml *yaml);

/* An element of a sequence that is a text. */
void dt_yaml_item_text(dt_yaml *yaml, const char *text);

/* End what the last dt_yaml_open or dt_yaml_item without an end has begun. */
void dt_yaml_close(dt_yaml *yaml);

/* A line of comment, at the depth of what follows. The text is one line without control characters. */
void dt_yaml_comment(dt_yaml *yaml, const char *text);

/* The document. The caller frees *text with dt_free. DT_ERR_MEMORY. DT_ERR_INTERNAL: something is open. */
dt_status dt_yaml_finish(dt_yaml *yaml, char **text, dt_error *err);

#endif
