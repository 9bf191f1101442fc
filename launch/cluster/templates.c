#include "launch/cluster/templates.h"

#include <stddef.h>
#include <string.h>

/* Rows {"NAME", "TEXT"}, which the Makefile generates from launch/deploy/parallelcluster/NAME. */
static const struct {
    const char *name, *text;
} templates[] = {
#include "launch/cluster/templates.inc"
};

const char *dt_cluster_template(const char *name)
{
    for (size_t i = 0; i < sizeof templates / sizeof templates[0]; i++)
        if (strcmp(templates[i].name, name) == 0)
            return templates[i].text;
    return NULL;
}
