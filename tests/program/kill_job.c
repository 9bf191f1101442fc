/* kill_job FOLDER STEPS RESULT [MIRROR]: trains a small net on made-up images with a checkpoint every 2 steps
 * in FOLDER, copied to MIRROR. It resumes from the newest checkpoint, and at the end writes the flat vector
 * of parameters to RESULT. Also runs under mpirun. kill_calls.c, which is linked in, can kill it at any
 * call. */
#include "comm/mpi.h"
#include "comm/self.h"
#include "core/base/log.h"
#include "core/training/trainer.h"
#include "io/store/hdf5_store.h"
#include "layers/device_host.h"
#include "layers/ref/kernels_ref.h"
#include "layers/registry.h"
#include "tests/fakes/fake_source.h"

#include <stdio.h>
#include <stdlib.h>

enum { SIZE = 8, CLASSES = 4, BATCH = 4 };

static void say(void *context, dt_log_level level, const char *line)
{
    (void)context;
    (void)level;
    fprintf(stderr, "%s\n", line);
}

static void must(dt_status status, const dt_error *err)
{
    if (status == DT_OK)
        return;
    fprintf(stderr, "kill_job: %s\n", err->message);
    exit(1);
}

static dt_net *small_net(dt_kernels *kernels, const dt_config *c)
{
    dt_layer_spec layers[] = {
        {.kind = "conv",
         .name = "conv1",
         .n_inputs = 1,
         .inputs = {0},
         .channels = 16,
         .kernel = 3,
         .stride = 1,
         .pad = 1},
        {.kind = "batchnorm", .name = "bn1", .n_inputs = 1, .inputs = {1}, .relu = true},
        {.kind = "max_pool",
         .name = "pool",
         .n_inputs = 1,
         .inputs = {2},
         .kernel = 3,
         .stride = 2,
         .pad = 1},
        {.kind = "average_pool", .name = "avg", .n_inputs = 1, .inputs = {3}},
        {.kind = "linear", .name = "fc", .n_inputs = 1, .inputs = {4}, .channels = CLASSES},
        {.kind = "softmax_loss", .name = "loss", .n_inputs = 1, .inputs = {5}},
    };
    dt_net_spec spec = {
        .arch = "small", .n_classes = CLASSES, .n_layers = sizeof layers / sizeof *layers, .layers = layers};
    const dt_net_options options = {.batch = c->batch, .image_size = c->image_size, .training = true};
    dt_error err = {0};
    dt_net *net = NULL;
    must(dt_net_create(&spec, dt_layer_registry(), kernels, &options, &net, &err), &err);
    must(dt_net_init(net, c->seed, false, &err), &err);
    return net;
}

static void write_result(const char *path, dt_net *net)
{
    dt_net_vectors v;
    dt_net_get_vectors(net, &v);
    FILE *f = fopen(path, "w");
    if (!f ||
        fwrite(v.values, sizeof(float), (size_t)(v.n_trained + v.n_statistics), f) !=
            (size_t)(v.n_trained + v.n_statistics) ||
        fwrite(v.momentum, sizeof(float), (size_t)v.n_trained, f) != (size_t)v.n_trained || fclose(f) != 0)
        exit(1);
}

static dt_store *open_store(const char *folder)
{
    dt_error err = {0};
    dt_store *store = NULL;
    must(dt_store_hdf5_create(folder, &store, &err), &err);
    return store;
}

static dt_source *made_up_images(const dt_comm *comm)
{
    const fake_source_options o = {.n_samples = 40,
                                   .n_classes = CLASSES,
                                   .image_size = SIZE,
                                   .batch = BATCH,
                                   .accumulate = 1,
                                   .rank = comm->rank,
                                   .size = comm->size,
                                   .seed = 3};
    return fake_source_create(&o);
}

/* Trains on this rank. mirror: NULL for none; result: rank 0 writes it. */
static void train(dt_comm *comm, int64_t steps, dt_store *store, dt_store *mirror, const char *result)
{
    dt_error err = {0};
    dt_device *device = NULL;
    dt_kernels *kernels = NULL;
    dt_metrics_end end;
    const dt_config config = {.image_size = SIZE,
                              .batch = BATCH,
                              .accumulate = 1,
                              .epochs = 3,
                              .steps = steps,
                              .lr = 0.05,
                              .momentum = 0.9,
                              .bn_decay = true,
                              .bias_decay = true,
                              .schedule = DT_SCHEDULE_COSINE,
                              .seed = 3,
                              .keep = 2,
                              .max_broken = 0.1,
                              .checkpoint_every = 2};
    must(dt_device_host_create(1, &device, &err), &err);
    must(dt_kernels_ref_create(device, DT_F32, &kernels, &err), &err);
    dt_net *net = small_net(kernels, &config);
    dt_source *images = made_up_images(comm);
    const dt_trainer_parts parts = {.config = &config,
                                    .config_text = "seed = 3;",
                                    .arch = "small",
                                    .kernels = kernels,
                                    .net = net,
                                    .comm = comm,
                                    .train = images,
                                    .store = store,
                                    .mirror = mirror};
    must(dt_trainer_run(&parts, &end, &err), &err);
    if (comm->rank == 0)
        write_result(result, net);
    images->ops->destroy(images);
    dt_net_destroy(net);
    kernels->ops->destroy(kernels);
    device->ops->destroy(device);
}

int main(int argc, char **argv)
{
    dt_error err = {0};
    dt_comm *comm = NULL;
    if (argc != 4 && argc != 5)
        return 2;
    must(dt_comm_mpi_launched() ? dt_comm_mpi_create(NULL, &comm, &err) : dt_comm_self_create(&comm, &err),
         &err);
    if (comm->rank == 0)
        dt_log_set_sink(say, NULL, DT_LOG_INFO);
    dt_store *store = open_store(argv[1]), *mirror = argc == 5 ? open_store(argv[4]) : NULL;
    train(comm, atoll(argv[2]), store, mirror, argv[3]);
    store->ops->destroy(store);
    if (mirror)
        mirror->ops->destroy(mirror);
    comm->ops->destroy(comm);
    return 0;
}
