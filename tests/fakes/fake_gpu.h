/* fake_gpu.h: a device that runs behind the host: each stream is a thread with a queue, device memory is the
 * host's.
 *
 *   dt_device *d = fake_gpu_create();
 *   fake_gpu_enqueue(d->ops->native_stream(d, stream), work, &arguments, sizeof arguments);       a "kernel"
 *   d->ops->destroy(d);
 *
 * It captures and launches graphs as CUDA does: streams join a capture by waiting for an event of it, and
 * must have been waited for by the main stream at its end, else capture_end fails. An event of a capture
 * cannot be asked whether it is done.
 */
#ifndef DTRAIN_TESTS_FAKE_GPU_H
#define DTRAIN_TESTS_FAKE_GPU_H

#include "core/device.h"

dt_device *fake_gpu_create(void);

/* Arguments are copied, FAKE_GPU_ARGUMENT_BYTES at most. A kernel that waits for something must end when
 * fake_gpu_stops(). */
enum { FAKE_GPU_ARGUMENT_BYTES = 128 };
typedef void fake_gpu_work(void *arguments);
void fake_gpu_enqueue(void *native_stream, fake_gpu_work *work, const void *arguments, size_t bytes);
bool fake_gpu_stops(void); /* some device is being destroyed */

/* Enqueueing into a stream that has so many things to do blocks; 0: never. */
void fake_gpu_limit_queues(int64_t n);

int64_t fake_gpu_n_allocs(void); /* of device and pinned memory, so far */

#endif
