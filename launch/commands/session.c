#include "config.h"

#include "launch/commands/session.h"

#include "core/base/alloc.h"
#include "core/base/fault.h"
#include "core/base/log.h"
#include "core/base/waits.h"
#include "core/collective/agreement.h"
#include "core/collective/grad_exchange.h"
#include "io/source/folder.h"
#include "io/source/loader.h"
#include "io/source/synthetic.h"
#include "launch/commands/rank_table.h"
#include "launch/hardware/machine.h"
#include "launch/hardware/settings.h"
#include "launch/hardware/team.h"
#include "launch/hardware/transports.h"
#include "launch/show/console.h"
#include "launch/show/table.h"
#include "launch/stop/signals.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* -- open and close -------------------------------------------------------------------------------------- */

/* What --input synthetic has without --data. */
#define IMAGENET_SAMPLES 1281167
#define IMAGENET_CLASSES 1000

static dt_status check_same_options(const dt_options *options, unsigned command, dt_comm *comm, dt_error *err)
{
    enum { VALUE_BYTES = 256 }; /* what dt_check_same compares */
    char names[DT_OPTIONS_MAX][40];
    dt_same same[DT_OPTIONS_MAX];
    int64_t n = 0;
    char *values = dt_calloc(DT_OPTIONS_MAX, VALUE_BYTES);
    dt_status status = dt_agree(
        comm,
        values ? DT_OK : dt_fail_memory(err, (size_t)DT_OPTIONS_MAX * VALUE_BYTES, "the options' values"),
        err);
    for (int row = 0; status == DT_OK && row < dt_options_count(); row++) {
        const dt_option *o = dt_options_at(row);
        if (!(o->commands & command) || o->per_rank)
            continue;
        snprintf(names[n], sizeof names[n], "--%s", o->name);
        dt_option_format(options, row, values + n * VALUE_BYTES, VALUE_BYTES);
        same[n] = (dt_same){names[n], values + n * VALUE_BYTES};
        n++;
    }
    if (status == DT_OK)
        status = dt_check_same(comm, same, n, err);
    dt_free(values);
    return status;
}

/* Collective. The plan comes before the backend, whose memory and threads are then where the rank runs. */
static dt_status place_rank(dt_session *session, const dt_options *o, dt_error *err)
{
    dt_comm *comm = session->comm;
    dt_affinity_options options = {
        .threads = o->threads, .workers = o->workers, .leaves_binding = o->bind == DT_BIND_NONE};
    dt_backend_gpu_address(o->backend, comm->local_rank, comm->local_size, options.gpu, sizeof options.gpu);
    return dt_affinity_plan(comm, &options, &session->affinity, err);
}

static dt_status open_backend(dt_session *session, const dt_options *o, dt_error *err)
{
    session->backend_options = (dt_backend_options){.n_threads = session->affinity.n_threads,
                                                    .local_rank = session->comm->local_rank,
                                                    .local_size = session->comm->local_size,
                                                    .precision = dt_options_dtype(o),
                                                    .choose_precision = o->precision == DT_PRECISION_AUTO,
                                                    .autotune = o->autotune};
    DT_TRY(dt_backend_create(o->backend, &session->backend_options, &session->backend, err));
    session->device = session->backend.device;
    session->kernels = session->backend.kernels;
    session->backend_options.precision = session->kernels->dtype;
    DT_TRY(dt_settings_check(session->kernels->ops->name, session->kernels->dtype, err));
    return dt_team_check(&session->backend, &session->affinity.n_threads, err);
}

dt_status dt_session_open_ranks(const dt_options *options, unsigned command, dt_status parsed,
                                const dt_error *parse_error, dt_session *session, dt_error *err)
{
    *session = (dt_session){.start_s = session->start_s, .watch = session->watch};
    dt_waits_begin("starting MPI and waiting for all ranks");
    DT_TRY(dt_transport_create(options->comm, options->peer_timeout_s, &session->comm, err));
    dt_waits_end();
    dt_signals_reinstall(); /* MPICH has its own handler of SIGUSR1 */
    dt_comm *comm = session->comm;
    dt_console_set_rank(comm);
    if (err && parsed != DT_OK)
        *err = *parse_error;
    DT_TRY(dt_agree(comm, parsed, err));
    DT_TRY(dt_agree(comm, dt_fault_arm(getenv("DTRAIN_FAULT"), comm->rank, err), err));
    DT_TRY(check_same_options(options, command, comm, err));
    return place_rank(session, options, err);
}

