/* seed_table.h: the table that this project started from, by its own assumptions, for `dtrain plan --assume
 * seed`. */
#ifndef DT_LAUNCH_ESTIMATE_SEED_TABLE_H
#define DT_LAUNCH_ESTIMATE_SEED_TABLE_H

/* A row. Where the table gave no figure, it is 0. */
typedef struct dt_seed_row {
    const char *type;
    double hours; /* of 90 epochs of ResNet-50 on ImageNet-1K */
    double usd_h, spot_usd_h;
    const char *why; /* why today's figures differ; in plain words */
} dt_seed_row;

extern const dt_seed_row dt_seed_rows[];
extern const int dt_seed_n_rows;

/* hours x usd_h. */
double dt_seed_usd(const dt_seed_row *row);
double dt_seed_spot_usd(const dt_seed_row *row);

#endif
