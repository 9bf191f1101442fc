/* .safetensors: round trips, also with another implementation, and wrong headers. */
#include "io/weights/safetensors.h"

#include "core/base/alloc.h"
#include "core/base/fault.h"
#include "tests/testing.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

static const dt_safetensors_tensor tensors[] = {
    {.name = "conv1.weight", .dtype = DT_F32, .n_dims = 4, .dims = {4, 3, 3, 3}},
    {.name = "bn1.bias", .dtype = DT_F32, .n_dims = 1, .dims = {5}},
    {.name = "bn1.num_batches_tracked", .dtype = DT_I64, .n_dims = 0},
    {.name = "empty", .dtype = DT_F32, .n_dims = 2, .dims = {0, 7}},
    {.name = "scalar \"quoted\" \xc3\xa9", .dtype = DT_F32, .n_dims = 0},
};
#define N_TENSORS ((int64_t)(sizeof tensors / sizeof *tensors))
static const char *const metadata[] = {"format", "pt", "arch", "resnet18", NULL};
static float weights[108], biases[5] = {1, -2, 0.5f, 1e-30f, INFINITY}, scalar = 3.25f;
static const int64_t batches = 0x123456789abcdefLL;
static const void *const values[] = {weights, biases, &batches, weights, &scalar};

static dt_status write_all(const char *path, dt_error *err)
{
    dt_safetensors_writer *w = NULL;
    DT_TRY(dt_safetensors_writer_create(path, tensors, N_TENSORS, metadata, &w, err));
    dt_status status = DT_OK;
    for (int64_t i = N_TENSORS - 1; i >= 0 && status == DT_OK; i--)
        status = dt_safetensors_writer_add(w, tensors[i].name, values[i], err);
    if (status == DT_OK)
        status = dt_safetensors_writer_commit(w, err);
    dt_safetensors_writer_destroy(w);
    return status;
}

static dt_safetensors *open_good(const char *path)
{
    dt_safetensors *file = NULL;
    dt_error err = {0};
    dt_status status = dt_safetensors_open(path, &file, &err);
    DT_REQUIRE_MSG(status == DT_OK, "%s", err.message);
    return file;
}

static void tensors_are_read_back_unchanged(void)
{
    const char *path = dt_test_path("%s/a.safetensors", dt_test_temp_dir());
    dt_error err = {0};
    float read[108];
    int64_t integer = 0;
    dt_test_fill_random(weights, 108, 1);
    dt_status status = write_all(path, &err);
    DT_REQUIRE_MSG(status == DT_OK, "%s", err.message);
    dt_safetensors *file = open_good(path);
    DT_CHECK_INT(dt_safetensors_count(file), N_TENSORS);
    for (int64_t i = 0; i < N_TENSORS; i++) {
        int64_t at = dt_safetensors_find(file, tensors[i].name);
        DT_REQUIRE_MSG(at >= 0, "%s is missing", tensors[i].name);
        const dt_safetensors_tensor *t = dt_safetensors_tensor_at(file, at);
        DT_CHECK(t->dtype == tensors[i].dtype && t->n_dims == tensors[i].n_dims);
        DT_CHECK_BYTES(t->dims, tensors[i].dims, sizeof t->dims);
        if (t->dtype == DT_I64) {
            DT_CHECK_INT(dt_safetensors_read_i64(file, at, &integer, &err), DT_OK);
            DT_CHECK_INT(integer, batches);
            DT_CHECK_INT(dt_safetensors_read_f32(file, at, read, &err), DT_ERR_UNSUPPORTED);
            DT_CHECK_CONTAINS(err.message, "bn1.num_batches_tracked");
            continue;
        }
        DT_CHECK_INT(dt_safetensors_read_f32(file, at, read, &err), DT_OK);
        DT_CHECK_BYTES(read, values[i], (size_t)dt_safetensors_elems(t) * sizeof *read);
    }
    DT_CHECK_INT(dt_safetensors_find(file, "fc.weight"), -1);
    DT_CHECK_STR(dt_safetensors_metadata(file, "format"), "pt");
    DT_CHECK_STR(dt_safetensors_metadata(file, "arch"), "resnet18");
    DT_CHECK_STR(dt_safetensors_metadata(file, "nothing"), NULL);
    dt_safetensors_close(file);
}

