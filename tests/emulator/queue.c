/* queue.c: launches run immediately, or go to the queue that a test has set. */
#include "tests/emulator/emulator.h"

#include <stddef.h>

static struct {
    dt_emulator_accept *accept;
    void *context;
} queue;

void dt_emulator_set_queue(dt_emulator_accept *accept, void *context)
{
    queue.accept = accept;
    queue.context = context;
}

int dt_emulator_run(const dt_emulator_work *work)
{
    return dt_emulator_launch(work->kernel, work->grid, work->block, work->shared_bytes, work->thread,
                              work->arg);
}

void dt_emulator_free(const dt_emulator_work *work)
{
    work->free_arg(work->arg);
}

int dt_emulator_enqueue(void *stream, const dt_emulator_work *work)
{
    if (queue.accept != NULL)
        return queue.accept(queue.context, stream, work);
    int code = dt_emulator_run(work);
    dt_emulator_free(work);
    return code;
}
