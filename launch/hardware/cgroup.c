
#include "launch/hardware/cgroup.h"

#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>

enum { LINE_BYTES = 2 * PATH_MAX };

/* A hierarchy of groups: where it is mounted, which of its groups the mount shows as its root (in a container
 * often its own group), and this process's group. */
typedef struct hierarchy {
    char mount[PATH_MAX], shown[PATH_MAX], group[PATH_MAX];
} hierarchy;

/* Whether `word` is one of the words of `list`, which commas separate. */
static bool has_word(const char *list, const char *word)
{
    const size_t n = strlen(word);
    for (const char *at = list; at != NULL; at = strchr(at, ',') ? strchr(at, ',') + 1 : NULL)
        if (strncmp(at, word, n) == 0 && (at[n] == ',' || at[n] == '\0'))
            return true;
    return false;
}

/* Finds this process's group in the hierarchy of `controller` (NULL: version 2). The lines of
 * /proc/self/cgroup are "number:controllers:path". */
static bool find_group(const char *root, const char *controller, char *out, size_t out_bytes)
{
    char line[LINE_BYTES];
    bool found = false;
    snprintf(line, sizeof line, "%s/proc/self/cgroup", root);
    FILE *f = fopen(line, "r");
    while (f && !found && fgets(line, sizeof line, f)) {
        char *controllers = strchr(line, ':'), *path = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!path)
            continue;
        *path++ = '\0';
        controllers++;
        path[strcspn(path, "\n")] = '\0';
        found = controller ? has_word(controllers, controller) : controllers[0] == '\0';
        if (found)
            snprintf(out, out_bytes, "%s", path);
    }
    if (f)
        fclose(f);
    return found;
}

/* Finds where the hierarchy is mounted. The lines of /proc/self/mountinfo are "id parent device shown mount
 * options ... - type source options". */
static void find_mount(const char *root, const char *controller, hierarchy *h)
{
    char line[LINE_BYTES];
    bool found = false;
    snprintf(line, sizeof line, "%s/proc/self/mountinfo", root);
    FILE *f = fopen(line, "r");
    while (f && !found && fgets(line, sizeof line, f)) {
        char type[64] = "", options[1024] = "";
        const char *rest = strstr(line, " - ");
        if (!rest || sscanf(rest, " - %63s %*s %1023s", type, options) != 2)
            continue;
        found = strcmp(type, controller ? "cgroup" : "cgroup2") == 0 &&
                (!controller || has_word(options, controller)) &&
                sscanf(line, "%*s %*s %*s %4095s %4095s", h->shown, h->mount) == 2;
    }
    if (f)
        fclose(f);
    if (found)
        return;
    snprintf(h->shown, sizeof h->shown, "/");
    snprintf(h->mount, sizeof h->mount, "/sys/fs/cgroup%s%s", controller ? "/" : "",
             controller ? controller : "");
}

static double file_number(const char *folder, const char *name, int which)
{
    char path[LINE_BYTES + 64];
    double numbers[2] = {0, 0};
    snprintf(path, sizeof path, "%s/%s", folder, name);
    FILE *f = fopen(path, "r");
    const int n = f ? fscanf(f, "%lf %lf", &numbers[0], &numbers[1]) : 0; /* "max" is no number */
    if (f)
        fclose(f);
    return n > which ? numbers[which] : 0;
}

static double cpu_v2(const char *folder)
{
    const double period = file_number(folder, "cpu.max", 1);
    return period > 0 ? file_number(folder, "cpu.max", 0) / period : 0;
}

static double cpu_v1(const char *folder)
{
    const double period = file_number(folder, "cpu.cfs_period_us", 0),
                 quota = file_number(folder, "cpu.cfs_quota_us", 0);
    return period > 0 && quota > 0 ? quota / period : 0;
}

static double memory_v2(const char *folder)
{
    return file_number(folder, "memory.max", 0);
}

static double memory_v1(const char *folder)
{
    const double limit = file_number(folder, "memory.limit_in_bytes", 0);
    return limit < 1e18 ? limit : 0; /* "no limit" is a number near 2^63 there */
}

/* The kernel's number of a group's folder, which is the same in every container; 0: not known. */
static uint64_t group_of(const char *folder)
{
    struct stat st;
    return stat(folder, &st) == 0 ? (uint64_t)st.st_dev << 48 ^ (uint64_t)st.st_ino : 0;
}

/* Lowers *least to the least limit among the process's group and the groups above it that are mounted.
 * *group, unless it is NULL: the group that has it. */
static void add_limit(const char *root, const char *controller, double (*read)(const char *folder),
                      double *least, uint64_t *group)
{
    hierarchy h;
    char folder[LINE_BYTES];
    if (!find_group(root, controller, h.group, sizeof h.group))
        return;
    find_mount(root, controller, &h);
    const size_t n = strcmp(h.shown, "/") == 0 ? 0 : strlen(h.shown);
    char *path = h.group;
    if (n > 0) /* the mount shows a part of the hierarchy */
        path = strncmp(path, h.shown, n) == 0 && (path[n] == '/' || path[n] == '\0') ? path + n
                                                                                     : path + strlen(path);
    if (strncmp(path, "/..", 3) == 0) /* a namespace of another group: only the mount's own root is known */
        *path = '\0';
    for (;;) {
        snprintf(folder, sizeof folder, "%s%s%s", root, h.mount, path);
        const double value = read(folder);
        if (value > 0 && (*least <= 0 || value < *least)) {
            *least = value;
            if (group)
                *group = group_of(folder);
        }
        char *slash = strrchr(path, '/');
        if (!slash)
            return;
        *slash = '\0';
    }
}

void dt_cgroup_read(const char *root, dt_cgroup *limits)
{
    *limits = (dt_cgroup){0};
    add_limit(root, NULL, cpu_v2, &limits->cpus, &limits->cpus_group);
    add_limit(root, "cpu", cpu_v1, &limits->cpus, &limits->cpus_group);
    add_limit(root, NULL, memory_v2, &limits->memory_bytes, NULL);
    add_limit(root, "memory", memory_v1, &limits->memory_bytes, NULL);
}
