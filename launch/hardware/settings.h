/* settings.h: environment variables with which libraries change results, or the format of files, without an
 * option of dtrain. README.md lists them all, and those that were found to change nothing.
 *
 *   DT_TRY(dt_settings_check(backend, precision, err));    refuses what would spoil a run
 *   dt_settings found;  dt_settings_read(&found);          the others: for the start's tables
 *
 * To add a variable: a row in settings.c.
 */
#ifndef DT_LAUNCH_HARDWARE_SETTINGS_H
#define DT_LAUNCH_HARDWARE_SETTINGS_H

#include "core/base/computed_by.h"
#include "core/base/error.h"
#include "core/tensor.h"

#include <stddef.h>
#include <stdint.h>

enum { DT_SETTINGS_MAX = 24, DT_SETTING_NAME_BYTES = 48, DT_SETTING_VALUE_BYTES = 80 };

/* Variables that are set, sorted by name. Plain data, which ranks can send; unused bytes are zero. A text
 * that is too long is cut. */
typedef struct dt_settings {
    int64_t n;
    struct {
        char name[DT_SETTING_NAME_BYTES], value[DT_SETTING_VALUE_BYTES];
    } found[DT_SETTINGS_MAX];
} dt_settings;

/* Local. Empty values are left out, as libraries ignore them. */
void dt_settings_read(dt_settings *settings);

/* What the variable changes, for tables. */
const char *dt_settings_effect(const char *name);

/* Local. DT_ERR_USAGE: a variable would make dtrain compute or write something else than it says; the message
 * has its name and value. `backend`: the name of the one that computes. */
dt_status dt_settings_check(const char *backend, dt_dtype precision, dt_error *err);

/* Append the pair "environment": the variables of the libraries that this run uses and that change its
 * results, unless other pairs already show their effect. `comm`: the communicator's name. */
void dt_settings_computed_by(const char *backend, const char *comm, dt_computed_by *out);

/* Write the variables that are set and that determine how many threads OpenMP provides, and where they run,
 * as "OMP_THREAD_LIMIT=1, OMP_DYNAMIC=true"; "" if there are none. */
void dt_settings_of_threads(char *out, size_t out_bytes);

#endif
