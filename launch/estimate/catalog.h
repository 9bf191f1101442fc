/* catalog.h: what is known about machines to train on: their parts, what they cost, and how fast their GPUs
 * train. Every figure has a source, the source's date, and how far it can be relied on.
 *
 *   dt_catalog *catalog = NULL;
 *   DT_TRY(dt_catalog_load(NULL, "my-prices.json", NULL, &catalog, err));
 *   const dt_instance *g5 = dt_catalog_find_instance(catalog, "g5.xlarge");
 *   const dt_price *spot = dt_catalog_find_price(catalog, "g5.xlarge", "us-east-1", NULL, true);
 *   if (dt_figure_is_known(g5->network_baseline_gbit)) ...
 *   dt_catalog_free(catalog);
 *
 * The data come from instances.json, prices.json and rates.json in launch/estimate/data, which are built into
 * the program; the section "The data files" of launch/estimate/README.md describes their format. A file of
 * the user's in the same format overrides them entry by entry. An instance with a known type changes the
 * figures that it names. Prices stand for all built-in prices of their type, region and kind (spot or on
 * demand): the cheapest zone of spot prices from different days would be a price of no day. A rate stands for
 * that of the same GPU, arch, precision, image size, number of GPUs and software. All others are added.
 *
 * Everything in a catalog is read-only, belongs to it, and lives until dt_catalog_free. Local; any thread
 * may read a catalog that is loaded.
 */
#ifndef DT_LAUNCH_ESTIMATE_CATALOG_H
#define DT_LAUNCH_ESTIMATE_CATALOG_H

#include "core/base/error.h"

#include <stdbool.h>
#include <stddef.h>

/* How far a figure can be relied on, best first. */
typedef enum dt_confidence {
    DT_CONFIDENCE_MEASURED,    /* by dtrain itself, on that machine (`dtrain bench`) */
    DT_CONFIDENCE_PUBLISHED,   /* by the maker of the machine or the seller, or in audited results (MLPerf) */
    DT_CONFIDENCE_THIRD_PARTY, /* measured or collected by others */
    DT_CONFIDENCE_ESTIMATED,   /* derived, or not verified against a source */
    DT_N_CONFIDENCES
} dt_confidence;

/* "measured", "published", "third party", "estimated": the words of the files. Static storage. */
const char *dt_confidence_name(dt_confidence confidence);

/* Where figures come from: one entry of "sources" in a file. */
typedef struct dt_data_source {
    const char *id;   /* how figures of the same file refer to it: "mlperf-4.0" */
    const char *text; /* for people: title, version, address */
    const char *date; /* "2024-06-12", or "2024-06" or "2024": when the source says it was so */
    dt_confidence confidence;
} dt_data_source;

/* A number, or none: files leave out what no source has. A zeroed one is none. */
typedef struct dt_figure {
    double value;                 /* NAN in a catalog where it is not known */
    const dt_data_source *source; /* NULL: not known */
} dt_figure;

static inline bool dt_figure_is_known(dt_figure figure)
{
    return figure.source != NULL;
}

/* A sentence with a source, or none (both NULL). */
typedef struct dt_remark {
    const char *text;
    const dt_data_source *source;
} dt_remark;

/* One EC2 instance type. "GB" is 10^9 bytes, "GiB" 2^30. */
typedef struct dt_instance {
    const char *type; /* "g5.xlarge" */
    int n_gpus;       /* 1 or more */
    const char *gpu; /* the name that rates use: "T4", "A10G", "L4", "L40S", "V100", "A100-40GB", "A100-80GB",
                         "H100", "H200", "B200", "Trainium" */
    /* Always known. */
    dt_figure gpu_memory_gib; /* of one GPU */
    dt_figure vcpus;
    dt_figure cores; /* physical */
    dt_figure ram_gib;
    dt_figure nvme_gb; /* local disks together; 0: none */
    /* May be unknown. */
    dt_figure network_baseline_gbit; /* Gbit/s to S3 that last: one network card, without bursts */
    dt_figure efa_interfaces;        /* 0: no EFA */
    dt_figure ebs_mb_s;              /* MB/s (10^6) of EBS that last */
    dt_figure fp16_tflops;           /* of one GPU: dense, with FP32 sums, 10^12 FLOP/s */
    dt_figure gpu_bandwidth_gb_s;    /* of one GPU's memory */
    dt_figure decode_images_s; /* JPEGs of ImageNet's mix (500x375) that all cores decode, crop and resize to
                                  224 pixels in a second */
    dt_remark interruption_band; /* the share of spot capacity that was reclaimed in a month: "<5%", "5-10%",
                                    "10-15%", "15-20%", ">20%"; no hazard rate */
    dt_remark unsupported;       /* why dtrain cannot train on it (trn1) */
    dt_remark retiring;          /* why it may not be offered any more (p3) */
    bool is_users;               /* a file of the user's has added or changed it */
} dt_instance;

/* The price of one instance for an hour, Linux, without tax. */
typedef struct dt_price {
    const char *type;
    const char *region; /* "us-east-1" */
    const char
        *zone; /* spot: its id, "use1-az2", which is one place for all accounts, as the name "us-east-1a" is
                           not; NULL where the source names none; on demand: NULL */
    bool is_spot;
    double usd_h;     /* above 0 */
    const char *date; /* "2026-07-20": the day on which it was so, or the earliest that it can be of */
    const dt_data_source *source;
    bool is_users; /* from a file of the user's */
} dt_price;

