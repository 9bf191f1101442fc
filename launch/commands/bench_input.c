/* bench_input.c: the measurements of bench_measure.h that need no net: the loader, the disk, a download. */
#include "config.h"

#include "core/base/clock.h"
#include "core/base/file.h"
#include "core/base/waits.h"
#include "core/collective/agreement.h"
#include "io/durable.h"
#include "io/source/folder.h"
#include "launch/cloud/download.h"
#include "launch/commands/bench_measure.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <unistd.h>

void dt_bench_figures_init(dt_bench_figures *f)
{
    *f = (dt_bench_figures){.start_s = NAN,
                            .step_images_s = NAN,
                            .loader_core_images_s = NAN,
                            .loader_images_s = NAN,
                            .train_images_s = NAN,
                            .slowest_train_images_s = NAN,
                            .fastest_train_images_s = NAN,
                            .evaluate_images_s = NAN,
                            .checkpoint_s = NAN,
                            .last_checkpoint_s = NAN,
                            .checkpoint_bytes = NAN,
                            .disk_bytes_s = NAN,
                            .download_bytes_s = NAN};
}

/* -- the loader ------------------------------------------------------------------------------------------ */

/* Images from the first batch's arrival on, which ends the start of the threads. Sets *images_s once two
 * batches have come after it and `seconds` have passed; *is_done then. */
typedef struct arrivals {
    double first_s, last_s, seconds;
    int64_t n_batches, n_images;
} arrivals;

static bool add(arrivals *a, int64_t n_images)
{
    enum { BATCHES = 3 };
    a->last_s = dt_clock_s();
    if (a->n_batches++ == 0)
        a->first_s = a->last_s;
    else
        a->n_images += n_images;
    return a->n_batches >= BATCHES && a->last_s - a->first_s >= a->seconds;
}

static dt_status read_epochs(dt_source *source, int64_t n_batches, arrivals *a, dt_error *err)
{
    bool is_done = false;
    for (int64_t epoch = 0; !is_done; epoch++) {
        DT_TRY(source->ops->start(source, epoch, 0, n_batches, err));
        for (int64_t i = 0; i < n_batches && !is_done; i++) {
            dt_batch *batch = NULL;
            DT_TRY(dt_waits_check("measuring the loader", err));
            DT_TRY(source->ops->next(source, &batch, err));
            is_done = add(a, batch->n);
            source->ops->release(source, batch);
        }
    }
    return DT_OK;
}

/* Local. *images_s: of this rank. */
static dt_status load(const dt_bench_parts *p, int64_t n_workers, double seconds, double *images_s,
                      dt_error *err)
{
    const dt_config *c = &p->options->config;
    dt_session session = *p->session;
    dt_source *source = NULL;
    dt_source_info info = {0};
    arrivals a = {.seconds = seconds};
    session.affinity.n_workers = n_workers;
    DT_TRY(dt_session_source(&session, p->options, true, &source, err));
    source->ops->info(source, &info);
    const int64_t n_steps = info.n_samples / (c->batch * c->accumulate * session.comm->size);
    const dt_status status = read_epochs(source, n_steps * c->accumulate, &a, err);
    source->ops->destroy(source);
    if (status == DT_OK)
        *images_s = (double)a.n_images / (a.last_s - a.first_s);
    return status;
}

dt_status dt_bench_measure_loader(dt_bench_parts *p, double seconds, dt_bench_figures *f, dt_error *err)
{
    dt_comm *comm = p->session->comm;
    double one = 0.0, all = 0.0;
    dt_status status = comm->rank == 0 ? load(p, 1, seconds, &one, err) : DT_OK;
    DT_TRY(dt_agree(comm, status, err));
    status = load(p, p->session->affinity.n_cores, seconds, &all, err);
    DT_TRY(dt_agree(comm, status, err));
    double rates[] = {one, all};
    DT_TRY(comm->ops->all_reduce(comm, rates, 2, DT_F64, DT_REDUCE_SUM, err));
    f->loader_core_images_s = rates[0];
    f->loader_images_s = rates[1];
    return DT_OK;
}

/* -- the disk -------------------------------------------------------------------------------------------- */

/* Write what the page cache alone has, and let it forget the file. A file system may ignore that. */
static void forget(const char *path)
{
    int fd = -1;
    if (dt_file_open(path, O_RDONLY, 0, &fd, NULL) != DT_OK)
        return;
    (void)fsync(fd);
    (void)posix_fadvise(fd, 0, 0, POSIX_FADV_DONTNEED);
    close(fd);
}

