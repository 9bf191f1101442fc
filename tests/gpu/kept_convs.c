#include "tests/gpu/kept_convs.h"

#include <stdlib.h>

enum { MAX_KEPT = 8192 };

struct dt_kept_convs {
    dt_kernels *kernels;
    const dt_kernels_ops *ops; /* the kernels' own */
    dt_kernels_ops keeping;
    dt_conv *convs[MAX_KEPT];
    int n;
};

static dt_kept_convs *current;

static void keep(dt_kernels *k, dt_conv *conv)
{
    if (current->n == MAX_KEPT)
        current->ops->conv_destroy(k, conv);
    else if (conv)
        current->convs[current->n++] = conv;
}

dt_kept_convs *dt_keep_convs(dt_kernels *kernels)
{
    dt_kept_convs *kept = calloc(1, sizeof *kept);
    if (!kept)
        return NULL;
    kept->kernels = kernels;
    kept->ops = kernels->ops;
    kept->keeping = *kernels->ops;
    kept->keeping.conv_destroy = keep;
    kernels->ops = &kept->keeping;
    current = kept;
    return kept;
}

void dt_release_convs(dt_kept_convs *kept)
{
    if (!kept)
        return;
    kept->kernels->ops = kept->ops;
    for (int i = 0; i < kept->n; i++)
        kept->ops->conv_destroy(kept->kernels, kept->convs[i]);
    current = NULL;
    free(kept);
}
