#include "tests/fakes/fake_clock.h"

#include "core/checkpoint/writer.h"

#include <pthread.h>
#include <time.h>

static pthread_mutex_t mutex = PTHREAD_MUTEX_INITIALIZER;
static double now_s;

void fake_clock_set(double seconds)
{
    pthread_mutex_lock(&mutex);
    now_s = seconds;
    pthread_mutex_unlock(&mutex);
}

void fake_clock_advance(double seconds)
{
    pthread_mutex_lock(&mutex);
    now_s += seconds;
    pthread_mutex_unlock(&mutex);
}

/* The linker's names for dt_clock_s, dt_clock_sleep_s and dt_writer_is_ready (--wrap). */
double __wrap_dt_clock_s(void);
void __wrap_dt_clock_sleep_s(double seconds);
bool __wrap_dt_writer_is_ready(dt_writer *w);
bool __real_dt_writer_is_ready(dt_writer *w);

double __wrap_dt_clock_s(void)
{
    pthread_mutex_lock(&mutex);
    const double now = now_s;
    pthread_mutex_unlock(&mutex);
    return now;
}

void __wrap_dt_clock_sleep_s(double seconds)
{
    fake_clock_advance(seconds);
}

bool __wrap_dt_writer_is_ready(dt_writer *w)
{
    const struct timespec moment = {.tv_nsec = 100000};
    dt_writer_progress p;
    for (dt_writer_poll(w, &p); p.pending && !__real_dt_writer_is_ready(w);)
        nanosleep(&moment, NULL);
    return p.pending;
}
