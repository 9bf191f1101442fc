/* folder.c: see folder.h. */
#define _GNU_SOURCE /* qsort_r */
#include "io/source/folder_internal.h"

#include "core/base/alloc.h"
#include "core/base/waits.h"

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <xxhash.h>

static const char layout[] =
    "expected: DIR/train/<class>/<file>.jpg and DIR/val/<class>/<file>.jpg (--data DIR)";

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

static dt_status append_name(dt_names *list, const char *name, dt_error *err)
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
static void sort_names(dt_names *list, int64_t begin)
{
    if (list->n > begin)
        qsort_r(list->at + begin, (size_t)(list->n - begin), sizeof *list->at, by_bytes, list->text);
}

static void clear_names(dt_names *list)
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
    dt_free(folder->labels);
    dt_free(folder->ids);
    dt_free(folder->root);
    dt_free(folder);
}

/* Not tolower, which depends on the locale. */
static int lower(char c)
{
    return c >= 'A' && c <= 'Z' ? c - 'A' + 'a' : c;
}

static bool ends_with(const char *name, const char *ending)
{
    size_t length = strlen(name), n = strlen(ending);
    if (length <= n)
        return false;
    for (size_t i = 0; i < n; i++)
        if (lower(name[length - n + i]) != ending[i])
            return false;
    return true;
}

static bool is_jpeg_name(const char *name)
{
    return ends_with(name, ".jpg") || ends_with(name, ".jpeg") || ends_with(name, ".jpe") ||
           ends_with(name, ".jfif");
}

/* Attributes of an entry. *there false: a link without a target, or an entry that has just been removed. */
static dt_status read_attributes(DIR *dir, const char *path, const char *name, struct stat *info, bool *there,
                                 dt_error *err)
{
    *info = (struct stat){0};
    *there = fstatat(dirfd(dir), name, info, 0) == 0;
    if (*there || errno == ENOENT || errno == ELOOP)
        return DT_OK;
    return dt_fail_errno(err, "data: cannot read the attributes of %s/%s", path, name);
}

/* Append the names in the open folder `dir` that are not hidden, sorted. */
static dt_status list_folder(DIR *dir, const char *path, dt_names *list, dt_left_out *left_out, dt_error *err)
{
    int64_t begin = list->n;
    for (;;) {
        errno = 0;
        const struct dirent *entry = readdir(dir);
        if (!entry && errno != 0)
            return dt_fail_errno(err, "data: cannot read folder %s", path);
        if (!entry)
            break;
        DT_TRY(dt_waits_check("listing the images", err));
        const char *name = entry->d_name;
        if (name[0] != '.')
            DT_TRY(append_name(list, name, err));
        else if (strcmp(name, ".") != 0 && strcmp(name, "..") != 0)
            dt_left_out_add(left_out, DT_LEFT_OUT_HIDDEN, name);
    }
    sort_names(list, begin);
    return DT_OK;
}

/* Decide whether an entry of a class is a sample. A link without a target is one, if its name is an
 * image's: a broken file. */
static bool is_sample(const char *name, const struct stat *info, bool there, dt_left_out *left_out)
{
    if (there && S_ISDIR(info->st_mode))
        dt_left_out_add(left_out, DT_LEFT_OUT_FOLDER, name);
    else if (!is_jpeg_name(name))
        dt_left_out_add(left_out, DT_LEFT_OUT_FILE, name);
    else if (there && !S_ISREG(info->st_mode))
        dt_left_out_add(left_out, DT_LEFT_OUT_SPECIAL, name);
    else
        return true;
    return false;
}

static dt_status set_id(dt_folder *folder, int64_t file, const struct stat *info, bool there, dt_error *err)
{
    if (file >= folder->ids_capacity) {
        size_t capacity = (size_t)folder->ids_capacity;
        dt_file_id *ids = grown(folder->ids, &capacity, (size_t)file + 1, sizeof *ids);
        if (!ids)
            return dt_fail_memory(err, (size_t)(file + 1) * sizeof *ids, "the list of files");
        folder->ids = ids;
        folder->ids_capacity = (int64_t)capacity;
    }
    const uint64_t where[2] = {(uint64_t)info->st_dev, (uint64_t)info->st_ino};
    folder->ids[file] =
        (dt_file_id){there ? XXH3_64bits(where, sizeof where) | 1 : 0, (int64_t)info->st_size};
    return DT_OK;
}

