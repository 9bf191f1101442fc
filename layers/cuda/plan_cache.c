#include "layers/cuda/plan_cache.h"

#include "core/base/alloc.h"
#include "core/base/fault.h"
#include "core/base/file.h"
#include "core/base/log.h"

#include <ctype.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#define FORMAT "dtrain plans 1 "
/* A network has some hundred plans, of lines of some hundred bytes. */
#define MAX_LINES 20000
#define MAX_BYTES (16 << 20)

typedef struct entry {
    char *key;
    dt_plan_choice choice;
} entry;

struct dt_plan_cache {
    char *path, *identity;
    entry *entries;
    int64_t n, capacity;
    bool warned; /* whether the warning that the file cannot be written is out */
};

/* -- memory ---------------------------------------------------------------------------------------------- */

void dt_plan_cache_close(dt_plan_cache *cache)
{
    if (!cache)
        return;
    for (int64_t i = 0; i < cache->n; i++)
        dt_free(cache->entries[i].key);
    dt_free(cache->entries);
    dt_free(cache->path);
    dt_free(cache->identity);
    dt_free(cache);
}

static entry *find(const dt_plan_cache *cache, const char *key)
{
    for (int64_t i = 0; i < cache->n; i++)
        if (strcmp(cache->entries[i].key, key) == 0)
            return &cache->entries[i];
    return NULL;
}

const dt_plan_choice *dt_plan_cache_find(const dt_plan_cache *cache, const char *key)
{
    const entry *e = find(cache, key);
    return e ? &e->choice : NULL;
}

dt_status dt_plan_cache_put(dt_plan_cache *cache, const char *key, const dt_plan_choice *choice,
                            dt_error *err)
{
    entry *e = find(cache, key);
    if (!e && cache->n == cache->capacity) {
        int64_t wanted = cache->capacity ? 2 * cache->capacity : 64;
        entry *grown = dt_realloc(cache->entries, (size_t)cache->capacity * sizeof *grown,
                                  (size_t)wanted * sizeof *grown);
        if (!grown)
            return dt_fail_memory(err, (size_t)wanted * sizeof *grown, "the plan cache");
        cache->entries = grown;
        cache->capacity = wanted;
    }
    if (!e) {
        char *copy = dt_strdup(key);
        if (!copy)
            return dt_fail_memory(err, strlen(key) + 1, "the plan cache");
        e = &cache->entries[cache->n++];
        e->key = copy;
    }
    e->choice = *choice;
    e->choice.from_cache = false;
    return DT_OK;
}

/* -- the file -------------------------------------------------------------------------------------------- */

void dt_plan_cache_identity(const dt_device_info *gpu, const char *library, char *identity,
                            size_t identity_bytes)
{
    /* before the first comma: the model, without the GPU's number; the driver, without the runtime */
    snprintf(identity, identity_bytes, "%.*s, %.*s, %s", (int)strcspn(gpu->name, ","), gpu->name,
             (int)strcspn(gpu->driver, ","), gpu->driver, library);
}

void dt_plan_cache_path(const char *identity, char *path, size_t path_bytes)
{
    const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int n = 0;
    path[0] = '\0';
    if (xdg && xdg[0] == '/') /* a relative one is to be ignored: XDG Base Directory Specification */
        n = snprintf(path, path_bytes, "%s/dtrain/plans-", xdg);
    else if (home && home[0])
        n = snprintf(path, path_bytes, "%s/.cache/dtrain/plans-", home);
    if (n == 0)
        return;
    size_t used = (size_t)n;
    for (const char *c = identity; *c && used + 5 < path_bytes; c++)
        path[used++] = isalnum((unsigned char)*c) || *c == '.' ? *c : '-';
    if (used + 5 < path_bytes)
        memcpy(path + used, ".txt", 5);
    else
        path[0] = '\0';
}

/* FNV-1a, 32 bits: enough to detect a damaged line. */
static unsigned checksum(const char *text)
{
    unsigned hash = 2166136261U;
    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 16777619U;
    return hash;
}

/* Parse "CHECKSUM KEY ENGINE WORKSPACE MS CANDIDATES" into the cache, unless it has the key. */
static dt_status read_line(dt_plan_cache *cache, char *line, bool *damaged, dt_error *err)
{
    char *rest, *key, *end;
    dt_plan_choice choice = {0};
    unsigned long expected = strtoul(line, &rest, 16);
    *damaged = true;
    if (rest != line + 8 || *rest != ' ' || checksum(rest + 1) != expected)
        return DT_OK;
    key = rest + 1;
    end = strchr(key, ' ');
    if (!end)
        return DT_OK;
    *end = '\0';
    long long workspace;
    _Static_assert(DT_PLAN_ENGINE_BYTES == 256, "sscanf's width");
    if (sscanf(end + 1, "%255s %lld %lf %d", choice.engine, &workspace, &choice.time_ms,
               &choice.n_candidates) != 4 ||
        workspace < 0)
        return DT_OK;
    choice.workspace_bytes = workspace;
    *damaged = false;
    return find(cache, key) ? DT_OK : dt_plan_cache_put(cache, key, &choice, err);
}

/* Add the file's entries that the cache does not have. *why is NULL, or the reason why the file is not
 * usable; the caller then drops the entries that were read from it. */
