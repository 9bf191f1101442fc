/* openmp.h: how long OpenMP's threads spin before they sleep. */
#ifndef DT_LAUNCH_HARDWARE_OPENMP_H
#define DT_LAUNCH_HARDWARE_OPENMP_H

/* GCC's OpenMP lets a thread that waits spin for some 300,000 turns, several milliseconds, before it sleeps.
 * Where decoding threads share the cores, the one that is waited for cannot run meanwhile: measured on 2
 * cores with other work on them, steps of ResNet-18 at 32 pixels took 2 to 10 times as long. The number is
 * read from the environment before main, so this sets it (GOMP_SPINCOUNT) and starts the program again in the
 * same process. Nothing happens where the user has set GOMP_SPINCOUNT or OMP_WAIT_POLICY, and on the second
 * start. To be called first in main; if the program cannot be started again it goes on as it is. */
void dt_openmp_limit_spinning(char **argv);

#endif
