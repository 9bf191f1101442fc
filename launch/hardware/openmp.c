#include "config.h"

#include "launch/hardware/openmp.h"

#include <limits.h>
#include <stdlib.h>
#include <unistd.h>

/* About 100 microseconds: longer than parallel loops of one step wait for each other, far less than a time
 * slice. */
#define SPIN_COUNT "5000"

/* Of the OpenMP library, which a build without OpenMP does not have. */
extern int omp_get_num_places(void) __attribute__((weak));
extern int omp_get_place_num_procs(int place) __attribute__((weak));
extern void omp_get_place_proc_ids(int place, int *cpus) __attribute__((weak));
extern int omp_get_proc_bind(void) __attribute__((weak)); /* 0: omp_proc_bind_false */

bool dt_openmp_has_places(void)
{
    return omp_get_num_places && omp_get_proc_bind && omp_get_num_places() > 0 && omp_get_proc_bind() != 0;
}

void dt_openmp_unbind(dt_cpus *cpus)
{
    static int of_place[DT_CPUS_MAX];
    dt_cpus all = {{0}};
    if (!omp_get_num_places || !omp_get_place_num_procs || !omp_get_place_proc_ids)
        return;
    for (int place = 0; place < omp_get_num_places(); place++) {
        const int n = omp_get_place_num_procs(place);
        if (n > DT_CPUS_MAX)
            return;
        omp_get_place_proc_ids(place, of_place);
        for (int i = 0; i < n; i++)
            if (of_place[i] >= 0 && of_place[i] < DT_CPUS_MAX)
                dt_cpus_add(&all, of_place[i]);
    }
    if (dt_cpus_count(&all) > dt_cpus_count(cpus) && dt_cpus_bind(&all))
        *cpus = all;
}

void dt_openmp_limit_spinning(char **argv)
{
    if (getenv("GOMP_SPINCOUNT") || getenv("OMP_WAIT_POLICY"))
        return;
    if (setenv("GOMP_SPINCOUNT", SPIN_COUNT, 1) != 0)
        return;
    dt_cpus cpus;
    if (dt_cpus_read(0, &cpus))
        dt_openmp_unbind(&cpus); /* or the new program would have one processor, for all of its threads */
    char path[PATH_MAX]; /* executed as /proc/self/exe the program would be named "exe" in ps and top */
    ssize_t n = readlink("/proc/self/exe", path, sizeof path - 1);
    if (n > 0) {
        path[n] = '\0';
        execv(path, argv);
    }
    execv("/proc/self/exe", argv); /* the file has been replaced or removed */
}
