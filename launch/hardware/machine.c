#include "config.h"

#include "launch/hardware/machine.h"

#include "launch/hardware/cgroup.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

/* Reads the first line of a file, without its newline; false if there is none. */
static bool read_line(const char *path, char *out, size_t out_bytes)
{
    FILE *f = fopen(path, "r");
    bool ok = f && fgets(out, (int)out_bytes, f);
    if (f)
        fclose(f);
    if (ok)
        out[strcspn(out, "\n")] = '\0';
    return ok;
}

/* Reads the first value after "key<spaces>:" in a file of such lines, such as /proc/cpuinfo. */
static bool read_field(const char *path, const char *key, char *out, size_t out_bytes)
{
    char line[4096];
    bool found = false;
    FILE *f = fopen(path, "r");
    while (f && !found && fgets(line, sizeof line, f)) {
        char *colon = strchr(line, ':');
        if (!colon || strncmp(line, key, strlen(key)) != 0 ||
            strspn(line + strlen(key), " \t") != (size_t)(colon - line) - strlen(key))
            continue;
        colon += 1 + strspn(colon + 1, " \t");
        colon[strcspn(colon, "\n")] = '\0';
        snprintf(out, out_bytes, "%s", colon);
        found = true;
    }
    if (f)
        fclose(f);
    return found;
}

static int64_t memory_field(const char *key)
{
    char text[64];
    return read_field("/proc/meminfo", key, text, sizeof text) ? strtoll(text, NULL, 10) * 1024 : 0;
}

/* -- the processor --------------------------------------------------------------------------------------- */

static void read_features(dt_machine *m, const char *cpuinfo)
{
    static const char *const wanted[] = {"avx",         "avx2",     "fma",   "avx512f", "avx512_vnni",
                                         "avx512_bf16", "amx_bf16", "asimd", "sve"};
    char flags[4096] = "", padded[4100];
    if (!read_field(cpuinfo, "flags", flags, sizeof flags - 2))
        (void)read_field(cpuinfo, "Features", flags, sizeof flags - 2);
    snprintf(padded, sizeof padded, " %s ", flags);
    for (size_t i = 0; i < sizeof wanted / sizeof wanted[0]; i++) {
        char word[32];
        size_t used = strlen(m->cpu_features);
        snprintf(word, sizeof word, " %s ", wanted[i]);
        if (strstr(padded, word))
            snprintf(m->cpu_features + used, sizeof m->cpu_features - used, "%s%s", used ? " " : "",
                     wanted[i]);
    }
}

/* On Arm the kernel prints two numbers instead of a name: the designer of the core, and the core. */
static void read_arm_model(dt_machine *m, const char *cpuinfo)
{
    static const struct {
        long implementer, part;
        const char *name;
    } cores[] = {
        {0x41, 0xd08, "Arm Cortex-A72 (Graviton)"},          {0x41, 0xd0c, "Arm Neoverse-N1 (Graviton2)"},
        {0x41, 0xd40, "Arm Neoverse-V1 (Graviton3)"},        {0x41, 0xd49, "Arm Neoverse-N2"},
        {0x41, 0xd4f, "Arm Neoverse-V2 (Graviton4, Grace)"}, {0xc0, 0xac3, "Ampere-1"},
    };
    char implementer[32], part[32];
    if (!read_field(cpuinfo, "CPU implementer", implementer, sizeof implementer) ||
        !read_field(cpuinfo, "CPU part", part, sizeof part))
        return;
    snprintf(m->cpu_model, sizeof m->cpu_model, "implementer %s, part %s", implementer, part);
    for (size_t i = 0; i < sizeof cores / sizeof cores[0]; i++)
        if (strtol(implementer, NULL, 16) == cores[i].implementer && strtol(part, NULL, 16) == cores[i].part)
            snprintf(m->cpu_model, sizeof m->cpu_model, "%s", cores[i].name);
}

void dt_machine_read_processor(dt_machine *machine, const char *cpuinfo)
{
    machine->cpu_model[0] = machine->cpu_features[0] = '\0';
    if (!read_field(cpuinfo, "model name", machine->cpu_model, sizeof machine->cpu_model))
        read_arm_model(machine, cpuinfo);
    read_features(machine, cpuinfo);
}

int dt_machine_core_of(int cpu)
{
    char path[128], siblings[4096];
    dt_cpus set;
    snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/topology/thread_siblings_list", cpu);
    if (!read_line(path, siblings, sizeof siblings) || !dt_machine_parse_cpus(siblings, &set))
        return cpu;
    const int first = dt_cpus_next(&set, 0);
    return first >= 0 ? first : cpu;
}

