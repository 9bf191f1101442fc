/* folder_shared.c: files that two classes, or the training and the validation images, have in common. */
#include "io/source/folder_internal.h"

#include "core/base/alloc.h"
#include "core/base/file.h"
#include "core/base/waits.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A file, sorted by its inode or by its size. */
typedef struct entry {
    uint64_t key;
    int64_t id;
} entry;

typedef struct search {
    const dt_folder *train, *val;
    bool *is_shared; /* [n_val] */
    entry *by_size;  /* [n_train] */
    int64_t n_candidates, stride;
    dt_folder_shared *shared;
} search;

static void found(search *s, int64_t val, int64_t train)
{
    if (s->is_shared[val])
        return;
    if (s->shared->n++ == 0) {
        dt_folder_path(s->val, val, s->shared->example[0], sizeof s->shared->example[0]);
        dt_folder_path(s->train, train, s->shared->example[1], sizeof s->shared->example[1]);
    }
    s->is_shared[val] = true;
}

/* -- the same inode -------------------------------------------------------------------------------------- */

static int by_key(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    if (x->key != y->key)
        return x->key < y->key ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

/* The first entry with this key or a larger one. */
static int64_t lower_bound(const entry *entries, int64_t n, uint64_t key)
{
    int64_t low = 0, high = n;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (entries[middle].key < key)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* The files of a folder, sorted by inode. The caller frees *entries. */
static dt_status sort_by_inode(const dt_folder *folder, entry **entries, dt_error *err)
{
    const int64_t n = folder->files.n;
    entry *sorted = dt_alloc((size_t)n * sizeof *sorted);
    if (!sorted)
        return dt_fail_memory(err, (size_t)n * sizeof *sorted, "a comparison of files");
    for (int64_t i = 0; i < n; i++)
        sorted[i] = (entry){folder->ids[i].inode, i};
    qsort(sorted, (size_t)n, sizeof *sorted, by_key);
    *entries = sorted;
    return DT_OK;
}

dt_status dt_folder_find_twice(const dt_folder *folder, int64_t *n, char example[2][512], dt_error *err)
{
    entry *entries = NULL;
    *n = 0;
    DT_TRY(sort_by_inode(folder, &entries, err));
    for (int64_t i = 0, next; i < folder->files.n; i = next) {
        for (next = i + 1; next < folder->files.n && entries[next].key == entries[i].key;)
            next++;
        /* by id, so that the last is in the last class */
        if (entries[i].key == 0 ||
            dt_folder_label(folder, entries[i].id) == dt_folder_label(folder, entries[next - 1].id))
            continue;
        if ((*n)++ > 0)
            continue;
        dt_folder_path(folder, entries[i].id, example[0], sizeof example[0]);
        dt_folder_path(folder, entries[next - 1].id, example[1], sizeof example[1]);
    }
    dt_free(entries);
    return DT_OK;
}

static dt_status find_same_inodes(search *s, dt_error *err)
{
    const int64_t n = s->val->files.n;
    entry *entries = NULL;
    DT_TRY(sort_by_inode(s->val, &entries, err));
    for (int64_t t = 0; t < s->train->files.n; t++) {
        const uint64_t inode = s->train->ids[t].inode;
        for (int64_t i = inode ? lower_bound(entries, n, inode) : n; i < n && entries[i].key == inode; i++)
            found(s, entries[i].id, t);
    }
    dt_free(entries);
    return DT_OK;
}

/* -- the same class and content ---------------------------------------------------------------------- */

static bool same_content(const char *a, const char *b)
{
    enum { BLOCK = 16384 };
    int fds[2] = {-1, -1};
    char blocks[2][BLOCK];
    dt_waits_begin("comparing %s with %s", a, b);
    bool same = dt_file_open(a, O_RDONLY, 0, &fds[0], NULL) == DT_OK &&
                dt_file_open(b, O_RDONLY, 0, &fds[1], NULL) == DT_OK;
    while (same) {
        const ssize_t n = read(fds[0], blocks[0], BLOCK), m = read(fds[1], blocks[1], BLOCK);
        same = n >= 0 && n == m && memcmp(blocks[0], blocks[1], (size_t)n) == 0;
        if (n <= 0)
            break;
    }
    for (int i = 0; i < 2; i++)
        if (fds[i] >= 0)
            (void)close(fds[i]);
    dt_waits_end();
    return same;
}

/* Two files with the same class and size. Without a stride, counts them only. */
static void check_candidate(search *s, int64_t val, int64_t train)
{
    char paths[2][4096];
    if (s->is_shared[val])
        return;
    const int64_t number = s->n_candidates++;
    if (s->stride == 0 || number % s->stride != 0)
        return;
    dt_folder_path(s->val, val, paths[0], sizeof paths[0]);
    dt_folder_path(s->train, train, paths[1], sizeof paths[1]);
    if (same_content(paths[0], paths[1]))
        found(s, val, train);
}

/* In the classes a of train and b of val, which have the same name. Names are in byte order in both. */
static void compare_names(search *s, int64_t a, int64_t b)
{
    const dt_folder *t = s->train, *v = s->val;
    for (int64_t i = t->first[a], k = v->first[b]; i < t->first[a + 1] && k < v->first[b + 1];) {
        const int order = strcmp(dt_name_at(&t->files, i), dt_name_at(&v->files, k));
        if (order == 0 && t->ids[i].bytes == v->ids[k].bytes && t->ids[i].bytes > 0)
            check_candidate(s, k, i);
        i += order <= 0;
        k += order >= 0;
    }
}

/* Where all files have one size, the pairs are too many to count. */
#define MAX_CANDIDATES 10000000

/* The same for files of one size, whatever their names. by_size holds train's files, sorted by it. */
static void compare_sizes(search *s, int64_t a, int64_t b)
{
    const dt_folder *t = s->train, *v = s->val;
    const int64_t begin = t->first[a], n = t->first[a + 1] - begin;
    for (int64_t k = v->first[b]; k < v->first[b + 1]; k++) {
        const uint64_t bytes = (uint64_t)v->ids[k].bytes;
        for (int64_t i = bytes ? lower_bound(s->by_size + begin, n, bytes) : n;
             i < n && s->by_size[begin + i].key == bytes && s->n_candidates < MAX_CANDIDATES; i++)
            check_candidate(s, k, s->by_size[begin + i].id);
    }
}

/* Calls `compare` for each class that both have; they are in byte order. */
static void compare_classes(search *s, void (*compare)(search *s, int64_t a, int64_t b))
{
    const dt_folder *t = s->train, *v = s->val;
    s->n_candidates = 0;
    for (int64_t a = 0, b = 0; a < t->classes.n && b < v->classes.n;) {
        const int order = strcmp(dt_name_at(&t->classes, a), dt_name_at(&v->classes, b));
        if (order == 0)
            compare(s, a, b);
        a += order <= 0;
        b += order >= 0;
    }
}

/* Count the candidates, then read DT_FOLDER_SHARED_READS of them at most, evenly. */
static void find_same_content(search *s, void (*compare)(search *s, int64_t a, int64_t b))
{
    const int64_t n_before = s->shared->n;
    s->stride = 0;
    compare_classes(s, compare);
    s->stride = (s->n_candidates + DT_FOLDER_SHARED_READS - 1) / DT_FOLDER_SHARED_READS;
    if (s->stride > 0)
        compare_classes(s, compare);
    s->shared->at_least |= s->stride > 1 && s->shared->n > n_before;
}

/* s->by_size: the files of each class of train, sorted by size. */
static dt_status sort_by_size(search *s, dt_error *err)
{
    const dt_folder *t = s->train;
    s->by_size = dt_alloc((size_t)t->files.n * sizeof *s->by_size);
    if (!s->by_size)
        return dt_fail_memory(err, (size_t)t->files.n * sizeof *s->by_size, "a comparison of train and val");
    for (int64_t i = 0; i < t->files.n; i++)
        s->by_size[i] = (entry){(uint64_t)t->ids[i].bytes, i};
    for (int64_t a = 0; a < t->classes.n; a++)
        qsort(s->by_size + t->first[a], (size_t)(t->first[a + 1] - t->first[a]), sizeof *s->by_size, by_key);
    return DT_OK;
}

dt_status dt_folder_find_shared(const dt_folder *train, const dt_folder *val, dt_folder_shared *shared,
                                dt_error *err)
{
    *shared = (dt_folder_shared){0};
    search s = {.train = train, .val = val, .shared = shared};
    s.is_shared = dt_calloc((size_t)val->files.n, sizeof *s.is_shared);
    if (!s.is_shared)
        return dt_fail_memory(err, (size_t)val->files.n, "a comparison of train and val");
    dt_status status = find_same_inodes(&s, err);
    if (status == DT_OK)
        status = sort_by_size(&s, err);
    if (status == DT_OK) {
        find_same_content(&s, compare_names);
        find_same_content(&s, compare_sizes);
    }
    dt_free(s.by_size);
    dt_free(s.is_shared);
    return status;
}
