#include "config.h"

#include "launch/hardware/topology.h"

#include "core/base/alloc.h"

#include <stdio.h>
#include <string.h>

#ifdef HAVE_HWLOC
#    include <hwloc.h>

/* -- open ------------------------------------------------------------------------------------------------ */

static void add_cpus(hwloc_const_bitmap_t set, dt_cpus *cpus)
{
    for (int cpu = set ? hwloc_bitmap_first(set) : -1; cpu >= 0 && cpu < DT_CPUS_MAX;
         cpu = hwloc_bitmap_next(set, cpu))
        dt_cpus_add(cpus, cpu);
}

static int number_of(hwloc_obj_t object)
{
    if (!object)
        return -1;
    return (int)(object->os_index == HWLOC_UNKNOWN_INDEX ? object->logical_index : object->os_index);
}

static int count(hwloc_topology_t h, hwloc_obj_type_t type)
{
    const int n = hwloc_get_nbobjs_by_type(h, type);
    return n > 0 ? n : 0;
}

/* Describes the core, or on a host without cores the processor, with the index i. */
static void add_core(dt_topology *t, hwloc_obj_t object, int i)
{
    hwloc_topology_t h = t->hwloc;
    dt_cpus cpus = {0};
    hwloc_obj_t l3 = hwloc_get_ancestor_obj_by_type(h, HWLOC_OBJ_L3CACHE, object);
    t->cores[i] = (dt_topology_core){
        .socket = number_of(hwloc_get_ancestor_obj_by_type(h, HWLOC_OBJ_PACKAGE, object)),
        .numa = object->nodeset ? hwloc_bitmap_first(object->nodeset) : -1,
        .l3 = l3 ? (int)l3->logical_index : -1,
    };
    add_cpus(object->cpuset, &cpus);
    for (int cpu = dt_cpus_next(&cpus, 0); cpu >= 0; cpu = dt_cpus_next(&cpus, cpu + 1))
        t->core_of[cpu] = i;
}

/* hwloc's plugins for these would start the libraries of GPUs and of screens. */
static void leave_out_components(hwloc_topology_t h)
{
    static const char *const names[] = {"cuda", "nvml", "opencl", "rsmi", "levelzero", "gl"};
    for (size_t i = 0; i < sizeof names / sizeof names[0]; i++)
        (void)hwloc_topology_set_components(h, HWLOC_TOPOLOGY_COMPONENTS_FLAG_BLACKLIST, names[i]);
}

/* Returns NULL, or the hwloc call that failed. */
static const char *load(hwloc_topology_t h, const char *source)
{
    const size_t n = source ? strlen(source) : 0;
    const bool is_xml = n > 4 && strcmp(source + n - 4, ".xml") == 0;
    if (is_xml && hwloc_topology_set_xml(h, source) != 0)
        return "hwloc_topology_set_xml";
    if (source && !is_xml && hwloc_topology_set_synthetic(h, source) != 0)
        return "hwloc_topology_set_synthetic";
    leave_out_components(h);
#    if HWLOC_API_VERSION >= 0x00020500 /* else each rank would run on each processor in turn for a moment */
    if (hwloc_topology_set_flags(h, HWLOC_TOPOLOGY_FLAG_DONT_CHANGE_BINDING) != 0)
        return "hwloc_topology_set_flags";
#    endif
    if (hwloc_topology_set_io_types_filter(h, HWLOC_TYPE_FILTER_KEEP_IMPORTANT) != 0)
        return "hwloc_topology_set_io_types_filter";
    return hwloc_topology_load(h) == 0 ? NULL : "hwloc_topology_load";
}