static void every_number_is_aligned_and_the_same_weights_give_the_same_bytes(void)
{
    const char *a = dt_test_path("%s/a", dt_test_temp_dir()), *b = dt_test_path("%s/b", dt_test_temp_dir());
    size_t n_a, n_b;
    DT_CHECK_INT(write_all(a, NULL), DT_OK);
    DT_CHECK_INT(write_all(b, NULL), DT_OK);
    char *bytes_a = dt_test_read_file(a, &n_a), *bytes_b = dt_test_read_file(b, &n_b);
    DT_REQUIRE(bytes_a && bytes_b && n_a == n_b);
    DT_CHECK_BYTES(bytes_a, bytes_b, n_a);
    DT_CHECK_INT(bytes_a[0] % 8, 0); /* the header's length, so the data begins aligned */
    DT_CHECK_INT((uint8_t)bytes_a[1] * 256 + (uint8_t)bytes_a[0] + 8 + 8 + 4 * (108 + 5 + 1), n_a);
    int64_t first = 0;
    memcpy(&first, bytes_a + 8 + (uint8_t)bytes_a[1] * 256 + (uint8_t)bytes_a[0], 8);
    DT_CHECK_INT(first, batches); /* 8-byte numbers first */
    free(bytes_a);
    free(bytes_b);
}

/* Write a file of this header and data. */
static const char *made(const char *header, const void *data, size_t data_bytes)
{
    const char *path = dt_test_path("%s/made.safetensors", dt_test_temp_dir());
    size_t n = strlen(header);
    char *bytes = calloc(1, 8 + n + data_bytes + 1);
    memcpy(bytes, &n, 8);
    memcpy(bytes + 8, header, n);
    memcpy(bytes + 8 + n, data, data_bytes);
    dt_test_write_file(path, bytes, 8 + n + data_bytes);
    free(bytes);
    return path;
}

static void half_precision_and_doubles_become_floats_exactly(void)
{
    static const uint16_t f16[] = {0x3c00, 0xc000, 0x0001, 0x83ff, 0x0400, 0x7bff,
                                   0x7c00, 0xfc00, 0x0000, 0x8000, 0x3555};
    static const float f16_values[] = {1,         -2, 0x1p-24f, -1023 * 0x1p-24f, 0x1p-14f, 65504, INFINITY,
                                       -INFINITY, 0,  -0.0f,    0.333251953125f};
    static const uint16_t bf16[] = {0x3f80, 0xc049, 0x0001, 0x7f80};
    static const uint32_t bf16_bits[] = {0x3f800000, 0xc0490000, 0x00010000, 0x7f800000};
    static const double f64[] = {0.1, -1e300, 1e-300};
    static const float f64_values[] = {0.1f, -INFINITY, 0};
    dt_error err = {0};
    float read[11];
    uint16_t nan_bits = 0x7e01;
    struct {
        const char *header;
        const void *data, *expected;
        size_t bytes, n;
    } cases[] = {
        {"{\"t\":{\"dtype\":\"F16\",\"shape\":[11],\"data_offsets\":[0,22]}}", f16, f16_values, 22, 11},
        {"{\"t\":{\"dtype\":\"BF16\",\"shape\":[2,2],\"data_offsets\":[0,8]}}", bf16, bf16_bits, 8, 4},
        {"{\"t\":{\"dtype\":\"F64\",\"shape\":[3],\"data_offsets\":[0,24]}}", f64, f64_values, 24, 3},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
        dt_safetensors *file = open_good(made(cases[i].header, cases[i].data, cases[i].bytes));
        DT_CHECK_INT(dt_safetensors_read_f32(file, 0, read, &err), DT_OK);
        DT_CHECK_BYTES(read, cases[i].expected, cases[i].n * sizeof *read);
        dt_safetensors_close(file);
    }
    dt_safetensors *file =
        open_good(made("{\"t\":{\"dtype\":\"F16\",\"shape\":[],\"data_offsets\":[0,2]}}", &nan_bits, 2));
    DT_CHECK_INT(dt_safetensors_read_f32(file, 0, read, &err), DT_OK);
    DT_CHECK(isnan(read[0]));
    dt_safetensors_close(file);
}

