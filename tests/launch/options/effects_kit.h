/* effects_kit.h: trainings with options given as text, for tests of what an option does. They train a small
 * net on the reference backend (tests/fakes/trainer_job.h).
 *
 *   job start = TRAIN("--lr", "0"), plain = TRAIN("--lr", "1");
 *   check_same_weights(&start, &plain, false);
 *   free_job(&start), free_job(&plain);
 */
#ifndef DTRAIN_TESTS_LAUNCH_EFFECTS_KIT_H
#define DTRAIN_TESTS_LAUNCH_EFFECTS_KIT_H

#include "tests/fakes/trainer_job.h"

/* The tensors of the small net's flat vector. */
enum { CONV, GAMMA, BETA, FC, BIAS, MEAN, VARIANCE, N_TENSORS };
extern const int64_t tensor_elems[N_TENSORS], tensor_first[N_TENSORS];

/* A training of one rank with these options, which end with NULL, after those of the base: one step of plain
 * gradient descent with rate 1, on 4 of 64 images of 16 pixels. Of options with the same name the last one
 * counts. */
job job_of(const char *const *more);

/* The same; it has run, and all was well. */
job train_words(const char *const *more);
#define TRAIN(...) train_words((const char *const[]){__VA_ARGS__, NULL})

/* A tensor at the end of the training. */
const float *tensor(const job *j, int t);
bool same_tensor(const job *a, const job *b, int t);
/* Checks that each trained tensor has the same bits in both, or that none has. */
void check_same_weights(const job *a, const job *b, bool same);

#endif
