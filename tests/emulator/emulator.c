/* emulator.c: blocks, threads, barriers and warp collectives.
 *
 * A fiber takes threads that have not begun, one after the other, and runs each to its end. A thread that has
 * to wait keeps its fiber, and another fiber runs: one whose thread has finished waiting, or a new one, which
 * begins the next thread. A block therefore needs as many stacks as it has threads waiting at once. When some
 * thread waits and none can run, the threads of the block have diverged: the emulator reports that and
 * abandons the block.
 */
#include "tests/emulator/emulator.h"

#include "tests/emulator/fiber.h"

#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { MAX_THREADS = 1024, WARP = 32, MAX_SHARED_BYTES = 48 << 10, MAX_GRID_YZ = 65535, NOT_WAITING = 0 };

dt_emulator_state dt_emulator;

/* A point that `wanted` threads must reach, and the threads that wait there, in order of arrival. */
typedef struct sync_point {
    int line; /* of the first to arrive */
    int n_arrived, wanted;
    int threads[MAX_THREADS];
} sync_point;

typedef struct warp_state {
    sync_point sync_point;
    int round;
    uint64_t values[2][WARP]; /* of this round and of the previous one, which slower lanes may still read */
} warp_state;

static struct {
    const char *kernel;
    void (*run)(void *arg);
    void *arg;
    int n_threads, n_begun, n_done;
    bool failed;
    bool without_barriers, last_thread_leaves;
    /* For each thread of the block. */
    int waits_at[MAX_THREADS]; /* line, or NOT_WAITING */
    bool has_left[MAX_THREADS];
    dt_fiber *fiber_of[MAX_THREADS]; /* while it waits */
    /* Threads that have finished waiting, in a ring. */
    int ready[MAX_THREADS];
    int first_ready, n_ready;
    sync_point barrier;
    warp_state warps[MAX_THREADS / WARP];
    /* The thread and the fiber that run now. */
    int thread;
    dt_fiber *fiber;
} now;

/* All fibers, and those without a thread. */
static dt_fiber *fibers[MAX_THREADS + 1], *idle[MAX_THREADS + 1];
static int n_fibers, n_idle;

static pthread_mutex_t one_launch = PTHREAD_MUTEX_INITIALIZER;
static char message[1024];
static int64_t n_launches;
static unsigned order; /* DT_EMULATOR_DESCENDING, DT_EMULATOR_AHEAD */
static int n_multiprocessors = 3;
static struct {
    char kernel[64];
    dt_emulator_mistake mistake;
} planted;

/* -- what can be said ------------------------------------------------------------------------------------ */

