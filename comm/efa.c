#include "config.h"

#include "comm/efa.h"

#include <dirent.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define AMAZON "0x1d0f" /* PCI vendor */
#define COUNT(array) (sizeof(array) / sizeof(array)[0])

/* Reads the first word of a file; "" if there is none. */
static void read_word(const char *path, char *out, size_t out_bytes)
{
    FILE *f = fopen(path, "re");
    out[0] = '\0';
    if (f && !fgets(out, (int)out_bytes, f))
        out[0] = '\0';
    if (f)
        fclose(f);
    out[strcspn(out, " \t\r\n")] = '\0';
}

/* -- devices --------------------------------------------------------------------------------------------- */

/* Counts them; names differ: older drivers name them efa_0, udev rdmap16s27. */
static void read_devices(const char *root, dt_efa *efa)
{
    char path[PATH_MAX], vendor[16];
    snprintf(path, sizeof path, "%s/sys/class/infiniband", root);
    DIR *folder = opendir(path);
    for (struct dirent *e; folder && (e = readdir(folder)) != NULL;) {
        if (e->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "%s/sys/class/infiniband/%s/device/vendor", root, e->d_name);
        read_word(path, vendor, sizeof vendor);
        if (strcmp(vendor, AMAZON) != 0 && strncmp(e->d_name, "efa_", 4) != 0)
            continue;
        if (efa->n_devices++ == 0 || strcmp(e->d_name, efa->device) < 0)
            snprintf(efa->device, sizeof efa->device, "%.31s", e->d_name);
    }
    if (folder)
        closedir(folder);
}

/* Whether this process may open a device. */
static bool has_files(const char *root)
{
    char path[PATH_MAX];
    bool found = false;
    snprintf(path, sizeof path, "%s/dev/infiniband", root);
    DIR *folder = opendir(path);
    for (struct dirent *e; folder && !found && (e = readdir(folder)) != NULL;) {
        snprintf(path, sizeof path, "%s/dev/infiniband/%s", root, e->d_name);
        found = strncmp(e->d_name, "uverbs", 6) == 0 && access(path, R_OK | W_OK) == 0;
    }
    if (folder)
        closedir(folder);
    return found;
}

/* -- NCCL's plugin --------------------------------------------------------------------------------------- */

/* Folders that the dynamic linker knows by itself on the usual systems, and those of Amazon's installers. */
static const char *const known[] = {"/usr/lib/x86_64-linux-gnu", "/usr/lib64", "/usr/lib", "/usr/local/lib",
                                    "/usr/local/lib64"};
static const char *const installed[] = {"/opt/amazon/ofi-nccl/lib/x86_64-linux-gnu",
                                        "/opt/amazon/ofi-nccl/lib64", "/opt/amazon/ofi-nccl/lib",
                                        "/opt/aws-ofi-nccl/lib", "/opt/aws-ofi-nccl/install/lib"};

static bool has_plugin(const char *root, const char *folder, size_t folder_chars)
{
    static const char *const names[] = {"libnccl-net.so", "libnccl-net-ofi.so", "libnccl-net-aws-ofi.so"};
    char path[PATH_MAX];
    for (size_t i = 0; i < COUNT(names); i++) {
        snprintf(path, sizeof path, "%s%.*s/%s", root, (int)folder_chars, folder, names[i]);
        if (folder_chars > 0 && access(path, R_OK) == 0)
            return true;
    }
    return false;
}

/* Finds the plugin. Returns whether the dynamic linker finds it, too. */
static bool find_plugin(const char *root, dt_efa *efa)
{
    for (const char *at = getenv("LD_LIBRARY_PATH"); at && *at; at += at[strcspn(at, ":")] == ':') {
        const size_t n = strcspn(at, ":");
        if (has_plugin(root, at, n)) {
            snprintf(efa->plugin, sizeof efa->plugin, "%.*s", (int)(n < 127 ? n : 127), at);
            return true;
        }
        at += n;
    }
    for (size_t i = 0; i < COUNT(known) + COUNT(installed); i++) {
        const char *folder = i < COUNT(known) ? known[i] : installed[i - COUNT(known)];
        if (has_plugin(root, folder, strlen(folder))) {
            snprintf(efa->plugin, sizeof efa->plugin, "%s", folder);
            return i < COUNT(known);
        }
    }
    return false;
}

/* -- settings -------------------------------------------------------------------------------------------- */

