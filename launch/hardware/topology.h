/* topology.h: where this host's processors, memory, GPUs and network cards are, by hwloc.
 *
 *   dt_topology *t = NULL;
 *   if (dt_topology_open(NULL, &t, &why) == DT_OK && dt_topology_near(t, "0000:10:1c.0", &cpus)) ...
 *   dt_topology_close(t);
 *
 * A build without hwloc has no topology: dt_topology_open returns DT_ERR_UNSUPPORTED with the reason.
 * Everything here is local.
 */
#ifndef DT_LAUNCH_HARDWARE_TOPOLOGY_H
#define DT_LAUNCH_HARDWARE_TOPOLOGY_H

#include "core/base/cpus.h"
#include "core/base/error.h"

#include <stddef.h>

/* Where a core is. Numbers as the system has them; caches are numbered from 0. -1: the host does not say. */
typedef struct dt_topology_core {
    int socket, numa, l3;
} dt_topology_core;

/* Read-only for callers. */
typedef struct dt_topology {
    int n_sockets, n_numa, n_l3; /* 0: the host does not say */
    int n_cores;
    dt_topology_core *cores;  /* neighbours in this order share the most */
    int core_of[DT_CPUS_MAX]; /* the index in `cores` of each processor; -1: the topology does not have it */
    void *hwloc;
} dt_topology;

/* source: NULL for this host; in tests the path of a file that ends with .xml, or what hwloc calls a
 * synthetic topology ("pack:2 core:4 pu:1"). The caller closes it. DT_ERR_UNSUPPORTED: see above; hwloc
 * cannot read the host or the source; it knows no processors. DT_ERR_MEMORY. */
dt_status dt_topology_open(const char *source, dt_topology **topology, dt_error *err);
void dt_topology_close(dt_topology *topology); /* NULL is fine */

/* *cpus: the processors next to a PCI device, such as those of its socket or NUMA node. `bus_id`:
 * "0000:10:1c.0", in any case. False, and *cpus empty: the host does not have the device, or does not say
 * where it is. */
bool dt_topology_near(const dt_topology *topology, const char *bus_id, dt_cpus *cpus);

/* Write the name of the network card that has the fewest bridges between it and the PCI device, or, with
 * bus_id "", one next to the processors: "efa_0", "mlx5_0", "eth0". A card that programs reach without the
 * kernel (EFA, InfiniBand) counts before others. "": there is none, or it is as near to all of the host. */
void dt_topology_card(const dt_topology *topology, const char *bus_id, const dt_cpus *cpus, char *name,
                      size_t name_bytes);

/* Write where the processors are: "socket 0, NUMA 1, L3 6-7". What the host has once is left out; so are NUMA
 * nodes and caches that are the same as sockets. "": all over the host, or there is one of everything. */
void dt_topology_describe(const dt_topology *topology, const dt_cpus *cpus, char *out, size_t out_bytes);

#endif
