/* fake_gpu.h: an asynchronous device. Each stream is a thread with a queue; device memory is host memory.
 *
 *   dt_device *d = fake_gpu_create();
 *   fake_gpu_enqueue(d->ops->native_stream(d, stream), work, &arguments, sizeof arguments);       a "kernel"
 *   d->ops->destroy(d);
 *
 * It captures and launches graphs as CUDA does. A stream joins a capture by waiting for an event of it, and
 * the main stream must wait for that stream before the end, otherwise capture_end fails. event_done fails for
 * an event of a capture.
 */
#ifndef DTRAIN_TESTS_FAKE_GPU_H
#define DTRAIN_TESTS_FAKE_GPU_H

#include "core/device.h"

dt_device *fake_gpu_create(void);

/* Enqueue work with a copy of its arguments, at most FAKE_GPU_ARGUMENT_BYTES. Work that waits for something
 * must end when fake_gpu_stops(). */
enum { FAKE_GPU_ARGUMENT_BYTES = 128 };
typedef void fake_gpu_work(void *arguments);
void fake_gpu_enqueue(void *native_stream, fake_gpu_work *work, const void *arguments, size_t bytes);
bool fake_gpu_stops(void); /* a device is being destroyed */

/* For a library whose sums a captured graph may have: if the stream belongs to a capture, release(context) is
 * called when the graph is destroyed. Returns whether it does. */
bool fake_gpu_retain(void *native_stream, void (*release)(void *context), void *context);

/* Enqueueing blocks while the stream has n operations queued; 0: it never blocks. */
void fake_gpu_limit_queues(int64_t n);

int64_t fake_gpu_n_allocs(void); /* of device and pinned memory, so far */

#endif
