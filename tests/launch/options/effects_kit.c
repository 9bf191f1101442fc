/* effects_kit.c: see effects_kit.h. */
#include "tests/launch/options/effects_kit.h"

#include "tests/launch/options/options_kit.h"
#include "tests/testing.h"

#include <string.h>

/* A bias of 4 is padded to 16. */
const int64_t tensor_elems[N_TENSORS] = {432, 16, 16, 64, 4, 16, 16};
const int64_t tensor_first[N_TENSORS] = {0, 432, 448, 464, 528, 544, 560};

static const char *const base[] = {
    "--data",          "x", "--image-size", "16",       "--batch",    "4", "--epochs",       "2",
    "--steps",         "1", "--lr",         "1",        "--momentum", "0", "--weight-decay", "0",
    "--warmup-epochs", "0", "--schedule",   "constant", NULL};

job job_of(const char *const *more)
{
    const char *words[60];
    int n = 0;
    for (int i = 0; base[i]; i++)
        words[n++] = base[i];
    for (int i = 0; more[i]; i++)
        words[n++] = more[i];
    words[n] = NULL;
    static dt_options options; /* large */
    dt_error err;
    DT_REQUIRE_MSG(options_kit_parse(&options_kit_train, words, &options, &err) == DT_OK, "%s", err.message);
    job j = new_job(1);
    j.config = options.config;
    j.config.precision = dt_options_dtype(&options); /* as train.c does when the backend is open */
    return j;
}

job train_words(const char *const *more)
{
    job j = job_of(more);
    run(&j);
    check_all(&j, DT_OK);
    DT_REQUIRE(j.vectors.n_trained == tensor_first[MEAN] && j.vectors.n_statistics == 32);
    return j;
}

const float *tensor(const job *j, int t)
{
    return j->values[0] + tensor_first[t];
}

bool same_tensor(const job *a, const job *b, int t)
{
    return memcmp(tensor(a, t), tensor(b, t), (size_t)tensor_elems[t] * sizeof(float)) == 0;
}

void check_same_weights(const job *a, const job *b, bool same)
{
    for (int t = CONV; t <= BIAS; t++)
        DT_CHECK_MSG(same_tensor(a, b, t) == same, "tensor %d", t);
}