/* How many images a second one GPU trains, without limits by decoding or disks. */
typedef struct dt_rate {
    const char *gpu;              /* as in dt_instance; "CPU" for a machine without one */
    const char *arch;             /* as --arch: "resnet50" */
    const char *precision;        /* as --precision: "fp16", "bf16", "tf32", "fp32" */
    int image_size;               /* pixels a side */
    int n_gpus;                   /* that ran together: images_s includes what their all-reduce costs */
    double images_s;              /* of each of them, above 0 */
    const char *software;         /* "MXNet 22.10", "dtrain" */
    const dt_data_source *source; /* its confidence is the kind of the rate */
    bool is_users;
} dt_rate;

/* What `dtrain bench` has measured on a machine, for `dtrain plan --here`: "machine" in a rates file. */
typedef struct dt_measured_machine {
    const char *name;     /* the host's */
    const char *gpu;      /* as in dt_rate; "CPU" where it has none */
    int n_gpus;           /* 0: none; a rate's n_gpus then counts ranks */
    const char *versions; /* "dtrain 1.2, CUDA 13.0, ..." */
    /* Always known. */
    dt_figure cores;
    dt_figure ram_gib;
    /* May be unknown. */
    dt_figure gpu_memory_gib;
    dt_figure decode_images_s_core; /* what the loader decodes, crops and resizes in a second with one core */
    dt_figure decode_images_s;      /* with all */
    dt_figure disk_read_mb_s;
    dt_figure checkpoint_write_mb_s;
    dt_figure download_mb_s;
    dt_figure start_s; /* from the command to the first step, without tuning */
    dt_figure usd_h;   /* what an hour costs, where the user says so */
    /* "training": one as it was run, all parts at once, which share the processors. Each may be unknown. */
    const char *arch, *precision;   /* what was trained; NULL: nothing was */
    int image_size, batch, n_ranks; /* batch: of each rank */
    dt_figure train_images_s;       /* of all ranks together, with images from the loader */
    dt_figure evaluate_images_s;    /* the same, of an evaluation with the loader */
    dt_figure checkpoint_s;         /* by how much one checkpoint, written meanwhile, delays the steps */
    dt_figure last_checkpoint_s;    /* how long the last one takes, for which the training waits */
    dt_figure checkpoint_mb;        /* 10^6 bytes, all shards together */
} dt_measured_machine;

typedef struct dt_catalog {
    const dt_instance *instances; /* in the order of the files, added ones last */
    int n_instances;
    const dt_price *prices;
    int n_prices;
    const dt_rate *rates;
    int n_rates;
    const dt_measured_machine *machine; /* NULL: no rates file has one */
} dt_catalog;

/* Loads the built-in data, then what the files of these paths override; a path may be NULL. On success the
 * caller frees *catalog with dt_catalog_free. DT_ERR_USAGE: a file cannot be read; or "FILE:LINE: ...": it is
 * no JSON, or has an unknown key (with the key that was probably meant), a number that is negative, or 0
 * where that means nothing, a figure without a source, a source that the file does not list, two entries with
 * one key, a price for a type or a rate for a GPU that no instance has. DT_ERR_MEMORY. */
dt_status dt_catalog_load(const char *instances, const char *prices, const char *rates, dt_catalog **catalog,
                          dt_error *err);
void dt_catalog_free(dt_catalog *catalog); /* NULL is fine */

/* NULL if there is no such type. */
const dt_instance *dt_catalog_find_instance(const dt_catalog *catalog, const char *type);

/* As dt_catalog_find_instance, for a type that the user gives: DT_ERR_USAGE, with the type that was probably
 * meant, if there is none. `what` begins the message: "--types". */
dt_status dt_catalog_get_instance(const dt_catalog *catalog, const char *type, const char *what,
                                  const dt_instance **instance, dt_error *err);

/* DT_ERR_USAGE if there is no price in this region; the message lists the regions that have some. */
dt_status dt_catalog_check_region(const dt_catalog *catalog, const char *region, const char *what,
                                  dt_error *err);

/* The price of a type in a region, or NULL if nobody offers it there. Spot: of that zone, or with zone NULL
 * of the cheapest. On demand: zone is ignored. A spot price that reaches the price on demand is returned
 * too. */
const dt_price *dt_catalog_find_price(const dt_catalog *catalog, const char *type, const char *region,
                                      const char *zone, bool is_spot);

/* The rate that suits a training best, or NULL if none has this GPU, arch, precision and image size. Of
 * several: the user's before built-in ones; those measured with n_gpus before others; the first in the
 * file. */
const dt_rate *dt_catalog_find_rate(const dt_catalog *catalog, const char *gpu, const char *arch,
                                    const char *precision, int image_size, int n_gpus);

/* Beyond so many days a user is warned about prices. */
enum { DT_PRICE_OLD_DAYS = 90 };

/* Whole days from a price's date to `today` ("2026-11-30"); 0 if that is not later. */
int dt_price_age_days(const dt_price *price, const char *today);

/* The age of the oldest price in the catalog; 0 without prices. */
int dt_catalog_price_age_days(const dt_catalog *catalog, const char *today);

/* Today's date in UTC, as above. */
void dt_catalog_today(char date[11]);

/* Write a file that --prices or --rates accepts: sources (each once, by its id), then the entries in their
 * order. The file appears whole or not at all; an older one is replaced. `machine` may be NULL. Nothing is
 * checked that dt_catalog_load checks. DT_ERR_IO, DT_ERR_MEMORY. */
dt_status dt_catalog_write_prices(const char *path, const dt_price *prices, int n_prices, dt_error *err);
dt_status dt_catalog_write_rates(const char *path, const dt_rate *rates, int n_rates,
                                 const dt_measured_machine *machine, dt_error *err);

#endif
