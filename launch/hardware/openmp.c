#include "config.h"

#include "launch/hardware/openmp.h"

#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

/* About 100 microseconds: longer than parallel loops of one step wait for each other, far less than a time
 * slice. */
#define SPIN_COUNT "5000"

void dt_openmp_limit_spinning(char **argv)
{
    if (getenv("GOMP_SPINCOUNT") || getenv("OMP_WAIT_POLICY"))
        return;
    if (setenv("GOMP_SPINCOUNT", SPIN_COUNT, 1) != 0)
        return;
    char path[PATH_MAX]; /* executed as /proc/self/exe the program would be named "exe" in ps and top */
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    if (n > 0) {
        path[n] = '\0';
        execv(path, argv);
    }
    execv("/proc/self/exe", argv); /* the file has been replaced or removed */
}
