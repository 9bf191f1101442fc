/* Files that people give instead of weights are recognised by their first bytes. */
#include "tests/testing.h"

#include "io/weights/file_kind.h"
#include "io/weights/safetensors.h"

#include <string.h>

void dt_test_set_up(void)
{
}

void dt_test_tear_down(void)
{
}

#define BEGIN(text) text, sizeof text - 1

/* The first bytes of files that people give instead. */
static const struct {
    const char *first;
    size_t n;
    const char *kind;
} foreign[] = {
    {BEGIN("PK\3\4\0\0\x08\x08\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x10\0\x12\0archive/data.pklFB"),
     "a PyTorch file (a zip of pickles); to convert it: python3 -c \"import sys, torch"},
    {BEGIN("PK\3\4\x14\0\0\0\0\0\0\0!\0\0\0\0\0\0\0\0\0\0\0\0\0\x9\0\0\0arr_0.npy"), "a NumPy archive"},
    {BEGIN("\x80\x02\x8a\nl\xfc\x9c"
           "F\xf9 j\xa8P\x19.\x80\x02M\xe9\x03."),
     "a PyTorch file or another pickle"},
    {BEGIN("\x80\x04\x95\x10\0\0\0\0\0\0\0}\x94."), "a PyTorch file or another pickle"},
    {BEGIN("\x80\x05\x95\x10\0\0\0\0\0\0\0}\x94."), "a PyTorch file or another pickle"},
    {BEGIN("\x89HDF\r\n\x1a\n\0\0\0\0"), "an HDF5 file"},
    {BEGIN("\x08\x08\x12\x07pytorch\x1a\x05"
           "2.1.0:"),
     "an ONNX model"},
    {BEGIN("{\"metadata\": {\"total_size\": 1}, \"weight_map\": {}}"), "the index of a model in several"},
    {BEGIN("\x1f\x8b\x08\0\0\0\0\0\0\3"), "compressed with gzip; unpack it first"},
    {BEGIN("\x1f\x8b"), "compressed with gzip; unpack it first"},
    {BEGIN("\x1c\0\0\0TFL3"), "a TensorFlow Lite model"},
    {BEGIN("version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 46827520\n"),
     "a pointer of Git LFS, not the file itself; get that with git lfs pull"},
    {BEGIN("\n<!DOCTYPE html>\n<html class=\"\">"), "a web page, not the file itself"},
    {BEGIN(""), "an empty file"},
    {BEGIN("\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"), "zero bytes only"},
    {BEGIN("learning rate = 0.1\n"), "a text, not weights"},
};

static void files_of_other_kinds_are_named(void)
{
    const char *path = dt_test_path("%s/x", dt_test_temp_dir());
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++) {
        dt_safetensors *file = NULL;
        dt_error err = {0};
        dt_test_write_file(path, foreign[i].first, foreign[i].n);
        DT_CHECK_INT(dt_safetensors_open(path, &file, &err), DT_ERR_FORMAT);
        DT_CHECK_CONTAINS(err.message, "x: not a safetensors file, but ");
        DT_CHECK_CONTAINS(err.message, foreign[i].kind);
    }
}

/* A safetensors file has no name of another kind, even if it was cut short. */
static void a_safetensors_file_is_of_no_other_kind(void)
{
    unsigned char first[16] = {0, 0, 0, 0, 0, 0, 0, 0, '{', '"', 'a', '"', ':', '{', '"', 'd'};
    for (int length = 1; length < 1 << 20; length++) {
        first[0] = (unsigned char)length;
        first[1] = (unsigned char)(length >> 8);
        first[2] = (unsigned char)(length >> 16);
        if (first[0] == 0x1f && first[1] == 0x8b) /* gzip's */
            continue;
        DT_REQUIRE_MSG(!dt_weights_file_kind(first, sizeof first), "length %d", length);
    }
}

/* A network may not need them. */
static void tensors_of_other_types_are_listed_and_not_read(void)
{
    static const char header[] = "{\"mask\":{\"dtype\":\"BOOL\",\"shape\":[2,2],\"data_offsets\":[0,4]},"
                                 "\"new\":{\"dtype\":\"F4\",\"shape\":[8],\"data_offsets\":[4,8]},"
                                 "\"t\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[8,16]}}";
    char bytes[8 + sizeof header - 1 + 16] = {(char)(sizeof header - 1)};
    const char *path = dt_test_path("%s/x", dt_test_temp_dir());
    dt_safetensors *file = NULL;
    dt_error err = {0};
    float read[2];
    memcpy(bytes + 8, header, sizeof header - 1);
    memcpy(bytes + 8 + sizeof header - 1, "0123456789abcdef", 16);
    dt_test_write_file(path, bytes, sizeof bytes);
    DT_REQUIRE_MSG(dt_safetensors_open(path, &file, &err) == DT_OK, "%s", err.message);
    DT_CHECK_INT(dt_safetensors_count(file), 3);
    DT_CHECK(dt_safetensors_tensor_at(file, 0)->is_other && dt_safetensors_tensor_at(file, 1)->is_other);
    DT_CHECK(!dt_safetensors_tensor_at(file, 2)->is_other);
    DT_CHECK_INT(dt_safetensors_read_f32(file, 1, read, &err), DT_ERR_UNSUPPORTED);
    DT_CHECK_CONTAINS(err.message, "tensor new: dtype F4 is not one of F32");
    DT_CHECK_INT(dt_safetensors_read_f32(file, 2, read, &err), DT_OK);
    DT_CHECK_BYTES(read, "89abcdef", 8);
    dt_safetensors_close(file);
}

static void smaller_integers_become_64_bits_exactly(void)
{
    static const char header[] = "{\"i\":{\"dtype\":\"I32\",\"shape\":[4],\"data_offsets\":[0,16]},"
                                 "\"u\":{\"dtype\":\"U8\",\"shape\":[4],\"data_offsets\":[16,20]}}";
    static const int32_t narrow[4] = {-1, INT32_MIN, INT32_MAX, 128};
    static const uint8_t bytes[4] = {0, 127, 128, 255};
    char text[8 + sizeof header - 1 + 20] = {(char)(sizeof header - 1)};
    const char *path = dt_test_path("%s/x", dt_test_temp_dir());
    dt_safetensors *file = NULL;
    int64_t read[8];
    memcpy(text + 8, header, sizeof header - 1);
    memcpy(text + 8 + sizeof header - 1, narrow, 16);
    memcpy(text + 8 + sizeof header - 1 + 16, bytes, 4);
    dt_test_write_file(path, text, sizeof text);
    DT_REQUIRE(dt_safetensors_open(path, &file, NULL) == DT_OK);
    DT_CHECK_INT(dt_safetensors_read_i64(file, 0, read, NULL), DT_OK);
    DT_CHECK_INT(dt_safetensors_read_i64(file, 1, read + 4, NULL), DT_OK);
    for (int i = 0; i < 4; i++) {
        DT_CHECK_INT(read[i], narrow[i]);
        DT_CHECK_INT(read[4 + i], bytes[i]);
    }
    dt_safetensors_close(file);
}

static const dt_test tests[] = {
    DT_TEST(smaller_integers_become_64_bits_exactly),
    DT_TEST(tensors_of_other_types_are_listed_and_not_read),
    DT_TEST(files_of_other_kinds_are_named),
    DT_TEST(a_safetensors_file_is_of_no_other_kind),
};

DT_TEST_MAIN("io/file_kind", tests)
