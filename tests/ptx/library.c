#include "tests/ptx/library.h"

#include "tests/ptx/races.h"

const dt_ptx_machine *ptx_machine;
static dt_ptx_kernel *now;

/* The ends of the section, which the linker defines. */
extern dt_ptx_kernel *const __start_ptx_kernels[], *const __stop_ptx_kernels[];

dt_ptx_kernel *const *dt_ptx_open(const dt_ptx_machine *machine, size_t *n)
{
    ptx_machine = machine;
    *n = (size_t)(__stop_ptx_kernels - __start_ptx_kernels);
    return __start_ptx_kernels;
}

void ptx_begin(dt_ptx_kernel *kernel)
{
    now = kernel;
    if (kernel->launch == ptx_machine->state->launch)
        return;
    kernel->launch = ptx_machine->state->launch;
    kernel->n_launches++;
    kernel->bytes_read = kernel->bytes_written = 0;
}

/* Of the thread that runs. */
static dt_race_access access_of(uintptr_t address, unsigned n_bytes, bool is_write)
{
    const dt_emulator_state *s = ptx_machine->state;
    return (dt_race_access){
        .address = address,
        .n_bytes = n_bytes,
        .is_write = is_write,
        .launch = s->launch,
        .block = (s->block.z * s->grid_dim.y + s->block.y) * s->grid_dim.x + s->block.x,
        .thread = (s->thread.z * s->block_dim.y + s->thread.y) * s->block_dim.x + s->thread.x,
        .n_barriers = s->n_barriers,
    };
}

static void check(const char *space, uint64_t address, const dt_race_access *access, bool is_shared, int line)
{
    dt_race race;
    now->n_accesses++;
    if (access->address % access->n_bytes != 0)
        ptx_machine->fail("%s:%d: thread %u %s %u bytes of %s memory at 0x%llx, which is no multiple of %u",
                          now->file, line, access->thread, access->is_write ? "stores" : "loads",
                          access->n_bytes, space, (unsigned long long)address, access->n_bytes);
    if (dt_race_find(access, is_shared, &race))
        ptx_machine->fail(
            "%s:%d: thread %u of block %u %s %u bytes of %s memory at 0x%llx, which "
            "thread %u of block %u%s %s, and no barrier orders them",
            now->file, line, access->thread, access->block, access->is_write ? "stores" : "loads",
            access->n_bytes, space, (unsigned long long)address, race.thread, race.block,
            race.several_blocks ? " and other blocks have" : " has", race.is_write ? "stored" : "loaded");
}

char *ptx_global(uint64_t address, unsigned n_bytes, bool is_write, int line)
{
    const dt_race_access access = access_of((uintptr_t)address, n_bytes, is_write);
    int64_t *bytes = is_write ? &now->bytes_written : &now->bytes_read;
    int64_t *most = is_write ? &now->most_bytes_written : &now->most_bytes_read;
    *bytes += n_bytes;
    *most = *most > *bytes ? *most : *bytes;
    check("global", address, &access, false, line);
    return (char *)(uintptr_t)address;
}

char *ptx_shared(char *memory, size_t n_shared, uint64_t offset, unsigned n_bytes, bool is_write, int line)
{
    const dt_race_access access = access_of((uintptr_t)offset, n_bytes, is_write);
    if (offset > n_shared || n_shared - offset < n_bytes)
        ptx_machine->fail("%s:%d: thread %u %s %u bytes at byte %lld of %zu bytes of shared memory",
                          now->file, line, access.thread, is_write ? "stores" : "loads", n_bytes,
                          (long long)offset, n_shared);
    check("shared", offset, &access, true, line);
    return memory + offset;
}

const char *ptx_parameter(const char *parameters, uint64_t offset, unsigned n_bytes, int line)
{
    if (offset > now->parameter_bytes || now->parameter_bytes - offset < n_bytes || offset % n_bytes != 0)
        ptx_machine->fail("%s:%d: loads %u bytes at byte %lld of %zu bytes of parameters", now->file, line,
                          n_bytes, (long long)offset, now->parameter_bytes);
    return parameters + offset;
}