/* Of the names from `begin` on, keep those of samples, and add their names and sizes to the fingerprint. */
static dt_status keep_samples(dt_folder *folder, DIR *dir, const char *path, int64_t begin,
                              dt_left_out *left_out, XXH3_state_t *hash, dt_error *err)
{
    dt_names *files = &folder->files;
    int64_t kept = begin;
    for (int64_t i = begin; i < files->n; i++) {
        const char *name = dt_name_at(files, i);
        struct stat info;
        bool there;
        DT_TRY(dt_waits_check("listing the images", err));
        DT_TRY(read_attributes(dir, path, name, &info, &there, err));
        if (!is_sample(name, &info, there, left_out))
            continue;
        DT_TRY(set_id(folder, kept, &info, there, err));
        int64_t bytes = info.st_size;
        files->at[kept++] = files->at[i];
        XXH3_64bits_update(hash, name, strlen(name) + 1);
        XXH3_64bits_update(hash, &bytes, sizeof bytes);
    }
    files->n = kept;
    return DT_OK;
}

static dt_status fail_empty(const char *path, const dt_left_out *left_out, dt_error *err)
{
    char text[DT_LEFT_OUT_TEXT_BYTES];
    dt_left_out_text(left_out, text, sizeof text);
    return dt_fail(
        err, DT_ERR_USAGE,
        "data: class folder %s holds no JPEG file (.jpg, .jpeg, .jpe, .jfif)%s%s: fill it, or remove the "
        "class from train and val",
        path, text[0] ? "; it holds " : "", text);
}

