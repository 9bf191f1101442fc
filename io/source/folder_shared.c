/* folder_shared.c: files that the training and the validation images have in common. */
#include "io/source/folder_internal.h"

#include "core/base/alloc.h"
#include "core/base/file.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

typedef struct search {
    const dt_folder *train, *val;
    bool *is_shared; /* [n_val] */
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

typedef struct entry {
    uint64_t inode;
    int64_t id;
} entry;

static int by_inode(const void *a, const void *b)
{
    const entry *x = a, *y = b;
    if (x->inode != y->inode)
        return x->inode < y->inode ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

/* The first entry with this inode or a larger one. */
static int64_t lower_bound(const entry *entries, int64_t n, uint64_t inode)
{
    int64_t low = 0, high = n;
    while (low < high) {
        int64_t middle = low + (high - low) / 2;
        if (entries[middle].inode < inode)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static dt_status find_same_inodes(search *s, dt_error *err)
{
    const int64_t n = s->val->files.n;
    entry *entries = dt_alloc((size_t)n * sizeof *entries);
    if (!entries)
        return dt_fail_memory(err, (size_t)n * sizeof *entries, "a comparison of train and val");
    for (int64_t i = 0; i < n; i++)
        entries[i] = (entry){s->val->ids[i].inode, i};
    qsort(entries, (size_t)n, sizeof *entries, by_inode);
    for (int64_t t = 0; t < s->train->files.n; t++) {
        const uint64_t inode = s->train->ids[t].inode;
        for (int64_t i = inode ? lower_bound(entries, n, inode) : n; i < n && entries[i].inode == inode; i++)
            found(s, entries[i].id, t);
    }
    dt_free(entries);
    return DT_OK;
}

/* -- the same class, name and content ---------------------------------------------------------------------- */

static bool same_content(const char *a, const char *b)
{
    enum { BLOCK = 16384 };
    int fds[2] = {-1, -1};
    char blocks[2][BLOCK];
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
    return same;
}

/* Two files with the same class, name and size. Without a stride, counts them only. */
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

/* Names are in byte order in both. */
static void check_candidates(search *s)
{
    const dt_folder *t = s->train, *v = s->val;
    s->n_candidates = 0;
    for (int64_t a = 0, b = 0; a < t->classes.n && b < v->classes.n;) {
        const int class_order = strcmp(dt_name_at(&t->classes, a), dt_name_at(&v->classes, b));
        for (int64_t i = t->first[a], k = v->first[b];
             class_order == 0 && i < t->first[a + 1] && k < v->first[b + 1];) {
            const int order = strcmp(dt_name_at(&t->files, i), dt_name_at(&v->files, k));
            if (order == 0 && t->ids[i].bytes == v->ids[k].bytes && t->ids[i].bytes > 0)
                check_candidate(s, k, i);
            i += order <= 0;
            k += order >= 0;
        }
        a += class_order <= 0;
        b += class_order >= 0;
    }
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
    if (status == DT_OK) {
        check_candidates(&s);
        const int64_t n_before = shared->n;
        s.stride = (s.n_candidates + DT_FOLDER_SHARED_READS - 1) / DT_FOLDER_SHARED_READS;
        if (s.stride > 0)
            check_candidates(&s);
        shared->at_least = s.stride > 1 && shared->n > n_before;
    }
    dt_free(s.is_shared);
    return status;
}