void dt_machine_format_cpus(const dt_cpus *cpus, char *out, size_t out_bytes)
{
    size_t used = 0;
    out[0] = '\0';
    for (int first = dt_cpus_next(cpus, 0), last; first >= 0 && used < out_bytes;
         first = dt_cpus_next(cpus, last + 1)) {
        for (last = first; dt_cpus_has(cpus, last + 1);)
            last++;
        used += (size_t)snprintf(out + used, out_bytes - used, last > first ? "%s%d-%d" : "%s%d",
                                 used ? "," : "", first, last);
    }
}

bool dt_machine_parse_cpus(const char *text, dt_cpus *cpus)
{
    memset(cpus, 0, sizeof *cpus);
    while (*text) {
        char *end;
        long first = strtol(text, &end, 10), last = first;
        if (end == text)
            return false;
        if (*end == '-') {
            text = end + 1;
            last = strtol(text, &end, 10);
            if (end == text)
                return false;
        }
        if (first < 0 || last < first || last >= DT_CPUS_MAX || (*end != ',' && *end != '\0'))
            return false;
        for (long i = first; i <= last; i++)
            dt_cpus_add(cpus, (int)i);
        text = *end ? end + 1 : end;
    }
    return true;
}

static void read_limits(dt_machine *m)
{
    dt_cgroup limits;
    dt_cgroup_read("", &limits);
    m->quota_cpus = limits.cpus;
    m->quota_group = limits.cpus_group;
    m->memory_limit_bytes = limits.memory_bytes > 0 && limits.memory_bytes < (double)m->memory_bytes
                                ? (int64_t)limits.memory_bytes
                                : 0;
}

dt_status dt_machine_check_stack(dt_error *err)
{
    enum { LEAST_KIB = 256 }; /* ResNet-18 runs with 160 */
    struct rlimit limit;
    if (getrlimit(RLIMIT_STACK, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY ||
        limit.rlim_cur >= LEAST_KIB * 1024)
        return DT_OK;
    return dt_fail(err, DT_ERR_USAGE,
                   "the stack may have %lld KiB only (ulimit -s), and dtrain needs %d; raise the limit",
                   (long long)(limit.rlim_cur >> 10), LEAST_KIB);
}

/* -- GPUs ------------------------------------------------------------------------------------------------ */

static void read_gpus(dt_machine *m)
{
    char line[256], path[512];
    if (read_line("/proc/driver/nvidia/version", line, sizeof line)) {
        const char *version = strstr(line, "Module");
        snprintf(m->gpu_driver, sizeof m->gpu_driver, "%.*s",
                 (int)strcspn(version ? version + 6 + strspn(version + 6, " ") : line, " \t"),
                 version ? version + 6 + strspn(version + 6, " ") : line);
    }
    DIR *folder = opendir("/proc/driver/nvidia/gpus");
    for (struct dirent *e; folder && m->n_gpus < DT_MACHINE_MAX_GPUS && (e = readdir(folder)) != NULL;) {
        if (e->d_name[0] == '.')
            continue;
        snprintf(path, sizeof path, "/proc/driver/nvidia/gpus/%s/information", e->d_name);
        if (!read_field(path, "Model", m->gpu_model[m->n_gpus], sizeof m->gpu_model[0]))
            snprintf(m->gpu_model[m->n_gpus], sizeof m->gpu_model[0], "NVIDIA");
        m->n_gpus++;
    }
    if (folder)
        closedir(folder);
    /* some containers have the device files only */
    for (int i = 0; m->n_gpus == i && i < DT_MACHINE_MAX_GPUS; i++) {
        snprintf(path, sizeof path, "/dev/nvidia%d", i);
        if (access(path, F_OK) != 0)
            return;
        snprintf(m->gpu_model[m->n_gpus++], sizeof m->gpu_model[0], "NVIDIA");
    }
}

/* -- the cloud ------------------------------------------------------------------------------------------- */

static bool starts_with(const char *sys, const char *file, const char *begin)
{
    char path[128], text[128] = "";
    snprintf(path, sizeof path, "%s/%s", sys, file);
    return read_line(path, text, sizeof text) && strncmp(text, begin, strlen(begin)) == 0;
}

bool dt_machine_is_ec2(const char *sys)
{
    return starts_with(sys, "class/dmi/id/sys_vendor", "Amazon EC2") ||
           starts_with(sys, "class/dmi/id/board_asset_tag", "i-") ||
           starts_with(sys, "hypervisor/uuid", "ec2"); /* Xen: p3 and older */
}

void dt_machine_read(dt_machine *m)
{
    memset(m, 0, sizeof *m);
    if (gethostname(m->host, sizeof m->host - 1) != 0)
        snprintf(m->host, sizeof m->host, "localhost");
    dt_machine_read_processor(m, "/proc/cpuinfo");
    m->n_cpus_online = sysconf(_SC_NPROCESSORS_ONLN);
    m->memory_bytes = memory_field("MemTotal");
    m->memory_available_bytes = memory_field("MemAvailable");
    read_limits(m);
    read_gpus(m);
}
