/* network.h: which way NCCL sends, told from its log, and what to say when that is not the best one.
 *
 *   dt_nccl_log_begin(&log);           before the first call of NCCL in this process
 *   ... a communicator is made and used once ...
 *   text = dt_nccl_log_end(&log);      NULL: there is none to be had
 *   dt_nccl_network_parse(text, NULL, &network);
 *
 * NCCL has no call that tells its network, and falls back from EFA to sockets without a word. Its log tells
 * (NCCL_DEBUG=INFO). A user's own settings are left alone: then the log is the user's, and we know little.
 */
#ifndef DT_COMM_NCCL_NETWORK_H
#define DT_COMM_NCCL_NETWORK_H

#include <stdbool.h>
#include <stddef.h>

typedef enum dt_nccl_net {
    DT_NET_UNKNOWN,
    DT_NET_EFA,        /* aws-ofi-nccl on the provider efa */
    DT_NET_INFINIBAND, /* or RoCE */
    DT_NET_OTHER,      /* some other plugin */
    DT_NET_LIBFABRIC,  /* aws-ofi-nccl on a provider that is not efa */
    DT_NET_SOCKETS
} dt_nccl_net; /* best first, as far as one can tell */

/* As one rank, or all of them, see it. */
typedef struct dt_nccl_network {
    dt_nccl_net net;   /* between hosts; what NCCL would take, if there is one host only */
    char name[48];     /* what NCCL calls it: "AWS Libfabric", "Socket", "IB" */
    char device[48];   /* the interface or provider: "eth0", "efa", "mlx5_0"; "" if not known */
    bool no_plugin;    /* it is certainly one of NCCL's own: sockets or InfiniBand */
    bool gdr;          /* the network reads and writes GPU memory */
    bool nvlink, nvls; /* within a host */
    bool p2p, shm;
} dt_nccl_network;

typedef struct dt_nccl_log {
    int fd;   /* of a file in memory; -1: none */
    bool set; /* the environment is ours to clean up */
} dt_nccl_log;

void dt_nccl_log_begin(dt_nccl_log *log);
/* The log so far, to be freed with dt_free. NCCL goes on writing there. */
char *dt_nccl_log_end(dt_nccl_log *log);

/* text may be NULL: then all that can be told is whether a plugin for other networks is loaded, from the
 * libraries of this process (maps: a file like /proc/self/maps, which NULL stands for). */
void dt_nccl_network_parse(const char *text, const char *maps, dt_nccl_network *network);
/* What all of them take together: the worst network, and every way within hosts. */
void dt_nccl_network_join(dt_nccl_network *all, const dt_nccl_network *one);
/* "EFA with GPUDirect between hosts, NVLink within" */
void dt_nccl_network_describe(const dt_nccl_network *network, bool several_hosts, bool several_on_a_host,
                              char *out, size_t out_bytes);

/* The type of an Amazon instance, "p4d.24xlarge", from a file of one line (NULL: the firmware's); ""
 * elsewhere. */
void dt_nccl_machine_type(const char *path, char *out, size_t out_bytes);
/* Fill out with a warning and return true: machines of this type have EFA, and several hosts talk without
 * it. */
bool dt_nccl_network_advice(const dt_nccl_network *network, const char *machine_type, char *out,
                            size_t out_bytes);

#endif
