/* device_emulated.h: core/device.h in host memory, as strict as a GPU and stricter: for layers/cuda, and for
 * the trainer on a device whose work is done later.
 *
 *   dt_device *device = NULL;
 *   dt_device_emulated_create(&(dt_emulated_options){.lazy = true, .capture = true}, &device, &err);
 *   ... kernels, graphs and copies are enqueued ...
 *   DT_CHECK_STR(dt_emulated_fault(device), "");
 *
 * Memory. Every allocation lies between guard bands, which are looked at after each piece of work; under
 * AddressSanitizer whoever touches them stops there. Fresh and freed memory is all ones: a NaN in every float
 * type, which no arithmetic makes of anything else, and which stays itself when it is added, multiplied or
 * converted. So what was not written is seen where it is read (dt_emulated_unwritten), or in the results.
 * Copies are checked: no end may lie outside an allocation, or on the wrong side.
 *
 * Time. A stream is a queue. `lazy`: nothing runs before somebody waits for it, and then only what he waits
 * for and what that itself waits for: a missing event shows as wrong numbers or as an unwritten read. Not
 * lazy: everything runs when it is enqueued. Host memory of host_alloc is read and written when a copy runs;
 * of other host memory, as CUDA does, when it is enqueued.
 *
 * Capture. Between begin and end, work of the main stream, and of streams that wait for an event of it, is
 * kept and not run; graph_launch enqueues all of it. Waiting, allocating and copying pageable memory is a
 * fault meanwhile, and so is a stream that went into the capture and did not come back.
 *
 * The first fault is kept; one that nobody has asked for is printed by destroy. Calls may come from any
 * thread.
 */
#ifndef DTRAIN_TESTS_EMULATED_DEVICE_EMULATED_H
#define DTRAIN_TESTS_EMULATED_DEVICE_EMULATED_H

#include "core/device.h"

#include <stdbool.h>

#define DT_EMULATED_POISON 0xFF /* every byte of memory that nobody has written */

typedef struct dt_emulated_options {
    int64_t memory_bytes; /* that alloc can give; 0: no limit */
    bool lazy;
    bool capture; /* false: there is no capture_begin */
} dt_emulated_options;

/* The caller destroys it. Errors: DT_ERR_MEMORY. */
dt_status dt_device_emulated_create(const dt_emulated_options *options, dt_device **device, dt_error *err);

/* Work for a stream (NULL: main): `run`, at its time, perhaps often (captured); `destroy` (may be NULL) once,
 * after the last run. Takes the context, also when it fails. */
typedef struct dt_emulated_work {
    const char *name; /* static storage; for messages */
    dt_status (*run)(void *context, dt_error *err);
    void (*destroy)(void *context);
    void *context;
} dt_emulated_work;
dt_status dt_emulated_enqueue(dt_device *device, void *stream, const dt_emulated_work *work, dt_error *err);

/* The first fault as a text, "" if there was none. It belongs to the device. */
const char *dt_emulated_fault(dt_device *device);

/* To be called by work that knows what it touches: the bytes must lie in one allocation. */
dt_status dt_emulated_check_range(dt_device *device, const void *p, int64_t bytes, const char *what,
                                  dt_error *err);
/* The index of the first of n elements (of 1, 2 or 4 bytes) that is all ones: never written, or made of what
 * never was; -1: none. */
int64_t dt_emulated_unwritten(const void *p, int64_t n_elems, int64_t elem_bytes);
/* Make all of the allocation that p lies in unwritten again. For tests: nothing may pass from one step to the
 * next but what should. */
void dt_emulated_forget(dt_device *device, void *p);

typedef struct dt_emulated_counts {
    int64_t n_allocations, live_bytes, peak_bytes;
    int64_t n_work;       /* pieces of work run, those of graphs too */
    int64_t n_graphs;     /* captures that are alive */
    int64_t n_launches;   /* graph_launch */
    int64_t n_host_waits; /* calls that blocked the host on pending work */
} dt_emulated_counts;
void dt_emulated_get_counts(dt_device *device, dt_emulated_counts *counts);

#endif
