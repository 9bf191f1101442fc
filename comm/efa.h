/* efa.h: EFA, Amazon's network card that programs and GPUs reach without the kernel: whether NCCL can use it
 * on this host, and what mends it if not.
 *
 *   dt_efa efa;
 *   dt_efa_read("", &efa);
 *   if (dt_efa_is_expected(efa.machine_type) && efa.state != DT_EFA_READY) {
 *       dt_efa_mend(&efa, text, sizeof text);
 *       puts(text);
 *   }
 *
 * Nothing here fails; what cannot be read counts as missing. Local.
 */
#ifndef DT_COMM_EFA_H
#define DT_COMM_EFA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Best first, so that the largest of several hosts is the worst. */
typedef enum dt_efa_state {
    DT_EFA_UNKNOWN,      /* nobody has read it */
    DT_EFA_READY,        /* nothing is missing on this host */
    DT_EFA_SWITCHED_OFF, /* an environment variable chooses another network */
    DT_EFA_PLUGIN_LOST,  /* NCCL's plugin lies in a folder where the dynamic linker does not look */
    DT_EFA_NO_PLUGIN,    /* there is no plugin */
    DT_EFA_NO_FILES,     /* there are devices, but no /dev/infiniband/uverbs: a container without them */
    DT_EFA_NO_DEVICE     /* the kernel shows no device */
} dt_efa_state;

/* Plain data, which ranks can send. */
typedef struct dt_efa {
    char machine_type[32]; /* of an Amazon instance, "p4d.24xlarge": the first word of the firmware's product
                              name; "": not known */
    int64_t state;         /* dt_efa_state */
    int64_t n_devices;
    char device[32];  /* the first one: "rdmap16s27", "efa_0" */
    char plugin[128]; /* the folder of aws-ofi-nccl; "": not found */
    char setting[64]; /* the variable that switches EFA off: "NCCL_NET=Socket"; else "" */
    char host[64];    /* left empty here, for the caller */
} dt_efa;

/* root: "", or in tests a folder with sys/, dev/ and the plugin's folders. */
void dt_efa_read(const char *root, dt_efa *efa);

/* Whether instances of this type have EFA, and are used for the sake of it: p3dn, p4d, p4de, p5, p6. */
bool dt_efa_is_expected(const char *machine_type);

/* Write what is missing on which host, and the line that mends it. In the state DT_EFA_READY: what else may
 * keep NCCL from using EFA. */
void dt_efa_mend(const dt_efa *efa, char *out, size_t out_bytes);

#endif
