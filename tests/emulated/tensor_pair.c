#include "tests/emulated/tensor_pair.h"

#include "tests/testing.h"

#include <stdlib.h>

static int64_t elems(const dt_pair *p)
{
    return p->n * p->c * p->h * p->w;
}

/* The index in NHWC of element i of NCHW. */
static int64_t nhwc_index(const dt_pair *p, int64_t i)
{
    const int64_t n_pixels = p->h * p->w;
    return (i / (p->c * n_pixels) * n_pixels + i % n_pixels) * p->c + i / n_pixels % p->c;
}

dt_pair dt_pair_create(dt_device *device, int64_t n, int64_t c, int64_t h, int64_t w, uint64_t seed)
{
    const size_t bytes = (size_t)(n * c * h * w) * sizeof(float);
    dt_pair p = {n, c, h, w, malloc(bytes), device->ops->alloc(device, (int64_t)bytes)};
    DT_REQUIRE(p.nchw != NULL && p.nhwc != NULL);
    dt_test_fill_random(p.nchw, elems(&p), seed);
    for (int64_t i = 0; i < elems(&p); i++)
        p.nhwc[nhwc_index(&p, i)] = p.nchw[i];
    return p;
}

void dt_pair_free(dt_device *device, dt_pair *p)
{
    free(p->nchw);
    device->ops->free(device, p->nhwc);
}

dt_tensor dt_pair_tensor(const dt_pair *p)
{
    return (dt_tensor){p->nchw, DT_F32, p->n, p->c, p->h, p->w};
}

void dt_pair_check(const dt_pair *p, double tolerance)
{
    float *got = malloc((size_t)elems(p) * sizeof *got);
    DT_REQUIRE(got != NULL);
    for (int64_t i = 0; i < elems(p); i++)
        got[i] = p->nhwc[nhwc_index(p, i)];
    DT_CHECK_NEAR(got, p->nchw, elems(p), tolerance);
    free(got);
}
