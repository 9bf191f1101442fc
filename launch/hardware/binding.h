/* binding.h: whether mpirun bound this process to processors because the user asked for it, or by default.
 *
 * Without options, Open MPI's mpirun binds each rank: to a core if there are one or two ranks, to a socket or
 * a NUMA node if there are more. Open MPI 4 passes the user's options on to every rank in its environment.
 * Open MPI 5 does not; a rank then reads the command line and the environment of mpirun, its parent process.
 * That works on mpirun's own host only, since the parent on another host is a daemon. So the ranks exchange
 * what they found, and the least value of all ranks holds.
 */
#ifndef DT_LAUNCH_HARDWARE_BINDING_H
#define DT_LAUNCH_HARDWARE_BINDING_H

#include <stdbool.h>
#include <stddef.h>

/* What one rank found. */
typedef enum dt_binding {
    DT_BINDING_ASKED_FOR = 0, /* the user asked for it, or there is no default binding to lift */
    DT_BINDING_DEFAULT = 1,
    DT_BINDING_UNKNOWN = 2, /* the parent is a daemon on another host: it does not know what mpirun was
                               asked */
} dt_binding;

/* Local; reads the environment and /proc. */
dt_binding dt_binding_read(void);

/* The same for Open MPI 5, from the command line and the environment of the parent process. Both texts as
 * /proc holds them: each word ends with a zero byte. Public for tests. */
dt_binding dt_binding_of_mpirun(const char *command, size_t command_bytes, const char *environment,
                                size_t environment_bytes);

#endif
