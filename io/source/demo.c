/* demo.c: see demo.h. */
#define _GNU_SOURCE /* nftw */
#include "io/source/demo.h"

#include "core/base/alloc.h"
#include "core/base/fault.h"
#include "core/base/waits.h"
#include "io/source/folder.h"
#include "io/source/jpeg_write.h"
#include "io/source/resize.h"

#include <dirent.h>
#include <errno.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define SOURCE_SIZE 8  /* pixels, of the original digits */
#define TARGET_SIZE 32 /* pixels, of the files: the smallest size of ResNets for small images */
#define HELD_OUT_ONE_IN 5

static const char *const digits[] = {
#include "io/source/demo_digits.inc"
};
#define N_DIGITS ((int64_t)(sizeof digits / sizeof digits[0]))

static bool is_held_out(int64_t i)
{
    return i % HELD_OUT_ONE_IN == 0;
}

/* Expand a string of demo_digits.inc to RGB rows with the padding that dt_resize_rows needs; 255 is full
 * ink. */
#define SOURCE_ROW_BYTES (3 * SOURCE_SIZE + DT_ROW_PADDING_BYTES)
static void expand_digit(const char *text, uint8_t rows[SOURCE_SIZE][SOURCE_ROW_BYTES])
{
    memset(rows, 0, (size_t)SOURCE_SIZE * SOURCE_ROW_BYTES);
    int pixel = 0;
    for (const char *c = text + 1; *c; c++) {
        if (*c <= '9') {
            pixel += *c - '0';
            continue;
        }
        int level = *c - 'a' + 1; /* 1 to 16 */
        memset(rows[pixel / SOURCE_SIZE] + 3 * (pixel % SOURCE_SIZE), (level * 255 + 8) / 16, 3);
        pixel++;
    }
}

/* Write the file of one digit. */
static dt_status write_digit(dt_resize *resize, const char *folder, int64_t i, dt_error *err)
{
    uint8_t source[SOURCE_SIZE][SOURCE_ROW_BYTES], *rows[SOURCE_SIZE];
    uint8_t target[TARGET_SIZE * TARGET_SIZE * 3], grey[TARGET_SIZE * TARGET_SIZE];
    expand_digit(digits[i], source);
    for (int row = 0; row < SOURCE_SIZE; row++)
        rows[row] = source[row];
    const dt_resize_span span = {.length = SOURCE_SIZE, .high = SOURCE_SIZE, .full = TARGET_SIZE};
    const dt_resize_view view = {.x = span, .y = span, .n = TARGET_SIZE};
    dt_rect needed;
    DT_TRY(dt_resize_begin(resize, &view, target, &needed, err));
    dt_resize_rows(resize, rows, SOURCE_SIZE);
    for (int k = 0; k < TARGET_SIZE * TARGET_SIZE; k++)
        grey[k] = target[3 * k];
    char *path = dt_strprintf("%s/%s/%c/%04lld.jpg", folder, is_held_out(i) ? "val" : "train", digits[i][0],
                              (long long)i);
    if (!path)
        return dt_fail_memory(err, strlen(folder) + 32, "a path");
    dt_status status = DT_OK;
    if (dt_fault("demo.write")) {
        errno = ENOSPC;
        status = dt_fail_errno(err, "demo data: cannot write %s", path);
    } else {
        status = dt_jpeg_write_grey(path, grey, TARGET_SIZE, TARGET_SIZE, 95, err);
    }
    dt_free(path);
    return status;
}

static dt_status make_folder(const char *path, dt_error *err)
{
    if (mkdir(path, 0777) == 0 || errno == EEXIST)
        return DT_OK;
    return dt_fail_errno(err, "demo data: cannot make folder %s", path);
}

/* Make folder/train/0 to folder/val/9; `folder` exists. */
static dt_status make_class_folders(const char *folder, dt_error *err)
{
    static const char *const splits[] = {"train", "val"};
    for (int split = 0; split < 2; split++)
        for (int digit = -1; digit < 10; digit++) {
            char *path = digit < 0 ? dt_strprintf("%s/%s", folder, splits[split])
                                   : dt_strprintf("%s/%s/%d", folder, splits[split], digit);
            if (!path)
                return dt_fail_memory(err, strlen(folder) + 16, "a path");
            dt_status status = make_folder(path, err);
            dt_free(path);
            DT_TRY(status);
        }
    return DT_OK;
}

static dt_status fill_folder(const char *folder, dt_error *err)
{
    DT_TRY(make_class_folders(folder, err));
    dt_resize *resize = NULL;
    DT_TRY(dt_resize_create(&resize, err));
    dt_status status = DT_OK;
    for (int64_t i = 0; i < N_DIGITS && status == DT_OK; i++) {
        status = dt_waits_check("writing the digits", err);
        if (status == DT_OK)
            status = write_digit(resize, folder, i, err);
    }
    dt_resize_destroy(resize);
    return status;
}

