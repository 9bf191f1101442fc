#define _GNU_SOURCE /* memmem */
#include "io/weights/file_kind.h"

#include <ctype.h>
#include <stdbool.h>
#include <string.h>

#define CONVERT                                                                                              \
    "to convert it: python3 -c \"import sys, torch, safetensors.torch as s; d = torch.load(sys.argv[1], "    \
    "'cpu'); d = d.get('state_dict', d.get('model', d)); s.save_file({k: v.contiguous() for k, v in "        \
    "d.items() if torch.is_tensor(v)}, sys.argv[2])\" OLD.pth NEW.safetensors"

static bool contains(const unsigned char *first, size_t n, const char *text)
{
    return memmem(first, n, text, strlen(text)) != NULL;
}

/* Whether the text begins, after white space, with these words in any case. */
static bool begins_with(const unsigned char *first, size_t n, const char *words)
{
    size_t at = n >= 3 && memcmp(first, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    while (at < n && isspace(first[at]))
        at++;
    for (; *words && at < n; words++, at++)
        if (tolower(first[at]) != *words)
            return false;
    return !*words;
}

static const char *zip_kind(const unsigned char *first, size_t n)
{
    if (contains(first, n, ".npy"))
        return "a NumPy archive (.npz)";
    /* torch.save's first entry is NAME/data.pkl; TorchScript's may be another one of these */
    if (contains(first, n, "/data.pkl") || contains(first, n, "/version") ||
        contains(first, n, "/byteorder") || contains(first, n, "/.format_version") ||
        contains(first, n, "/code/") || contains(first, n, "/constants.pkl"))
        return "a PyTorch file (a zip of pickles); " CONVERT;
    return "a zip archive; unpack it first, or, if it is a PyTorch file, " CONVERT;
}

static const struct {
    const char *magic;
    size_t at, bytes;
    const char *kind;
} magics[] = {
    {"\x89HDF\r\n\x1a\n", 0, 8,
     "an HDF5 file; of a dtrain checkpoint, give the run's folder to eval --weights, or run dtrain export"},
    {"\x1f\x8b", 0, 2, "compressed with gzip; unpack it first with gunzip"},
    {"\xfd"
     "7zXZ",
     0, 5, "compressed with xz; unpack it first with unxz"},
    {"\x28\xb5\x2f\xfd", 0, 4, "compressed with zstd; unpack it first with unzstd"},
    {"BZh", 0, 3, "compressed with bzip2; unpack it first with bunzip2"},
    {"GGUF", 0, 4, "a GGUF file, of a language model"},
    {"\x93NUMPY", 0, 6, "a NumPy array (.npy)"},
    {"TFL3", 4, 4, "a TensorFlow Lite model"},
    {"ustar", 257, 5, "a tar archive, which PyTorch's oldest files are, too; unpack it, or " CONVERT},
    {"\x89PNG", 0, 4, "a PNG image"},
    {"\xff\xd8\xff", 0, 3, "a JPEG image"},
    {"\x7f"
     "ELF",
     0, 4, "a program"},
};

static bool is_text(const unsigned char *first, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (first[i] == 0x7f || (first[i] < ' ' && !isspace(first[i])))
            return false;
    return true;
}

static const char *text_kind(const unsigned char *first, size_t n)
{
    if (begins_with(first, n, "version https://git-lfs"))
        return "a pointer of Git LFS, not the file itself; get that with git lfs pull";
    if (begins_with(first, n, "<!doctype") || begins_with(first, n, "<html") ||
        begins_with(first, n, "<?xml"))
        return "a web page, not the file itself; download it again from the address of the file";
    if (begins_with(first, n, "{") || begins_with(first, n, "["))
        return contains(first, n, "weight_map") || contains(first, n, "total_size")
                   ? "the index of a model in several .safetensors files, which must be one file here"
                   : "a JSON text, not weights";
    return "a text, not weights";
}

/* A .safetensors file begins with its header's length, little-endian in 8 bytes, of which most are zero. */
static bool may_be_a_length(const unsigned char *first, size_t n)
{
    return n < 8 || (first[4] == 0 && first[5] == 0 && first[6] == 0 && first[7] == 0);
}

/* The first byte of a pickle is 0x80, then comes its version; version 4 and later go on with a frame. */
static bool is_pickle(const unsigned char *first, size_t n)
{
    return n > 3 && first[0] == 0x80 && first[1] >= 2 && first[1] <= 5 &&
           (first[2] == 0x95 || !may_be_a_length(first, n));
}

/* A protobuf message: field 1, the version of the format, then the producer's name or the graph. */
static bool is_onnx(const unsigned char *first, size_t n)
{
    return n > 4 && !may_be_a_length(first, n) && first[0] == 0x08 && first[1] > 0 && first[1] < 64 &&
           (first[2] == 0x12 || first[2] == 0x1a || first[2] == 0x3a || first[2] == 0x42);
}

const char *dt_weights_file_kind(const unsigned char *first, size_t n)
{
    if (n == 0)
        return "an empty file, too short for any weights; copy or download it again";
    if (n >= 4 && memcmp(first, "PK\3\4", 4) == 0)
        return zip_kind(first, n);
    if (is_pickle(first, n))
        return "a PyTorch file or another pickle of Python's; " CONVERT;
    for (size_t i = 0; i < sizeof magics / sizeof *magics; i++)
        if (n >= magics[i].at + magics[i].bytes &&
            memcmp(first + magics[i].at, magics[i].magic, magics[i].bytes) == 0)
            return magics[i].kind;
    if (is_onnx(first, n))
        return "an ONNX model; export the weights as .safetensors from the framework that made it";
    if (is_text(first, n))
        return text_kind(first, n);
    bool zeros = n >= 16;
    for (size_t i = 0; i < n; i++)
        zeros = zeros && first[i] == 0;
    return zeros ? "zero bytes only, as after a copy or a download that broke off" : NULL;
}
