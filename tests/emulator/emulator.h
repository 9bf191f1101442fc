/* emulator.h: runs CUDA kernels on the CPU: every CUDA thread is a fiber, blocks run one after the other.
 *
 *   int code = dt_emulator_launch("add_one", grid, block, 0, run_one_thread, arguments);      what DT_LAUNCH
 *   expands to under g++ if (code != 0) puts(dt_emulator_message());
 *
 * What a kernel can see is in dt_emulator: threadIdx and the others are macros for its fields
 * (cuda_emulator.h). A thread that waits (__syncthreads, a shuffle) gives its fiber's place to the next one;
 * threads that never wait run one after the other on one stack, so a kernel without barriers costs two
 * switches a block. Shared memory is filled with NaN before a block begins.
 *
 * Found, and told by dt_emulator_message with kernel, block and thread:
 *   a barrier or a shuffle that not all threads reach (some have left, or wait at another line), a grid or a
 *   block that no GPU takes.
 * Not found: two threads that write the same place; but dt_emulator_set_order runs threads and blocks in
 * other orders, in which a missing barrier or blocks that need each other give another result; and what
 * AddressSanitizer sees, it sees here too.
 *
 * One launch at a time; threads that launch wait for each other.
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
} dt_emulator_state;
extern dt_emulator_state dt_emulator;

/* as CUDA numbers them */
enum { DT_EMULATOR_OK = 0, DT_EMULATOR_INVALID_CONFIGURATION = 9, DT_EMULATOR_LAUNCH_FAILED = 719 };

/* Runs thread(arg) for every thread of every block; returns a code from above. */
int dt_emulator_launch(const char *kernel, dt_emulator_index grid, dt_emulator_index block,
                       size_t shared_bytes, void (*thread)(void *arg), void *arg);
/* Why the last launch that failed did; static storage. */
const char *dt_emulator_message(void);
int64_t dt_emulator_n_launches(void); /* since the program began */

/* A launch that has not run yet. `thread(arg)` as above; free_arg(arg) when it will not run again. */
typedef struct dt_emulator_work {
    const char *kernel; /* static storage */
    dt_emulator_index grid, block;
    size_t shared_bytes;
    void (*thread)(void *arg);
    void (*free_arg)(void *arg);
    void *arg;
} dt_emulator_work;

/* What DT_LAUNCH does: runs the work and frees it, or gives it to the queue that is set. */
int dt_emulator_enqueue(void *stream, const dt_emulator_work *work);
/* From now on every launch goes to `take`, which takes the work over: it runs it by dt_emulator_run when and
 * as often as it likes, and frees it by dt_emulator_free; what it returns is the result of the launch. NULL:
 * launches run at once again. */
typedef int dt_emulator_accept(void *context, void *stream, const dt_emulator_work *work);
void dt_emulator_set_queue(dt_emulator_accept *accept, void *context);
int dt_emulator_run(const dt_emulator_work *work);
void dt_emulator_free(const dt_emulator_work *work);

/* What kernels call. */
void dt_emulator_sync_block(int line);
/* A collective of a warp: every lane of `mask` (which must be all lanes that the warp has) gives a value;
 * returns all 32 of them, to be read before the lane's next call. */
const uint64_t *dt_emulator_sync_warp(unsigned mask, int line, uint64_t value);
unsigned dt_emulator_lane(void);

/* Static shared memory: one of these for each declaration in each kernel; made by the first thread that comes
 * by, kept until the program ends. */
typedef struct dt_emulator_shared {
    void *data;
    size_t bytes;
    bool is_used; /* since it was filled */
    struct dt_emulator_shared *next;
} dt_emulator_shared;
void *dt_emulator_shared_data(dt_emulator_shared *shared, size_t bytes);

/* -- for tests ------------------------------------------------------------------------------------------- */

/* In which order threads run from now on; 0: ascending, and in turn. A barrier that is missing shows in one
 * of the four. */
enum {
    DT_EMULATOR_DESCENDING = 1, /* threads and blocks begin from the last */
    /* the warp that was last at a barrier runs ahead of the others as far as it can */
    DT_EMULATOR_AHEAD = 2
};
void dt_emulator_set_order(unsigned flags);

/* Multiprocessors that kernels are told of; 3 unless set: an odd number, and small, so that loops over the
 * grid have several rounds. */
void dt_emulator_set_multiprocessors(int n);
int dt_emulator_multiprocessors(void);

/* A mistake to find, in kernels whose name contains `kernel`; NULL: none any more. */
typedef enum dt_emulator_mistake {
    DT_EMULATOR_NO_BARRIERS,    /* __syncthreads does nothing */
    DT_EMULATOR_NO_LAST_BLOCK,  /* the last block does not run */
    DT_EMULATOR_NO_LAST_THREAD, /* the last thread of the last block leaves at once */
    DT_EMULATOR_NO_LAUNCH       /* nothing runs */
} dt_emulator_mistake;
void dt_emulator_plant(const char *kernel, dt_emulator_mistake mistake);

#ifdef __cplusplus
}
#endif

#endif
