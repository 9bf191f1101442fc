/* races.c: a cell of the last write and the last reads for every 16, 4 and 1 bytes.
 *
 * An access of 16 bytes is recorded in one cell, one of 4 or 8 bytes in cells of 4, others in cells of 1, and
 * compared with the cells of all three sizes that it overlaps. So a kernel that only moves vectors needs as
 * many bytes of cells as it touches. Cells lie in pages, which are used again for the next launch (shared
 * memory: the next block).
 */
#include "tests/ptx/races.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { PAGE_BYTES = 4096, N_SIZES = 3, MAX_SHARED_BYTES = 48 << 10 };
/* The bits that a cell has for a block plus one, a thread, a number of barriers plus one. */
enum { BLOCK = (1 << 26) - 1, THREAD = (1 << 10) - 1, BARRIERS = (1 << 14) - 1 };
static const unsigned size_of_cells[N_SIZES] = {16, 4, 1};

/* Blocks and numbers of barriers are stored plus one; 0: no such access. */
typedef struct cell {
    uint64_t write_block : 26, write_thread : 10, write_barriers : 14;
    /* The reading thread that has passed most barriers; and the most that any other reader has passed. */
    uint64_t other_barriers : 14;
    uint64_t read_block : 26, read_thread : 10, read_barriers : 14;
    uint64_t several_blocks : 1;
} cell;

typedef struct page {
    uintptr_t number; /* address / PAGE_BYTES */
    cell *cells[N_SIZES];
} page;

/* Blocks of memory for the cells of a page, in one size. */
typedef struct pool {
    cell **blocks;
    size_t n, n_used;
} pool;

static struct {
    int64_t launch;
    page *pages;
    size_t n_pages, capacity; /* capacity: a power of two; a hash table */
    pool pools[N_SIZES];
    page *last;
} global;

static struct {
    int64_t launch;
    unsigned block;
    page pages[MAX_SHARED_BYTES / PAGE_BYTES];
    pool pools[N_SIZES];
} shared;

static void *allocate(void *old, size_t bytes)
{
    void *memory = realloc(old, bytes);
    if (memory == NULL) {
        fprintf(stderr, "races: no memory for %zu bytes\n", bytes);
        abort();
    }
    return memory;
}

/* -- pages ----------------------------------------------------------------------------------------------- */

static cell *fresh_cells(pool *p, unsigned cell_bytes)
{
    const size_t bytes = PAGE_BYTES / cell_bytes * sizeof(cell);
    if (p->n_used == p->n) {
        p->blocks = allocate(p->blocks, (p->n + 1) * sizeof *p->blocks);
        p->blocks[p->n++] = allocate(NULL, bytes);
    }
    return memset(p->blocks[p->n_used++], 0, bytes);
}

static void forget(pool pools[N_SIZES])
{
    for (int i = 0; i < N_SIZES; i++)
        pools[i].n_used = 0;
}

/* The slot of a page, or the free slot where it belongs. A page without a number is free. */
static page *slot_of(page *pages, size_t capacity, uintptr_t number)
{
    size_t slot = (size_t)((uint64_t)number * 0x9E3779B97F4A7C15ULL >> 20) & (capacity - 1);
    while (pages[slot].number != 0 && pages[slot].number != number)
        slot = (slot + 1) & (capacity - 1);
    return &pages[slot];
}

static void grow(void)
{
    const size_t capacity = global.capacity != 0 ? global.capacity * 2 : 1024;
    page *pages = allocate(NULL, capacity * sizeof *pages);
    memset(pages, 0, capacity * sizeof *pages);
    for (size_t i = 0; i < global.capacity; i++)
        if (global.pages[i].number != 0)
            *slot_of(pages, capacity, global.pages[i].number) = global.pages[i];
    free(global.pages);
    global.pages = pages;
    global.capacity = capacity;
}

