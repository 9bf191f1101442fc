/* sample_dump.c: writes the samples that io/ makes from JPEGs, for pil_test.sh.
 *
 *     sample_dump <jobs >pixels
 *
 * A job is a line `X Y W H FULL_W FULL_H VIEW_X VIEW_Y N FLIP PATH`: the box X Y W H of the file (W 0: the
 * centre crop for evaluation, 7/8 of the shorter side; others are crops of training) is resized to FULL_W x
 * FULL_H. The N x N pixels from VIEW_X, VIEW_Y on are written, N * N * 3 bytes. For a broken file these are
 * zeros, and stderr has the reason. */
#include "io/source/sample.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int main(void)
{
    const dt_crop_centre_settings evaluation = {.share = 0.875};
    dt_sample *sample = NULL;
    dt_error err = {0};
    if (dt_sample_create(&sample, &err) != DT_OK)
        return 1;
    dt_crop c = {0};
    int flip;
    char path[1024];
    while (scanf("%" SCNd64 "%" SCNd64 "%" SCNd64 "%" SCNd64 "%" SCNd64 "%" SCNd64 "%" SCNd64 "%" SCNd64
                 "%" SCNd64 "%d %1023[^\n]",
                 &c.box.x, &c.box.y, &c.box.w, &c.box.h, &c.full_w, &c.full_h, &c.x, &c.y, &c.n, &flip,
                 path) == 11) {
        size_t bytes = (size_t)(c.n * c.n * 3);
        uint8_t *pixels = calloc(1, bytes);
        int64_t width = 0, height = 0;
        c.flip = flip;
        c.may_shrink = true;
        dt_status status = dt_sample_open(sample, path, &width, &height, &err);
        if (status == DT_OK) {
            dt_crop crop = c.box.w ? c : dt_crop_centre(&evaluation, width, height, c.n);
            status = dt_sample_decode(sample, &crop, true, pixels, &err);
        }
        if (status != DT_OK) {
            fprintf(stderr, "%s: %s\n", path, err.message);
            memset(pixels, 0, bytes);
        }
        fwrite(pixels, 1, bytes, stdout);
        free(pixels);
    }
    dt_sample_destroy(sample);
    return 0;
}
