/* device_emulated.h: core/device.h in host memory, at least as strict as a GPU. For layers/cuda, and for the
 * trainer on a device that lags the host.
 *
 *   dt_device *device = NULL;
 *   dt_device_emulated_create(&(dt_emulated_options){.lazy = true, .capture = true}, &device, &err);
 *   ... kernels, graphs and copies are enqueued ...
 *   DT_CHECK_STR(dt_emulated_fault(device), "");
 *
 * Memory. Every allocation lies between guard bands, which are checked after each piece of work;
 * AddressSanitizer stops the program at an access to them. Fresh and freed memory is all ones: in every float
 * type that is a NaN that no arithmetic produces from anything else, and that is kept by additions,
 * multiplications and conversions. So unwritten memory is detected where it is read (dt_emulated_unwritten),
 * or in the results. Copies are checked: both ends must lie inside an allocation, on the right side.
 *
 * Time. A stream is a queue. `lazy`: nothing runs before a thread waits for it, and then only what it waits
 * for and what that depends on; a missing event shows as wrong numbers or as an unwritten read. Not lazy:
 * work runs when it is enqueued. Host memory of host_alloc is read and written when a copy runs; other host
 * memory, as with CUDA, when the copy is enqueued.
 *
 * Capture. Between begin and end, work of the main stream, and of streams that wait for an event of it, is
 * recorded and not run; graph_launch enqueues all of it. During a capture it is a fault to wait, to allocate,
 * or to copy pageable memory; and so is a stream that joined the capture and that the main stream does not
 * wait for.
 *
 * The first fault is kept. If no test has read it, destroy prints it. Calls may come from any thread.
 */
#ifndef DTRAIN_TESTS_EMULATED_DEVICE_EMULATED_H
#define DTRAIN_TESTS_EMULATED_DEVICE_EMULATED_H

#include "core/device.h"

#include <stdbool.h>

#define DT_EMULATED_POISON 0xFF /* every byte of unwritten memory */

typedef struct dt_emulated_options {
    int64_t memory_bytes; /* limit of alloc; 0: none */
    bool lazy;
    bool capture; /* false: capture_begin is NULL */
} dt_emulated_options;

/* The caller destroys it. Errors: DT_ERR_MEMORY. */
dt_status dt_device_emulated_create(const dt_emulated_options *options, dt_device **device, dt_error *err);

/* Enqueue work on a stream (NULL: main). `run` is called when its turn comes, more than once if it is
 * captured; `destroy` (may be NULL) once, after the last run. The device owns the context from then on, even
 * if this call fails. */
typedef struct dt_emulated_work {
    const char *name; /* static storage; for messages */
    dt_status (*run)(void *context, dt_error *err);
    void (*destroy)(void *context);
    void *context;
} dt_emulated_work;
dt_status dt_emulated_enqueue(dt_device *device, void *stream, const dt_emulated_work *work, dt_error *err);

/* The first fault as text; "" if there was none. The device owns the text. */
const char *dt_emulated_fault(dt_device *device);

/* For work to check an address range that it accesses: the bytes must lie in one allocation. */
dt_status dt_emulated_check_range(dt_device *device, const void *p, int64_t bytes, const char *what,
                                  dt_error *err);
/* Return the index of the first of n elements (of 1, 2 or 4 bytes) that is all ones, which means that it, or
 * what it was computed from, was never written; -1: none. */
int64_t dt_emulated_unwritten(const void *p, int64_t n_elems, int64_t elem_bytes);
/* Mark all of the allocation that holds p as unwritten again, so that a test detects values that wrongly pass
 * from one step to the next. */
void dt_emulated_forget(dt_device *device, void *p);

typedef struct dt_emulated_counts {
    int64_t n_allocations, live_bytes, peak_bytes;
    int64_t n_work;       /* pieces of work that ran, those of graphs included */
    int64_t n_graphs;     /* graphs that exist */
    int64_t n_launches;   /* graph_launch */
    int64_t n_host_waits; /* calls that blocked the host on pending work */
} dt_emulated_counts;
void dt_emulated_get_counts(dt_device *device, dt_emulated_counts *counts);

#endif
