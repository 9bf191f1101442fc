/* registry.h: all kinds of layers. To add one, write its file and add a row to registry.c. */
#ifndef DT_LAYERS_REGISTRY_H
#define DT_LAYERS_REGISTRY_H

#include "core/layer.h"

/* All kinds of layers, ended by NULL; static storage. */
const dt_layer_ops *const *dt_layer_registry(void);

#endif
