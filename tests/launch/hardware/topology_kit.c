#include "config.h"

#include "tests/launch/hardware/topology_kit.h"

#include "launch/hardware/machine.h"
#include "tests/testing.h"

#include <stdio.h>
#include <string.h>
#ifdef HAVE_HWLOC
#    include <hwloc.h>
#    include <hwloc/export.h>
#endif

const topology_kit_device topology_kit_p4d[] = {
    {0, "0000:10:1b.0", "rdmap16s27"},  {0, "0000:10:1c.0", NULL}, {0, "0000:10:1d.0", NULL},
    {0, "0000:20:1b.0", "rdmap32s27"},  {0, "0000:20:1c.0", NULL}, {0, "0000:20:1d.0", NULL},
    {1, "0000:90:1b.0", "rdmap144s27"}, {1, "0000:90:1c.0", NULL}, {1, "0000:90:1d.0", NULL},
    {1, "0000:a0:1b.0", "rdmap160s27"}, {1, "0000:a0:1c.0", NULL}, {1, "0000:a0:1d.0", NULL},
};

dt_cpus topology_kit_cpus(const char *list)
{
    dt_cpus cpus;
    DT_REQUIRE(dt_machine_parse_cpus(list, &cpus));
    return cpus;
}

dt_topology *topology_kit_open(const char *source)
{
    dt_topology *t = NULL;
    dt_error err = {0};
    DT_REQUIRE_MSG(dt_topology_open(source, &t, &err) == DT_OK, "%s", err.message);
    return t;
}

#ifdef HAVE_HWLOC
static void write_device(FILE *f, const topology_kit_device *d, int number)
{
    fprintf(f,
            "<object type=\"PCIDev\" gp_index=\"%d\" pci_busid=\"%s\" pci_type=\"%s\" "
            "pci_link_speed=\"0.000000\">\n",
            number, d->address,
            d->card ? "0200 [1d0f:efa1] [1d0f:efa1] 00" : "0302 [10de:20b0] [10de:144e] a1");
    if (d->card)
        fprintf(f, "<object type=\"OSDev\" gp_index=\"%d\" name=\"%s\" osdev_type=\"%d\"/>\n", number + 1,
                d->card,
                strncmp(d->card, "eth", 3) == 0 ? HWLOC_OBJ_OSDEV_NETWORK : HWLOC_OBJ_OSDEV_OPENFABRICS);
    fputs("</object>\n", f);
}

static bool same_bus(const topology_kit_device *a, const topology_kit_device *b)
{
    return a->socket == b->socket && strncmp(a->address, b->address, strlen("0000:10")) == 0;
}

/* Writes the devices of a socket, each bus below a bridge of its own. */
static void write_devices(FILE *f, int socket, const topology_kit_device *devices, int n)
{
    for (int i = 0; i < n; i++) {
        if (devices[i].socket != socket)
            continue;
        if (i == 0 || !same_bus(&devices[i - 1], &devices[i]))
            fprintf(f,
                    "<object type=\"Bridge\" gp_index=\"%d\" bridge_type=\"0-1\" depth=\"0\" "
                    "bridge_pci=\"%.4s:[%.2s-%.2s]\">\n",
                    10000 + 10 * i, devices[i].address, devices[i].address + 5, devices[i].address + 5);
        write_device(f, &devices[i], 10000 + 10 * i + 1);
        if (i + 1 == n || !same_bus(&devices[i], &devices[i + 1]))
            fputs("</object>\n", f);
    }
}

/* hwloc has no words for devices in synthetic hosts: they are added to its XML at the end of each socket. */
const char *topology_kit_write(const char *synthetic, const topology_kit_device *devices, int n)
{
    static const char end[] = "\n    </object>", end_of_machine[] = "\n  </object>";
    static char path[4096];
    hwloc_topology_t h = NULL;
    char *xml = NULL;
    int bytes = 0, socket = 0;
    DT_REQUIRE(hwloc_topology_init(&h) == 0);
    DT_REQUIRE(hwloc_topology_set_synthetic(h, synthetic) == 0);
    DT_REQUIRE(hwloc_topology_load(h) == 0);
    DT_REQUIRE(hwloc_topology_export_xmlbuffer(h, &xml, &bytes, 0) == 0);
    snprintf(path, sizeof path, "%s/host.xml", dt_test_temp_dir());
    FILE *f = fopen(path, "w");
    DT_REQUIRE(f != NULL);
    const char *at = xml;
    for (const char *found; (found = strstr(at, end)) != NULL; at = found + 1) {
        fprintf(f, "%.*s\n", (int)(found - at), at);
        write_devices(f, socket++, devices, n);
    }
    const char *of_machine = strstr(at, end_of_machine);
    DT_REQUIRE(of_machine != NULL);
    fprintf(f, "%.*s\n", (int)(of_machine - at), at);
    write_devices(f, -1, devices, n);
    fputs(of_machine + 1, f);
    fclose(f);
    hwloc_free_xmlbuffer(h, xml);
    hwloc_topology_destroy(h);
    return path;
}
#else
const char *topology_kit_write(const char *synthetic, const topology_kit_device *devices, int n)
{
    (void)synthetic, (void)devices, (void)n;
    return NULL;
}
#endif
