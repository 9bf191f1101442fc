/* machine.h: what this host is, as the kernel tells it. Nothing here fails: what cannot be read is 0 or "".
 * Local. */
#ifndef DT_LAUNCH_HARDWARE_MACHINE_H
#define DT_LAUNCH_HARDWARE_MACHINE_H

#include <sched.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define DT_MACHINE_MAX_GPUS 16

typedef struct dt_machine {
    char host[64];
    char cpu_model[128];
    char cpu_features[128];     /* those that the kernels care about: "avx2 fma avx512f avx512_bf16" */
    int64_t n_cpus_online;      /* logical processors of the host */
    int64_t memory_bytes;       /* of the host */
    int64_t memory_limit_bytes; /* of the control group; 0: none */
    int64_t memory_available_bytes;
    double quota_cpus; /* processors' worth of time that the control group allows; 0: no limit */
    int n_gpus;
    char gpu_model[DT_MACHINE_MAX_GPUS][64];
    char gpu_driver[64];
} dt_machine;

void dt_machine_read(dt_machine *machine);

/* Only its cpu_model and cpu_features. `cpuinfo` is "/proc/cpuinfo", but in tests. */
void dt_machine_read_processor(dt_machine *machine, const char *cpuinfo);

/* The first logical processor of the physical core that `cpu` belongs to; `cpu` itself if that cannot be
 * found out. */
int dt_machine_core_of(int cpu);

/* "0-3,8-11" */
void dt_machine_format_cpus(const cpu_set_t *cpus, char *out, size_t out_bytes);

/* Is this an EC2 instance, as its firmware or hypervisor says? `sys` is "/sys", but in tests. */
bool dt_machine_is_ec2(const char *sys);

/* Reads "0-3,8-11"; false if it is not such a list. */
int dt_machine_parse_cpus(const char *text, cpu_set_t *cpus);

#endif
