/* store.h: the door to where checkpoints live.
 *
 *   begin (one rank) -> every rank: write_shard, and tells all ranks what became of it -> the one: commit; or
 *   discard
 *
 * The state of a training is a list of named float32 tensors in one canonical order; laid end to end they
 * form a stream of n_elems elements. Shard i of n holds the elements [first, first + n) of it.
 * core/checkpoint/load.h decides what is saved, when, and who writes which part; an implementation
 * (io/checkpoint_hdf5) only writes, reads and verifies. Nothing here is collective; ranks call it for their
 * own shards.
 *
 * A checkpoint is whole if its manifest exists under its final name and every shard has the size and the hash
 * that the manifest says.
 */
#ifndef DT_CORE_STORE_H
#define DT_CORE_STORE_H

#include "core/base/computed_by.h"
#include "core/base/error.h"

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
    int64_t first; /* its place in the stream */
} dt_state_tensor;

typedef struct dt_state_layout {
    int64_t n_tensors, n_elems;
    const dt_state_tensor *tensors;
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
    char file[64]; /* name inside the checkpoint's folder */
    int64_t bytes;
    char xxh3_128[33];
    int64_t first, n_elems; /* its part of the stream */
} dt_shard_entry;

/* 2 has no computed_by, 1 no n_good_steps and n_skipped_steps either; both can be read */
#define DT_MANIFEST_VERSION 3

typedef struct dt_manifest {
    char identity[33]; /* of one that was read: its hash, by which two of the same step are told apart; ""
                          in one that is to be written */
    int64_t format_version;
    int64_t step;     /* optimizer steps done */
    int64_t epoch;    /* the epoch that the next step belongs to */
    int64_t position; /* samples of that epoch that the whole job has consumed */
    uint64_t seed;
    double loss_scale;       /* 1 if the loss is not scaled */
    int64_t n_good_steps;    /* since the scale changed; -1: the loss is not scaled */
    int64_t n_skipped_steps; /* in all: gradients were not finite */
    int64_t world_size, global_batch;
    char arch[32];
    int64_t n_classes, image_size;
    uint64_t data_fingerprint;
    double best_top1;           /* fraction; -1: not evaluated yet */
    dt_computed_by computed_by; /* what computed the steps since the last start or resume; n 0: not known */
    char *config_text; /* the full configuration in libconfig's syntax; dt_alloc, owned by the manifest */
    int64_t n_tensors;
    dt_state_tensor *tensors; /* dt_alloc */
    int64_t n_shards;
    dt_shard_entry *shards; /* dt_alloc */
} dt_manifest;

void dt_manifest_clear(dt_manifest *manifest); /* frees what it owns, zeroes it; core/checkpoint/manifest.c */

typedef struct dt_store_ops {
    const char *name;
    void (*destroy)(dt_store *store);
    const char *(*location)(dt_store *store); /* for messages */

    /* Steps of the checkpoints under their final names, newest first, at most `max`; *n is how many there
     * are. */
    dt_status (*list)(dt_store *store, int64_t *steps, int64_t max, int64_t *n, dt_error *err);

    dt_status (*begin)(dt_store *store, int64_t step, dt_error *err);
    /* Write elements [entry->first, +n_elems) into entry->file of the begun checkpoint, fsync it; fills bytes
     * and hash. The caller has set file, first and n_elems. */
    dt_status (*write_shard)(dt_store *store, int64_t step, const dt_state_layout *layout,
                             const dt_state_io *io, dt_shard_entry *entry, dt_error *err);
    /* Copy a shard that is in `from`, a store of the same kind, committed or about to be; fsync it, read it
     * back: its bytes and hash must be the entry's. Begins the checkpoint if nobody has. */
    dt_status (*copy_shard)(dt_store *store, dt_store *from, int64_t step, const dt_shard_entry *entry,
                            dt_error *err);
    /* Write the manifest, fsync all, rename to the final name, fsync the parent. Replaces a checkpoint of the
     * same step. per_host: the folder is this host's own, and has the shards of its ranks only. */
    dt_status (*commit)(dt_store *store, const dt_manifest *manifest, bool per_host, dt_error *err);
    void (*discard)(dt_store *store, int64_t step); /* remove what begin made; errors are of no interest */
    /* Remove what earlier starts left unfinished. Nobody else may be writing here. */
    dt_status (*clean)(dt_store *store, dt_error *err);

    dt_status (*read_manifest)(dt_store *store, int64_t step, dt_manifest *manifest, dt_error *err);
    /* Is there a file of this shard's name? A folder of one host lacks those of other hosts' ranks. Says
     * nothing of what is in it. */
    bool (*has_shard)(dt_store *store, int64_t step, const dt_shard_entry *entry);
    /* Size and hash of one shard against the manifest. */
    dt_status (*verify_shard)(dt_store *store, int64_t step, const dt_shard_entry *entry, dt_error *err);
    /* Read a verified shard's elements, [entry->first, +n_elems) of the stream, into values. */
    dt_status (*read_shard)(dt_store *store, const dt_manifest *manifest, const dt_shard_entry *entry,
                            float *values, dt_error *err);

    /* After the commit of `step`: keep it and the keep - 1 (>= 0) before it; remove older ones, unfinished
     * ones, and later ones, which were passed over when training went on from before them: left there, they
     * would count as the newest. */
    dt_status (*prune)(dt_store *store, int64_t step, int64_t keep, dt_error *err);
} dt_store_ops;

/* Implementations begin with this. */
struct dt_store {
    const dt_store_ops *ops;
};

#endif
