/* fake_nccl.h: the functions of NCCL that comm/nccl calls, over sockets between processes, on
 * tests/fakes/fake_gpu.
 *
 *   dt_comm_nccl_create(host, fake_gpu_create(), &(dt_comm_nccl_options){.api = fake_nccl(), .watch = ...},
 *   &comm, err);
 *
 * It behaves as NCCL does. init and the first sum continue after the call has returned. A sum is enqueued,
 * and its kernel waits for all ranks without a deadline, until it is aborted. A connection that ends is an
 * asynchronous error. Ranks that sum different numbers of values hang. Rank 0 adds in the order of the ranks,
 * in the type that is sent. Work that is enqueued while a call is in progress aborts the test. An abort
 * returns when no captured graph has sums of the communicator. A blocking communicator returns from init and
 * from the first sum when they are done. Warnings go into the log that NCCL_DEBUG and NCCL_DEBUG_FILE ask
 * for. On a machine with an NVSwitch, unless NCCL_NVLS_ENABLE is 0, each sum begins at another rank.
 *
 * Environment: DT_FAKE_NCCL_ADDRESS is the address of rank 0 (127.0.0.1); DT_FAKE_NCCL_GPU is the GPU's name,
 * for ranks that share one; DT_FAKE_NCCL_NVSWITCH, if set: the machine has an NVSwitch.
 */
#ifndef DTRAIN_TESTS_FAKE_NCCL_H
#define DTRAIN_TESTS_FAKE_NCCL_H

#include "comm/nccl/api.h"
#include "tests/fakes/fake_gpu.h"

const dt_nccl_api *fake_nccl(void);

/* Faults to imitate; zero: none. */
extern struct fake_nccl_mistakes {
    bool wrong_sums; /* of rank 0 */
    bool abort_hangs;
    bool init_hangs;
    bool init_fails;    /* with an internal error */
    bool connect_hangs; /* the first sum, of a blocking communicator */
    int version;        /* 0: 22809 */
} fake_nccl_mistakes;

/* Enqueues work into a stream: fake_gpu_enqueue, or a test's function for another device. */
typedef void fake_nccl_enqueue_function(void *native_stream, fake_gpu_work *work, const void *arguments,
                                        size_t bytes);
extern fake_nccl_enqueue_function *fake_nccl_enqueue;

int fake_nccl_n_aborted(void);
void fake_nccl_disconnect(void); /* close this rank's connections */

#endif
