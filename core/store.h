/* store.h: interface to a folder of checkpoints.
 *
 *   one rank:    store->ops->begin(store, step, err);
 *   every rank:  store->ops->write_shard(store, step, layout, io, &entry, err);     then all exchange entries
 *   one rank:    store->ops->commit(store, &manifest, per_host, err);               or discard
 *
 * The state of a training is a list of named float32 tensors in canonical order. Laid end to end they form a
 * stream of n_elems elements. Shard i of n holds the elements [first, first + n_elems) of its entry.
 *
 * core/checkpoint decides when a checkpoint is written, which rank writes which shard, and which shards are
 * read (saver.h, load.h). A store (io/store/hdf5_store) only writes, reads and verifies. Its functions are
 * local and blocking; each rank calls them for its own shards. Errors: DT_ERR_IO, DT_ERR_MEMORY;
 * DT_ERR_FORMAT for a file that is damaged, DT_ERR_UNSUPPORTED for one that a newer dtrain wrote.
 *
 * A checkpoint is whole if its manifest exists under its final name and is valid, and verify_shard finds
 * nothing wrong with any shard. Loading, inspect and export all decide by these two calls.
 */
#ifndef DT_CORE_STORE_H
#define DT_CORE_STORE_H

#include "core/base/computed_by.h"
#include "core/base/error.h"
#include "core/class_names.h"
#include "core/engines.h"

#include <stdint.h>

typedef struct dt_store dt_store;

#define DT_STATE_NAME_BYTES 96
#define DT_STATE_MAX_DIMS 4

typedef struct dt_state_tensor {
    char name[DT_STATE_NAME_BYTES]; /* "param/layer1.0.conv1.weight", "momentum/...",
                                       "buffer/bn1.running_mean", "ema/..." */
    int n_dims;
    int64_t dims[DT_STATE_MAX_DIMS]; /* canonical: OIHW for convolutions, [out][in] for linear, [c] for
                                        BatchNorm */
    int64_t n_elems;
    int64_t first; /* the offset of its first element in the stream */
} dt_state_tensor;

/* The tensors of a state in canonical order. */
typedef struct dt_state_layout {
    int64_t n_tensors, n_elems;
    const dt_state_tensor *tensors; /* [n_tensors] */
} dt_state_layout;

struct dt_state_addresses; /* core/model/state_addresses.h */

/* Access to the tensors of a state: one whole tensor at a time, as float32 in canonical order. `tensor` is an
 * index into the layout. */
typedef struct dt_state_io {
    void *context;
    dt_status (*get)(void *context, int64_t tensor, float *canonical, dt_error *err);
    dt_status (*set)(void *context, int64_t tensor, const float *canonical, dt_error *err);
    /* The addresses of all tensors, for a copy of all of them at once; a store does not need them. NULL: they
     * have none. */
    const struct dt_state_addresses *addresses;
} dt_state_io;

typedef struct dt_shard_entry {
    char file[64];          /* name inside the checkpoint's folder */
    int64_t bytes;          /* the file's size */
    char xxh3_128[33];      /* the file's hash, in hexadecimal */
    int64_t first, n_elems; /* its elements of the stream */
} dt_shard_entry;

/* Version 4 has no engines; version 3 has no class_names, best_epoch and best_step, either; version 2 has no
 * computed_by, either; version 1 has no n_good_steps and n_skipped_steps, either. dtrain reads all five. */
#define DT_MANIFEST_VERSION 5

typedef struct dt_manifest {
    char identity[33]; /* the hash of a manifest that was read, which distinguishes two attempts at one step;
                          "" in a manifest to write */
    int64_t format_version;
    int64_t step;     /* optimizer steps done */
    int64_t epoch;    /* of the next step, 0-based */
    int64_t position; /* samples of that epoch that all ranks together have consumed */
    uint64_t seed;
    double loss_scale;       /* 1 if the loss is not scaled */
    int64_t n_good_steps;    /* since the loss scale changed; -1: the loss is not scaled */
    int64_t n_skipped_steps; /* since the training began, because gradients were not finite */
    int64_t world_size, global_batch;
    char arch[32];
    int64_t n_classes, image_size;
    uint64_t data_fingerprint;
    double best_top1;              /* fraction; -1: not evaluated yet */
    int64_t best_epoch, best_step; /* of the evaluation that gave it; -1: not known */
    dt_computed_by computed_by;    /* what computed the steps since the last start or resume; n 0: unknown */
    /* dt_alloc'ed and owned by the manifest */
    dt_class_names class_names; /* [n_classes] by output of the classifier; none: not known */
    dt_engines engines;         /* that the run has chosen so far, for each kind of device; none: not known */
    char *config_text;          /* the full configuration in libconfig's syntax */
    int64_t n_tensors;
    dt_state_tensor *tensors; /* [n_tensors] */
    int64_t n_shards;
    dt_shard_entry *shards; /* [n_shards] */
} dt_manifest;