dt_status dt_session_open(const dt_options *options, unsigned command, dt_status parsed,
                          const dt_error *parse_error, dt_session *session, dt_error *err)
{
    DT_TRY(dt_session_open_ranks(options, command, parsed, parse_error, session, err));
    dt_status status = dt_agree(session->comm, open_backend(session, options, err), err);
    if (status == DT_OK)
        status = dt_transport_attach_device(options->comm, options->peer_timeout_s, session->device,
                                            &session->comm, err);
    return status == DT_ERR_USAGE && err ? dt_options_locate(options, command, err) : status;
}

void dt_session_close(dt_session *session)
{
    dt_console_set_rank(NULL);
    if (session->comm)
        session->comm->ops->destroy(session->comm); /* before the device, whose streams it may use */
    dt_backend_destroy(&session->backend);
    *session = (dt_session){.start_s = session->start_s, .watch = session->watch};
}

/* Random images in the numbers of the data that --data names; no file is opened. */
static dt_status open_synthetic(const dt_session *session, const dt_config *c, dt_source **source,
                                dt_error *err)
{
    dt_synthetic_options synthetic = {.n_samples = IMAGENET_SAMPLES,
                                      .n_classes = IMAGENET_CLASSES,
                                      .image_size = c->image_size,
                                      .batch = c->batch,
                                      .rank = session->comm->rank,
                                      .seed = c->seed,
                                      .device = session->device};
    if (c->data[0]) {
        dt_folder *folder = NULL;
        DT_TRY(dt_folder_open(c->data, "train", NULL, &folder, err));
        synthetic.n_samples = dt_folder_n_samples(folder);
        synthetic.n_classes = dt_folder_n_classes(folder);
        dt_folder_close(folder);
    }
    return dt_synthetic_create(&synthetic, source, err);
}

dt_status dt_session_source(const dt_session *session, const dt_options *o, bool training, dt_source **source,
                            dt_error *err)
{
    const dt_config *c = &o->config;
    if (o->input == DT_INPUT_SYNTHETIC)
        return open_synthetic(session, c, source, err);
    const dt_loader_options options = {
        .root = c->data,
        .training = training,
        .image_size = c->image_size,
        .batch = c->batch,
        .accumulate = training ? c->accumulate : 1,
        .rank = session->comm->rank,
        .world = session->comm->size,
        .workers = session->affinity.n_workers,
        .cpus = dt_cpus_count(&session->affinity.worker_cpus) > 0 ? &session->affinity.worker_cpus : NULL,
        .augment = o->augment,
        .crop_scale_min = o->crop_scale_min,
        .crop_scale_max = o->crop_scale_max,
        .flip = o->flip,
        .eval_crop = o->eval_crop,
        .eval_resize = o->eval_resize,
        .seed = c->seed,
        .shuffle = o->shuffle,
        .max_broken = c->max_broken,
        .device = session->device,
    };
    return dt_loader_create(&options, source, err);
}

/* -- the tables at the start ----------------------------------------------------------------------------- */

/* The type in which gradients are sent; "-" where there is one rank. */
static void format_wire(const dt_session *s, const dt_config *c, char *out, size_t out_bytes)
{
    const dt_grad_exchange exchange = dt_grad_exchange_choose(c->wire, c->precision, s->comm);
    snprintf(out, out_bytes, "%s",
             s->comm->size > 1 ? dt_dtype_name(dt_grad_exchange_sent(&exchange, s->comm)) : "-");
}