/* Append the files of one class, and add their names and sizes to the fingerprint. */
static dt_status list_class(dt_folder *folder, int64_t class_index, XXH3_state_t *hash, dt_error *err)
{
    const char *class_name = dt_name_at(&folder->classes, class_index);
    char *path = dt_strprintf("%s/%s", folder->root, class_name);
    if (!path)
        return dt_fail_memory(err, strlen(folder->root) + strlen(class_name) + 2, "a path");
    int64_t begin = folder->files.n;
    dt_left_out left_out = {0};
    folder->first[class_index] = begin;
    dt_waits_begin("listing the images in %s", path);
    DIR *dir = opendir(path);
    dt_status status = dir ? list_folder(dir, path, &folder->files, &left_out, err)
                           : dt_fail_errno(err, "data: cannot open folder %s", path);
    XXH3_64bits_update(hash, class_name, strlen(class_name) + 1);
    if (status == DT_OK)
        status = keep_samples(folder, dir, path, begin, &left_out, hash, err);
    if (status == DT_OK && folder->files.n == begin)
        status = fail_empty(path, &left_out, err);
    dt_left_out_merge(&folder->left_out, &left_out, class_name);
    if (dir)
        closedir(dir);
    dt_waits_end();
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

/* Of the names in ROOT/SPLIT, keep those of folders. */
static dt_status keep_folders(dt_folder *folder, DIR *dir, dt_error *err)
{
    dt_names *classes = &folder->classes;
    int64_t kept = 0;
    for (int64_t i = 0; i < classes->n; i++) {
        const char *name = dt_name_at(classes, i);
        struct stat info;
        bool there;
        DT_TRY(read_attributes(dir, folder->root, name, &info, &there, err));
        if (!there)
            dt_left_out_add(&folder->left_out, DT_LEFT_OUT_BROKEN_LINK, name);
        else if (!S_ISDIR(info.st_mode))
            dt_left_out_add(&folder->left_out, DT_LEFT_OUT_BESIDE, name);
        else
            classes->at[kept++] = classes->at[i];
    }
    classes->n = kept;
    return DT_OK;
}

static dt_status list_classes(dt_folder *folder, const char *root, dt_error *err)
{
    char text[DT_LEFT_OUT_TEXT_BYTES];
    DIR *dir = opendir(root);
    if (!dir)
        return fail_open(root, err);
    closedir(dir);
    dir = opendir(folder->root);
    if (!dir)
        return fail_open(folder->root, err);
    dt_status status = list_folder(dir, folder->root, &folder->classes, &folder->left_out, err);
    if (status == DT_OK)
        status = keep_folders(folder, dir, err);
    closedir(dir);
    if (status != DT_OK || folder->classes.n > 0)
        return status;
    dt_left_out_text(&folder->left_out, text, sizeof text);
    return dt_fail(err, DT_ERR_USAGE, "data: %s has no class folders%s%s; %s", folder->root,
                   text[0] ? ", but " : "", text, layout);
}

/* Check that two splits have the same classes. Both lists are sorted. */
static dt_status compare_classes(const dt_folder *folder, const dt_folder *like, dt_error *err)
{
    const dt_names *mine = &folder->classes, *other = &like->classes;
    for (int64_t i = 0; i < mine->n || i < other->n; i++) {
        int order = i >= mine->n ? 1 : i >= other->n ? -1 : strcmp(dt_name_at(mine, i), dt_name_at(other, i));
        if (order == 0)
            continue;
        const dt_folder *has = order < 0 ? folder : like, *lacks = order < 0 ? like : folder;
        return dt_fail(err, DT_ERR_USAGE,
                       "data: class '%s' is in %s but not in %s: both must have the same classes",
                       dt_name_at(&has->classes, i), has->root, lacks->root);
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
    folder->labels = dt_calloc(n, sizeof *folder->labels);
    if (!folder->first || !folder->labels) {
        status = dt_fail_memory(err, n * sizeof *folder->first, "the classes");
        goto fail;
    }
    for (int64_t i = 0; i < folder->classes.n; i++)
        folder->labels[i] = (int32_t)i;
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

const char *dt_folder_class_name(const dt_folder *folder, int64_t label)
{
    for (int64_t i = 0; i < folder->classes.n; i++)
        if (folder->labels[i] == label)
            return dt_name_at(&folder->classes, i);
    return NULL;
}

void dt_folder_set_labels(dt_folder *folder, const int32_t *labels)
{
    for (int64_t i = 0; i < folder->classes.n; i++)
        folder->labels[i] = labels[folder->labels[i]];
}

static int by_letters(const void *a, const void *b)
{
    const char *x = *(const char *const *)a, *y = *(const char *const *)b;
    while (*x && lower(*x) == lower(*y))
        x++, y++;
    return lower(*x) - lower(*y);
}

bool dt_folder_find_similar_classes(const dt_folder *folder, char first[DT_SIMILAR_BYTES],
                                    char second[DT_SIMILAR_BYTES])
{
    const int64_t n = folder->classes.n;
    const char **names = dt_calloc((size_t)n + 1, sizeof *names);
    bool is = false;
    if (!names)
        return false; /* there is no memory for a hint */
    for (int64_t i = 0; i < n; i++)
        names[i] = dt_name_at(&folder->classes, i);
    qsort(names, (size_t)n, sizeof *names, by_letters);
    for (int64_t i = 0; i + 1 < n && !is; i++) {
        is = by_letters(&names[i], &names[i + 1]) == 0;
        snprintf(first, DT_SIMILAR_BYTES, "%s", names[i]);
        snprintf(second, DT_SIMILAR_BYTES, "%s", names[i + 1]);
    }
    dt_free(names);
    return is;
}

uint64_t dt_folder_fingerprint(const dt_folder *folder)
{
    return folder->fingerprint;
}

const dt_left_out *dt_folder_left_out(const dt_folder *folder)
{
    return &folder->left_out;
}

/* The class of a sample, in byte order. */
static int64_t class_of(const dt_folder *folder, int64_t id)
{
    int64_t low = 0, high = folder->classes.n; /* first[low] <= id < first[high] */
    while (high - low > 1) {
        int64_t middle = low + (high - low) / 2;
        if (folder->first[middle] <= id)
            low = middle;
        else
            high = middle;
    }
    return low;
}

int32_t dt_folder_label(const dt_folder *folder, int64_t id)
{
    return folder->labels[class_of(folder, id)];
}

void dt_folder_path(const dt_folder *folder, int64_t id, char *out, size_t out_bytes)
{
    snprintf(out, out_bytes, "%s/%s/%s", folder->root, dt_name_at(&folder->classes, class_of(folder, id)),
             dt_name_at(&folder->files, id));
}
