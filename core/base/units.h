/* units.h: bytes in units for messages. */
#ifndef DT_CORE_BASE_UNITS_H
#define DT_CORE_BASE_UNITS_H

#define DT_GIB 1073741824.0
#define DT_MIB 1048576.0

/* A number of bytes of any type, in GiB and in MiB, as a double. */
#define DT_TO_GIB(bytes) ((double)(bytes) / DT_GIB)
#define DT_TO_MIB(bytes) ((double)(bytes) / DT_MIB)

/* The ending of a plural: "%lld image%s", n, DT_PLURAL(n). */
#define DT_PLURAL(n) ((n) == 1 ? "" : "s")

#endif
