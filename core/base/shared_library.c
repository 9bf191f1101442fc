#define _GNU_SOURCE
#include "core/base/shared_library.h"

#include "core/base/config.h"

#include <dlfcn.h>
#include <glob.h>
#include <limits.h>
#include <link.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* A search: what was opened, where, and why the first file that is there did not load. */
typedef struct search {
    const dt_shared_library *library;
    void *handle;
    char why[400];
    char places[800]; /* "CUDNN_HOME (/opt/cudnn), LD_LIBRARY_PATH, ..." */
} search;

/* Add "NAME" or "NAME (DIR)" to the places. */
static void note_place(search *s, const char *name, const char *dir)
{
    const size_t used = strlen(s->places);
    snprintf(s->places + used, sizeof s->places - used, "%s%s%s%s%s", used ? ", " : "", name, dir ? " (" : "",
             dir ? dir : "", dir ? ")" : "");
}

static void load(search *s, const char *path)
{
    s->handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    const char *why = s->handle ? NULL : dlerror();
    if (why && !s->why[0])
        snprintf(s->why, sizeof s->why, "%s", why);
}

static void try_folder(search *s, const char *folder, size_t length, const char *below)
{
    char path[DT_PATH_BYTES];
    if (s->handle || length == 0 || folder[0] != '/')
        return;
    const int n = snprintf(path, sizeof path, "%.*s%s/%s", (int)length, folder, below, s->library->file);
    if (n > 0 && (size_t)n < sizeof path && access(path, F_OK) == 0)
        load(s, path);
}

/* DIR/lib64, DIR/lib and DIR, with DIR from a variable; it may be relative. */
static void try_home(search *s, const char *variable, bool itself)
{
    const char *dir = getenv(variable);
    char absolute[PATH_MAX];
    if (s->handle || !dir || !dir[0])
        return;
    note_place(s, variable, dir);
    if (realpath(dir, absolute))
        dir = absolute;
    try_folder(s, dir, strlen(dir), "/lib64");
    try_folder(s, dir, strlen(dir), "/lib");
    if (itself)
        try_folder(s, dir, strlen(dir), "");
}

static void try_library_path(search *s)
{
    const char *list = getenv("LD_LIBRARY_PATH");
    if (s->handle || !list || !list[0])
        return;
    note_place(s, "LD_LIBRARY_PATH", NULL);
    for (size_t length; *list; list += length + (list[length] != '\0')) {
        length = strcspn(list, ":;");
        try_folder(s, list, length, "");
    }
}

/* Where the system looks. A message that no file was found is no news there. */
static void try_system(search *s)
{
    const bool had_why = s->why[0] != '\0';
    if (s->handle)
        return;
    note_place(s, "the system's folders", NULL);
    load(s, s->library->file);
    if (!had_why && strncmp(s->why, s->library->file, strlen(s->library->file)) == 0)
        s->why[0] = '\0';
}

/* PREFIX/lib/python3.X/site-packages/nvidia/WHEEL/lib. */
static void try_wheels_below(search *s, const char *prefix)
{
    char pattern[DT_PATH_BYTES];
    if (!prefix || prefix[0] != '/')
        return;
    for (int k = 0; s->library->wheels[k]; k++) {
        glob_t found = {0};
        const int n = snprintf(pattern, sizeof pattern, "%s/lib/python3*/*-packages/nvidia/%s/lib/%s", prefix,
                               s->library->wheels[k], s->library->file);
        if (n > 0 && (size_t)n < sizeof pattern && glob(pattern, 0, NULL, &found) == 0)
            for (size_t i = 0; i < found.gl_pathc && !s->handle; i++)
                load(s, found.gl_pathv[i]);
        globfree(&found);
    }
}

static void try_wheels(search *s)
{
    char local[DT_PATH_BYTES] = "";
    const char *home = getenv("HOME");
    if (s->handle)
        return;
    note_place(s, "Python's nvidia packages", NULL);
    if (home)
        snprintf(local, sizeof local, "%s/.local", home);
    const char *const prefixes[] = {getenv("VIRTUAL_ENV"), getenv("CONDA_PREFIX"), local, "/usr/local",
                                    "/usr"};
    for (size_t i = 0; i < sizeof prefixes / sizeof *prefixes && !s->handle; i++)
        try_wheels_below(s, prefixes[i]);
}

