/* emulator.h: runs CUDA kernels on the CPU. Every CUDA thread is a fiber; blocks run one after the other.
 *
 *   int code = dt_emulator_launch("add_one", grid, block, 0, run_one_thread, arguments);   as DT_LAUNCH does
 *   if (code != 0) puts(dt_emulator_message());
 *
 * A kernel reads dt_emulator: threadIdx and the others are macros for its fields (cuda_emulator.h). When a
 * thread waits (__syncthreads, a shuffle), the next thread runs. Threads that never wait run one after the
 * other on one stack, so a kernel without barriers costs two switches per block. Shared memory is filled with
 * NaN before a block begins.
 *
 * Detected, and described by dt_emulator_message with kernel, block and thread: a barrier or a shuffle that
 * not all threads reach (some have returned, or wait at another line); a grid or a block that exceeds the
 * limits of GPUs. Not detected: two threads that write the same address; tests/ptx/ detects them. But
 * dt_emulator_set_order runs threads and blocks in other orders, in which a missing barrier, or blocks that
 * depend on each other, give other results. AddressSanitizer works here too.
 *
 * Only one launch runs at a time; other threads that launch wait for it.
 */
#ifndef DTRAIN_TESTS_EMULATOR_H
#define DTRAIN_TESTS_EMULATOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

typedef struct dt_emulator_index {
    unsigned x, y, z;
} dt_emulator_index;

/* Of the thread that runs now. */
typedef struct dt_emulator_state {
    dt_emulator_index thread, block, block_dim, grid_dim;
    void *dynamic_shared; /* shared_bytes of them */
    int64_t launch;       /* the number of the launch, from 1 */
    unsigned n_barriers;  /* __syncthreads that all threads of the block have reached */
} dt_emulator_state;
extern dt_emulator_state dt_emulator;

/* CUDA's numbers */
enum { DT_EMULATOR_OK = 0, DT_EMULATOR_INVALID_CONFIGURATION = 9, DT_EMULATOR_LAUNCH_FAILED = 719 };

/* Run thread(arg) for every thread of every block; return one of the codes above. */
int dt_emulator_launch(const char *kernel, dt_emulator_index grid, dt_emulator_index block,
                       size_t shared_bytes, void (*thread)(void *arg), void *arg);
/* Why the last failed launch failed; static storage. */
const char *dt_emulator_message(void);
int64_t dt_emulator_n_launches(void); /* since the program began */

/* A launch that has not run yet. `thread(arg)` as above; free_arg(arg) is called when it will not run
 * again. */
typedef struct dt_emulator_work {
    const char *kernel; /* static storage */
    dt_emulator_index grid, block;
    size_t shared_bytes;
    void (*thread)(void *arg);
    void (*free_arg)(void *arg);
    void *arg;
} dt_emulator_work;

/* What DT_LAUNCH does: run the work and free it, or pass it to the queue that is set. */
int dt_emulator_enqueue(void *stream, const dt_emulator_work *work);
/* Pass every later launch to `accept`, which owns the work from then on: it calls dt_emulator_run when and as
 * often as it likes, then dt_emulator_free. Its result is the result of the launch. NULL: launches run
 * immediately again. */
typedef int dt_emulator_accept(void *context, void *stream, const dt_emulator_work *work);
void dt_emulator_set_queue(dt_emulator_accept *accept, void *context);
int dt_emulator_run(const dt_emulator_work *work);
void dt_emulator_free(const dt_emulator_work *work);

/* Called by kernels. */
void dt_emulator_sync_block(int line);
/* A collective of a warp: every lane of `mask` (which must be all lanes of the warp) contributes a value.
 * Returns all 32 values, valid until the lane's next call. */
const uint64_t *dt_emulator_sync_warp(unsigned mask, int line, uint64_t value);
unsigned dt_emulator_lane(void);
/* Fail the launch with a message, which begins with kernel and block. */
void dt_emulator_fail(const char *format, ...) __attribute__((format(printf, 1, 2), noreturn));

/* Static shared memory: one object for each declaration in each kernel. The first thread that reaches the
 * declaration creates it; it lives until the program ends. */
typedef struct dt_emulator_shared {
    void *data;
    size_t bytes;
    bool is_used; /* since it was last filled */
    struct dt_emulator_shared *next;
} dt_emulator_shared;
void *dt_emulator_shared_data(dt_emulator_shared *shared, size_t bytes);

/* -- for tests ------------------------------------------------------------------------------------------- */

/* The order in which threads run from now on; 0: ascending, by turns. A missing barrier shows in at least one
 * of the four orders. */
enum {
    DT_EMULATOR_DESCENDING = 1, /* threads and blocks begin from the last */
    /* the warp that was last at a barrier runs ahead of the others as far as it can */
    DT_EMULATOR_AHEAD = 2
};
void dt_emulator_set_order(unsigned flags);

/* Set the number of multiprocessors that the launchers see; 3 by default: odd, and small, so that loops over
 * the grid have several rounds. */
void dt_emulator_set_multiprocessors(int n);
int dt_emulator_multiprocessors(void);

/* Plant a mistake in kernels whose name contains `kernel`; NULL: remove it. */
typedef enum dt_emulator_mistake {
    DT_EMULATOR_NO_BARRIERS,    /* __syncthreads does nothing */
    DT_EMULATOR_NO_LAST_BLOCK,  /* the last block does not run */
    DT_EMULATOR_NO_LAST_THREAD, /* the last thread of the last block returns immediately */
    DT_EMULATOR_NO_LAUNCH       /* nothing runs */
} dt_emulator_mistake;
void dt_emulator_plant(const char *kernel, dt_emulator_mistake mistake);

#ifdef __cplusplus
}
#endif

#endif
