/* folder.c: see folder.h. */
#define _GNU_SOURCE /* qsort_r */
#include "io/source/folder.h"

#include "core/base/alloc.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

/* Names, each with its zero byte, in one text; at[i] is the offset of name i. */
typedef struct names {
    char *text;
    size_t text_bytes, text_capacity;
    int64_t *at;
    int64_t n, capacity;
} names;

struct dt_folder {
    char *root; /* ROOT/SPLIT */
    names classes, files;
    int64_t *first; /* [n_classes + 1] id of each class's first file, and n_samples */
    uint64_t fingerprint;
};

static const char layout[] =
    "expected: DIR/train/<class>/<file>.jpg and DIR/val/<class>/<file>.jpg (--data DIR)";

static const char *name_at(const names *list, int64_t i)
{
    return list->text + list->at[i];
}

static void *grown(void *p, size_t *capacity, size_t needed, size_t unit)
{
    size_t more = *capacity < 1024 ? 1024 : 2 * *capacity;
    while (more < needed)
        more *= 2;
    p = dt_realloc(p, *capacity * unit, more * unit);
    if (p)
        *capacity = more;
    return p;
}

static dt_status append_name(names *list, const char *name, dt_error *err)
{
    size_t bytes = strlen(name) + 1;
    if (list->text_bytes + bytes > list->text_capacity) {
        char *text = grown(list->text, &list->text_capacity, list->text_bytes + bytes, 1);
        if (!text)
            return dt_fail_memory(err, list->text_bytes + bytes, "the names of files");
        list->text = text;
    }
    if (list->n == list->capacity) {
        size_t capacity = (size_t)list->capacity;
        int64_t *at = grown(list->at, &capacity, (size_t)list->n + 1, sizeof *at);
        if (!at)
            return dt_fail_memory(err, (size_t)(list->n + 1) * sizeof *at, "the names of files");
        list->at = at;
        list->capacity = (int64_t)capacity;
    }
    memcpy(list->text + list->text_bytes, name, bytes);
    list->at[list->n++] = (int64_t)list->text_bytes;
    list->text_bytes += bytes;
    return DT_OK;
}

static int by_bytes(const void *a, const void *b, void *text)
{
    const int64_t *first = a, *second = b;
    return strcmp((const char *)text + *first, (const char *)text + *second);
}

/* Sort the names from `begin` on. */
static void sort_names(names *list, int64_t begin)
{
    if (list->n > begin)
        qsort_r(list->at + begin, (size_t)(list->n - begin), sizeof *list->at, by_bytes, list->text);
}

static void clear_names(names *list)
{
    dt_free(list->text);
    dt_free(list->at);
}

void dt_folder_close(dt_folder *folder)
{
    if (!folder)
        return;
    clear_names(&folder->classes);
    clear_names(&folder->files);
    dt_free(folder->first);
    dt_free(folder->root);
    dt_free(folder);
}

static bool is_jpeg_name(const char *name)
{
    static const char *const endings[] = {".jpg", ".jpeg", ".JPG", ".JPEG"};
    size_t length = strlen(name);
    for (size_t i = 0; i < sizeof endings / sizeof endings[0]; i++) {
        size_t n = strlen(endings[i]);
        if (length > n && strcmp(name + length - n, endings[i]) == 0)
            return true;
    }
    return false;
}

static bool is_subfolder(DIR *dir, const char *name)
{
    struct stat info;
    return fstatat(dirfd(dir), name, &info, 0) == 0 && S_ISDIR(info.st_mode);
}

/* Decides by the name only. list_class drops folders with such names. A dangling link stays in the list: it
 * is a broken file. */
static bool is_candidate(DIR *dir, const char *name)
{
    (void)dir;
    return is_jpeg_name(name);
}

/* Append the names in the open folder `dir` that are `wanted` and not hidden, sorted. */
static dt_status list_folder(DIR *dir, const char *path, bool (*wanted)(DIR *dir, const char *name),
                             names *list, dt_error *err)
{
    int64_t begin = list->n;
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (!entry && errno != 0)
            return dt_fail_errno(err, "data: cannot read folder %s", path);
        if (!entry)
            break;
        if (entry->d_name[0] != '.' && wanted(dir, entry->d_name))
            DT_TRY(append_name(list, entry->d_name, err));
    }
    sort_names(list, begin);
    return DT_OK;
}

/* Append the files of one class, and add their names and sizes to the fingerprint. */
static dt_status list_class(dt_folder *folder, int64_t class_index, XXH3_state_t *hash, dt_error *err)
{
    const char *class_name = name_at(&folder->classes, class_index);
    char *path = dt_strprintf("%s/%s", folder->root, class_name);
    if (!path)
        return dt_fail_memory(err, strlen(folder->root) + strlen(class_name) + 2, "a path");
    names *files = &folder->files;
    int64_t begin = files->n, kept = begin;
    folder->first[class_index] = begin;
    DIR *dir = opendir(path);
    dt_status status = dir ? list_folder(dir, path, is_candidate, files, err)
                           : dt_fail_errno(err, "data: cannot open folder %s", path);
    if (status != DT_OK)
        goto done;
    XXH3_64bits_update(hash, class_name, strlen(class_name) + 1);
    for (int64_t i = begin; i < files->n; i++) {
        struct stat info = {0};
        if (fstatat(dirfd(dir), name_at(files, i), &info, 0) == 0 && S_ISDIR(info.st_mode))
            continue;
        int64_t bytes = info.st_size;
        files->at[kept++] = files->at[i];
        XXH3_64bits_update(hash, name_at(files, i), strlen(name_at(files, i)) + 1);
        XXH3_64bits_update(hash, &bytes, sizeof bytes);
    }
    files->n = kept;
    if (kept == begin)
        status = dt_fail(
            err, DT_ERR_USAGE,
            "data: class folder %s holds no .jpg, .jpeg, .JPG or .JPEG file: remove it or fill it", path);
done:
    if (dir)
        closedir(dir);
    dt_free(path);
    return status;
}

