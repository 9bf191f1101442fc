/* program.h: runs another program and collects what it prints.
 *
 *   char *arguments[] = {"squeue", "-h", NULL};
 *   char answer[64];
 *   int code;
 *   DT_TRY(dt_program_run(&(dt_program){.arguments = arguments, .timeout_s = 20.0, .out = answer,
 *                                       .out_bytes = sizeof answer}, &code, err));
 *
 * No shell is involved. The program's standard input is empty. It runs in its own process group, which is
 * killed when the time is over, when `leave` becomes true, or when it has ended and left processes behind.
 */
#ifndef DT_CORE_BASE_PROGRAM_H
#define DT_CORE_BASE_PROGRAM_H

#include "core/base/error.h"

#include <stdatomic.h>
#include <stddef.h>

typedef struct dt_program {
    char *const *arguments; /* ended by NULL; the first is the program, which is looked for in PATH */
    double timeout_s;
    const atomic_bool *leave; /* another thread sets it to end the program early; NULL: none does */
    char *out;                /* receives the program's stdout, cut to what fits, and ended by a zero byte */
    size_t out_bytes;
    char *errors; /* as `out`, for stderr; NULL: dropped */
    size_t errors_bytes;
} dt_program;

/* Blocks until the program has ended. *code is its exit code, or 128 + the number of the signal that ended
 * it. Any thread may call it. DT_ERR_IO: it cannot be started (there is no such program), or ended with 127,
 * which says the same; DT_ERR_TIMEOUT: it was killed. */
dt_status dt_program_run(const dt_program *program, int *code, dt_error *err);

#endif
