/* source_folder.c: the files of a folder, such as a share that all nodes see; and what a node has on its
 * own disk. Some threads read, because each read of a network file system waits for a server. */
#include "config.h"

#include "launch/stage/source.h"

#include "core/base/alloc.h"
#include "core/base/clock.h"
#include "core/base/file.h"
#include "core/base/log.h"
#include "core/base/waits.h"
#include "io/durable.h"
#include "launch/stage/names.h"

#include <errno.h>
#include <fcntl.h>
#include <fts.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { N_THREADS = 8, AHEAD = 16 /* reads that wait */, ETAG_BYTES = 40 };

typedef struct folder_source {
    dt_stage_source base;      /* first */
    char *folder;              /* NULL: path_of gives the paths */
    dt_stage_path_of *path_of; /* NULL: paths are keys below `folder` */
    void *context;

    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t changed;
    dt_stage_read *first, *last, *done; /* to be read, in order; read */
    int64_t n_left, n_reads, n_bytes;
    bool leave, is_woken;
    pthread_t threads[N_THREADS];
    int n_threads;
} folder_source;

static folder_source *mine(dt_stage_source *source)
{
    return (folder_source *)source;
}

/* -- the threads ----------------------------------------------------------------------------------------- */

static void format_etag(const struct stat *st, char etag[ETAG_BYTES])
{
    snprintf(etag, ETAG_BYTES, "m%lld.%09ld", (long long)st->st_mtim.tv_sec, st->st_mtim.tv_nsec);
}

static dt_status find_path(folder_source *s, const dt_stage_read *r, char path[DT_DURABLE_PATH_BYTES],
                           dt_error *err)
{
    if (s->path_of)
        return s->path_of(s->context, r, path, err);
    return dt_durable_path(path, err, "%s/%s", s->folder,
                           dt_stage_text(s->base.list, s->base.list->objects[r->object].key));
}

static dt_status check_unchanged(const folder_source *s, const dt_stage_read *r, int fd, const char *path,
                                 dt_error *err)
{
    const dt_stage_object *o = &s->base.list->objects[r->object];
    char etag[ETAG_BYTES];
    struct stat st;
    if (s->path_of) /* it has no ETag, and dtrain itself has written it */
        return DT_OK;
    if (fstat(fd, &st) != 0)
        return dt_fail_errno(err, "%s", path);
    format_etag(&st, etag);
    if (st.st_size != o->bytes || strcmp(etag, dt_stage_text(s->base.list, o->etag)) != 0)
        return dt_fail(err, DT_ERR_DATA, "%s has changed since it was listed; start again", path);
    return DT_OK;
}

static dt_status read_one(folder_source *s, dt_stage_read *r, dt_error *err)
{
    char path[DT_DURABLE_PATH_BYTES];
    int fd = -1;
    DT_TRY(find_path(s, r, path, err));
    DT_TRY(dt_file_open(path, O_RDONLY, 0, &fd, err));
    dt_status status = dt_durable_read(fd, path, r->buffer, r->bytes, r->offset, err);
    if (status == DT_OK || status == DT_ERR_FORMAT) {
        const dt_status same = check_unchanged(s, r, fd, path, err);
        status = same != DT_OK ? same : status;
    }
    close(fd);
    return status;
}

static void *work(void *argument)
{
    folder_source *s = argument;
    pthread_mutex_lock(&s->mutex);
    for (;;) {
        while (!s->first && !s->leave)
            pthread_cond_wait(&s->changed, &s->mutex);
        if (s->leave)
            break;
        dt_stage_read *r = s->first;
        s->first = r->next;
        pthread_mutex_unlock(&s->mutex);
        r->error = (dt_error){0};
        r->status = read_one(s, r, &r->error);
        pthread_mutex_lock(&s->mutex);
        r->next = s->done;
        s->done = r;
        s->n_reads++;
        s->n_bytes += r->bytes;
        pthread_cond_broadcast(&s->changed);
    }
    pthread_mutex_unlock(&s->mutex);
    return NULL;
}

