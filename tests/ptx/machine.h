/* machine.h: what a library of translated kernels and the emulator know of each other.
 *
 * tests/ptx/translate.py turns nvcc's PTX into C: a function per kernel, which one CUDA thread executes. The
 * functions and library.c are a shared library for each architecture, which tests/emulator/translated.c
 * opens. The library calls the emulator through dt_ptx_machine, because a program exports no symbols.
 */
#ifndef DTRAIN_TESTS_PTX_MACHINE_H
#define DTRAIN_TESTS_PTX_MACHINE_H

#include "tests/emulator/emulator.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The emulator's functions: tests/emulator/emulator.h. */
typedef struct dt_ptx_machine {
    const dt_emulator_state *state;
    void (*sync_block)(int line);
    const uint64_t *(*sync_warp)(unsigned mask, int line, uint64_t value);
    unsigned (*lane)(void);
    void *(*shared_data)(dt_emulator_shared *shared, size_t bytes);
    void (*fail)(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));
} dt_ptx_machine;

typedef struct dt_ptx_kernel {
    const char *name; /* nvcc's symbol */
    const char *file; /* of the PTX */
    void (*run)(const void *parameters);
    size_t parameter_bytes;
    /* What its launches did, since the library was opened. */
    int64_t n_launches, n_accesses;              /* accesses: loads and stores of global and shared memory */
    int64_t most_bytes_read, most_bytes_written; /* of global memory, in one launch */
    int64_t launch, bytes_read, bytes_written;   /* the last launch, and its bytes */
} dt_ptx_kernel;

/* The only symbol of a library. It returns the kernels, n of them. */
typedef dt_ptx_kernel *const *dt_ptx_open_function(const dt_ptx_machine *machine, size_t *n);
__attribute__((visibility("default"))) extern dt_ptx_open_function dt_ptx_open;

#endif
