/* network.c: read the network from NCCL's log, and advise where EFA is not used. */
#include "config.h"

#include "comm/nccl/network.h"

#include <ctype.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>

/* -- reading the log ------------------------------------------------------------------------------------- */

/* Copy the text after `before` in a line, up to one of the characters `until`, without blanks at its end.
 * Returns false where there is none. */
static bool text_after(const char *line, const char *before, const char *until, char *out, size_t out_bytes)
{
    const char *p = strcasestr(line, before);
    if (!p)
        return false;
    p += strlen(before);
    size_t n = strcspn(p, until);
    while (n > 0 && isspace((unsigned char)p[n - 1]))
        n--;
    if (n == 0)
        return false;
    snprintf(out, out_bytes, "%.*s", (int)n, p);
    return true;
}

/* The first device named in the log is the network's. `text` is "[0]eth0" or "eth0". */
static void set_device(const char *text, dt_nccl_network *n)
{
    const char *bracket = strchr(text, ']');
    if (!n->device[0])
        snprintf(n->device, sizeof n->device, "%s", bracket ? bracket + 1 : text);
}

/* Knows the lines of NCCL 2.18 to 2.28 and aws-ofi-nccl 1.5 to 1.17. */
static void parse_line(const char *line, dt_nccl_network *n)
{
    char text[48];
    (void)text_after(line, "Using network ", "\n", n->name, sizeof n->name);
    if (!n->name[0] && text_after(line, "Assigned NET plugin ", "\n", text, sizeof text)) {
        char *end = strstr(text, " to comm");
        snprintf(n->name, sizeof n->name, "%.*s", (int)(end ? end - text : (long)strlen(text)), text);
    }
    (void)text_after(line, "NET/OFI Selected provider is ", " ,(", n->device, sizeof n->device);
    if (text_after(line, "NET/Socket : Using ", ":", text, sizeof text) ||
        text_after(line, "NET/IB : Using ", ":", text, sizeof text))
        set_device(text, n);
    if (text_after(line, " via NET/", "/", n->name, sizeof n->name) && strstr(line, "/GDRDMA"))
        n->gdr = true;
    n->p2p = n->p2p || strstr(line, " via P2P/");
    n->shm = n->shm || strstr(line, " via SHM/");
    n->nvls = n->nvls || strstr(line, "Connected NVLS tree");
    if (strstr(line, "Pattern ") && text_after(line, ", type ", "/,", text, sizeof text) &&
        strcmp(text, "NVL") == 0)
        n->nvlink = true;
}

static dt_nccl_net kind_of(const dt_nccl_network *n)
{
    if (!n->name[0])
        return DT_NET_UNKNOWN;
    if (strcasestr(n->name, "socket"))
        return DT_NET_SOCKETS;
    if (strcasestr(n->name, "libfabric") || strcasestr(n->name, "ofi"))
        return !n->device[0] || strncmp(n->device, "efa", 3) == 0 ? DT_NET_EFA : DT_NET_LIBFABRIC;
    return strncmp(n->name, "IB", 2) == 0 ? DT_NET_INFINIBAND : DT_NET_OTHER;
}

/* Whether no network plugin (libnccl-net.so, libnccl-net-ofi.so, libnccl-net-aws-ofi.so) is loaded. False if
 * the file cannot be read. */
static bool certainly_no_plugin(const char *maps)
{
    char line[1024];
    bool found = false, any = false;
    FILE *f = fopen(maps ? maps : "/proc/self/maps", "re");
    while (f && !found && fgets(line, sizeof line, f)) {
        any = true;
        found = strstr(line, "nccl-net") != NULL;
    }
    if (f)
        fclose(f);
    return any && !found;
}

