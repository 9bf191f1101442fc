/* fiber.h: stacks that one can switch between: what the emulator's threads run on.
 *
 * On x86-64 a switch saves six registers, in a few lines of assembly; elsewhere it is swapcontext, which
 * makes a system call. Under AddressSanitizer every switch is told to it. Floating-point modes are shared by
 * all fibers.
 */
#ifndef DTRAIN_TESTS_EMULATOR_FIBER_H
#define DTRAIN_TESTS_EMULATOR_FIBER_H

#include <stddef.h>

typedef struct dt_fiber dt_fiber;

/* A stack on which entry(arg) begins at the first switch to it; entry never returns. NULL: no memory. */
dt_fiber *dt_fiber_create(void (*entry)(void *arg), void *arg);
void dt_fiber_destroy(dt_fiber *fiber); /* it does not run */
/* Forget what runs on it: the next switch begins at entry again. */
void dt_fiber_restart(dt_fiber *fiber);

/* From the fiber that runs now (NULL: the stack that the program came with) to `to` (NULL: back to it). */
void dt_fiber_switch(dt_fiber *from, dt_fiber *to);

#endif