/* Formats an option's value for the table. Where the option leaves a choice to dtrain, shows the choice. */
static void format_for_table(const dt_session *s, const dt_options *options, int row, char *out,
                             size_t out_bytes)
{
    const dt_option *o = dt_options_at(row);
    dt_option_format(options, row, out, out_bytes);
    if (strcmp(o->name, "threads") == 0)
        snprintf(out, out_bytes, "%lld", (long long)s->affinity.n_threads);
    else if (strcmp(o->name, "workers") == 0)
        snprintf(out, out_bytes, "%lld", (long long)s->affinity.n_workers);
    else if (strcmp(o->name, "backend") == 0)
        snprintf(out, out_bytes, "%s", s->kernels->ops->name);
    else if (strcmp(o->name, "comm") == 0)
        snprintf(out, out_bytes, "%s", s->comm->ops->name);
    else if (strcmp(o->name, "wire") == 0)
        format_wire(s, &options->config, out, out_bytes);
    else if (strcmp(o->name, "precision") == 0)
        snprintf(out, out_bytes, "%s", dt_dtype_name(s->kernels->dtype));
    else if (!out[0])
        snprintf(out, out_bytes, "-");
}

/* A log that cannot be written (a full disk, a reader that has gone) ends no training. */
static dt_status print_to_log(const dt_table *table, dt_error *err)
{
    const dt_status status = dt_table_print(table, stderr, dt_table_utf8(), DT_TABLE_COLUMNS, err);
    clearerr(stderr);
    return status == DT_ERR_IO ? DT_OK : status;
}

static dt_status print_options(const dt_session *s, const dt_options *options, unsigned command,
                               dt_error *err)
{
    char value[DT_PATH_BYTES];
    dt_table *table = NULL;
    DT_TRY(dt_table_create((const char *const[]){"option", "value", "from"}, 3, &table, err));
    dt_status status = DT_OK;
    for (int row = 0; row < dt_options_count() && status == DT_OK; row++) {
        const dt_option *o = dt_options_at(row);
        if (!(o->commands & command))
            continue;
        format_for_table(s, options, row, value, sizeof value);
        status = dt_table_add(
            table, (const char *const[]){o->name, value, dt_origin_name(options->origin[row])}, err);
    }
    if (status == DT_OK)
        status = print_to_log(table, err);
    dt_table_destroy(table);
    return status;
}

static dt_status print_ranks(const dt_rank_row *rows, int n, dt_error *err)
{
    dt_table *table = NULL;
    DT_TRY(dt_rank_table_create(rows, n, &table, err));
    const dt_status status = print_to_log(table, err);
    dt_table_destroy(table);
    return status;
}

/* Whether a rank has this variable with this value. */
static bool has_setting(const dt_settings *settings, const char *name, const char *value)
{
    for (int64_t i = 0; i < settings->n; i++)
        if (strcmp(settings->found[i].name, name) == 0)
            return strcmp(settings->found[i].value, value) == 0;
    return false;
}

/* Formats the ranks that have the variable with this value: "all", or "0 2 3". Returns the first one. */
static int ranks_with(const dt_settings *ranks, int n, const char *name, const char *value, char *out,
                      size_t out_bytes)
{
    int first = -1, n_with = 0;
    out[0] = '\0';
    for (int r = 0; r < n; r++) {
        const size_t used = strlen(out);
        if (!has_setting(&ranks[r], name, value))
            continue;
        first = first < 0 ? r : first;
        n_with++;
        if (used < 16)
            snprintf(out + used, out_bytes - used, used ? " %d" : "%d", r);
        else if (out[used - 1] != '.')
            snprintf(out + used, out_bytes - used, " ...");
    }
    if (n_with == n)
        snprintf(out, out_bytes, "all");
    return first;
}

/* The environment variables with which libraries change results; no table if there are none. settings[n]: of
 * each rank, or of all if n is 1. */
static dt_status print_settings(const dt_settings *settings, int n, dt_error *err)
{
    dt_table *table = NULL;
    dt_status status = DT_OK;
    for (int r = 0; r < n && status == DT_OK; r++)
        for (int64_t i = 0; i < settings[r].n && status == DT_OK; i++) {
            const char *name = settings[r].found[i].name, *value = settings[r].found[i].value;
            char ranks[32], equation[DT_SETTING_NAME_BYTES + DT_SETTING_VALUE_BYTES + 1];
            if (ranks_with(settings, n, name, value, ranks, sizeof ranks) != r)
                continue; /* an earlier rank's row shows it */
            if (table == NULL)
                status =
                    dt_table_create((const char *const[]){"environment", "ranks", "changes"}, 3, &table, err);
            snprintf(equation, sizeof equation, "%s=%s", name, value);
            if (status == DT_OK)
                status = dt_table_add(table, (const char *const[]){equation, ranks, dt_settings_effect(name)},
                                      err);
        }
    if (table != NULL && status == DT_OK)
        status = print_to_log(table, err);
    dt_table_destroy(table);
    return status;
}

