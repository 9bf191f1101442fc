/* cgroup.h: the limits of this process's control groups, version 1, version 2, and both side by side. Nothing
 * here fails: a limit that cannot be read is 0, none. Local. */
#ifndef DT_LAUNCH_HARDWARE_CGROUP_H
#define DT_LAUNCH_HARDWARE_CGROUP_H

#include <stdint.h>

typedef struct dt_cgroup {
    double cpus;         /* CPU seconds per second; 0: no limit */
    uint64_t cpus_group; /* the group that has this limit, also where it has other names in a container: equal
                            for two processes of a host if they share the time. 0: no limit, or not known */
    double memory_bytes; /* 0: no limit */
} dt_cgroup;

/* Read the least limits among the process's group and all groups above it, since every level limits. `root`:
 * "", or in tests a folder with proc/self/cgroup, proc/self/mountinfo, and what is mounted. */
void dt_cgroup_read(const char *root, dt_cgroup *limits);

#endif