static void long_tensors_are_converted_in_blocks_without_seams(void)
{
    enum { N = 1200001 }; /* more than two blocks of F16, and not a multiple of one; 1021 divides no block */
    uint16_t *halves = malloc(N * sizeof *halves);
    float *read = malloc(N * sizeof *read);
    dt_error err = {0};
    char header[96];
    for (int i = 0; i < N; i++)
        halves[i] = (uint16_t)(0x3c00 + i % 1021);
    snprintf(header, sizeof header, "{\"t\":{\"dtype\":\"F16\",\"shape\":[%d],\"data_offsets\":[0,%d]}}", N,
             2 * N);
    dt_safetensors *file = open_good(made(header, halves, N * sizeof *halves));
    DT_CHECK_INT(dt_safetensors_read_f32(file, 0, read, &err), DT_OK);
    int wrong = 0;
    for (int i = 0; i < N; i++)
        wrong += read[i] != 1.0f + (float)(i % 1021) / 1024;
    DT_CHECK_INT(wrong, 0);
    dt_safetensors_close(file);
    free(halves);
    free(read);
}

static void a_tensor_may_have_eight_dimensions(void)
{
    dt_safetensors *file = open_good(
        made("{\"t\":{\"dtype\":\"U8\",\"shape\":[1,2,1,1,1,1,1,2],\"data_offsets\":[0,4]}}", "abcd", 4));
    DT_CHECK_INT(dt_safetensors_tensor_at(file, 0)->n_dims, 8);
    DT_CHECK_INT(dt_safetensors_elems(dt_safetensors_tensor_at(file, 0)), 4);
    dt_safetensors_close(file);
}

#define T(entry) "{\"t\":{" entry "}}"

static const struct {
    const char *header;
    size_t data_bytes;
    dt_status status;
    const char *message;
} wrong_headers[] = {
    {"", 0, DT_ERR_FORMAT, "says its header has 0 bytes"},
    {"[]", 0, DT_ERR_FORMAT, "not a JSON object"},
    {"{\"t\":", 0, DT_ERR_FORMAT, "header is not JSON"},
    {"{\"t\":1}", 0, DT_ERR_FORMAT, "tensor t: no \"dtype\""},
    {T("\"shape\":[1],\"data_offsets\":[0,4]"), 4, DT_ERR_FORMAT, "tensor t: no \"dtype\""},
    {T("\"dtype\":\"F32\",\"data_offsets\":[0,4]"), 4, DT_ERR_FORMAT, "tensor t: no \"shape\""},
    {T("\"dtype\":\"F32\",\"shape\":[1,1,1,1,1,1,1,1,1],\"data_offsets\":[0,4]"), 4, DT_ERR_UNSUPPORTED,
     "9 dimensions"},
    {T("\"dtype\":\"F32\",\"shape\":[-1],\"data_offsets\":[0,4]"), 4, DT_ERR_FORMAT, "dimension 0"},
    {T("\"dtype\":\"F32\",\"shape\":[1.0],\"data_offsets\":[0,4]"), 4, DT_ERR_FORMAT, "dimension 0"},
    {T("\"dtype\":\"F32\",\"shape\":[4294967296,1073741824],\"data_offsets\":[0,0]"), 0, DT_ERR_FORMAT,
     "dimension 1"},
    {T("\"dtype\":\"F32\",\"shape\":[4294967296,4294967296,4294967296],\"data_offsets\":[0,0]"), 0,
     DT_ERR_FORMAT, "dimension 1"},
    {T("\"dtype\":\"F32\",\"shape\":[1]"), 4, DT_ERR_FORMAT, "data_offsets"},
    {T("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0]"), 4, DT_ERR_FORMAT, "data_offsets"},
    {T("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4,8]"), 4, DT_ERR_FORMAT, "data_offsets"},
    {T("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]"), 4, DT_ERR_FORMAT, "not inside"},
    {T("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,0]"), 4, DT_ERR_FORMAT, "not inside"},
    {T("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[-4,0]"), 4, DT_ERR_FORMAT, "not inside"},
    {T("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,9223372036854775807]"), 4, DT_ERR_FORMAT,
     "not inside"},
    {T("\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,4]"), 4, DT_ERR_FORMAT, "needs 8 bytes"},
    {T("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[0,4]"), 8, DT_ERR_FORMAT, "end at byte 4 of 8"},
    {T("\"dtype\":\"F32\",\"shape\":[1],\"data_offsets\":[4,8]"), 8, DT_ERR_FORMAT, "begins at byte 4"},
    {"{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8]},\"b\":{\"dtype\":\"F32\",\"shape\":"
     "[2],\"data_offsets\":[4,12]}}",
     12, DT_ERR_FORMAT, "tensor b begins at byte 4"},
    {"{\"t\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]},\"t\":{\"dtype\":\"F32\",\"shape\":["
     "],\"data_offsets\":[4,8]}}",
     8, DT_ERR_FORMAT, "duplicate"},
    {"{\"\":{\"dtype\":\"F32\",\"shape\":[],\"data_offsets\":[0,4]}}", 4, DT_ERR_UNSUPPORTED,
     "a name of 0 bytes"},
    {"{\"\\u0000\":{}}", 0, DT_ERR_FORMAT, "header is not JSON"},
};

