/* environment.c: read NCCL's settings as NCCL does, and forbid sums whose order changes. */
#include "config.h"

#include "comm/nccl/environment.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Find the first line of a file that sets `name`, or anything that begins with it where value is NULL. Lines
 * are NAME=VALUE. */
static bool find_in_file(const char *path, const char *name, char *value, size_t value_bytes)
{
    char line[512];
    const size_t n = strlen(name);
    bool found = false;
    FILE *f = fopen(path, "re");
    if (!f)
        return false;
    while (!found && fgets(line, sizeof line, f)) {
        const char *p = line + strspn(line, " \t");
        line[strcspn(line, "\r\n")] = '\0';
        found = strncmp(p, name, n) == 0 && (!value || (p[n] == '=' && p[n + 1] != '\0'));
        if (found && value)
            snprintf(value, value_bytes, "%s", p + n + 1);
    }
    fclose(f);
    return found;
}

static bool find_in_files(const char *name, char *value, size_t value_bytes)
{
    char path[1024] = "";
    const char *home = getenv("HOME"), *own = getenv("NCCL_CONF_FILE");
    if (own && own[0])
        snprintf(path, sizeof path, "%s", own);
    else if (home)
        snprintf(path, sizeof path, "%s/.nccl.conf", home);
    return find_in_file(path, name, value, value_bytes) ||
           find_in_file("/etc/nccl.conf", name, value, value_bytes);
}

bool dt_nccl_setting(const char *name, char *value, size_t value_bytes)
{
    const char *set = getenv(name);
    if (set && set[0]) {
        snprintf(value, value_bytes, "%s", set);
        return true;
    }
    return find_in_files(name, value, value_bytes);
}

bool dt_nccl_files_set(const char *prefix)
{
    return find_in_files(prefix, NULL, 0);
}

/* As NCCL reads a number: what is none counts as the default. */
static long number_of(const char *text, long by_default)
{
    char *end;
    const long number = strtol(text, &end, 0);
    return end == text ? by_default : number;
}

void dt_nccl_environment_prepare(dt_nccl_environment *settings)
{
    char blocking[16] = "";
    *settings = (dt_nccl_environment){.nvls = "0"};
    if (!dt_nccl_setting("NCCL_NVLS_ENABLE", settings->nvls, sizeof settings->nvls))
        setenv("NCCL_NVLS_ENABLE", "0", 1);
    settings->nvls_may_be_used = number_of(settings->nvls, 2) != 0;
    if (dt_nccl_setting("NCCL_COMM_BLOCKING", blocking, sizeof blocking))
        settings->blocking = number_of(blocking, 0) == 1;
}
