/* throughput.h: the images per second of a training on one kind of instance, stage by stage, and which stage
 * is the tightest.
 *
 *   dt_throughput t;
 *   dt_throughput_estimate(&work, &query, &t);
 *   t.images_s, t.limit, t.without_limit_images_s, t.startup_s
 *
 * launch/estimate/README.md has the formulas. Local.
 */
#ifndef DT_LAUNCH_ESTIMATE_THROUGHPUT_H
#define DT_LAUNCH_ESTIMATE_THROUGHPUT_H

#include "launch/estimate/catalog.h"
#include "launch/estimate/workload.h"

/* In the order in which an image's bytes go through them. */
typedef enum dt_stage {
    DT_STAGE_NETWORK,    /* S3 to the node's disk, at each start; not while steps run */
    DT_STAGE_DISK,       /* NVMe or EBS to memory; memory itself if all images fit there */
    DT_STAGE_DECODE,     /* JPEG decoding on the processor's cores */
    DT_STAGE_GPU,        /* the steps */
    DT_STAGE_ALL_REDUCE, /* sums of gradients over the network; 0 images/s: one node, no such stage */
    DT_STAGE_CHECKPOINT, /* the share of the time that steps wait for checkpoints */
    DT_N_STAGES
} dt_stage;

/* "network", "disk", "decode", "GPU", "all-reduce", "checkpoints". Static storage. */
const char *dt_stage_name(dt_stage stage);

/* Where the images lie while a training runs. */
typedef enum dt_data_location { DT_DATA_NVME, DT_DATA_EBS, DT_DATA_RAM } dt_data_location;
const char *dt_data_location_name(dt_data_location location); /* "NVMe", "EBS", "memory" */

/* What the estimate assumes. dt_assumptions_default sets all, and says why each value is what it is. */
typedef struct dt_assumptions {
    double startup_s;            /* if not 0: replaces boot, staging and tuning together */
    double boot_s, boot_large_s; /* from the request to the program's start; large: with 8 GPUs or more */
    double tuning_s;             /* cuDNN's timing of algorithms, capture of the step, first batches */
    double network_gbit;         /* of a type whose network nobody has published */
    double s3_gbit_limit;        /* that one node gets from S3, whatever its network */
    double ebs_mb_s;             /* throughput of the data volume */
    double nvme_mb_s_per_gb;     /* read throughput of local disks by their size */
    double ram_share;            /* of the memory that may hold the images */
    double node_efficiency;      /* of more GPUs in a node than the rate was measured with */
    double fabric_efficiency;    /* share of the network's bandwidth that an all-reduce gets */
    double overlap;              /* share of the backward pass that can hide an all-reduce */
    double step_spread;          /* standard deviation of a rank's step time, as a share of it */
    double hop_s;                /* latency of each of a ring's steps */
    double requeue_s;            /* unpaid, before a requeued job starts: Slurm's own wait */
    double notice_s;             /* of an interruption; 0: none comes */
    double snapshot_mb_s;        /* a GPU's memory to the host's, for which training waits */
    double checkpoint_mb_s;      /* to the shared store */
    double head_usd_h;           /* head node, while a cluster is up; for spot and for several nodes */
    double ebs_usd_gb_month,
        root_gb;              /* EBS; each node's root volume. A data volume has the size of the data */
    double s3_usd_per_file;   /* of a GET */
    double s3_file_bytes;     /* the size of the files to get: of packed shards */
    double step_images_limit; /* of all nodes; larger steps are taken not to learn. 0: none */
    bool counts_evaluation;
} dt_assumptions;
void dt_assumptions_default(dt_assumptions *assumptions);

typedef struct dt_throughput_query {
    const dt_catalog *catalog;
    const dt_instance *instance;
    int nodes;
    const dt_assumptions *assumptions;
} dt_throughput_query;

typedef struct dt_throughput {
    double stage_images_s
        [DT_N_STAGES];             /* of all nodes together; INFINITY: no limit; 0: there is no such stage */
    dt_stage limit;                /* the tightest of disk, decode, GPU, all-reduce and checkpoints */
    double images_s;               /* of all nodes */
    double without_limit_images_s; /* if the tightest stage were removed: the next one's */
    dt_stage next_limit;
    /* One optimizer step of all nodes: what a GPU computes, how long gradients take, what of that backward
     * does not hide, and how much longer the slowest rank takes. images_s has all of it. */
    double step_s, all_reduce_s, exposed_s, straggler_s;
    double train_s, eval_s; /* of the whole run, without interruptions */
    double boot_s, staging_s, tuning_s, first_epoch_s,
        startup_s;       /* startup_s is their sum: the first start */
    double restart_s;    /* a start after an interruption: without staging_s if is_staged_once */
    double stall_s;      /* for which training waits at each checkpoint */
    double checkpoint_s; /* one checkpoint's write to the shared store */
    dt_data_location location;
    bool is_staged_once;                     /* on a volume that outlives the instance */
    double memory_bytes, memory_limit_bytes; /* of a GPU, for the batch */
    int64_t batch;                           /* per GPU, that the rate is for */
    const dt_rate *rate;                     /* the catalog's entry that the GPU's rate comes from */
    bool is_scaled;    /* by the roofline, from `rate`, to this model, size or precision */
    char why_not[256]; /* "": possible; else why this choice cannot train: memory, disk, no rate */
} dt_throughput;

/* A choice that cannot train is no error: why_not says why, and the rest is then 0. */
void dt_throughput_estimate(const dt_workload *work, const dt_throughput_query *query,
                            dt_throughput *throughput);

/* The least seconds that one trained image needs on a GPU by its bandwidth and FLOP/s (a roofline), the mean
 * over the run's sizes. gb_s, tflops: of the data sheet. */
double dt_roofline_image_s(const dt_workload_size *sizes, int n_sizes, double gb_s, double tflops);

/* Seconds in which nodes sum `bytes` over a network of bytes_s: the faster of NCCL's two ways, a ring (2 (n
 * - 1) steps of latency hop_s) and a tree (2 log2 n steps). 0 for one node. */
double dt_all_reduce_s(double bytes, int nodes, double bytes_s, double hop_s);

#endif