/* Free what the manifest owns, and zero it; NULL is fine. core/checkpoint/manifest.c */
void dt_manifest_clear(dt_manifest *manifest);

/* Receives the elements of a shard in order while the store reads it. The store calls reserve with *n, the
 * most elements that it can deliver next; the sink lowers *n to what fits, at least 1, and returns where they
 * go. The store writes all n of them there and calls append. If the read then fails, the sink holds elements
 * whose hash was not verified. */
typedef struct dt_shard_sink {
    void *context;
    float *(*reserve)(void *context, int64_t *n);
    void (*append)(void *context, int64_t n);
} dt_shard_sink;

typedef struct dt_store_ops {
    const char *name;
    void (*destroy)(dt_store *store);
    const char *(*location)(dt_store *store); /* the folder's path, for messages; owned by the store */

    /* Steps of the checkpoints under their final names, newest first, into steps[max]; *n is their number,
     * which may be larger than max. */
    dt_status (*list)(dt_store *store, int64_t *steps, int64_t max, int64_t *n, dt_error *err);

    /* Make the folder of an unfinished checkpoint. */
    dt_status (*begin)(dt_store *store, int64_t step, dt_error *err);
    /* Write the elements [entry->first, +n_elems) into entry->file of the begun checkpoint and fsync it. The
     * caller has set file, first and n_elems of the entry; fills its bytes and hash. */
    dt_status (*write_shard)(dt_store *store, int64_t step, const dt_state_layout *layout,
                             const dt_state_io *io, dt_shard_entry *entry, dt_error *err);
    /* Copy a shard from `from`, a store of the same kind that has committed the checkpoint or is about to.
     * fsync it and read it back: its bytes and hash must be the entry's. Begins the checkpoint if no rank
     * has. */
    dt_status (*copy_shard)(dt_store *store, dt_store *from, int64_t step, const dt_shard_entry *entry,
                            dt_error *err);
    /* Write the manifest, fsync everything, rename the folder to its final name, fsync the parent. Replaces a
     * checkpoint of the same step. per_host: the folder is this host's own, and has the shards of this host's
     * ranks only. */
    dt_status (*commit)(dt_store *store, const dt_manifest *manifest, bool per_host, dt_error *err);
    /* Remove an unfinished checkpoint; ignores errors. */
    void (*discard)(dt_store *store, int64_t step);
    /* Remove the unfinished checkpoints of earlier starts. No other process may be writing to the folder. */
    dt_status (*clean)(dt_store *store, dt_error *err);

    /* The caller clears *manifest with dt_manifest_clear. */
    dt_status (*read_manifest)(dt_store *store, int64_t step, dt_manifest *manifest, dt_error *err);
    /* Whether there is a file with this shard's name; it may be damaged. A host's own folder lacks the files
     * of other hosts' ranks. */
    bool (*has_shard)(dt_store *store, int64_t step, const dt_shard_entry *entry);
    /* Whether one shard's file is whole: it has the size and hash of its entry, and is what this store writes
     * for this manifest, and nothing else. Its elements go to the sink on the way (NULL: nowhere): after
     * DT_OK they are what was verified. */
    dt_status (*verify_shard)(dt_store *store, const dt_manifest *manifest, const dt_shard_entry *entry,
                              const dt_shard_sink *sink, dt_error *err);
    /* verify_shard with its elements in values[entry->n_elems], which are zeros after an error. */
    dt_status (*read_shard)(dt_store *store, const dt_manifest *manifest, const dt_shard_entry *entry,
                            float *values, dt_error *err);

    /* After the commit of `step`: keep that checkpoint and the keep - 1 (>= 0) before it. Remove older ones,
     * unfinished ones, and later ones: a load skipped those, and the next would take them for the newest. */
    dt_status (*prune)(dt_store *store, int64_t step, int64_t keep, dt_error *err);
} dt_store_ops;

/* Implementations begin with this. */
struct dt_store {
    const dt_store_ops *ops;
};

#endif
