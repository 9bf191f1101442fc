/* dtrain demo-data DIR: writes the built-in digits as a folder of JPEG files. */
#include "config.h"

#include "io/source/demo.h"
#include "launch/commands/commands.h"
#include "launch/show/output.h"

#include <stdio.h>

dt_status dt_command_demo_data(int argc, char **argv, dt_session *session, dt_error *err)
{
    static const dt_command_usage usage = {
        .name = "dtrain demo-data",
        .args_doc = "DIR",
        .doc = "Write the built-in data set, 1,797 handwritten digits of 32x32 pixels, to DIR/train and "
               "DIR/val as JPEG files: an example of a folder for --data.",
    };
    dt_options options;
    (void)session;
    DT_TRY(dt_options_parse(&usage, argc, argv, &options, err));
    DT_TRY(dt_demo_data_write(options.arguments[0], err));
    dt_output_line(
        stdout,
        "%s holds train/ with 1,437 images and val/ with 360, in 10 classes; train on them: dtrain "
        "--data %s --arch resnet18 --image-size 32",
        options.arguments[0], options.arguments[0]);
    return fflush(stdout) == 0 ? DT_OK : dt_fail_errno(err, "cannot print the result");
}
