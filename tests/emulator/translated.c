/* translated.c: finds the translation of a kernel by the kernel's address. The address leads to the symbol in
 * this program's own file, and the symbol to the kernel of the library that nvcc gave the same name. */
#define _GNU_SOURCE /* dl_iterate_phdr */
#include "tests/emulator/translated.h"

#include "tests/ptx/machine.h"

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <link.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

typedef struct twin {
    const void *address;
    dt_ptx_kernel *kernel;
} twin;

static struct {
    bool is_open;
    dt_ptx_kernel *const *kernels;
    size_t n_kernels;
    twin *twins;
    size_t n_twins;
} library;

static const dt_ptx_machine machine = {
    .state = &dt_emulator,
    .sync_block = dt_emulator_sync_block,
    .sync_warp = dt_emulator_sync_warp,
    .lane = dt_emulator_lane,
    .shared_data = dt_emulator_shared_data,
    .fail = dt_emulator_fail,
};

static void end(const char *what, const char *why) __attribute__((noreturn));
static void end(const char *what, const char *why)
{
    fprintf(stderr, "translated kernels: %s: %s\n", what, why);
    exit(1);
}

/* -- names ----------------------------------------------------------------------------------------------- */

/* Compare two symbols. g++ marks what is local to a file by an L before the length of its name, nvcc does
 * not. */
static bool is_same_kernel(const char *a, const char *b)
{
    while (*a != '\0' && *b != '\0') {
        if (*a == *b) {
            a++;
            b++;
        } else if (*a == 'L') {
            a++;
        } else if (*b == 'L') {
            b++;
        } else {
            return false;
        }
    }
    return *a == *b;
}

static dt_ptx_kernel *kernel_of(const char *symbol)
{
    for (size_t i = 0; i < library.n_kernels; i++)
        if (is_same_kernel(symbol, library.kernels[i]->name))
            return library.kernels[i];
    return NULL;
}

/* -- this program's symbols ------------------------------------------------------------------------------ */

/* The first object is the program. */
static int take_base(struct dl_phdr_info *info, size_t size, void *base)
{
    (void)size;
    *(uintptr_t *)base = info->dlpi_addr;
    return 1;
}

static void add_symbols(const char *file, const Elf64_Shdr *table, const Elf64_Shdr *names, uintptr_t base)
{
    const Elf64_Sym *symbols = (const Elf64_Sym *)(const void *)(file + table->sh_offset);
    const size_t n = table->sh_size / sizeof *symbols;
    library.twins = calloc(n, sizeof *library.twins);
    for (size_t i = 0; i < n && library.twins != NULL; i++) {
        const char *symbol = file + names->sh_offset + symbols[i].st_name;
        if (ELF64_ST_TYPE(symbols[i].st_info) != STT_FUNC || strncmp(symbol, "_Z", 2) != 0)
            continue;
        dt_ptx_kernel *kernel = kernel_of(symbol);
        if (kernel != NULL)
            library.twins[library.n_twins++] = (twin){(const void *)(base + symbols[i].st_value), kernel};
    }
}

static void read_symbols(void)
{
    struct stat status;
    uintptr_t base = 0;
    const int fd = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) != 0)
        end("/proc/self/exe", "cannot be read");
    const char *file = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (file == MAP_FAILED)
        end("/proc/self/exe", "cannot be mapped");
    dl_iterate_phdr(take_base, &base);
    const Elf64_Ehdr *header = (const Elf64_Ehdr *)(const void *)file;
    const Elf64_Shdr *sections = (const Elf64_Shdr *)(const void *)(file + header->e_shoff);
    for (int i = 0; i < header->e_shnum; i++)
        if (sections[i].sh_type == SHT_SYMTAB)
            add_symbols(file, &sections[i], &sections[sections[i].sh_link], base);
    munmap((void *)(size_t)file, (size_t)status.st_size);
}

/* -- the library ----------------------------------------------------------------------------------------- */

/* One write for each kernel, because several programs may add to one file. */
static void write_report(void)
{
    const char *path = getenv("DTRAIN_TEST_PTX_REPORT");
    FILE *file = path != NULL ? fopen(path, "a") : NULL;
    if (file == NULL)
        return;
    setvbuf(file, NULL, _IOLBF, 4096);
    for (size_t i = 0; i < library.n_kernels; i++) {
        const dt_ptx_kernel *k = library.kernels[i];
        if (k->n_launches > 0)
            fprintf(file, "%s %lld %lld %lld %lld\n", k->name, (long long)k->n_launches,
                    (long long)k->n_accesses, (long long)k->most_bytes_read,
                    (long long)k->most_bytes_written);
    }
    fclose(file);
}

static void open_library(void)
{
    const char *path = getenv("DTRAIN_TEST_PTX");
    library.is_open = true;
    if (path == NULL || *path == '\0')
        return;
    void *handle = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    void *symbol = handle != NULL ? dlsym(handle, "dt_ptx_open") : NULL;
    if (symbol == NULL)
        end(path, dlerror());
    dt_ptx_open_function *open_kernels;
    memcpy(&open_kernels, &symbol, sizeof open_kernels);
    library.kernels = open_kernels(&machine, &library.n_kernels);
    read_symbols();
    atexit(write_report);
}

dt_translated_run *dt_translated_kernel(const void *kernel, const char *name, size_t parameter_bytes)
{
    if (!library.is_open)
        open_library();
    if (library.kernels == NULL)
        return NULL;
    for (size_t i = 0; i < library.n_twins; i++) {
        if (library.twins[i].address != kernel)
            continue;
        if (library.twins[i].kernel->parameter_bytes != parameter_bytes)
            end(name, "nvcc and the C++ compiler differ in the bytes of its parameters");
        return library.twins[i].kernel->run;
    }
    end(name, "the library that DTRAIN_TEST_PTX names has no such kernel");
}

__attribute__((destructor)) static void free_twins(void)
{
    free(library.twins);
}