static void wrong_headers_are_refused(void)
{
    for (size_t i = 0; i < sizeof wrong_headers / sizeof *wrong_headers; i++) {
        dt_error err = {0};
        dt_safetensors *file = NULL;
        const char *path = made(wrong_headers[i].header, "0123456789abcdef", wrong_headers[i].data_bytes);
        dt_status status = dt_safetensors_open(path, &file, &err);
        DT_CHECK_MSG(status == wrong_headers[i].status, "%s gives %s", wrong_headers[i].header,
                     dt_status_name(status));
        DT_CHECK_CONTAINS(err.message, "made.safetensors");
        DT_CHECK_CONTAINS(err.message, wrong_headers[i].message);
        dt_safetensors_close(file);
    }
}

static void other_files_are_refused(void)
{
    dt_safetensors *file = NULL;
    dt_error err = {0};
    const char *path = dt_test_path("%s/x", dt_test_temp_dir());
    DT_CHECK_INT(dt_safetensors_open(path, &file, &err), DT_ERR_IO);
    DT_CHECK_CONTAINS(err.message, strerror(ENOENT));
    DT_CHECK_INT(dt_safetensors_open(dt_test_temp_dir(), &file, &err), DT_ERR_IO);
    DT_CHECK_CONTAINS(err.message, "is a folder");
    dt_test_write_file(path, "", 0);
    DT_CHECK_INT(dt_safetensors_open(path, &file, &err), DT_ERR_FORMAT);
    DT_CHECK_CONTAINS(err.message, "too short");
    dt_test_write_file(path, "PK\3\4 a zip archive, as PyTorch's own format is", 46);
    DT_CHECK_INT(dt_safetensors_open(path, &file, &err), DT_ERR_FORMAT);
    DT_CHECK_CONTAINS(err.message, "not a safetensors file");
    dt_test_write_file(path, "\xff\xff\xff\xff\xff\xff\xff\xff{}", 10);
    DT_CHECK_INT(dt_safetensors_open(path, &file, &err), DT_ERR_FORMAT);
    DT_CHECK(file == NULL);
}

/* Headers that are small on the disk and large in memory. */
static void the_memory_for_a_hostile_header_is_limited(void)
{
    static const char *const units[] = {"\"\":{},", "\"a\":[],", "0,", "[", "{\"a\":", "\"\\u0001\","};
    static const size_t lengths[] = {99 << 20, 16 << 20, 15 << 20};
    enum { MOST_KB = 300 << 10 };
    const char *path = dt_test_path("%s/large", dt_test_temp_dir());
    char *bytes = malloc(lengths[0] + 16);
    DT_REQUIRE(bytes != NULL);
    struct rusage before, after;
    getrusage(RUSAGE_SELF, &before);
    for (size_t i = 0; i < sizeof units / sizeof *units; i++)
        for (size_t l = 0; l < sizeof lengths / sizeof *lengths; l++) {
            const size_t n = strlen(units[i]), header = lengths[l];

            dt_safetensors *file = NULL;
            for (size_t k = 0; k < 8; k++)
                bytes[k] = (char)(header >> (8 * k) & 0xff);
            for (size_t k = 0; k < header; k++)
                bytes[8 + k] = k ? units[i][(k - 1) % n] : '{';
            dt_test_write_file(path, bytes, 8 + header);
            DT_CHECK(dt_safetensors_open(path, &file, NULL) != DT_OK);
            getrusage(RUSAGE_SELF, &after);
            DT_CHECK_MSG(after.ru_maxrss - before.ru_maxrss < MOST_KB, "%s took %ld kB", units[i],
                         after.ru_maxrss - before.ru_maxrss);
        }
    free(bytes);
}

