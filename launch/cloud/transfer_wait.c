#include "launch/cloud/transfer_wait.h"

#include <math.h>
#include <stdint.h>
#include <sys/random.h>

double dt_transfer_wait_s(int tries, double first_s, double most_s)
{
    uint32_t random = UINT32_MAX;
    (void)!getrandom(&random, sizeof random, GRND_NONBLOCK);
    return fmin(ldexp(first_s, tries - 1), most_s) * random / UINT32_MAX;
}