/* Adds what reading the file takes. */
static dt_status read_file(const char *path, int64_t *bytes, double *seconds, dt_error *err)
{
    static char part[1 << 20];
    int fd = -1;
    ssize_t n = 0;
    forget(path);
    const double start_s = dt_clock_s();
    DT_TRY(dt_file_open(path, O_RDONLY, 0, &fd, err));
    do {
        n = read(fd, part, sizeof part);
        *bytes += n > 0 ? n : 0;
    } while (n > 0 || (n < 0 && errno == EINTR));
    const dt_status status = n < 0 ? dt_fail_errno(err, "%s: cannot read it", path) : DT_OK;
    close(fd);
    *seconds += dt_clock_s() - start_s;
    return status;
}

/* What is read, and for how long. */
typedef struct reading {
    double until_s, spent_s;
    int64_t bytes;
} reading;

static dt_status read_next(const char *path, reading *r, dt_error *err)
{
    DT_TRY(dt_waits_check("reading files", err));
    return read_file(path, &r->bytes, &r->spent_s, err);
}

/* Each image once, spread over the classes. */
static dt_status read_images(const char *data, reading *r, dt_error *err)
{
    enum { APART = 7919 }; /* a prime: files that follow each other often lie together on the disk */
    char path[DT_PATH_BYTES];
    dt_folder *folder = NULL;
    DT_TRY(dt_folder_open(data, "train", NULL, &folder, err));
    const int64_t n = dt_folder_n_samples(folder), apart = n % APART == 0 ? 1 : APART;
    dt_status status = DT_OK;
    for (int64_t i = 0; i < n && status == DT_OK && (i == 0 || dt_clock_s() < r->until_s); i++) {
        dt_folder_path(folder, i * apart % n, path, sizeof path);
        status = read_next(path, r, err);
    }
    dt_folder_close(folder);
    return status;
}

/* The shards of the newest checkpoint that rank 0 sees. */
static dt_status read_shards(dt_store *store, reading *r, dt_error *err)
{
    enum { MOST = 8 }; /* the store keeps fewer */
    char path[DT_DURABLE_PATH_BYTES];
    int64_t steps[MOST], n = 0;
    dt_manifest m = {0};
    DT_TRY(store->ops->list(store, steps, MOST, &n, err));
    dt_status status = n > 0 ? store->ops->read_manifest(store, steps[0], &m, err) : DT_OK;
    for (int64_t i = 0; i < m.n_shards && status == DT_OK && (i == 0 || dt_clock_s() < r->until_s); i++) {
        status = dt_durable_path(path, err, "%s/step-%08lld/%s", store->ops->location(store),
                                 (long long)steps[0], m.shards[i].file);
        if (status == DT_OK && access(path, R_OK) == 0) /* other hosts may have the others */
            status = read_next(path, r, err);
    }
    dt_manifest_clear(&m);
    return status;
}

dt_status dt_bench_measure_disk(dt_bench_parts *p, double seconds, dt_bench_figures *f, dt_error *err)
{
    dt_comm *comm = p->session->comm;
    reading r = {.until_s = dt_clock_s() + seconds};
    dt_status status = DT_OK;
    if (comm->rank == 0)
        status = p->has_photographs ? read_shards(p->checkpoints.store, &r, err)
                                    : read_images(p->options->config.data, &r, err);
    DT_TRY(dt_agree(comm, status, err));
    f->disk_bytes_s = r.spent_s > 0.0 ? (double)r.bytes / r.spent_s : NAN;
    return comm->ops->broadcast(comm, &f->disk_bytes_s, sizeof f->disk_bytes_s, 0, err);
}

/* -- a download ------------------------------------------------------------------------------------------ */

dt_status dt_bench_measure_download(const dt_session *session, const char *url, double seconds,
                                    dt_bench_figures *f, dt_error *err)
{
    dt_comm *comm = session->comm;
    dt_download d = {0};
    dt_status status = comm->rank == 0 ? dt_download_measure(url, seconds, &d, err) : DT_OK;
    if (status != DT_OK && status != DT_ERR_INTERRUPTED)
        dt_error_prefix(err, "--url");
    DT_TRY(dt_agree(comm, status, err));
    f->download_bytes_s = d.seconds > 0.0 ? (double)d.bytes / d.seconds : NAN;
    return comm->ops->broadcast(comm, &f->download_bytes_s, sizeof f->download_bytes_s, 0, err);
}
