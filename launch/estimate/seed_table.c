#include "config.h"

#include "launch/estimate/seed_table.h"

const dt_seed_row dt_seed_rows[] = {
    {"g4dn.xlarge", 0, 0, 0, "The table named this type without figures."},
    {"g5.xlarge", 200, 1.00, 0.40,
     "200 hours are 160 images/s. An A10, nearly the same GPU, was measured at 638 with mixed precision: a "
     "quarter "
     "of the time. The price is nearly the same."},
    {"g5.2xlarge", 0, 0, 0,
     "The table called it faster than g5.xlarge. It has the same GPU, and only helps where decoding is the "
     "limit."},
    {"p3.2xlarge", 100, 3.06, 0,
     "100 hours are 320 images/s. NVIDIA published 1,376 for this GPU, and 24.2 hours for 90 epochs. The "
     "type is "
     "being retired."},
    {"p4d.24xlarge", 24, 32.77, 0,
     "24 hours are 1,335 images/s, 167 for each of 8 GPUs. MLPerf 1.0 has 3,092 for each. The price is that "
     "of "
     "before June 2025, and has fallen by a third."},
};
const int dt_seed_n_rows = sizeof dt_seed_rows / sizeof dt_seed_rows[0];

double dt_seed_usd(const dt_seed_row *row)
{
    return row->hours * row->usd_h;
}

double dt_seed_spot_usd(const dt_seed_row *row)
{
    return row->hours * row->spot_usd_h;
}