static dt_status read_cores(dt_topology *t, dt_error *err)
{
    hwloc_topology_t h = t->hwloc;
    const hwloc_obj_type_t type = count(h, HWLOC_OBJ_CORE) > 0 ? HWLOC_OBJ_CORE : HWLOC_OBJ_PU;
    t->n_sockets = count(h, HWLOC_OBJ_PACKAGE);
    t->n_numa = count(h, HWLOC_OBJ_NUMANODE);
    t->n_l3 = count(h, HWLOC_OBJ_L3CACHE);
    t->n_cores = count(h, type);
    for (int cpu = 0; cpu < DT_CPUS_MAX; cpu++)
        t->core_of[cpu] = -1;
    if (t->n_cores == 0)
        return dt_fail(err, DT_ERR_UNSUPPORTED, "hwloc finds no processors");
    t->cores = dt_calloc((size_t)t->n_cores, sizeof *t->cores);
    if (!t->cores)
        return dt_fail_memory(err, (size_t)t->n_cores * sizeof *t->cores, "the host's cores");
    for (int i = 0; i < t->n_cores; i++)
        add_core(t, hwloc_get_obj_by_type(h, type, (unsigned)i), i);
    return DT_OK;
}

dt_status dt_topology_open(const char *source, dt_topology **topology, dt_error *err)
{
    hwloc_topology_t h = NULL;
    const char *failed = NULL;
    dt_topology *t = dt_calloc(1, sizeof *t);
    if (!t)
        return dt_fail_memory(err, sizeof *t, "the host's topology");
    if (hwloc_topology_init(&h) != 0)
        failed = "hwloc_topology_init";
    t->hwloc = h;
    if (!failed)
        failed = load(h, source);
    dt_status status =
        failed ? dt_fail(err, DT_ERR_UNSUPPORTED, "%s fails for %s", failed, source ? source : "this host")
               : read_cores(t, err);
    if (status == DT_OK)
        *topology = t;
    else
        dt_topology_close(t);
    return status;
}

void dt_topology_close(dt_topology *t)
{
    if (!t)
        return;
    if (t->hwloc)
        hwloc_topology_destroy(t->hwloc);
    dt_free(t->cores);
    dt_free(t);
}

/* -- devices --------------------------------------------------------------------------------------------- */

static hwloc_obj_t device_of(const dt_topology *t, const char *bus_id)
{
    return bus_id[0] ? hwloc_get_pcidev_by_busidstring(t->hwloc, bus_id) : NULL;
}

static void cpus_near(const dt_topology *t, hwloc_obj_t device, dt_cpus *cpus)
{
    memset(cpus, 0, sizeof *cpus);
    hwloc_obj_t near = device ? hwloc_get_non_io_ancestor_obj(t->hwloc, device) : NULL;
    if (near && near != hwloc_get_root_obj(t->hwloc)) /* the root: it is not known where */
        add_cpus(near->cpuset, cpus);
}

bool dt_topology_near(const dt_topology *t, const char *bus_id, dt_cpus *cpus)
{
    cpus_near(t, device_of(t, bus_id), cpus);
    return dt_cpus_count(cpus) > 0;
}

/* What programs reach without the kernel counts most; 0: no network card. */
static int worth_of(hwloc_obj_t object)
{
#    if HWLOC_API_VERSION >= 0x00030000
    const hwloc_obj_osdev_types_t types = object->attr->osdev.types;
    return types & HWLOC_OBJ_OSDEV_OPENFABRICS ? 2 : types & HWLOC_OBJ_OSDEV_NETWORK ? 1 : 0;
#    else
    return object->attr->osdev.type == HWLOC_OBJ_OSDEV_OPENFABRICS ? 2
           : object->attr->osdev.type == HWLOC_OBJ_OSDEV_NETWORK   ? 1
                                                                   : 0;
#    endif
}

/* The number of objects from the device up to the first one that the card is below too. */
static int steps_between(hwloc_obj_t device, hwloc_obj_t card)
{
    int steps = 0;
    for (hwloc_obj_t above = device; above; above = above->parent, steps++)
        for (hwloc_obj_t of_card = card; of_card; of_card = of_card->parent)
            if (of_card == above)
                return steps;
    return steps;
}

static bool shares_cpus(const dt_topology *t, hwloc_obj_t card, const dt_cpus *cpus)
{
    dt_cpus near;
    cpus_near(t, card, &near);
    for (int cpu = dt_cpus_next(&near, 0); cpu >= 0; cpu = dt_cpus_next(&near, cpu + 1))
        if (dt_cpus_has(cpus, cpu))
            return true;
    return false;
}

