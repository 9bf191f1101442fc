/* translated.h: kernels as nvcc compiled them. If the environment variable DTRAIN_TEST_PTX names a library of
 * kernels that tests/ptx/ translated from nvcc's PTX, every launch runs the function of that library in place
 * of what the C++ compiler made of the kernel. A launch of a kernel that the library lacks ends the program.
 *
 * When the program ends, a line for each kernel that ran is added to the file that DTRAIN_TEST_PTX_REPORT
 * names: its name, launches, accesses to memory, and the most bytes of global memory that one launch read and
 * wrote.
 */
#ifndef DTRAIN_TESTS_EMULATOR_TRANSLATED_H
#define DTRAIN_TESTS_EMULATOR_TRANSLATED_H

#include <stddef.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Runs the thread that dt_emulator describes; the parameters lie in memory as in a C structure. */
typedef void dt_translated_run(const void *parameters);

/* The translation of a kernel with so many bytes of parameters. NULL: no library is to be used. `kernel` is
 * the address of the function that the C++ compiler made; `name` is for messages. */
dt_translated_run *dt_translated_kernel(const void *kernel, const char *name, size_t parameter_bytes);

#ifdef __cplusplus
}
#endif

#endif
