/* registry.h: the kinds of layers there are. A new one is a file and a row in registry.c. */
#ifndef DT_LAYERS_REGISTRY_H
#define DT_LAYERS_REGISTRY_H

#include "core/layer.h"

/* Ends with NULL; static storage. */
const dt_layer_ops *const *dt_layer_registry(void);

#endif