void dt_topology_card(const dt_topology *t, const char *bus_id, const dt_cpus *cpus, char *name,
                      size_t name_bytes)
{
    hwloc_obj_t device = device_of(t, bus_id), best = NULL;
    name[0] = '\0';
    for (hwloc_obj_t card = NULL; (card = hwloc_get_next_osdev(t->hwloc, card)) != NULL;) {
        dt_cpus near;
        cpus_near(t, card, &near);
        if (worth_of(card) == 0 || dt_cpus_count(&near) == 0 || (!device && !shares_cpus(t, card, cpus)))
            continue;
        if (!best || worth_of(card) > worth_of(best) ||
            (device && worth_of(card) == worth_of(best) &&
             steps_between(device, card) < steps_between(device, best)))
            best = card;
    }
    if (best && best->name)
        snprintf(name, name_bytes, "%s", best->name);
}

#else

dt_status dt_topology_open(const char *source, dt_topology **topology, dt_error *err)
{
    (void)source, (void)topology;
    return dt_fail(err, DT_ERR_UNSUPPORTED, "this build has no hwloc: " DT_WHY_NO_HWLOC);
}

void dt_topology_close(dt_topology *t)
{
    (void)t;
}

bool dt_topology_near(const dt_topology *t, const char *bus_id, dt_cpus *cpus)
{
    (void)t, (void)bus_id;
    memset(cpus, 0, sizeof *cpus);
    return false;
}

void dt_topology_card(const dt_topology *t, const char *bus_id, const dt_cpus *cpus, char *name,
                      size_t name_bytes)
{
    (void)t, (void)bus_id, (void)cpus, (void)name_bytes;
    name[0] = '\0';
}
#endif

/* -- words ----------------------------------------------------------------------------------------------- */

typedef enum level { SOCKET, NUMA, L3 } level;

static int number_at(const dt_topology_core *core, level at)
{
    return at == SOCKET ? core->socket : at == NUMA ? core->numa : core->l3;
}

/* Appends "NUMA 0-1" for the cores in *used; nothing if a number is not known. */
static void append(const dt_topology *t, const bool *used, level at, char *out, size_t out_bytes)
{
    static const char *const names[] = {"socket", "NUMA", "L3"};
    int least = -1, most = -1;
    for (int i = 0; i < t->n_cores; i++) {
        const int number = number_at(&t->cores[i], at);
        if (!used[i] || number < 0)
            continue;
        least = least < 0 || number < least ? number : least;
        most = number > most ? number : most;
    }
    const size_t n = strlen(out);
    if (least >= 0 && least == most)
        snprintf(out + n, out_bytes - n, "%s%s %d", n ? ", " : "", names[at], least);
    else if (least >= 0)
        snprintf(out + n, out_bytes - n, "%s%s %d-%d", n ? ", " : "", names[at], least, most);
}

void dt_topology_describe(const dt_topology *t, const dt_cpus *cpus, char *out, size_t out_bytes)
{
    int n_used = 0;
    out[0] = '\0';
    bool *used = dt_calloc((size_t)t->n_cores, sizeof *used);
    if (!used)
        return;
    for (int cpu = dt_cpus_next(cpus, 0); cpu >= 0; cpu = dt_cpus_next(cpus, cpu + 1))
        if (t->core_of[cpu] >= 0 && !used[t->core_of[cpu]]) {
            used[t->core_of[cpu]] = true;
            n_used++;
        }
    if (n_used < t->n_cores && t->n_sockets > 1)
        append(t, used, SOCKET, out, out_bytes);
    if (n_used < t->n_cores && t->n_numa > 1 && t->n_numa != t->n_sockets)
        append(t, used, NUMA, out, out_bytes);
    if (n_used < t->n_cores && t->n_l3 > 1 && t->n_l3 != t->n_sockets && t->n_l3 != t->n_numa)
        append(t, used, L3, out, out_bytes);
    dt_free(used);
}