static void a_file_cut_anywhere_is_refused(void)
{
    const char *path = dt_test_path("%s/a", dt_test_temp_dir()),
               *cut = dt_test_path("%s/cut", dt_test_temp_dir());
    size_t n;
    DT_CHECK_INT(write_all(path, NULL), DT_OK);
    char *bytes = dt_test_read_file(path, &n);
    for (size_t length = 0; length < n; length += 3) {
        dt_safetensors *file = NULL;
        dt_test_write_file(cut, bytes, length);
        DT_CHECK_INT(dt_safetensors_open(cut, &file, NULL), DT_ERR_FORMAT);
    }
    dt_safetensors *file = open_good(path); /* cut while it is open */
    float read[108];
    dt_error err = {0};
    DT_CHECK(truncate(path, (off_t)n - 4) == 0);
    DT_CHECK_INT(dt_safetensors_read_f32(file, N_TENSORS - 1, read, &err), DT_ERR_FORMAT);
    DT_CHECK_CONTAINS(err.message, "tensor ");
    dt_safetensors_close(file);
    free(bytes);
}

static void a_failed_write_leaves_the_old_file_and_nothing_else(void)
{
    static const char *const faults[] = {"safetensors.write:1", "safetensors.write:3", "safetensors.fsync:1",
                                         "safetensors.rename:1"};
    const char *path = dt_test_path("%s/a", dt_test_temp_dir());
    dt_test_write_file(path, "old", 3);
    for (size_t f = 0; f < sizeof faults / sizeof *faults; f++) {
        dt_error err = {0};
        size_t n;
        dt_fault_arm(faults[f], 0, NULL);
        DT_CHECK_INT(write_all(path, &err), DT_ERR_IO);
        DT_CHECK_CONTAINS(err.message, path);
        char *now = dt_test_read_file(path, &n);
        DT_CHECK_STR(now, "old");
        DT_CHECK(access(dt_test_path("%s.tmp", path), F_OK) != 0);
        free(now);
    }
    dt_fault_arm(NULL, 0, NULL);
}

static void misuse_is_an_error(void)
{
    dt_safetensors_writer *w = NULL;
    dt_error err = {0};
    dt_safetensors_tensor twice[] = {tensors[1], tensors[1]}, bfloat = tensors[1];
    const char *path = dt_test_path("%s/a", dt_test_temp_dir());
    DT_CHECK_INT(dt_safetensors_writer_create(path, twice, 2, NULL, &w, &err), DT_ERR_USAGE);
    DT_CHECK_CONTAINS(err.message, "twice");
    bfloat.dtype = DT_BF16;
    DT_CHECK_INT(dt_safetensors_writer_create(path, &bfloat, 1, NULL, &w, &err), DT_ERR_USAGE);
    DT_CHECK_INT(dt_safetensors_writer_create(dt_test_path("%s/no/such/a", dt_test_temp_dir()), tensors, 1,
                                              NULL, &w, &err),
                 DT_ERR_IO);
    DT_CHECK_CONTAINS(err.message, "its folder does not exist");
    DT_CHECK_INT(dt_safetensors_writer_create(path, tensors, N_TENSORS, NULL, &w, &err), DT_OK);
    DT_CHECK_INT(dt_safetensors_writer_add(w, "fc.weight", weights, &err), DT_ERR_INTERNAL);
    DT_CHECK_INT(dt_safetensors_writer_add(w, "bn1.bias", biases, &err), DT_OK);
    DT_CHECK_INT(dt_safetensors_writer_add(w, "bn1.bias", biases, &err), DT_ERR_INTERNAL);
    DT_CHECK_INT(dt_safetensors_writer_commit(w, &err), DT_ERR_INTERNAL);
    DT_CHECK_CONTAINS(err.message, "conv1.weight was never written");
    dt_safetensors_writer_destroy(w);
    DT_CHECK(access(path, F_OK) != 0 && access(dt_test_path("%s.tmp", path), F_OK) != 0);
}

static void every_allocation_may_fail(void)
{
    const char *path = dt_test_path("%s/a", dt_test_temp_dir());
    int64_t live = dt_alloc_live_blocks();
    for (int64_t i = 1;; i++) {
        dt_error err = {0};
        dt_safetensors *file = NULL;
        dt_alloc_fail_after(i);
        dt_status status = write_all(path, &err);
        if (status == DT_OK)
            status = dt_safetensors_open(path, &file, &err);
        dt_alloc_fail_after(0);
        dt_safetensors_close(file);
        DT_CHECK_INT(dt_alloc_live_blocks(), live);
        if (status == DT_OK)
            break;
        DT_CHECK_INT(status, DT_ERR_MEMORY);
        DT_REQUIRE(i < 100);
    }
}

