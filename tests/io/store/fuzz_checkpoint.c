/* fuzz_checkpoint.c: reads any bytes as a manifest or as a shard; the first byte chooses. For libFuzzer:
 *
 *     clang -g -O1 -fsanitize=fuzzer,address,undefined -I. tests/io/store/fuzz_checkpoint.c \
 *         io/{durable,file_writer}.c io/store/{manifest_json_read,manifest_json_write,hdf5_driver}.c \
 *         io/store/{hdf5_check,hdf5_piece,hdf5_shard,hdf5_shard_read}.c \
 *         core/base/{alloc,error,fault,log,rng,clock,computed_by,utf8}.c core/checkpoint/manifest.c \
 *         $(pkg-config --cflags --libs hdf5) -ljansson -lxxhash -lm -lpthread -o fuzz_checkpoint
 *
 * tests/io/store/fuzz_checkpoint_test.c passes mutated manifests and shards to it in every `make check`.
 *
 * The manifest's own hash is corrected first, so that the checks after it are reached. A manifest that is
 * accepted, written and read again must give the same bytes. HDF5 sees only shards with a good hash, which
 * some program wrote as they are: of other layouts, other shares, by older and newer versions. So a shard
 * here is whole, written by us with a layout that the bytes choose, and read with another layout: reading
 * must refuse it, or return the elements that were written.
 */
#include "core/base/alloc.h"
#include "core/checkpoint/load.h"
#include "io/durable.h"
#include "io/store/hdf5_shard.h"
#include "io/store/manifest_json.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes);

/* -- manifests ------------------------------------------------------------------------------------------- */

static void correct_hash(char *text, size_t n)
{
    static const char field[] = "\"manifest_xxh3_128\": \"";
    char hex[33];
    for (size_t i = n; i-- > 0;)
        if (i + sizeof field - 1 + 32 <= n && memcmp(text + i, field, sizeof field - 1) == 0) {
            memset(text + i + sizeof field - 1, '0', 32);
            dt_durable_hash_memory(text, (int64_t)n, hex);
            memcpy(text + i + sizeof field - 1, hex, 32);
            return;
        }
}

static void try_manifest(char *text, size_t n)
{
    dt_manifest m = {0}, again = {0};
    dt_error err;
    char *first = NULL, *second = NULL;
    int64_t n_first, n_second;
    correct_hash(text, n);
    if (dt_manifest_parse(text, (int64_t)n, &m, &err) != DT_OK)
        return;
    m.format_version = DT_MANIFEST_VERSION;
    err.message[0] = '\0';
    if (dt_manifest_write(&m, &first, &n_first, &err) != DT_OK ||
        dt_manifest_parse(first, n_first, &again, &err) != DT_OK ||
        dt_manifest_write(&again, &second, &n_second, &err) != DT_OK || n_first != n_second ||
        memcmp(first, second, (size_t)n_first) != 0) {
        fprintf(stderr, "accepted, but not written and read again to the same bytes: %s\n%.*s\n", err.message,
                (int)n, text);
        abort();
    }
    dt_manifest_clear(&m);
    dt_manifest_clear(&again);
    dt_free(first);
    dt_free(second);
}

/* -- shards ---------------------------------------------------------------------------------------------- */

enum { MAX_TENSORS = 4, MAX_ELEMS = 64 };

typedef struct shape {
    dt_state_tensor tensors[MAX_TENSORS];
    dt_state_layout layout;
    int64_t first, n_elems; /* of the shard */
} shape;

/* A layout of a few small tensors from at most eight bytes. There are few names, so that two layouts are
 * often alike. */
static shape shape_of(const uint8_t *b)
{
    static const char *const names[] = {"param/a.weight", "param/a.bias", "momentum/a.weight", "param/a"};
    shape s = {.layout = {.n_tensors = 1 + b[0] % MAX_TENSORS}};
    for (int64_t t = 0; t < s.layout.n_tensors; t++) {
        dt_state_tensor *x = &s.tensors[t];
        snprintf(x->name, sizeof x->name, "%s", names[(b[1] + t) % 4]);
        x->n_dims = b[2] >> t & 1 ? 2 : 1;
        x->n_elems = 1;
        for (int d = 0; d < x->n_dims; d++) {
            x->dims[d] = 1 + (b[3 + d] >> t) % 4;
            x->n_elems *= x->dims[d];
        }
        x->first = s.layout.n_elems;
        s.layout.n_elems += x->n_elems;
    }
    s.first = b[5] % (s.layout.n_elems + 1);
    s.n_elems = b[6] % (s.layout.n_elems - s.first + 1);
    return s;
}

static float value_of(const char *name, int64_t element)
{
    float v = (float)element;
    for (const char *p = name; *p; p++)
        v = v * 3.0f + (float)*p;
    return v;
}

static dt_status get(void *context, int64_t tensor, float *canonical, dt_error *err)
{
    (void)err;
    const shape *s = context;
    for (int64_t i = 0; i < s->tensors[tensor].n_elems; i++)
        canonical[i] = value_of(s->tensors[tensor].name, i);
    return DT_OK;
}

static void try_shard(const uint8_t *b)
{
    shape written = shape_of(b), read = shape_of(b + 7);
    float values[MAX_TENSORS * MAX_ELEMS];
    dt_error err;
    int64_t bytes = 0;
    char hex[33];
    written.layout.tensors = written.tensors;
    read.layout.tensors = read.tensors;
    FILE *f = tmpfile();
    if (!f)
        abort();
    const dt_state_io io = {.context = &written, .get = get};
    if (dt_hdf5_shard_write(fileno(f), "a shard", 1, &written.layout, &io, written.first, written.n_elems,
                            NULL, &bytes, hex, &err) != DT_OK)
        abort();
    const dt_hdf5_expected expected = {&read.layout, 1, read.first, read.n_elems};
    float *next = values;
    const dt_shard_sink sink = dt_hdf5_array_sink(&next);
    if (dt_hdf5_shard_read(fileno(f), "a shard", bytes, hex, &expected, &sink, &err) == DT_OK)
        for (int64_t t = 0; t < read.layout.n_tensors; t++)
            for (int64_t i = 0; i < read.tensors[t].n_elems; i++) {
                const int64_t at = read.tensors[t].first + i - read.first;
                if (at >= 0 && at < read.n_elems && values[at] != value_of(read.tensors[t].name, i))
                    abort();
            }
    fclose(f);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n_bytes)
{
    uint8_t recipe[14] = {0};
    if (n_bytes < 2)
        return 0;
    if (bytes[0] == 's') {
        memcpy(recipe, bytes + 1, n_bytes - 1 < sizeof recipe ? n_bytes - 1 : sizeof recipe);
        try_shard(recipe);
        return 0;
    }
    char *text = malloc(n_bytes - 1); /* exact, so that a sanitizer sees reads beyond the end */
    if (!text)
        abort();
    memcpy(text, bytes + 1, n_bytes - 1);
    try_manifest(text, n_bytes - 1);
    free(text);
    return 0;
}