static void try_conda(search *s)
{
    const char *dir = getenv("CONDA_PREFIX");
    if (s->handle || !dir || !dir[0])
        return;
    note_place(s, "CONDA_PREFIX", dir);
    try_folder(s, dir, strlen(dir), "/lib");
}

static void look(search *s)
{
    for (int i = 0; s->library->homes[i]; i++)
        try_home(s, s->library->homes[i], true);
    if (s->why[0]) /* the user has chosen a file: another one would be a surprise */
        return;
    try_library_path(s);
    if (s->library->built_dir[0]) {
        note_place(s, s->library->built_dir, NULL);
        try_folder(s, s->library->built_dir, strlen(s->library->built_dir), "");
    }
    try_system(s);
    try_home(s, "CUDA_HOME", false);
    try_home(s, "CUDA_PATH", false);
    note_place(s, "/usr/local/cuda", NULL);
    try_folder(s, "/usr/local/cuda", strlen("/usr/local/cuda"), "/lib64");
    try_folder(s, "/usr/local/cuda", strlen("/usr/local/cuda"), "/lib");
    try_conda(s);
    try_wheels(s);
}

dt_status dt_shared_library_open(const dt_shared_library *library, void **handle, dt_error *err)
{
    search s = {.library = library};
    look(&s);
    if (s.handle) {
        *handle = s.handle;
        return DT_OK;
    }
    if (s.why[0])
        return dt_fail(err, DT_ERR_UNSUPPORTED, "%s needs %s, which does not load: %s", library->wanted_by,
                       library->name, s.why);
    return dt_fail(err, DT_ERR_UNSUPPORTED,
                   "%s needs %s, and %s is in none of these places: %s; install it, or set %s to its folder",
                   library->wanted_by, library->name, library->file, s.places, library->homes[0]);
}

dt_status dt_shared_library_symbol(const dt_shared_library *library, void *handle, const char *symbol,
                                   void **address, dt_error *err)
{
    char path[DT_PATH_BYTES];
    void *found = dlsym(handle, symbol);
    if (found) {
        *address = found;
        return DT_OK;
    }
    dt_shared_library_path(library, handle, path, sizeof path);
    return dt_fail(err, DT_ERR_UNSUPPORTED,
                   "%s needs a newer %s: %s has no function %s; set %s to the folder of a newer one",
                   library->wanted_by, library->name, path, symbol, library->homes[0]);
}

void dt_shared_library_path(const dt_shared_library *library, void *handle, char *path, size_t path_bytes)
{
    struct link_map *map = NULL;
    const bool known = dlinfo(handle, RTLD_DI_LINKMAP, &map) == 0 && map && map->l_name && map->l_name[0];
    snprintf(path, path_bytes, "%s", known ? map->l_name : library->file);
}

void dt_shared_library_version(int64_t version, char *text, size_t text_bytes)
{
    const long long v = (long long)version;
    if (v >= 10000)
        snprintf(text, text_bytes, "%lld.%lld.%lld", v / 10000, v / 100 % 100, v % 100);
    else
        snprintf(text, text_bytes, "%lld.%lld.%lld", v / 1000, v / 100 % 10, v % 100);
}

static dt_status check_version(const dt_shared_library *library, void *handle, int64_t version, dt_error *err)
{
    char path[DT_PATH_BYTES], is[32], wanted[32];
    if (version >= library->oldest)
        return DT_OK;
    dt_shared_library_path(library, handle, path, sizeof path);
    dt_shared_library_version(version, is, sizeof is);
    dt_shared_library_version(library->oldest, wanted, sizeof wanted);
    return dt_fail(err, DT_ERR_UNSUPPORTED,
                   "%s needs %s %s or later: %s is version %s; set %s to the folder of a newer one",
                   library->wanted_by, library->name, wanted, path, is, library->homes[0]);
}

dt_status dt_shared_library_load(const dt_shared_library *library, dt_shared_library_finder *find,
                                 void **handle, dt_error *err)
{
    static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
    void *opened = NULL;
    int64_t version = 0;
    dt_status status = DT_OK;
    pthread_mutex_lock(&mutex);
    if (!*handle) {
        status = dt_shared_library_open(library, &opened, err);
        if (status == DT_OK)
            status = find(opened, &version, err);
        if (status == DT_OK)
            status = check_version(library, opened, version, err);
        if (status == DT_OK)
            *handle = opened;
    }
    pthread_mutex_unlock(&mutex);
    return status;
}
