#include "launch/estimate/data_files.h"

#include <stddef.h>
#include <string.h>

/* Rows {"NAME.json", "TEXT"}, which the Makefile generates from launch/estimate/data/NAME.json. */
static const struct {
    const char *name, *text;
} files[] = {
#include "launch/estimate/data_files.inc"
};

const char *dt_data_file_text(const char *name)
{
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++)
        if (strcmp(files[i].name, name) == 0)
            return files[i].text;
    return NULL;
}