static page *page_of_global(const dt_race_access *a)
{
    const uintptr_t number = a->address / PAGE_BYTES;
    if (global.launch != a->launch) {
        global.launch = a->launch;
        global.n_pages = 0;
        global.last = NULL;
        forget(global.pools);
        if (global.capacity != 0)
            memset(global.pages, 0, global.capacity * sizeof *global.pages);
    }
    if (global.last != NULL && global.last->number == number)
        return global.last;
    if (global.n_pages * 2 >= global.capacity)
        grow();
    global.last = slot_of(global.pages, global.capacity, number);
    global.n_pages += global.last->number == 0;
    global.last->number = number;
    return global.last;
}

static page *page_of_shared(const dt_race_access *a)
{
    if (shared.launch != a->launch || shared.block != a->block) {
        shared.launch = a->launch;
        shared.block = a->block;
        forget(shared.pools);
        memset(shared.pages, 0, sizeof shared.pages);
    }
    return &shared.pages[a->address / PAGE_BYTES];
}

/* -- cells ----------------------------------------------------------------------------------------------- */

static bool races_with_write(const cell *c, const dt_race_access *a)
{
    if (c->write_block == 0)
        return false;
    if (c->write_block != a->block + 1)
        return true;
    return c->write_thread != a->thread && c->write_barriers > a->n_barriers;
}

/* Only a write races with reads. */
static bool races_with_read(const cell *c, const dt_race_access *a)
{
    if (!a->is_write || c->read_block == 0)
        return false;
    if (c->several_blocks || c->read_block != a->block + 1)
        return true;
    return (c->read_thread == a->thread ? c->other_barriers : c->read_barriers) > a->n_barriers;
}

static bool races(const cell *c, const dt_race_access *a, dt_race *race)
{
    if (races_with_write(c, a)) {
        *race = (dt_race){true, false, (unsigned)c->write_block - 1, (unsigned)c->write_thread};
        return true;
    }
    if (races_with_read(c, a)) {
        *race = (dt_race){false, c->several_blocks, (unsigned)c->read_block - 1, (unsigned)c->read_thread};
        return true;
    }
    return false;
}

static void record_read(cell *c, const dt_race_access *a)
{
    const unsigned barriers = a->n_barriers + 1;
    if (c->read_block == 0 || (c->read_thread == a->thread && c->read_block == a->block + 1)) {
        c->read_block = (a->block + 1) & BLOCK;
        c->read_thread = a->thread & THREAD;
        c->read_barriers = barriers & BARRIERS;
    } else if (c->read_block != a->block + 1) {
        c->several_blocks = 1;
    } else if (barriers > c->read_barriers) {
        c->other_barriers = c->read_barriers;
        c->read_thread = a->thread & THREAD;
        c->read_barriers = barriers & BARRIERS;
    } else if (barriers > c->other_barriers) {
        c->other_barriers = barriers & BARRIERS;
    }
}

static void record(cell *c, const dt_race_access *a)
{
    if (!a->is_write) {
        record_read(c, a);
        return;
    }
    /* What races with the reads before this write races with the write, too. */
    memset(c, 0, sizeof *c);
    c->write_block = (a->block + 1) & BLOCK;
    c->write_thread = a->thread & THREAD;
    c->write_barriers = (a->n_barriers + 1) & BARRIERS;
}

bool dt_race_find(const dt_race_access *a, bool is_shared, dt_race *race)
{
    page *p = is_shared ? page_of_shared(a) : page_of_global(a);
    const unsigned first = (unsigned)(a->address % PAGE_BYTES);
    const int own = a->n_bytes >= 16 ? 0 : a->n_bytes >= 4 ? 1 : 2;
    if (a->block >= BLOCK || a->n_barriers >= BARRIERS) {
        fprintf(stderr, "races: block %u after %u barriers: a cell cannot hold this\n", a->block,
                a->n_barriers);
        abort();
    }
    if (p->cells[own] == NULL)
        p->cells[own] = fresh_cells(is_shared ? &shared.pools[own] : &global.pools[own], size_of_cells[own]);
    for (int s = 0; s < N_SIZES; s++) {
        const unsigned end = (first + a->n_bytes - 1) / size_of_cells[s];
        for (unsigned i = first / size_of_cells[s]; p->cells[s] != NULL && i <= end; i++) {
            if (races(&p->cells[s][i], a, race))
                return true;
            if (s == own)
                record(&p->cells[s][i], a);
        }
    }
    return false;
}
