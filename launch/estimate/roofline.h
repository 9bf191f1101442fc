/* roofline.h: `dtrain info --plans --device GPU`: what a training would do on a GPU that need not be
 * there. */
#ifndef DT_LAUNCH_ESTIMATE_ROOFLINE_H
#define DT_LAUNCH_ESTIMATE_ROOFLINE_H

#include "launch/options/options.h"

#include <stdio.h>

/* Builds the net of options->config for options->device with nothing allocated, and prints a line for each
 * graph that cuDNN was asked for, then what one image moves and computes, the memory, and the images per
 * second that memory and arithmetic allow. Local. DT_ERR_USAGE: the device's file; DT_ERR_UNSUPPORTED: a
 * graph that is needed has no plan, or this build has no cuDNN; DT_ERR_MEMORY, DT_ERR_IO. */
dt_status dt_roofline_print(const dt_options *options, FILE *stream, dt_error *err);

#endif
