/* safetensors.h: read and write weights in the safetensors format, which PyTorch's tools use.
 *
 *   dt_safetensors *file;
 *   DT_TRY(dt_safetensors_open("resnet50.safetensors", &file, err));
 *   int64_t i = dt_safetensors_find(file, "fc.weight");
 *   DT_TRY(dt_safetensors_read_f32(file, i, values, err));
 *   dt_safetensors_close(file);
 *
 *   dt_safetensors_writer *w;
 *   DT_TRY(dt_safetensors_writer_create("out.safetensors", tensors, n, metadata, &w, err));
 *   for (int64_t i = 0; i < n; i++)
 *       DT_TRY_OR_FAIL(s, dt_safetensors_writer_add(w, tensors[i].name, data[i], err));
 *   s = dt_safetensors_writer_commit(w, err);
 *   fail: dt_safetensors_writer_destroy(w);
 *
 * The file: 8 bytes (little-endian) N, N bytes of JSON {"name": {"dtype", "shape", "data_offsets": [begin,
 * end]}, ..., "__metadata__": {"key": "text"}}, then the data, row-major and little-endian
 * (huggingface/safetensors, README). Every message names the file, and the tensor if it is about one.
 */
#ifndef DT_IO_WEIGHTS_SAFETENSORS_H
#define DT_IO_WEIGHTS_SAFETENSORS_H

#include "core/base/error.h"
#include "core/tensor.h"

#include <stdbool.h>
#include <stdint.h>

#define DT_SAFETENSORS_NAME_BYTES 128
#define DT_SAFETENSORS_MAX_DIMS 8

typedef struct dt_safetensors_tensor {
    char name[DT_SAFETENSORS_NAME_BYTES];
    dt_dtype dtype; /* DT_F32, DT_F64, DT_F16, DT_BF16, DT_I64, DT_I32 or DT_U8 */
    bool is_other;  /* of another type (BOOL, F8_E4M3, ...), which cannot be read; dtype is undefined */
    int n_dims;     /* 0: a scalar */
    int64_t dims[DT_SAFETENSORS_MAX_DIMS];
} dt_safetensors_tensor;

int64_t dt_safetensors_elems(const dt_safetensors_tensor *tensor);

typedef struct dt_safetensors dt_safetensors;

/* Open a file for reading and check its header: sizes, types, shapes, and that the tensors cover the data
 * exactly, without gap or overlap. Tensors are in the order of the file. DT_ERR_IO, DT_ERR_FORMAT,
 * DT_ERR_UNSUPPORTED (more than 8 dimensions, a name of 128 bytes or more, a header of more than 16 MiB),
 * DT_ERR_MEMORY. The message for a file of another kind says which (file_kind.h). */
dt_status dt_safetensors_open(const char *path, dt_safetensors **file, dt_error *err);
void dt_safetensors_close(dt_safetensors *file);

int64_t dt_safetensors_count(const dt_safetensors *file);
/* owned by file */
const dt_safetensors_tensor *dt_safetensors_tensor_at(const dt_safetensors *file, int64_t i);
/* -1: no such tensor */
int64_t dt_safetensors_find(const dt_safetensors *file, const char *name);
/* The text as it is in the file, which dt_utf8_unescape turns into the writer's bytes. Owned by file; NULL:
 * none */
const char *dt_safetensors_metadata(const dt_safetensors *file, const char *key);

/* Read and convert all elements of tensor i. read_f32 reads F32, F64, F16 and BF16 (F64 is rounded), read_i64
 * reads I64, I32 and U8; another dtype is DT_ERR_UNSUPPORTED. Blocks; several threads may read at the same
 * time. DT_ERR_IO, DT_ERR_FORMAT (the file became shorter). */
dt_status dt_safetensors_read_f32(dt_safetensors *file, int64_t i, float *values, dt_error *err);
dt_status dt_safetensors_read_i64(dt_safetensors *file, int64_t i, int64_t *values, dt_error *err);

typedef struct dt_safetensors_writer dt_safetensors_writer;

/* Write the header to path.tmp. Only DT_F32, DT_F16 and DT_I64 are supported. `tensors` is copied. `metadata`
 * (may be NULL): key, value, key, value, ..., NULL; PyTorch's tools look for {"format": "pt"}. Values may
 * hold any bytes (dt_utf8_escape). The file gets its final size here, so that a full disk is detected early.
 * DT_ERR_USAGE (a name is there twice, empty or "__metadata__"; an impossible path), DT_ERR_IO,
 * DT_ERR_MEMORY. */
dt_status dt_safetensors_writer_create(const char *path, const dt_safetensors_tensor *tensors, int64_t n,
                                       const char *const *metadata, dt_safetensors_writer **writer,
                                       dt_error *err);

/* Write all elements of one tensor: float for DT_F32, the bits in uint16_t for DT_F16, int64_t for DT_I64.
 * Each tensor is written exactly once, in any order. */
dt_status dt_safetensors_writer_add(dt_safetensors_writer *writer, const char *name, const void *values,
                                    dt_error *err);

/* fsync, rename to the final name, fsync the folder. DT_ERR_INTERNAL: a tensor was not added; DT_ERR_IO. */
dt_status dt_safetensors_writer_commit(dt_safetensors_writer *writer, dt_error *err);

/* Free the writer. Without a successful commit the unfinished file is removed, and a file with the final name
 * stays. NULL is fine. */
void dt_safetensors_writer_destroy(dt_safetensors_writer *writer);

#endif
