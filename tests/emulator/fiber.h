/* fiber.h: stacks to switch between; the emulator's threads run on them.
 *
 * On x86-64 a switch saves six registers, in a few lines of assembly. Elsewhere it is swapcontext, which
 * makes a system call. AddressSanitizer is notified of every switch. All fibers share the floating-point
 * modes.
 */
#ifndef DTRAIN_TESTS_EMULATOR_FIBER_H
#define DTRAIN_TESTS_EMULATOR_FIBER_H

#include <stddef.h>

typedef struct dt_fiber dt_fiber;

/* Create a stack. entry(arg) begins at the first switch to it and must never return. NULL: no memory. */
dt_fiber *dt_fiber_create(void (*entry)(void *arg), void *arg);
void dt_fiber_destroy(dt_fiber *fiber); /* must not be running */
/* Discard what runs on it; the next switch begins at entry again. */
void dt_fiber_restart(dt_fiber *fiber);

/* Switch from the running fiber (NULL: the program's own stack) to `to` (NULL: back to that stack). */
void dt_fiber_switch(dt_fiber *from, dt_fiber *to);

#endif