static dt_status start_threads(folder_source *s, dt_error *err)
{
    sigset_t all, before;
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before); /* signals go to the main thread */
    while (s->n_threads < N_THREADS && pthread_create(&s->threads[s->n_threads], NULL, work, s) == 0)
        s->n_threads++;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    return s->n_threads > 0 ? DT_OK : dt_fail(err, DT_ERR_MEMORY, "no thread for reading files");
}

static void destroy(dt_stage_source *source)
{
    folder_source *s = mine(source);
    if (!s)
        return;
    pthread_mutex_lock(&s->mutex);
    s->leave = true;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->mutex);
    for (int i = 0; i < s->n_threads; i++)
        pthread_join(s->threads[i], NULL);
    pthread_mutex_destroy(&s->mutex);
    pthread_cond_destroy(&s->changed);
    dt_free(s->folder);
    dt_free(s);
}

/* -- the interface --------------------------------------------------------------------------------------- */

static void start(dt_stage_source *source, dt_stage_read *r)
{
    folder_source *s = mine(source);
    r->source = source;
    r->has_sum = false;
    r->next = NULL;
    pthread_mutex_lock(&s->mutex);
    if (s->first)
        s->last->next = r;
    else
        s->first = r;
    s->last = r;
    s->n_left++;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->mutex);
}

/* Calls `done` without the mutex: it may start another read. */
static dt_status run(dt_stage_source *source, double most_s, dt_error *err)
{
    folder_source *s = mine(source);
    const struct timespec until = dt_clock_deadline(most_s);
    dt_status status = DT_OK;
    pthread_mutex_lock(&s->mutex);
    while (!s->done && !s->is_woken && s->n_left > 0)
        if (pthread_cond_timedwait(&s->changed, &s->mutex, &until) == ETIMEDOUT)
            break;
    s->is_woken = false;
    dt_stage_read *done = s->done;
    s->done = NULL;
    pthread_mutex_unlock(&s->mutex);
    while (done && status == DT_OK) {
        dt_stage_read *r = done;
        done = r->next;
        pthread_mutex_lock(&s->mutex);
        s->n_left--;
        pthread_mutex_unlock(&s->mutex);
        status = r->done(r, r->status, &r->error);
        if (status != DT_OK && err)
            *err = r->error;
    }
    return status == DT_OK ? dt_waits_check("copying files", err) : status;
}

static int64_t left(dt_stage_source *source)
{
    folder_source *s = mine(source);
    pthread_mutex_lock(&s->mutex);
    const int64_t n = s->n_left;
    pthread_mutex_unlock(&s->mutex);
    return n;
}

static int wanted(dt_stage_source *source)
{
    const int64_t n = left(source), most = mine(source)->n_threads + AHEAD;
    return n < most ? (int)(most - n) : 0;
}

static void wake(dt_stage_source *source)
{
    folder_source *s = mine(source);
    pthread_mutex_lock(&s->mutex);
    s->is_woken = true;
    pthread_cond_broadcast(&s->changed);
    pthread_mutex_unlock(&s->mutex);
}

static void get_stats(dt_stage_source *source, dt_stage_source_stats *stats)
{
    folder_source *s = mine(source);
    pthread_mutex_lock(&s->mutex);
    *stats = (dt_stage_source_stats){
        .gets = s->n_reads, .bytes = s->n_bytes, .width = s->n_threads, .most_width = s->n_threads};
    pthread_mutex_unlock(&s->mutex);
}

/* -- listing --------------------------------------------------------------------------------------------- */

static int by_name(const FTSENT **a, const FTSENT **b)
{
    return strcmp((*a)->fts_name, (*b)->fts_name);
}

typedef struct walk {
    dt_stage_listing *list;
    size_t skip; /* bytes of the folder's name and a slash in paths */
    int64_t n_others;
} walk;