/* If no GPU is used, logs the reason, since it makes a training slow. */
static void log_why_no_gpu(const dt_session *session)
{
    if (session->backend.why_no_gpu[0])
        dt_log_info("no GPU is used; --backend %s computes: %s", session->kernels->ops->name,
                    session->backend.why_no_gpu);
#ifndef DT_WITH_CUDA
    dt_machine machine;
    dt_machine_read(&machine);
    if (machine.n_gpus > 0)
        dt_log_warn("this host has an %s, but this build has no cuda backend: " DT_WHY_NO_CUDA,
                    machine.gpu_model[0]);
#endif
}

/* What the tables show of all ranks. */
typedef struct rank_tables {
    dt_rank_row *rows;     /* [ranks] */
    dt_settings *settings; /* [n_settings]: the number of ranks, or 1 if they are all the same */
    int n_settings;
} rank_tables;

/* A table that cannot be printed, on a full disk or a closed terminal, ends no training. */
static void print_tables(const dt_session *s, const dt_options *options, unsigned command,
                         const rank_tables *t)
{
    dt_error why = {0};
    if (print_options(s, options, command, &why) != DT_OK ||
        print_ranks(t->rows, s->comm->size, &why) != DT_OK ||
        print_settings(t->settings, t->n_settings, &why) != DT_OK)
        dt_log_warn("the tables of options and ranks were not printed: %s", why.message);
}

/* Collective. Settings are 3 KB a rank, and nearly always the same: only if a rank differs from rank 0 all
 * are sent. */
static dt_status collect_settings(dt_comm *comm, rank_tables *t, dt_error *err)
{
    dt_settings mine;
    int64_t n_different = 0;
    memset(&mine, 0, sizeof mine);
    dt_settings_read(&mine);
    t->settings[0] = mine;
    t->n_settings = 1;
    DT_TRY(comm->ops->broadcast(comm, t->settings, sizeof mine, 0, err));
    n_different = memcmp(&mine, t->settings, sizeof mine) != 0;
    DT_TRY(comm->ops->all_reduce(comm, &n_different, 1, DT_I64, DT_REDUCE_SUM, err));
    if (n_different == 0)
        return DT_OK;
    t->n_settings = comm->size;
    return comm->ops->all_gather(comm, &mine, sizeof mine, t->settings, err);
}

static dt_status collect_rows(const dt_session *s, dt_rank_row *rows, dt_error *err)
{
    dt_rank_row me;
    dt_rank_row_fill(s, &me);
    return s->comm->ops->all_gather(s->comm, &me, sizeof me, rows, err);
}

dt_status dt_session_show(const dt_session *s, const dt_options *options, unsigned command, dt_error *err)
{
    dt_comm *comm = s->comm;
    const size_t n = (size_t)comm->size;
    rank_tables t = {.rows = dt_calloc(n, sizeof *t.rows), .settings = dt_calloc(n, sizeof *t.settings)};
    dt_status status = t.rows && t.settings ? DT_OK
                                            : dt_fail_memory(err, n * (sizeof *t.rows + sizeof *t.settings),
                                                             "the table of ranks");
    status = dt_agree(comm, status, err);
    if (status == DT_OK)
        status = collect_rows(s, t.rows, err);
    if (status == DT_OK)
        status = collect_settings(comm, &t, err);
    if (status == DT_OK && comm->rank == 0) {
        print_tables(s, options, command, &t);
        dt_rank_table_warn(t.rows, comm->size);
        log_why_no_gpu(s);
    }
    dt_free(t.rows);
    dt_free(t.settings);
    return status;
}
