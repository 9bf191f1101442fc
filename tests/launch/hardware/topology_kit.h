/* topology_kit.h: hosts that this machine is not, for dt_topology_open. Without hwloc they cannot be made. */
#ifndef DTRAIN_TESTS_TOPOLOGY_KIT_H
#define DTRAIN_TESTS_TOPOLOGY_KIT_H

#include "launch/hardware/topology.h"

/* 192 cores with one hardware thread: 2 sockets, 4 NUMA nodes, 24 L3 caches, as those of an
 * hpc7a.96xlarge. */
#define TOPOLOGY_KIT_HPC7A "pack:2 numa:2 l3:6 core:8 pu:1"
/* Two sockets of 24 cores; hardware thread n + 48 is on the core of n, as Linux numbers those of a p4d. */
#define TOPOLOGY_KIT_P4D "pack:2 [numa] l3:1 core:24 pu:2(indexes=2*48:48*1)"
/* 2 cores with two hardware threads, as a g5.xlarge has them. */
#define TOPOLOGY_KIT_G5 "pack:1 [numa] l3:1 core:2 pu:2(indexes=2*2:2*1)"

typedef struct topology_kit_device {
    int socket;          /* -1: the host does not say */
    const char *address; /* "0000:10:1c.0"; devices with the same bus are behind the same bridge */
    const char *card;    /* "rdmap16s27": an EFA with this name; "eth0": a network card; NULL: a GPU */
} topology_kit_device;

/* The 8 GPUs and 4 EFAs of a p4d, two GPUs and one EFA on each bus. */
extern const topology_kit_device topology_kit_p4d[];
enum { TOPOLOGY_KIT_P4D_DEVICES = 12 };

/* Write a host with these devices, sorted by socket and bus, those with -1 last, as XML into the running
 * test's folder. Returns its path, which stays until the next call; NULL: this build has no hwloc. */
const char *topology_kit_write(const char *synthetic, const topology_kit_device *devices, int n);

/* Open a host, or end the test with a failure. The caller closes it. */
dt_topology *topology_kit_open(const char *source);

/* The set of processors of a list: "0-3,8". */
dt_cpus topology_kit_cpus(const char *list);

#endif