/* An implementation in Python (struct, json, numpy) from the format's description, without our code. */
static const char python[] =
    "import sys, json, struct\n"
    "import numpy as np\n"
    "raw = open(sys.argv[1], 'rb').read()\n"
    "n = struct.unpack('<Q', raw[:8])[0]\n"
    "head = json.loads(raw[8:8 + n])\n"
    "assert head.pop('__metadata__') == {'format': 'pt', 'arch': 'resnet18'}\n"
    "kinds = {'F32': '<f4', 'I64': '<i8'}\n"
    "out, at, data = {'__metadata__': {'from': 'numpy'}}, 0, b''\n"
    "for name, e in sorted(head.items()):\n"
    "    b, c = e['data_offsets']\n"
    "    a = np.frombuffer(raw[8 + n + b:8 + n + c], kinds[e['dtype']]).reshape(e['shape'])\n"
    "    if name == 'bn1.bias': assert a.tolist()[:3] == [1, -2, 0.5] and a.shape == (5,)\n"
    "    if name == 'bn1.num_batches_tracked': assert int(a) == 0x123456789abcdef\n"
    "    if a.dtype == np.float32: a = (a * np.float32(2)).astype(np.float32)\n"
    "    d = np.ascontiguousarray(a).tobytes()\n"
    "    out[name] = {'dtype': e['dtype'], 'shape': list(a.shape), 'data_offsets': [at, at + len(d)]}\n"
    "    at += len(d); data += d\n"
    "h = json.dumps(out, indent=1).encode()\n"
    "open(sys.argv[2], 'wb').write(struct.pack('<Q', len(h)) + h + data)\n";

static void python_reads_our_files_and_we_read_pythons(void)
{
    if (system("/usr/bin/python3 -c 'import numpy' 2>/dev/null") != 0)
        DT_SKIP("python3 with numpy is not installed");
    const char *dir = dt_test_temp_dir();
    dt_error err = {0};
    float read[108];
    int64_t integer = 0;
    dt_test_fill_random(weights, 108, 1);
    DT_CHECK_INT(write_all(dt_test_path("%s/ours", dir), &err), DT_OK);
    dt_test_write_file(dt_test_path("%s/double.py", dir), python, strlen(python));
    DT_REQUIRE(system(dt_test_path("/usr/bin/python3 %s/double.py %s/ours %s/theirs", dir, dir, dir)) == 0);
    dt_safetensors *file = open_good(dt_test_path("%s/theirs", dir));
    DT_CHECK_STR(dt_safetensors_metadata(file, "from"), "numpy");
    DT_CHECK_INT(dt_safetensors_count(file), N_TENSORS);
    DT_CHECK_INT(dt_safetensors_read_f32(file, dt_safetensors_find(file, "conv1.weight"), read, &err), DT_OK);
    for (int i = 0; i < 108; i++)
        DT_CHECK(read[i] == 2 * weights[i]);
    DT_CHECK_INT(dt_safetensors_read_f32(file, dt_safetensors_find(file, tensors[4].name), read, &err),
                 DT_OK);
    DT_CHECK(read[0] == 6.5f);
    DT_CHECK_INT(
        dt_safetensors_read_i64(file, dt_safetensors_find(file, "bn1.num_batches_tracked"), &integer, &err),
        DT_OK);
    DT_CHECK_INT(integer, batches);
    dt_safetensors_close(file);
}

static const dt_test tests[] = {
    DT_TEST(tensors_are_read_back_unchanged),
    DT_TEST(every_number_is_aligned_and_the_same_weights_give_the_same_bytes),
    DT_TEST(half_precision_and_doubles_become_floats_exactly),
    DT_TEST(long_tensors_are_converted_in_blocks_without_seams),
    DT_TEST(a_tensor_may_have_eight_dimensions),
    DT_TEST(wrong_headers_are_refused),
    DT_TEST(other_files_are_refused),
    DT_TEST(the_memory_for_a_hostile_header_is_limited),
    DT_TEST(a_file_cut_anywhere_is_refused),
    DT_TEST(a_failed_write_leaves_the_old_file_and_nothing_else),
    DT_TEST(misuse_is_an_error),
    DT_TEST(every_allocation_may_fail),
    DT_TEST(python_reads_our_files_and_we_read_pythons),
};
DT_TEST_MAIN("io/weights/safetensors", tests)
