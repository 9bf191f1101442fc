#include "config.h"

#include "launch/openmp.h"

#include <stdlib.h>
#include <unistd.h>

/* About 100 microseconds: longer than parallel loops of one step wait for each other, far less than a time slice. */
#define SPIN_COUNT "5000"

void dt_openmp_limit_spinning(char **argv)
{
    if (getenv("GOMP_SPINCOUNT") || getenv("OMP_WAIT_POLICY"))
        return;
    if (setenv("GOMP_SPINCOUNT", SPIN_COUNT, 1) == 0)
        execv("/proc/self/exe", argv);
}
