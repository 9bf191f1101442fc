/* fake_nccl.h: what comm/nccl calls of NCCL, between processes over sockets, on tests/fakes/fake_gpu.
 *
 *   dt_comm_nccl_create(host, fake_gpu_create(), &(dt_comm_nccl_options){.api = fake_nccl(), .watch = ...},
 *   &comm, err);
 *
 * As NCCL does: init and the first sum go on behind the caller; a sum is enqueued, and its kernel waits for
 * all ranks, for ever if need be, until it is aborted; a connection that ends is an asynchronous error; ranks
 * that sum different numbers of values hang. Rank 0 adds up in the order of the ranks, in the type that is
 * sent. Work that is enqueued while a call is in progress ends the test.
 *
 * DT_FAKE_NCCL_ADDRESS: where rank 0 can be reached (127.0.0.1). DT_FAKE_NCCL_GPU: the GPU's name, for ranks
 * that share one.
 */
#ifndef DTRAIN_TESTS_FAKE_NCCL_H
#define DTRAIN_TESTS_FAKE_NCCL_H

#include "comm/nccl/api.h"
#include "tests/fakes/fake_gpu.h"

const dt_nccl_api *fake_nccl(void);

/* What goes wrong; zero: nothing. */
extern struct fake_nccl_mistakes {
    bool wrong_sums; /* of rank 0 */
    bool abort_hangs;
    bool init_hangs;
    bool init_fails; /* with an internal error */
    int version;     /* 0: 22809 */
} fake_nccl_mistakes;

/* How work gets into a stream: fake_gpu_enqueue; for another device, something of a test's. */
typedef void fake_nccl_enqueue_function(void *native_stream, fake_gpu_work *work, const void *arguments,
                                        size_t bytes);
extern fake_nccl_enqueue_function *fake_nccl_enqueue;

int fake_nccl_n_aborted(void);
void fake_nccl_disconnect(void); /* this rank, from all others */

#endif