/* One entry. Links are followed; a link that leads into its own folder ends there. */
static dt_status visit(walk *w, FTS *tree, FTSENT *entry, dt_error *err)
{
    char etag[ETAG_BYTES];
    switch (entry->fts_info) {
    case FTS_D:
        if (strcmp(entry->fts_name, DT_STAGE_OWN_FOLDER) == 0)
            (void)fts_set(tree, entry, FTS_SKIP); /* of an earlier copy */
        return DT_OK;
    case FTS_F:
        format_etag(entry->fts_statp, etag);
        return dt_stage_listing_add(w->list, entry->fts_path + w->skip, entry->fts_statp->st_size, etag, err);
    case FTS_DNR:
    case FTS_ERR:
    case FTS_NS:
        errno = entry->fts_errno;
        return dt_fail_errno(err, "%s: cannot read it", entry->fts_path);
    case FTS_DP:
    case FTS_DOT:
        return DT_OK;
    default:
        w->n_others++; /* devices, FIFOs, links to nothing, circles */
        return DT_OK;
    }
}

static dt_status list(dt_stage_source *source, dt_stage_listing *list, dt_error *err)
{
    folder_source *s = mine(source);
    char *roots[] = {s->folder, NULL};
    walk w = {.list = list, .skip = strlen(s->folder) + (strcmp(s->folder, "/") != 0)};
    if (!dt_durable_is_folder(s->folder))
        return dt_fail(err, DT_ERR_USAGE,
                       "%s: no such folder; a source is s3://BUCKET/PREFIX, http://..., or a folder",
                       s->folder);
    FTS *tree = fts_open(roots, FTS_LOGICAL | FTS_NOCHDIR, by_name);
    if (!tree)
        return dt_fail_errno(err, "%s: cannot read the folder", s->folder);
    dt_status status = DT_OK;
    for (FTSENT *entry; status == DT_OK && (entry = fts_read(tree));) {
        status = visit(&w, tree, entry, err);
        if (status == DT_OK)
            status = dt_waits_check("listing the files", err);
    }
    fts_close(tree);
    if (status == DT_OK && w.n_others > 0)
        dt_log_warn("%s: %lld thing%s there %s no file: left out", s->folder, (long long)w.n_others,
                    w.n_others == 1 ? "" : "s", w.n_others == 1 ? "is" : "are");
    if (status == DT_OK && list->n == 0)
        return dt_fail(err, DT_ERR_USAGE, "%s: there is no file in this folder", s->folder);
    return status;
}

/* -- opening --------------------------------------------------------------------------------------------- */

static dt_status open_folder(const char *folder, dt_stage_path_of *path_of, void *context,
                             dt_stage_source **source, dt_error *err)
{
    static const dt_stage_source_ops ops = {.destroy = destroy,
                                            .list = list,
                                            .start = start,
                                            .run = run,
                                            .wanted = wanted,
                                            .left = left,
                                            .wake = wake,
                                            .get_stats = get_stats};
    folder_source *s = dt_calloc(1, sizeof *s);
    if (!s)
        return dt_fail_memory(err, sizeof *s, "a folder");
    s->base.ops = &ops;
    s->path_of = path_of;
    s->context = context;
    pthread_mutex_init(&s->mutex, NULL);
    dt_clock_init_cond(&s->changed);
    s->folder = folder ? dt_strdup(folder) : NULL;
    dt_status status = folder && !s->folder ? dt_fail_memory(err, strlen(folder) + 1, "a folder") : DT_OK;
    for (size_t n = s->folder ? strlen(s->folder) : 0; n > 1 && s->folder[n - 1] == '/'; n--)
        s->folder[n - 1] = '\0';
    if (status == DT_OK)
        status = start_threads(s, err);
    if (status == DT_OK)
        *source = &s->base;
    else
        destroy(&s->base);
    return status;
}

dt_status dt_stage_folder_open(const char *folder, dt_stage_source **source, dt_error *err)
{
    return open_folder(folder, NULL, NULL, source, err);
}

dt_status dt_stage_disk_open(dt_stage_path_of *path_of, void *context, dt_stage_source **source,
                             dt_error *err)
{
    return open_folder(NULL, path_of, context, source, err);
}
