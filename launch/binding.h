/* binding.h: whether mpirun bound this process to processors because it was asked to, or only by default.
 *
 * Open MPI's mpirun binds ranks to a core each (one or two ranks) or to a socket or NUMA node each (more), if it is told nothing. Open MPI 4 puts
 * what it was told into the environment of every rank. Open MPI 5 tells its ranks nothing: there the command line and the environment of mpirun are
 * read, which is the parent of the ranks on its own host only. So ranks tell each other what they see.
 */
#ifndef DT_LAUNCH_BINDING_H
#define DT_LAUNCH_BINDING_H

#include <stdbool.h>
#include <stddef.h>

/* What one rank sees. The least of all ranks' is what holds. */
typedef enum dt_binding {
    DT_BINDING_ASKED_FOR = 0, /* by the user; or there is no default that should be lifted */
    DT_BINDING_DEFAULT = 1,
    DT_BINDING_UNKNOWN = 2, /* the parent is a daemon that was told by mpirun, on another host */
} dt_binding;

/* Local; reads the environment and /proc. */
dt_binding dt_binding_read(void);

/* What mpirun of Open MPI 5 was told, for tests. Both texts as /proc has them: words that each end in a zero byte. */
dt_binding dt_binding_of_mpirun(const char *command, size_t command_bytes, const char *environment, size_t environment_bytes);

#endif
