/* lagging_call.c: see lagging_call.h. */
#include "tests/fakes/lagging_call.h"

#include "tests/emulated/device_emulated.h"

#include <stdlib.h>

dt_kernels *lagging_ref(dt_kernels *k)
{
    return ((lagging_kernels *)k)->ref;
}

static dt_status run_call(void *context, dt_error *err)
{
    lagging_call *c = context;
    for (int i = 0; i < 2; i++) /* *c may be a copy: its pointers must point into itself */
        c->bn[i].bn.x = &c->bn[i].act;
    return c->run(c, err);
}

dt_status lagging_enqueue(dt_kernels *k, const char *name, lagging_run *run, const lagging_call *prepared,
                          dt_error *err)
{
    lagging_call *c = malloc(sizeof *c);
    if (!c)
        abort();
    *c = *prepared;
    c->ref = lagging_ref(k);
    c->run = run;
    const dt_emulated_work work = {.name = name, .run = run_call, .destroy = free, .context = c};
    return dt_emulated_enqueue(k->device, NULL, &work, err);
}

lagging_act lagging_copy_bn(const dt_bn_backward *bn)
{
    return bn ? (lagging_act){true, *bn->x, *bn} : (lagging_act){0};
}

const dt_bn_backward *lagging_bn(const lagging_call *c, int i)
{
    return c->bn[i].given ? &c->bn[i].bn : NULL;
}

const dt_tensor *lagging_tensor(const lagging_call *c, int i)
{
    return c->has_t[i] ? &c->t[i] : NULL;
}

void lagging_put_tensor(lagging_call *c, int i, const dt_tensor *t)
{
    c->has_t[i] = t != NULL;
    if (t)
        c->t[i] = *t;
}