void dt_nccl_network_parse(const char *text, const char *maps, dt_nccl_network *network)
{
    char line[512];
    memset(network, 0, sizeof *network); /* all of it is sent */
    network->no_plugin = !text && certainly_no_plugin(maps);
    while (text && *text) {
        size_t n = strcspn(text, "\n");
        snprintf(line, sizeof line, "%.*s", (int)(n < sizeof line ? n : sizeof line - 1), text);
        parse_line(line, network);
        text += n + (text[n] == '\n');
    }
    network->net = kind_of(network);
}

void dt_nccl_network_join(dt_nccl_network *all, const dt_nccl_network *one)
{
    if (one->net > all->net) {
        all->net = one->net;
        memcpy(all->name, one->name, sizeof all->name);
        memcpy(all->device, one->device, sizeof all->device);
    }
    all->no_plugin = all->no_plugin || one->no_plugin;
    all->gdr = all->gdr || one->gdr;
    all->nvlink = all->nvlink || one->nvlink;
    all->nvls = all->nvls || one->nvls;
    all->p2p = all->p2p || one->p2p;
    all->shm = all->shm || one->shm;
    all->nvls_may_be_used = all->nvls_may_be_used || one->nvls_may_be_used;
    if (one->efa.state > all->efa.state)
        all->efa = one->efa;
}

static void describe_network(const dt_nccl_network *n, char *out, size_t out_bytes)
{
    const char *gdr = n->gdr ? " with GPUDirect" : "";
    const char *open = n->device[0] ? " (" : "", *close = n->device[0] ? ")" : "";
    switch (n->net) {
    case DT_NET_UNKNOWN:
        snprintf(out, out_bytes, "a network%s that NCCL_DEBUG=INFO shows", n->no_plugin ? " of its own" : "");
        break;
    case DT_NET_EFA:
        snprintf(out, out_bytes, "EFA%s", gdr);
        break;
    case DT_NET_INFINIBAND:
        snprintf(out, out_bytes, "InfiniBand%s%s%s%s", open, n->device, close, gdr);
        break;
    case DT_NET_SOCKETS:
        snprintf(out, out_bytes, "sockets%s%s%s", open, n->device, close);
        break;
    case DT_NET_LIBFABRIC:
        snprintf(out, out_bytes, "libfabric without EFA%s%s%s", open, n->device, close);
        break;
    case DT_NET_OTHER:
        snprintf(out, out_bytes, "%s%s", n->name, gdr);
        break;
    }
}

void dt_nccl_network_describe(const dt_nccl_network *n, bool several_hosts, bool several_on_a_host, char *out,
                              size_t out_bytes)
{
    char network[80] = "";
    const char *within = n->p2p && n->nvlink ? n->nvls ? "NVLink with NVLS" : "NVLink"
                         : n->p2p            ? "P2P over PCIe"
                         : n->shm            ? "shared memory"
                                             : "ways that NCCL_DEBUG=INFO shows";
    describe_network(n, network, sizeof network);
    if (several_hosts && several_on_a_host)
        snprintf(out, out_bytes, "%s between hosts, %s within", network, within);
    else if (several_hosts)
        snprintf(out, out_bytes, "%s between hosts", network);
    else if (several_on_a_host)
        snprintf(out, out_bytes, "%s", within);
    else
        snprintf(out, out_bytes, "%s if there were other hosts", network);
}

/* -- EFA ------------------------------------------------------------------------------------------------- */

bool dt_nccl_network_advice(const dt_nccl_network *n, char *out, size_t out_bytes)
{
    char network[80], mend[500];
    const bool is_certain = n->net == DT_NET_SOCKETS || n->net == DT_NET_LIBFABRIC || n->no_plugin ||
                            (n->net == DT_NET_UNKNOWN && n->efa.state >= DT_EFA_NO_FILES);
    if (!dt_efa_is_expected(n->efa.machine_type) || !is_certain)
        return false;
    describe_network(n, network, sizeof network);
    dt_efa_mend(&n->efa, mend, sizeof mend);
    snprintf(out, out_bytes,
             "EFA is not used: this is a %s, and NCCL uses %s between hosts, which is many times slower. %s",
             n->efa.machine_type, network, mend);
    return true;
}
