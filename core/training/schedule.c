#include "core/training/schedule.h"

#include <math.h>

/* A step that begins where the rate drops has the new rate, whichever way its time was rounded. */
static const double rounding = 1e-9;

static double step_rate(double share)
{
    static const double drops[] = {1.0 / 3.0, 2.0 / 3.0, 8.0 / 9.0};
    double rate = 1;
    for (int i = 0; i < 3; i++)
        if (share >= drops[i] - rounding)
            rate /= 10;
    return rate;
}

double dt_schedule_lr(const dt_config *config, double t, double dt, double total_epochs)
{
    const double warmup = config->warmup_epochs;
    if (t < warmup)
        return config->lr * fmin((t + dt) / warmup, 1);

    const double rest = total_epochs - warmup;
    const double share = rest > 0 ? fmin((t - warmup) / rest, 1) : 1; /* of what comes after the warm-up */
    switch (config->schedule) {
    case DT_SCHEDULE_COSINE:
        return config->lr * (1 + cos(acos(-1.0) * share)) / 2;
    case DT_SCHEDULE_POLY:
        return config->lr * (1 - share) * (1 - share);
    case DT_SCHEDULE_STEP:
        return config->lr * step_rate(total_epochs > 0 ? t / total_epochs : 1);
    case DT_SCHEDULE_CONSTANT:
        break;
    }
    return config->lr;
}

int64_t dt_schedule_image_size(const dt_config *config, int64_t epoch)
{
    const double done = (double)epoch / (double)config->epochs + rounding;
    int64_t size = config->image_size;
    for (int64_t i = 0; i < config->n_resize && config->resize[i].share <= done; i++)
        size = config->resize[i].image_size;
    return size;
}

int64_t dt_steps_per_epoch(int64_t n_samples, int64_t global_batch)
{
    return n_samples / global_batch;
}
