/* placement.h: which processors each rank of a host gets. A function of its arguments alone, so that the
 * ranks of a host choose the same without a word.
 *
 * - A rank with a GPU gets cores near it; ranks whose GPUs are near the same cores share these equally.
 * - Other ranks are spread over sockets, in them over NUMA nodes, in them over L3 caches. A boundary that
 *   would cost the smallest rank more than an eighth of its cores is not kept: ranks then lie one after the
 *   other in the order of the topology.
 * - Cores are whole: the processors of one core belong to one rank, unless there are more ranks than cores.
 * - Cores that are near no rank's GPU help to decode, so that all ranks have about as many.
 */
#ifndef DT_LAUNCH_HARDWARE_PLACEMENT_H
#define DT_LAUNCH_HARDWARE_PLACEMENT_H

#include "launch/hardware/topology.h"

typedef struct dt_placement {
    dt_cpus cpus;    /* for the rank's own threads */
    dt_cpus workers; /* for its decoding threads: those and more */
} dt_placement;

/* all: the processors that the n ranks may use together; nothing else is given to a rank. near[r]: the
 * processors near rank r's GPU; empty: it has none, or its place is not known. Fills in placements[n].
 * False: the topology does not have all of the processors, or memory is out. */
bool dt_placement_choose(const dt_topology *topology, const dt_cpus *all, const dt_cpus *near, int n,
                         dt_placement *placements);

#endif
