#include "config.h"

#include "launch/hardware/binding.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

enum { MAX_TEXT_BYTES = 256 << 10 }; /* the longest command line and the longest environment that are read */

/* Options of mpirun that choose processors, unless their value is a modifier alone (--map-by
 * :oversubscribe). */
static const char *const options[] = {"bind-to",    "map-by",        "cpu-set",       "cpu-list", "rankfile",
                                      "npersocket", "cpus-per-proc", "cpus-per-rank", "bycore",   "bysocket"};
/* MCA parameters that choose processors: on the command line (--prtemca NAME VALUE) or in the environment
 * (PREFIX NAME=VALUE, no space). Open MPI 5 still accepts the names of Open MPI 4, the second line. */
static const char *const parameters[] = {"hwloc_default_binding_policy", "rmaps_default_mapping_policy",
                                         "hwloc_default_cpu_list",       "hwloc_base_binding_policy",
                                         "rmaps_base_mapping_policy",    "hwloc_base_cpu_list"};
static const char *const prefixes[] = {"PRTE_MCA_", "OMPI_MCA_"};

#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* Whether a value chooses processors. A modifier alone, ":oversubscribe", does not. */
static bool chooses(const char *policy)
{
    return policy && strcasecmp(policy, ":oversubscribe") != 0 && strcasecmp(policy, ":nooversubscribe") != 0;
}

static bool is_one_of(const char *name, const char *const *names, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (strcmp(name, names[i]) == 0)
            return true;
    return false;
}

/* Returns the word after `word`, or NULL if `word` is the last one. The text ends with a zero byte. */
static const char *next(const char *word, const char *end)
{
    const char *after = word + strlen(word) + 1;
    return after < end ? after : NULL;
}

/* Whether `word` is such an option: "--bind-to core", "--bind-to=core", "-bind-to core". `after` is the word
 * after it, or NULL. */
static bool option_asks(const char *word, const char *after)
{
    char name[64];
    const char *start = word + strspn(word, "-"), *equals = strchr(start, '=');
    if (start == word)
        return false;
    snprintf(name, sizeof name, "%.*s", (int)(equals ? (size_t)(equals - start) : strlen(start)), start);
    return strncmp(name, "bind-to-", 8) == 0 ||
           (is_one_of(name, options, COUNT(options)) && chooses(equals ? equals + 1 : after));
}

static bool command_asks(const char *text, size_t bytes)
{
    const char *end = text + bytes;
    for (const char *word = bytes ? text : NULL; word; word = next(word, end))
        if (option_asks(word, next(word, end)) ||
            (is_one_of(word, parameters, COUNT(parameters)) && chooses(next(word, end))))
            return true;
    return false;
}

static bool environment_asks(const char *text, size_t bytes)
{
    const char *end = text + bytes;
    for (const char *word = bytes ? text : NULL; word; word = next(word, end)) {
        for (size_t i = 0; i < COUNT(prefixes); i++) {
            const size_t length = strlen(prefixes[i]);
            char name[64];
            const char *equals = strchr(word, '=');
            if (strncmp(word, prefixes[i], length) != 0 || !equals)
                continue;
            snprintf(name, sizeof name, "%.*s", (int)(equals - word - (ptrdiff_t)length), word + length);
            if (is_one_of(name, parameters, COUNT(parameters)) && chooses(equals + 1))
                return true;
        }
    }
    return false;
}

dt_binding dt_binding_of_mpirun(const char *command, size_t command_bytes, const char *environment,
                                size_t environment_bytes)
{
    static const char *const names[] = {"prterun", "mpirun", "mpiexec", "prte"};
    const char *name = command_bytes ? strrchr(command, '/') ? strrchr(command, '/') + 1 : command : "";
    if (!is_one_of(name, names, COUNT(names))) /* the parent is a daemon of another host, or a shell */
        return DT_BINDING_UNKNOWN;
    return command_asks(command, command_bytes) || environment_asks(environment, environment_bytes)
               ? DT_BINDING_ASKED_FOR
               : DT_BINDING_DEFAULT;
}

/* Reads a file of the parent process in /proc and appends a zero byte. Returns the number of bytes without
 * it; 0 if the file cannot be read. */
static size_t read_of_parent(const char *file, char *text, size_t text_bytes)
{
    char path[64];
    snprintf(path, sizeof path, "/proc/%d/%s", (int)getppid(), file);
    FILE *f = fopen(path, "rb");
    size_t bytes = f ? fread(text, 1, text_bytes - 1, f) : 0;
    if (f)
        fclose(f);
    text[bytes] = '\0';
    return bytes;
}

static dt_binding read_from_parent(void)
{
    static char command[MAX_TEXT_BYTES], environment[MAX_TEXT_BYTES];
    size_t command_bytes = read_of_parent("cmdline", command, sizeof command);
    size_t environment_bytes = read_of_parent("environ", environment, sizeof environment);
    return dt_binding_of_mpirun(command, command_bytes, environment, environment_bytes);
}

dt_binding dt_binding_read(void)
{
    if (getenv("PRTE_LAUNCHED")) /* Open MPI 5 */
        return read_from_parent();
    const char *bound = getenv("OMPI_MCA_orte_bound_at_launch"); /* Open MPI 4 */
    bool asked = getenv("OMPI_MCA_hwloc_base_binding_policy") ||
                 getenv("OMPI_MCA_rmaps_base_mapping_policy") || getenv("OMPI_MCA_hwloc_base_cpu_list") ||
                 getenv("OMPI_MCA_rmaps_base_cpus_per_rank");
    return bound && strcmp(bound, "1") == 0 && !asked ? DT_BINDING_DEFAULT : DT_BINDING_ASKED_FOR;
}