/* Finds a variable with which NCCL or libfabric uses another network. */
static void find_setting(dt_efa *efa)
{
    static const char *const off[][2] = {
        {"NCCL_NET", "Socket"}, {"NCCL_NET", "IB"}, {"NCCL_NET_PLUGIN", "none"}, {"FI_PROVIDER", NULL}};
    for (size_t i = 0; i < COUNT(off) && !efa->setting[0]; i++) {
        const char *value = getenv(off[i][0]);
        if (value && value[0] && (off[i][1] ? strcmp(value, off[i][1]) == 0 : !strstr(value, "efa")))
            snprintf(efa->setting, sizeof efa->setting, "%s=%.40s", off[i][0], value);
    }
}

void dt_efa_read(const char *root, dt_efa *efa)
{
    char path[PATH_MAX];
    memset(efa, 0, sizeof *efa);
    snprintf(path, sizeof path, "%s/sys/devices/virtual/dmi/id/product_name", root);
    read_word(path, efa->machine_type, sizeof efa->machine_type);
    read_devices(root, efa);
    find_setting(efa);
    const bool finds_plugin = find_plugin(root, efa);
    efa->state = efa->n_devices == 0 ? DT_EFA_NO_DEVICE
                 : !has_files(root)  ? DT_EFA_NO_FILES
                 : !efa->plugin[0]   ? DT_EFA_NO_PLUGIN
                 : !finds_plugin     ? DT_EFA_PLUGIN_LOST
                 : efa->setting[0]   ? DT_EFA_SWITCHED_OFF
                                     : DT_EFA_READY;
}

bool dt_efa_is_expected(const char *machine_type)
{
    static const char *const begins[] = {"p3dn.", "p4d.", "p4de.", "p5.", "p5e.", "p5en.", "p6-"};
    for (size_t i = 0; i < COUNT(begins); i++)
        if (strncmp(machine_type, begins[i], strlen(begins[i])) == 0)
            return true;
    return false;
}

void dt_efa_mend(const dt_efa *efa, char *out, size_t out_bytes)
{
    const char *host = efa->host[0] ? efa->host : "this host";
    switch ((dt_efa_state)efa->state) {
    case DT_EFA_NO_DEVICE:
        snprintf(out, out_bytes,
                 "%s has no EFA device (/sys/class/infiniband). Start the instances with EFA interfaces "
                 "(ParallelCluster: `Efa: {Enabled: true}`; EC2: `InterfaceType=efa`), and load the driver: "
                 "`sudo modprobe efa`",
                 host);
        break;
    case DT_EFA_NO_FILES:
        snprintf(
            out, out_bytes,
            "%s has EFA devices, such as %s, but this process may open no /dev/infiniband/uverbs*. Start "
            "the container with `--device=/dev/infiniband --ulimit memlock=-1` (Kubernetes: the resource "
            "vpc.amazonaws.com/efa)",
            host, efa->device);
        break;
    case DT_EFA_NO_PLUGIN:
        snprintf(out, out_bytes,
                 "%s has EFA devices, but not NCCL's plugin for them, aws-ofi-nccl (libnccl-net.so). Install "
                 "it, or name its folder: `export LD_LIBRARY_PATH=FOLDER:$LD_LIBRARY_PATH`",
                 host);
        break;
    case DT_EFA_PLUGIN_LOST:
        snprintf(out, out_bytes,
                 "NCCL does not find its plugin aws-ofi-nccl (libnccl-net.so) on %s: `export "
                 "LD_LIBRARY_PATH=%s:/opt/amazon/efa/lib:$LD_LIBRARY_PATH`, and `mpirun -x LD_LIBRARY_PATH` "
                 "(Open MPI) for the other hosts",
                 host, efa->plugin);
        break;
    case DT_EFA_SWITCHED_OFF:
        snprintf(out, out_bytes, "%s on %s chooses another network: `unset %.*s`", efa->setting, host,
                 (int)strcspn(efa->setting, "="), efa->setting);
        break;
    case DT_EFA_UNKNOWN:
    case DT_EFA_READY:
        snprintf(out, out_bytes,
                 "NCCL must find aws-ofi-nccl (libnccl-net.so), `fi_info -p efa` must list devices on each "
                 "host, and the hosts' security group must allow all traffic from and to itself. "
                 "NCCL_DEBUG=INFO logs why NCCL uses another network");
        break;
    }
}