static dt_status list_files(dt_folder *folder, dt_error *err)
{
    XXH3_state_t *hash = XXH3_createState();
    if (!hash || XXH3_64bits_reset(hash) != XXH_OK) {
        XXH3_freeState(hash);
        return dt_fail(err, DT_ERR_MEMORY, "out of memory for the fingerprint of %s", folder->root);
    }
    dt_status status = DT_OK;
    for (int64_t i = 0; i < folder->classes.n && status == DT_OK; i++)
        status = list_class(folder, i, hash, err);
    if (status == DT_OK) {
        folder->first[folder->classes.n] = folder->files.n;
        folder->fingerprint = XXH3_64bits_digest(hash);
    }
    XXH3_freeState(hash);
    return status;
}

/* The error for a folder that cannot be opened: `path` is ROOT or ROOT/SPLIT. */
static dt_status fail_open(const char *path, dt_error *err)
{
    if (errno == ENOENT)
        return dt_fail(err, DT_ERR_USAGE, "data: there is no folder %s; %s", path, layout);
    if (errno == ENOTDIR)
        return dt_fail(err, DT_ERR_USAGE, "data: %s is not a folder; %s", path, layout);
    return dt_fail_errno(err, "data: cannot open folder %s", path);
}

static dt_status list_classes(dt_folder *folder, const char *root, dt_error *err)
{
    DIR *dir = opendir(root);
    if (!dir)
        return fail_open(root, err);
    closedir(dir);
    dir = opendir(folder->root);
    if (!dir)
        return fail_open(folder->root, err);
    dt_status status = list_folder(dir, folder->root, is_subfolder, &folder->classes, err);
    closedir(dir);
    if (status == DT_OK && folder->classes.n == 0)
        return dt_fail(err, DT_ERR_USAGE, "data: %s has no class folders; %s", folder->root, layout);
    return status;
}

/* Check that two splits have the same classes. Both lists are sorted. */
static dt_status compare_classes(const dt_folder *folder, const dt_folder *like, dt_error *err)
{
    const names *mine = &folder->classes, *other = &like->classes;
    for (int64_t i = 0; i < mine->n || i < other->n; i++) {
        int order = i >= mine->n ? 1 : i >= other->n ? -1 : strcmp(name_at(mine, i), name_at(other, i));
        if (order == 0)
            continue;
        const dt_folder *has = order < 0 ? folder : like, *lacks = order < 0 ? like : folder;
        return dt_fail(err, DT_ERR_USAGE,
                       "data: class '%s' is in %s but not in %s: both must have the same classes",
                       name_at(&has->classes, i), has->root, lacks->root);
    }
    return DT_OK;
}

dt_status dt_folder_open_classes(const char *root, const char *split, dt_folder **folder_out, dt_error *err)
{
    dt_folder *folder = dt_calloc(1, sizeof *folder);
    if (!folder)
        return dt_fail_memory(err, sizeof *folder, "the data folder");
    dt_status status = DT_OK;
    folder->root = dt_strprintf("%s/%s", root, split);
    if (!folder->root) {
        status = dt_fail_memory(err, strlen(root) + strlen(split) + 2, "a path");
        goto fail;
    }
    DT_TRY_OR_FAIL(status, list_classes(folder, root, err));
    size_t n = (size_t)folder->classes.n + 1;
    folder->first = dt_calloc(n, sizeof *folder->first);
    if (!folder->first) {
        status = dt_fail_memory(err, n * sizeof *folder->first, "the classes");
        goto fail;
    }
    *folder_out = folder;
    return DT_OK;
fail:
    dt_folder_close(folder);
    return status;
}

dt_status dt_folder_open(const char *root, const char *split, const dt_folder *like, dt_folder **folder_out,
                         dt_error *err)
{
    dt_folder *folder = NULL;
    DT_TRY(dt_folder_open_classes(root, split, &folder, err));
    dt_status status = like ? compare_classes(folder, like, err) : DT_OK;
    if (status == DT_OK)
        status = list_files(folder, err);
    if (status != DT_OK) {
        dt_folder_close(folder);
        return status;
    }
    *folder_out = folder;
    return DT_OK;
}

int64_t dt_folder_n_samples(const dt_folder *folder)
{
    return folder->files.n;
}

int64_t dt_folder_n_classes(const dt_folder *folder)
{
    return folder->classes.n;
}

const char *dt_folder_class_name(const dt_folder *folder, int64_t class_index)
{
    return class_index >= 0 && class_index < folder->classes.n ? name_at(&folder->classes, class_index)
                                                               : NULL;
}

uint64_t dt_folder_fingerprint(const dt_folder *folder)
{
    return folder->fingerprint;
}

int32_t dt_folder_label(const dt_folder *folder, int64_t id)
{
    int64_t low = 0, high = folder->classes.n; /* first[low] <= id < first[high] */
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        if (folder->first[middle] <= id)
            low = middle;
        else
            high = middle;
    }
    return (int32_t)low;
}

void dt_folder_path(const dt_folder *folder, int64_t id, char *out, size_t out_bytes)
{
    snprintf(out, out_bytes, "%s/%s/%s", folder->root, name_at(&folder->classes, dt_folder_label(folder, id)),
             name_at(&folder->files, id));
}
