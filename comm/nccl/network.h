/* network.h: which network NCCL uses, read from its log, and a warning where it is not the best one.
 *
 *   text = dt_nccl_log_end(&log);      log.h
 *   dt_nccl_network_parse(text, NULL, &network);
 *
 * NCCL has no call that returns its network, and falls back from EFA to sockets without an error. Only its
 * log (NCCL_DEBUG=INFO) names the network. Where the user reads the log all that is known here is whether a
 * network plugin is loaded.
 */
#ifndef DT_COMM_NCCL_NETWORK_H
#define DT_COMM_NCCL_NETWORK_H

#include "comm/efa.h"

typedef enum dt_nccl_net {
    DT_NET_UNKNOWN,
    DT_NET_EFA,        /* aws-ofi-nccl on the provider efa */
    DT_NET_INFINIBAND, /* or RoCE */
    DT_NET_OTHER,      /* some other plugin */
    DT_NET_LIBFABRIC,  /* aws-ofi-nccl on a provider that is not efa */
    DT_NET_SOCKETS
} dt_nccl_net; /* best first, roughly */

/* What one rank uses, or all ranks together. */
typedef struct dt_nccl_network {
    dt_nccl_net net;   /* between hosts; with one host, what NCCL would use */
    char name[48];     /* NCCL's name: "AWS Libfabric", "Socket", "IB" */
    char device[48];   /* the interface or provider: "eth0", "efa", "mlx5_0"; "" if not known */
    bool no_plugin;    /* no plugin is loaded: it is certainly NCCL's own sockets or InfiniBand */
    bool gdr;          /* the network reads and writes GPU memory (GPUDirect) */
    bool nvlink, nvls; /* these four are within a host */
    bool p2p, shm;
    dt_efa efa;            /* not from the log: the caller reads it (comm/efa.h); zero: not known */
    bool nvls_may_be_used; /* the user's NCCL_NVLS_ENABLE allows it (environment.h); not from the log */
} dt_nccl_network;

/* Read the network from the log. Where text is NULL only no_plugin is set, from the libraries of this process
 * (maps: a file like /proc/self/maps, which is the default, NULL). */
void dt_nccl_network_parse(const char *text, const char *maps, dt_nccl_network *network);
/* Join one rank's network into that of all: the worst network, and everything used within hosts. */
void dt_nccl_network_join(dt_nccl_network *all, const dt_nccl_network *one);
/* "EFA with GPUDirect between hosts, NVLink within" */
void dt_nccl_network_describe(const dt_nccl_network *network, bool several_hosts, bool several_on_a_host,
                              char *out, size_t out_bytes);

/* Return true, and write a warning with what mends it, where the machine's type (network->efa) has EFA, and
 * NCCL certainly does not use it: it uses sockets or libfabric without EFA; no plugin is loaded; or, where
 * the log does not say, a host has no device. */
bool dt_nccl_network_advice(const dt_nccl_network *network, char *out, size_t out_bytes);

#endif
