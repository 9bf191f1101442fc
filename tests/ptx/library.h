/* library.h: memory accesses of translated kernels. Part of each library of them (machine.h). */
#ifndef DTRAIN_TESTS_PTX_LIBRARY_H
#define DTRAIN_TESTS_PTX_LIBRARY_H

#include "tests/ptx/machine.h"

extern const dt_ptx_machine *ptx_machine;
/* Adds a kernel to the library: a pointer in a section, of which the linker makes one array. */
#define PTX_KERNEL(kernel)                                                                                   \
    static dt_ptx_kernel *const kernel##_entry __attribute__((section("ptx_kernels"), used)) = &(kernel)

/* The first call of each thread. Counts the launch. */
void ptx_begin(dt_ptx_kernel *kernel);

/* A load or store in a line of the PTX. Returns the address on the host. The launch fails if the address is
 * no multiple of n_bytes, if an access to shared memory lies outside the n_shared bytes of the kernel, or if
 * another thread has accessed the bytes, one of the two writes, and no barrier orders them. */
char *ptx_global(uint64_t address, unsigned n_bytes, bool is_write, int line);
char *ptx_shared(char *memory, size_t n_shared, uint64_t offset, unsigned n_bytes, bool is_write, int line);
/* A load of a parameter. The launch fails if the parameters have no such bytes. */
const char *ptx_parameter(const char *parameters, uint64_t offset, unsigned n_bytes, int line);

#endif
