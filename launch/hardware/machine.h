/* machine.h: this host's processors, memory, limits and GPUs, read from the kernel. Nothing here fails: a
 * value that cannot be read is 0 or "". Local. */
#ifndef DT_LAUNCH_HARDWARE_MACHINE_H
#define DT_LAUNCH_HARDWARE_MACHINE_H

#include "core/base/cpus.h"
#include "core/base/error.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DT_MACHINE_MAX_GPUS 16

typedef struct dt_machine {
    char host[64];
    char cpu_model[128];
    char cpu_features[128];     /* those that the kernels use: "avx2 fma avx512f avx512_bf16" */
    int64_t n_cpus_online;      /* logical processors of the host */
    int64_t memory_bytes;       /* of the host */
    int64_t memory_limit_bytes; /* of the control group; 0: none */
    int64_t memory_available_bytes;
    double quota_cpus;    /* CPU seconds per second that the control groups allow; 0: no limit */
    uint64_t quota_group; /* dt_cgroup.cpus_group */
    int n_gpus;
    char gpu_model[DT_MACHINE_MAX_GPUS][64];
    char gpu_driver[64];
} dt_machine;

void dt_machine_read(dt_machine *machine);

/* Set cpu_model and cpu_features only. `cpuinfo`: "/proc/cpuinfo"; a file of their own in tests. */
void dt_machine_read_processor(dt_machine *machine, const char *cpuinfo);

/* Returns the first logical processor of the physical core that `cpu` belongs to; `cpu` if that is not
 * known. */
int dt_machine_core_of(int cpu);

/* Format as "0-3,8-11". */
void dt_machine_format_cpus(const dt_cpus *cpus, char *out, size_t out_bytes);

/* Whether this is an EC2 instance, according to its firmware or hypervisor. `sys`: "/sys"; a folder of their
 * own in tests. */
bool dt_machine_is_ec2(const char *sys);

/* Parse "0-3,8-11"; false if it is not such a list. */
bool dt_machine_parse_cpus(const char *text, dt_cpus *cpus);

/* DT_ERR_USAGE if the limit of the stack's size (ulimit -s) is so small that a training would end with a
 * segmentation fault. */
dt_status dt_machine_check_stack(dt_error *err);

#endif
