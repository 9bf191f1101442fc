/* openmp.h: how long OpenMP's threads spin before they sleep, and the processors of the first thread. */
#ifndef DT_LAUNCH_HARDWARE_OPENMP_H
#define DT_LAUNCH_HARDWARE_OPENMP_H

#include "core/base/cpus.h"

/* GCC's OpenMP lets a waiting thread spin for some 300,000 turns, several milliseconds, before it sleeps.
 * Where decoding threads share the cores, the spinning threads keep the awaited thread from running: measured
 * on 2 cores with other work on them, steps of ResNet-18 at 32 pixels took 2 to 10 times as long. OpenMP
 * reads the number of turns (GOMP_SPINCOUNT) from the environment before main, so this sets it and executes
 * the program again in the same process. Does nothing if GOMP_SPINCOUNT or OMP_WAIT_POLICY is set, as it is
 * after that. Call it first in main; if the program cannot be executed again, it continues as it is. */
void dt_openmp_limit_spinning(char **argv);

/* With OMP_PROC_BIND, OpenMP binds the first thread to one processor before main, and every thread that it
 * creates inherits that. *cpus: the processors of the calling thread; if OpenMP's places are more, bind the
 * thread to all of them, and return them. OpenMP's own threads keep their places. */
void dt_openmp_unbind(dt_cpus *cpus);

/* Whether the environment binds OpenMP's threads (OMP_PROC_BIND, OMP_PLACES). */
bool dt_openmp_has_places(void);

#endif
