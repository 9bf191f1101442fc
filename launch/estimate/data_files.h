/* data_files.h: the files of launch/estimate/data, as they are built into the program.
 *
 * To add one: its name in `data_files` of launch/launch.mk.
 */
#ifndef DT_LAUNCH_ESTIMATE_DATA_FILES_H
#define DT_LAUNCH_ESTIMATE_DATA_FILES_H

/* The text of the file `name` ("prices.json"); NULL if there is none. Static storage. */
const char *dt_data_file_text(const char *name);

#endif
