/* lagging_call.h: for lagging_kernels.c: a call of an operation of layers/ref that the device runs later. */
#ifndef DTRAIN_TESTS_FAKES_LAGGING_CALL_H
#define DTRAIN_TESTS_FAKES_LAGGING_CALL_H

#include "core/kernels.h"

typedef struct lagging_kernels {
    dt_kernels head;
    dt_device *host;
    dt_kernels *ref;
} lagging_kernels;

/* A copy of an activation, and of its BatchNorm if it has one. */
typedef struct lagging_act {
    bool given;
    dt_act act;
    dt_bn_backward bn;
} lagging_act;

/* A call of an operation, with copies of the arguments that the operation has. */
typedef struct lagging_call lagging_call;
typedef dt_status lagging_run(lagging_call *c, dt_error *err);
struct lagging_call {
    dt_kernels *ref;
    lagging_run *run;
    dt_act x, x2;
    dt_tensor t[4];
    bool has_t[4];
    lagging_act bn[2];
    dt_conv *conv;
    dt_linear *linear;
    dt_optimizer *optimizer;
    dt_optimizer_vectors vectors;
    dt_bn_forward forward;
    dt_bn_backward_apply apply;
    dt_pool_desc pool;
    const void *in[4];
    void *out[4];
    float mean[3], std[3], real[2];
    int64_t n;
    bool flag;
};

/* The backend that runs the operations of k. */
dt_kernels *lagging_ref(dt_kernels *k);

/* Enqueue a call on the main stream of k's device. `prepared` is copied; `run` calls the operation of
 * c->ref. */
dt_status lagging_enqueue(dt_kernels *k, const char *name, lagging_run *run, const lagging_call *prepared,
                          dt_error *err);

/* Arguments that may be NULL: copied into a call, and taken from one. */
lagging_act lagging_copy_bn(const dt_bn_backward *bn);
const dt_bn_backward *lagging_bn(const lagging_call *c, int i);
void lagging_put_tensor(lagging_call *c, int i, const dt_tensor *t);
const dt_tensor *lagging_tensor(const lagging_call *c, int i);

#endif