static void report(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void report(const char *format, ...)
{
    va_list args;
    int n = snprintf(message, sizeof message, "kernel %s, block (%u,%u,%u) of (%u,%u,%u): ", now.kernel,
                     dt_emulator.block.x, dt_emulator.block.y, dt_emulator.block.z, dt_emulator.grid_dim.x,
                     dt_emulator.grid_dim.y, dt_emulator.grid_dim.z);
    n = n < (int)sizeof message ? n : (int)sizeof message - 1;
    va_start(args, format);
    vsnprintf(message + n, sizeof message - (size_t)n, format, args);
    va_end(args);
}

const char *dt_emulator_message(void)
{
    return message;
}

int64_t dt_emulator_n_launches(void)
{
    return n_launches;
}

/* Return a thread of [first, end) that does not wait where `waiting` waits; -1: none. */
static int find_missing(int waiting, int first, int end)
{
    for (int t = first; t < end && t < now.n_threads; t++)
        if (now.has_left[t] || now.waits_at[t] != now.waits_at[waiting])
            return t;
    return -1;
}

/* Report why no thread can run although some wait. Prefer a pair of threads of one warp: it shows a shuffle
 * that lacks a lane. */
static void report_missing_thread(void)
{
    int waiting = -1, missing = -1, n_waiting = 0;
    for (int t = 0; t < now.n_threads; t++) {
        if (now.waits_at[t] == NOT_WAITING)
            continue;
        n_waiting++;
        if (missing < 0) {
            waiting = t;
            missing = find_missing(t, t / WARP * WARP, t / WARP * WARP + WARP);
        }
    }
    if (missing < 0)
        missing = find_missing(waiting, 0, now.n_threads);
    if (missing < 0)
        report("%d threads wait in line %d and no thread is missing", n_waiting, now.waits_at[waiting]);
    else if (now.has_left[missing])
        report("thread %d has left, and thread %d waits for it in line %d (%d wait)", missing, waiting,
               now.waits_at[waiting], n_waiting);
    else
        report("thread %d waits in line %d, and thread %d in line %d", missing, now.waits_at[missing],
               waiting, now.waits_at[waiting]);
}

/* -- fibers ---------------------------------------------------------------------------------------------- */

static void switch_to(dt_fiber *to)
{
    dt_fiber *from = now.fiber;
    if (from == to)
        return;
    now.fiber = to;
    dt_fiber_switch(from, to);
}

__attribute__((noreturn)) static void give_up(void)
{
    now.failed = true;
    switch_to(NULL);
    abort(); /* no switch returns here */
}

void dt_emulator_fail(const char *format, ...)
{
    char text[sizeof message];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    report("%s", text);
    give_up();
}

static void set_thread(int thread)
{
    unsigned t = (unsigned)thread;
    now.thread = thread;
    dt_emulator.thread.x = t % dt_emulator.block_dim.x;
    dt_emulator.thread.y = t / dt_emulator.block_dim.x % dt_emulator.block_dim.y;
    dt_emulator.thread.z = t / dt_emulator.block_dim.x / dt_emulator.block_dim.y;
}

static void run_threads(void *unused);

static dt_fiber *fresh_fiber(void)
{
    if (n_idle > 0)
        return idle[--n_idle];
    dt_fiber *fiber = n_fibers <= MAX_THREADS ? dt_fiber_create(run_threads, NULL) : NULL;
    if (fiber == NULL) {
        fprintf(stderr, "emulator: no memory for another stack\n");
        abort();
    }
    fibers[n_fibers++] = fiber;
    return fiber;
}

/* Remove and return the fiber whose thread became ready first; with DT_EMULATOR_AHEAD, last. */
static dt_fiber *next_ready(void)
{
    now.n_ready--;
    if ((order & DT_EMULATOR_AHEAD) != 0)
        return now.fiber_of[now.ready[(now.first_ready + now.n_ready) % MAX_THREADS]];
    int thread = now.ready[now.first_ready];
    now.first_ready = (now.first_ready + 1) % MAX_THREADS;
    return now.fiber_of[thread];
}

/* The main function of a fiber: run threads that have not begun; when there are none, switch to a fiber whose
 * thread is ready. */
static void run_threads(void *unused)
{
    (void)unused;
    for (;;) {
        while (now.n_begun < now.n_threads) {
            int thread =
                (order & DT_EMULATOR_DESCENDING) != 0 ? now.n_threads - 1 - now.n_begun : now.n_begun;
            now.n_begun++;
            set_thread(thread);
            if (!(now.last_thread_leaves && thread == now.n_threads - 1))
                now.run(now.arg);
            now.has_left[now.thread] = true;
            now.n_done++;
        }
        if (now.n_ready == 0 && now.n_done < now.n_threads) {
            report_missing_thread();
            give_up();
        }
        idle[n_idle++] = now.fiber;
        switch_to(now.n_ready > 0 ? next_ready() : NULL);
    }
}

/* Suspend the running thread until its synchronisation point is complete. */
static void wait_at(int line)
{
    int thread = now.thread;
    now.waits_at[thread] = line;
    now.fiber_of[thread] = now.fiber;
    if (now.n_ready == 0 && now.n_begun == now.n_threads) {
        report_missing_thread();
        give_up();
    }
    switch_to(now.n_ready > 0 ? next_ready() : fresh_fiber());
    set_thread(thread);
}

/* Arrive at a synchronisation point. The last thread to arrive makes all others ready and continues. */
static void arrive(sync_point *m, int line)
{
    if (m->n_arrived > 0 && m->line != line) {
        report("thread %d comes to line %d while thread %d waits in line %d", now.thread, line, m->threads[0],
               m->line);
        give_up();
    }
    m->line = line;
    if (m->n_arrived + 1 < m->wanted) {
        m->threads[m->n_arrived++] = now.thread;
        wait_at(line);
        return;
    }
    for (int i = 0; i < m->n_arrived; i++) {
        now.waits_at[m->threads[i]] = NOT_WAITING;
        now.ready[(now.first_ready + now.n_ready++) % MAX_THREADS] = m->threads[i];
    }
    m->n_arrived = 0;
    if (m == &now.barrier)
        dt_emulator.n_barriers++;
}

void dt_emulator_sync_block(int line)
{
    if (!now.without_barriers)
        arrive(&now.barrier, line);
}

unsigned dt_emulator_lane(void)
{
    return (unsigned)now.thread % WARP;
}

const uint64_t *dt_emulator_sync_warp(unsigned mask, int line, uint64_t value)
{
    int first = now.thread / WARP * WARP;
    int n_lanes = now.n_threads - first < WARP ? now.n_threads - first : WARP;
    warp_state *warp = &now.warps[now.thread / WARP];
    if (mask != 0xFFFFFFFFU >> (WARP - n_lanes)) {
        report("thread %d: in line %d the mask is 0x%x, but its warp has %d lanes", now.thread, line, mask,
               n_lanes);
        give_up();
    }
    int round = warp->round;
    warp->values[round][now.thread % WARP] = value;
    warp->sync_point.wanted = n_lanes;
    if (warp->sync_point.n_arrived + 1 == n_lanes)
        warp->round = 1 - round;
    arrive(&warp->sync_point, line);
    return warp->values[round];
}

/* -- blocks ---------------------------------------------------------------------------------------------- */

static dt_emulator_shared *all_shared;

static void allocate_shared(dt_emulator_shared *shared, size_t bytes)
{
    shared->data = malloc(bytes); /* of its exact size, so that AddressSanitizer checks its ends */
    shared->bytes = bytes;
    shared->next = all_shared;
    all_shared = shared;
    if (shared->data == NULL)
        abort();
    memset(shared->data, 0xFF, bytes);
}

void *dt_emulator_shared_data(dt_emulator_shared *shared, size_t bytes)
{
    if (shared->data == NULL)
        allocate_shared(shared, bytes);
    shared->is_used = true;
    return shared->data;
}

/* All bits set is a NaN in every type. */
static void fill_shared(size_t dynamic_bytes)
{
    for (dt_emulator_shared *shared = all_shared; shared != NULL; shared = shared->next) {
        if (shared->is_used)
            memset(shared->data, 0xFF, shared->bytes);
        shared->is_used = false;
    }
    if (dynamic_bytes > 0)
        memset(dt_emulator.dynamic_shared, 0xFF, dynamic_bytes);
}

static void run_block(void)
{
    now.n_begun = now.n_done = now.n_ready = now.first_ready = 0;
    now.barrier.n_arrived = 0;
    dt_emulator.n_barriers = 0;
    now.barrier.wanted = now.n_threads;
    memset(now.has_left, 0, (size_t)now.n_threads * sizeof *now.has_left);
    memset(now.waits_at, 0, (size_t)now.n_threads * sizeof *now.waits_at);
    for (int w = 0; w < (now.n_threads + WARP - 1) / WARP; w++)
        now.warps[w].sync_point.n_arrived = now.warps[w].round = 0;
    now.fiber = NULL;
    switch_to(fresh_fiber());
}

/* Reset every fiber, after a block was abandoned. */
static void restart_fibers(void)
{
    n_idle = 0;
    for (int i = 0; i < n_fibers; i++) {
        dt_fiber_restart(fibers[i]);
        idle[n_idle++] = fibers[i];
    }
}

static bool is_planted(dt_emulator_mistake mistake)
{
    return planted.kernel[0] != '\0' && planted.mistake == mistake &&
           strstr(now.kernel, planted.kernel) != NULL;
}

static int run_grid(size_t shared_bytes)
{
    const dt_emulator_index grid = dt_emulator.grid_dim;
    uint64_t n_blocks = (uint64_t)grid.x * grid.y * grid.z;
    now.without_barriers = is_planted(DT_EMULATOR_NO_BARRIERS);
    for (uint64_t i = 0; i < n_blocks && !now.failed; i++) {
        uint64_t b = (order & DT_EMULATOR_DESCENDING) != 0 ? n_blocks - 1 - i : i;
        dt_emulator.block = (dt_emulator_index){(unsigned)(b % grid.x), (unsigned)(b / grid.x % grid.y),
                                                (unsigned)(b / grid.x / grid.y)};
        if (b == n_blocks - 1 && is_planted(DT_EMULATOR_NO_LAST_BLOCK))
            continue;
        now.last_thread_leaves = b == n_blocks - 1 && is_planted(DT_EMULATOR_NO_LAST_THREAD);
        fill_shared(shared_bytes);
        run_block();
    }
    if (now.failed)
        restart_fibers();
    return now.failed ? DT_EMULATOR_LAUNCH_FAILED : DT_EMULATOR_OK;
}

static int launch(dt_emulator_index grid, dt_emulator_index block, size_t shared_bytes)
{
    uint64_t n_threads = (uint64_t)block.x * block.y * block.z;
    dt_emulator.launch = ++n_launches;
    dt_emulator.block = (dt_emulator_index){0, 0, 0};
    dt_emulator.grid_dim = grid;
    dt_emulator.block_dim = block;
    now.n_threads = (int)n_threads;
    now.failed = false;
    if (grid.x == 0 || grid.x > INT32_MAX || grid.y == 0 || grid.y > MAX_GRID_YZ || grid.z == 0 ||
        grid.z > MAX_GRID_YZ || n_threads == 0 || n_threads > MAX_THREADS || block.z > 64 ||
        shared_bytes > MAX_SHARED_BYTES) {
        report("a block of (%u,%u,%u) threads and %zu bytes of shared memory: no GPU accepts this", block.x,
               block.y, block.z, shared_bytes);
        return DT_EMULATOR_INVALID_CONFIGURATION;
    }
    if (is_planted(DT_EMULATOR_NO_LAUNCH))
        return DT_EMULATOR_OK;
    dt_emulator.dynamic_shared = shared_bytes > 0 ? malloc(shared_bytes) : NULL;
    if (shared_bytes > 0 && dt_emulator.dynamic_shared == NULL)
        abort();
    int code = run_grid(shared_bytes);
    free(dt_emulator.dynamic_shared);
    return code;
}

int dt_emulator_launch(const char *kernel, dt_emulator_index grid, dt_emulator_index block,
                       size_t shared_bytes, void (*thread)(void *arg), void *arg)
{
    pthread_mutex_lock(&one_launch);
    now.kernel = kernel;
    now.run = thread;
    now.arg = arg;
    int code = launch(grid, block, shared_bytes);
    pthread_mutex_unlock(&one_launch);
    return code;
}

/* -- for tests ------------------------------------------------------------------------------------------- */

void dt_emulator_set_order(unsigned flags)
{
    order = flags;
}

void dt_emulator_set_multiprocessors(int n)
{
    n_multiprocessors = n;
}

int dt_emulator_multiprocessors(void)
{
    return n_multiprocessors;
}

void dt_emulator_plant(const char *kernel, dt_emulator_mistake mistake)
{
    snprintf(planted.kernel, sizeof planted.kernel, "%s", kernel != NULL ? kernel : "");
    planted.mistake = mistake;
}

__attribute__((destructor)) static void free_memory(void)
{
    for (int i = 0; i < n_fibers; i++)
        dt_fiber_destroy(fibers[i]);
    for (dt_emulator_shared *shared = all_shared; shared != NULL; shared = shared->next)
        free(shared->data);
}
