#include "io/store/manifest_check.h"

#include "core/base/alloc.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static int by_name(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* A comparison for bsearch: is the name the first `bytes` of a path? */
typedef struct prefix {
    const char *path;
    size_t bytes;
} prefix;

static int compare_prefix(const void *key, const void *element)
{
    const prefix *p = key;
    const char *name = *(const char *const *)element;
    const int order = strncmp(p->path, name, p->bytes);
    return order ? order : name[p->bytes] ? -1 : 0;
}

/* Whether each part of "a/b/c" has a name that HDF5 takes as it is. */
static bool is_path(const char *name)
{
    for (;;) {
        const size_t bytes = strcspn(name, "/");
        if (bytes == 0 || (bytes == 1 && name[0] == '.') || (bytes == 2 && strncmp(name, "..", 2) == 0))
            return false;
        if (!name[bytes])
            return true;
        name += bytes + 1;
    }
}

static dt_status check_name(const char *name, const char *const *sorted, size_t n, dt_error *err)
{
    if (!is_path(name))
        return dt_fail(err, DT_ERR_FORMAT, "tensors: \"%s\" is not a tensor's name", name);
    for (const char *slash = strchr(name, '/'); slash; slash = strchr(slash + 1, '/')) {
        const prefix p = {name, (size_t)(slash - name)};
        if (bsearch(&p, sorted, n, sizeof *sorted, compare_prefix))
            return dt_fail(err, DT_ERR_FORMAT, "tensors: \"%s\" is inside another tensor", name);
    }
    return DT_OK;
}

static dt_status check_tensors(const dt_manifest *m, dt_error *err)
{
    const size_t n = (size_t)m->n_tensors;
    const char **sorted = dt_alloc((n ? n : 1) * sizeof *sorted);
    if (!sorted)
        return dt_fail_memory(err, n * sizeof *sorted, "a manifest");
    for (size_t i = 0; i < n; i++)
        sorted[i] = m->tensors[i].name;
    qsort(sorted, n, sizeof *sorted, by_name);
    dt_status status = DT_OK;
    for (size_t i = 0; i < n && status == DT_OK; i++)
        status = i > 0 && strcmp(sorted[i], sorted[i - 1]) == 0
                     ? dt_fail(err, DT_ERR_FORMAT, "tensors: \"%s\" is there twice", sorted[i])
                     : check_name(sorted[i], sorted, n, err);
    dt_free(sorted);
    return status;
}

dt_status dt_manifest_check(const dt_manifest *m, dt_error *err)
{
    if (m->n_tensors == 0 || m->n_shards == 0)
        return dt_fail(err, DT_ERR_FORMAT, "%s: there are none", m->n_tensors == 0 ? "tensors" : "shards");
    for (int64_t i = 0; i < m->n_shards; i++)
        if (m->shards[i].n_elems > m->shards[i].bytes / (int64_t)sizeof(float))
            return dt_fail(err, DT_ERR_FORMAT, "shards[%lld]: %lld bytes are too few for %lld elements",
                           (long long)i, (long long)m->shards[i].bytes, (long long)m->shards[i].n_elems);
    return check_tensors(m, err);
}
