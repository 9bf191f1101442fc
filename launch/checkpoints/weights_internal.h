/* weights_internal.h: what reading (weights.c) and writing (weights_export.c) weights have in common. */
#ifndef DT_LAUNCH_CHECKPOINTS_WEIGHTS_INTERNAL_H
#define DT_LAUNCH_CHECKPOINTS_WEIGHTS_INTERNAL_H

#include <stdbool.h>
#include <string.h>

#define CLASS_NAMES "class_names"      /* a key of the metadata: a JSON array */
#define TRACKED ".num_batches_tracked" /* PyTorch's count of the batches that a BatchNorm has seen */

static inline bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/* "param/fc.weight" -> "fc.weight"; NULL for a tensor that is not part of the model (momentum). */
static inline const char *model_name(const char *state_name)
{
    if (strncmp(state_name, "param/", 6) == 0)
        return state_name + 6;
    return strncmp(state_name, "buffer/", 7) == 0 ? state_name + 7 : NULL;
}

/* "ema/fc.weight" -> "fc.weight"; NULL for a tensor that is not a running average. */
static inline const char *average_name(const char *state_name)
{
    return strncmp(state_name, "ema/", 4) == 0 ? state_name + 4 : NULL;
}

#endif
