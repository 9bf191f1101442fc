#include "core/checkpoint/save_interval.h"

#include <math.h>

double dt_save_interval_s(double cost_s, double mtti_s)
{
    const double ratio = cost_s / (2.0 * mtti_s);
    if (ratio >= 1.0)
        return mtti_s;
    return sqrt(2.0 * cost_s * mtti_s) * (1.0 + sqrt(ratio) / 3.0 + ratio / 9.0) - cost_s;
}

double dt_save_loss(double interval_s, double stall_s, double write_s, double mtti_s)
{
    return stall_s / (interval_s + stall_s) + (0.5 * interval_s + write_s) / mtti_s;
}
