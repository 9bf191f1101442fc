/* roofline.h: what a training would do on a GPU that this machine need not have, for `dtrain info --plans
 * --device GPU`: cuDNN's plans, memory, and the most images per second. */
#ifndef DT_LAUNCH_ESTIMATE_ROOFLINE_H
#define DT_LAUNCH_ESTIMATE_ROOFLINE_H

#include "launch/options/options.h"

#include <stdio.h>

/* Plan the net of options->config on options->device, without allocating its memory. Print a line for each
 * graph that cuDNN planned; then an image's memory traffic and operations, the memory of the net, and the
 * images per second that bandwidth and FLOP/s allow. Local. DT_ERR_USAGE: the device's file;
 * DT_ERR_UNSUPPORTED: a required graph has no plan, or this build has no cuDNN; DT_ERR_MEMORY, DT_ERR_IO. */
dt_status dt_roofline_print(const dt_options *options, FILE *stream, dt_error *err);

#endif
