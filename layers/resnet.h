/* resnet.h: ResNet-18, -34, -50, -101 and -152 (He et al. 2016), v1.5: where a bottleneck halves the image,
 * its 3x3 convolution has the stride. Parameters have torchvision's names. */
#ifndef DT_LAYERS_RESNET_H
#define DT_LAYERS_RESNET_H

#include "core/layer.h"

/* Fill *spec with the spec of `arch` ("resnet50"). spec->layers is allocated by dt_alloc; the caller frees it
 * with dt_free. DT_ERR_USAGE for an unknown name; the message lists the known ones. */
dt_status dt_resnet_spec(const char *arch, int64_t n_classes, dt_net_spec *spec, dt_error *err);

/* The known names, ended by NULL. */
const char *const *dt_resnet_names(void);

#endif