static dt_status read_file(dt_plan_cache *cache, FILE *f, const char **why, dt_error *err)
{
    char *line = NULL;
    size_t line_bytes = 0;
    ssize_t length;
    dt_status status = DT_OK;
    *why = NULL;
    for (int64_t n = 0; status == DT_OK && !*why && (length = getline(&line, &line_bytes, f)) >= 0; n++) {
        bool damaged = false;
        if (n > MAX_LINES)
            *why = "it is larger than any plan cache";
        else if (length == 0 || line[length - 1] != '\n')
            *why = "its end is missing";
        else
            line[length - 1] = '\0';
        if (*why)
            break;
        if (n > 0) {
            status = read_line(cache, line, &damaged, err);
            *why = damaged ? "a line is damaged" : NULL;
        } else if (strncmp(line, FORMAT, strlen(FORMAT)) != 0)
            *why = "it is not a plan cache of this version";
        else if (strcmp(line + strlen(FORMAT), cache->identity) != 0)
            *why = "it is for another GPU or library";
    }
    if (status == DT_OK && !*why && (ferror(f) || ftell(f) == 0))
        *why = ferror(f) ? "it cannot be read" : "it is empty";
    free(line);
    return status;
}

/* Merge the file into the cache. quiet: log no warning. */
static dt_status merge_file(dt_plan_cache *cache, bool quiet, dt_error *err)
{
    const char *why;
    int64_t n_before = cache->n;
    FILE *f = NULL;
    dt_error unread = {0};
    if (dt_file_open_stream(cache->path, &f, &unread) != DT_OK) {
        if (errno != ENOENT && errno != ENOTDIR && !quiet)
            dt_log_warn("plan cache %s: plans are measured again", unread.message);
        return DT_OK;
    }
    struct stat st;
    dt_status status = DT_OK;
    if (fstat(fileno(f), &st) == 0 && st.st_size > MAX_BYTES)
        why = "it is larger than any plan cache";
    else
        status = read_file(cache, f, &why, err);
    (void)fclose(f);
    if (!why)
        return status;
    while (cache->n > n_before) /* drop all entries of a damaged file */
        dt_free(cache->entries[--cache->n].key);
    if (!quiet)
        dt_log_warn("plan cache %s: %s: ignored, plans are measured again", cache->path, why);
    return status;
}

dt_status dt_plan_cache_open(const char *path, const char *identity, dt_plan_cache **cache, dt_error *err)
{
    dt_plan_cache *made = dt_calloc(1, sizeof *made);
    if (!made)
        return dt_fail_memory(err, sizeof *made, "the plan cache");
    made->path = dt_strdup(path);
    made->identity = dt_strdup(identity);
    dt_status status = made->path && made->identity
                           ? DT_OK
                           : dt_fail_memory(err, strlen(path) + strlen(identity), "the plan cache");
    if (status == DT_OK && path[0])
        status = merge_file(made, false, err);
    if (status == DT_OK)
        *cache = made;
    else
        dt_plan_cache_close(made);
    return status;
}

/* mkdir -p of the folder that holds `path`; the cache's folders are the user's alone, as the XDG
 * specification wants it. */
static dt_status make_parent(char *path, dt_error *err)
{
    for (char *slash = strchr(path + 1, '/'); slash; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        int failed = mkdir(path, 0700) != 0 && errno != EEXIST;
        dt_status status = failed ? dt_fail_errno(err, "plan cache: making the folder %s", path) : DT_OK;
        *slash = '/';
        DT_TRY(status);
    }
    return DT_OK;
}

static bool write_entries(const dt_plan_cache *cache, FILE *f)
{
    if (dt_fault("plans.write")) {
        errno = EIO;
        return false;
    }
    fprintf(f, FORMAT "%s\n", cache->identity);
    for (int64_t i = 0; i < cache->n; i++) {
        const dt_plan_choice *c = &cache->entries[i].choice;
        char *text = dt_strprintf("%s %s %lld %.6g %d", cache->entries[i].key, c->engine,
                                  (long long)c->workspace_bytes, c->time_ms, c->n_candidates);
        if (!text) {
            errno = ENOMEM;
            return false;
        }
        fprintf(f, "%08x %s\n", checksum(text), text);
        dt_free(text);
    }
    return fflush(f) == 0 && !ferror(f) && fsync(fileno(f)) == 0;
}

dt_status dt_plan_cache_save(dt_plan_cache *cache, dt_error *err)
{
    if (!cache->path[0])
        return DT_OK;
    DT_TRY(merge_file(cache, true, err));
    DT_TRY(make_parent(cache->path, err));
    char *temporary = dt_strprintf("%s.XXXXXX", cache->path);
    if (!temporary)
        return dt_fail_memory(err, strlen(cache->path) + 8, "a path");
    int fd = mkstemp(temporary);
    FILE *f = fd >= 0 ? fdopen(fd, "w") : NULL;
    bool written = f && write_entries(cache, f);
    dt_status status = DT_OK;
    if (!written)
        status = dt_fail_errno(err, "plan cache: writing %s", temporary);
    if (f)
        (void)fclose(f); /* synced already */
    else if (fd >= 0)
        (void)close(fd);
    if (status == DT_OK && rename(temporary, cache->path) != 0)
        status = dt_fail_errno(err, "plan cache: renaming %s to %s", temporary, cache->path);
    if (status != DT_OK && fd >= 0)
        (void)unlink(temporary);
    dt_free(temporary);
    return status;
}

dt_status dt_plan_cache_remember(dt_plan_cache *cache, const char *key, const dt_plan_choice *choice,
                                 dt_error *err)
{
    dt_error unsaved = {0};
    DT_TRY(dt_plan_cache_put(cache, key, choice, err));
    if (dt_plan_cache_save(cache, &unsaved) != DT_OK && !cache->warned) {
        cache->warned = true;
        dt_log_warn("%s: these measurements are lost, and the next run repeats them", unsaved.message);
    }
    return DT_OK;
}