static int remove_entry(const char *path, const struct stat *info, int kind, struct FTW *where)
{
    (void)info;
    (void)kind;
    (void)where;
    return remove(path);
}

static void remove_tree(const char *folder)
{
    nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* Whether dir/split holds `n` files. */
static bool has_samples(const char *dir, const char *split, int64_t n)
{
    dt_folder *folder = NULL;
    if (dt_folder_open(dir, split, NULL, &folder, NULL) != DT_OK)
        return false;
    bool complete = dt_folder_n_samples(folder) == n && dt_folder_n_classes(folder) == 10;
    dt_folder_close(folder);
    return complete;
}

static bool is_complete(const char *dir)
{
    int64_t n_val = (N_DIGITS + HELD_OUT_ONE_IN - 1) / HELD_OUT_ONE_IN;
    return has_samples(dir, "train", N_DIGITS - n_val) && has_samples(dir, "val", n_val);
}

/* Make the folders above `dir`. */
static dt_status make_parents(const char *dir, dt_error *err)
{
    char *path = dt_strdup(dir);
    if (!path)
        return dt_fail_memory(err, strlen(dir) + 1, "a path");
    dt_status status = DT_OK;
    for (char *slash = strchr(path + 1, '/'); slash && status == DT_OK; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        status = make_folder(path, err);
        *slash = '/';
    }
    dt_free(path);
    return status;
}

static dt_status fail_exists(const char *dir, dt_error *err)
{
    return dt_fail(err, DT_ERR_USAGE,
                   "demo data: %s exists and is not the complete demo data: remove it or name another folder",
                   dir);
}

/* Whether rename can give a folder the name `dir`: it does not exist, or is an empty folder. */
static bool is_free(const char *dir)
{
    DIR *open = opendir(dir);
    if (!open)
        return errno == ENOENT;
    const struct dirent *entry = NULL;
    do
        entry = readdir(open);
    while (entry && (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0));
    closedir(open);
    return entry == NULL;
}

/* Give the finished folder its name. If another process did that first, its folder is as good. */
static dt_status publish(const char *unfinished, const char *dir, dt_error *err)
{
    if (rename(unfinished, dir) == 0)
        return DT_OK;
    int cause = errno;
    remove_tree(unfinished);
    if (is_complete(dir))
        return DT_OK;
    if (cause == EEXIST || cause == ENOTEMPTY || cause == ENOTDIR)
        return fail_exists(dir, err);
    errno = cause;
    return dt_fail_errno(err, "demo data: cannot rename %s to %s", unfinished, dir);
}

/* mkdtemp's mode is 0700; that of the folder `train` in it is the one that the umask gives. */
static bool take_mode_of_train(const char *folder)
{
    struct stat st;
    char *train = dt_strprintf("%s/train", folder);
    const bool ok = train && stat(train, &st) == 0 && chmod(folder, st.st_mode & 07777) == 0;
    dt_free(train);
    return ok;
}

/* `dir` without slashes at its end. */
static dt_status write_to(const char *dir, dt_error *err)
{
    if (is_complete(dir))
        return DT_OK;
    DT_TRY(dt_waits_check("reading the digits", err)); /* that ends is_complete, too */
    if (!is_free(dir))
        return is_complete(dir) ? DT_OK : fail_exists(dir, err); /* another process may just have finished */
    DT_TRY(make_parents(dir, err));
    char *unfinished = dt_strprintf("%s.unfinished-XXXXXX", dir);
    if (!unfinished)
        return dt_fail_memory(err, strlen(dir) + 20, "a path");
    dt_status status = DT_OK;
    if (!mkdtemp(unfinished)) {
        status = dt_fail_errno(err, "demo data: cannot make a folder beside %s", dir);
        goto done;
    }
    status = fill_folder(unfinished, err);
    if (status == DT_OK && !take_mode_of_train(unfinished))
        status = dt_fail_errno(err, "demo data: cannot change the mode of %s", unfinished);
    if (status == DT_OK)
        status = publish(unfinished, dir, err);
    else
        remove_tree(unfinished);
done:
    dt_free(unfinished);
    return status;
}

dt_status dt_demo_data_write(const char *dir, dt_error *err)
{
    size_t length = strlen(dir);
    while (length > 1 && dir[length - 1] == '/')
        length--;
    if (length == 0 || (length == 1 && dir[0] == '/'))
        return dt_fail(err, DT_ERR_USAGE, "demo data: '%s' is not the name of a folder to make", dir);
    char *trimmed = dt_strprintf("%.*s", (int)length, dir);
    if (!trimmed)
        return dt_fail_memory(err, length + 1, "a path");
    dt_status status = write_to(trimmed, err);
    dt_free(trimmed);
    return status;
}
