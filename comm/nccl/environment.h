/* environment.h: the settings of NCCL that dtrain reads, and the one that it makes.
 *
 *   dt_nccl_environment_prepare(&settings);        before the first call of NCCL in this process
 *
 * NCCL takes a setting from the environment, or else from a file: the one that NCCL_CONF_FILE names, or
 * ~/.nccl.conf where that is not set, or /etc/nccl.conf. It reads each setting once in a process.
 */
#ifndef DT_COMM_NCCL_ENVIRONMENT_H
#define DT_COMM_NCCL_ENVIRONMENT_H

#include <stdbool.h>
#include <stddef.h>

/* Write the value of a setting as NCCL will read it. Returns false where it is not set, or empty. */
bool dt_nccl_setting(const char *name, char *value, size_t value_bytes);
/* Whether a file sets something that begins with `prefix`. */
bool dt_nccl_files_set(const char *prefix);

typedef struct dt_nccl_environment {
    char nvls[16]; /* NCCL_NVLS_ENABLE: "0" by default */
    bool nvls_may_be_used;
    bool blocking; /* NCCL_COMM_BLOCKING: a blocking communicator */
} dt_nccl_environment;

/* Set NCCL_NVLS_ENABLE=0 unless the user has set it: sums by NVLS (in an NVSwitch) add in an order that
 * differs from call to call. It stays set, because NCCL may read it late. */
void dt_nccl_environment_prepare(dt_nccl_environment *settings);

#endif
