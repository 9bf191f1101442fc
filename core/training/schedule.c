#include "core/training/schedule.h"

#include <math.h>

/* A step that begins where the rate drops has the new rate, whichever way its time was rounded. */
static const double rounding = 1e-9;

/* step_gamma to the power of the number of drops that t has reached. */
static double step_factor(const dt_config *config, double t, double total_epochs)
{
    static const double by_default[] = {1.0 / 3.0, 2.0 / 3.0, 8.0 / 9.0}; /* of all epochs */
    const bool is_given = config->n_step_epochs > 0;
    const double *drops = is_given ? config->step_epochs : by_default;
    const int64_t n_drops = is_given ? config->n_step_epochs : 3;
    const double unit = is_given ? 1 : total_epochs;
    double factor = 1;
    for (int64_t i = 0; i < n_drops; i++)
        if (t >= drops[i] * unit - rounding * total_epochs)
            factor *= config->step_gamma;
    return factor;
}

double dt_schedule_lr(const dt_config *config, double t, double dt, double total_epochs)
{
    const double warmup = config->warmup_epochs;
    if (t < warmup - rounding * total_epochs)
        return config->lr * fmin((t + dt) / warmup, 1);

    const double rest = total_epochs - warmup;
    const double share = rest > 0 ? fmax(fmin((t - warmup) / rest, 1), 0) : 1; /* of the time after it */
    const double left = 1 - share;
    switch (config->schedule) {
    case DT_SCHEDULE_COSINE:
        return config->lr * (1 + cos(acos(-1.0) * share)) / 2;
    case DT_SCHEDULE_POLY:
        return config->lr * (config->poly_power == 2 ? left * left : pow(left, config->poly_power));
    case DT_SCHEDULE_STEP:
        return config->lr * step_factor(config, t, total_epochs);
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
