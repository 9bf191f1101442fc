#include "config.h"

#include "launch/stage/plan.h"

#include "core/base/alloc.h"

#include <string.h>

/* Objects that are together at most so large share a batch. A batch is written when all of it has come, so
 * that larger ones would lose more when the program is killed; smaller ones make more rounds. */
#define TOGETHER_BYTES ((int64_t)2 << 20)

enum { FROM_SOURCE = -1, NOWHERE = -2 /* not to be read */ };

/* -- bits ------------------------------------------------------------------------------------------------ */

int64_t dt_stage_bits_bytes(const dt_stage_listing *list)
{
    return (list->n + list->n_parts + 7) / 8;
}

bool dt_stage_bit(const unsigned char *bits, int64_t i)
{
    return bits[i >> 3] >> (i & 7) & 1;
}

void dt_stage_set_bit(unsigned char *bits, int64_t i)
{
    bits[i >> 3] |= (unsigned char)(1 << (i & 7));
}

/* -- who reads a piece ----------------------------------------------------------------------------------- */

typedef struct maker {
    const dt_stage_listing *list;
    const unsigned char *bits;
    int64_t bits_bytes;
    int n_nodes;
    const int *keeper;
    int *readers;       /* of each object without parts, and of each part: in the order of the bits */
    int64_t *n_readers; /* [n_nodes + 1]: how many of them each node has, and the source, which is the last */
    dt_stage_plan *plan;
    int64_t pieces_capacity, batches_capacity;
} maker;

static const unsigned char *bits_of(const maker *m, int node)
{
    return m->bits + node * m->bits_bytes;
}

/* Whether a node has this piece: the object, or the part (-1: it has none). */
static bool has(const maker *m, int node, int64_t object, int64_t part)
{
    const unsigned char *bits = bits_of(m, node);
    return dt_stage_bit(bits, object) || (part >= 0 && dt_stage_bit(bits, m->list->n + part));
}

/* The node whose disk has it, FROM_SOURCE, or NOWHERE. Objects that several nodes have are shared out. */
static int reader_of(const maker *m, int64_t object, int64_t part)
{
    int n_have = 0, first = FROM_SOURCE;
    if (m->keeper)
        return has(m, m->keeper[object], object, part) ? NOWHERE : FROM_SOURCE;
    for (int i = 0; i < m->n_nodes; i++) {
        const int node = (int)((object + i) % m->n_nodes);
        if (!has(m, node, object, part))
            continue;
        first = n_have++ == 0 ? node : first;
    }
    return n_have == m->n_nodes ? NOWHERE : first;
}

/* -- batches --------------------------------------------------------------------------------------------- */

static dt_status grow(void **items, int64_t *capacity, int64_t n, size_t each, dt_error *err)
{
    if (n < *capacity)
        return DT_OK;
    const int64_t wanted = *capacity * 2 + 64;
    void *grown = dt_realloc(*items, (size_t)*capacity * each, (size_t)wanted * each);
    if (!grown)
        return dt_fail_memory(err, (size_t)wanted * each, "the plan of what is to be read");
    *items = grown;
    *capacity = wanted;
    return DT_OK;
}

/* Adds a piece to the last batch, or to a new one where it does not fit. `is_new`: for another reader. */
static dt_status add_piece(maker *m, int node, bool on_disk, bool is_new, const dt_stage_piece *piece,
                           dt_error *err)
{
    dt_stage_plan *p = m->plan;
    dt_stage_batch *last = p->n_batches > 0 ? &p->batches[p->n_batches - 1] : NULL;
    if (is_new || !last || last->n >= DT_STAGE_BATCH_PIECES || last->bytes + piece->bytes > TOGETHER_BYTES) {
        DT_TRY(grow((void **)&p->batches, &m->batches_capacity, p->n_batches, sizeof *p->batches, err));
        last = &p->batches[p->n_batches++];
        *last = (dt_stage_batch){.first = p->n_pieces, .node = node, .on_disk = on_disk};
    }
    DT_TRY(grow((void **)&p->pieces, &m->pieces_capacity, p->n_pieces, sizeof *p->pieces, err));
    p->pieces[p->n_pieces++] = *piece;
    last->n++;
    last->bytes += piece->bytes;
    if (on_disk)
        p->disk_bytes += piece->bytes;
    else
        p->source_bytes += piece->bytes;
    return DT_OK;
}

static void find_readers(maker *m)
{
    const dt_stage_listing *list = m->list;
    for (int64_t i = 0; i < list->n; i++) {
        const int64_t n_parts = dt_stage_parts_of(&list->objects[i]);
        for (int64_t k = 0; k < (n_parts ? n_parts : 1); k++) {
            const int64_t part = n_parts ? list->objects[i].first_part + k : -1;
            const int reader = reader_of(m, i, part);
            m->readers[part >= 0 ? list->n + part : i] = reader;
            if (reader != NOWHERE)
                m->n_readers[reader >= 0 ? reader : m->n_nodes]++;
        }
    }
}

/* Adds all pieces of one reader: a node's disk, or the source. In a split, those of one keeper. */
static dt_status add_all(maker *m, int reader, int keeper, dt_error *err)
{
    const dt_stage_listing *list = m->list;
    const bool on_disk = reader >= 0;
    bool is_new = true;
    if (m->n_readers[on_disk ? reader : m->n_nodes] == 0)
        return DT_OK;
    for (int64_t i = 0; i < list->n; i++) {
        const dt_stage_object *o = &list->objects[i];
        const int64_t n_parts = dt_stage_parts_of(o), before = m->plan->n_pieces;
        if (m->keeper && m->keeper[i] != keeper)
            continue;
        for (int64_t k = 0; k < (n_parts ? n_parts : 1); k++) {
            const int64_t offset = k * DT_STAGE_PART_BYTES, left = o->bytes - offset;
            const dt_stage_piece piece = {.object = i,
                                          .offset = offset,
                                          .bytes = left < DT_STAGE_PART_BYTES ? left : DT_STAGE_PART_BYTES};
            if (m->readers[n_parts ? list->n + o->first_part + k : i] != reader)
                continue;
            DT_TRY(add_piece(m, on_disk ? reader : keeper, on_disk, is_new, &piece, err));
            is_new = false;
        }
        m->plan->source_objects += !on_disk && m->plan->n_pieces > before;
    }
    return DT_OK;
}

static dt_status make(maker *m, dt_error *err)
{
    const size_t n = (size_t)(m->list->n + m->list->n_parts) * sizeof *m->readers;
    m->readers = dt_alloc(n);
    m->n_readers = dt_calloc((size_t)m->n_nodes + 1, sizeof *m->n_readers);
    if (!m->readers || !m->n_readers)
        return dt_fail_memory(err, n, "the plan of what is to be read");
    find_readers(m);
    if (!m->keeper)
        DT_TRY(add_all(m, FROM_SOURCE, -1, err));
    for (int node = 0; node < m->n_nodes; node++)
        DT_TRY(add_all(m, m->keeper ? FROM_SOURCE : node, node, err));
    return DT_OK;
}

dt_status dt_stage_plan_make(const dt_stage_listing *list, const unsigned char *bits, int n_nodes,
                             const int *keeper, dt_stage_plan *plan, dt_error *err)
{
    maker m = {.list = list,
               .bits = bits,
               .bits_bytes = dt_stage_bits_bytes(list),
               .n_nodes = n_nodes,
               .keeper = keeper,
               .plan = plan};
    *plan = (dt_stage_plan){0};
    const dt_status status = make(&m, err);
    dt_free(m.readers);
    dt_free(m.n_readers);
    if (status != DT_OK)
        dt_stage_plan_free(plan);
    return status;
}

void dt_stage_plan_free(dt_stage_plan *plan)
{
    dt_free(plan->pieces);
    dt_free(plan->batches);
    *plan = (dt_stage_plan){0};
}

/* -- a split --------------------------------------------------------------------------------------------- */

dt_status dt_stage_split(const dt_stage_listing *list, int n_parts, int *keeper, dt_error *err)
{
    int64_t *load = dt_calloc((size_t)n_parts, sizeof *load);
    if (!load)
        return dt_fail_memory(err, (size_t)n_parts * sizeof *load, "sharing out the objects");
    for (int small = 0; small < 2; small++) /* the large ones first: the others make up for them */
        for (int64_t i = 0; i < list->n; i++) {
            int least = 0;
            if ((list->objects[i].first_part < 0) != small)
                continue;
            for (int k = 1; k < n_parts; k++)
                if (load[k] < load[least])
                    least = k;
            keeper[i] = least;
            load[least] += list->objects[i].bytes + 1; /* also empty objects are shared out */
        }
    dt_free(load);
    return DT_OK;
}

void dt_stage_split_order(const int *stored, int n, int *parts)
{
    for (int node = 0; node < n; node++) {
        bool is_taken = stored[node] < 0 || stored[node] >= n;
        for (int before = 0; before < node; before++)
            is_taken = is_taken || stored[before] == stored[node];
        parts[node] = is_taken ? -1 : stored[node];
    }
    int next = 0;
    for (int node = 0; node < n; node++) {
        if (parts[node] >= 0)
            continue;
        for (bool used = true; used; next += used) {
            used = false;
            for (int other = 0; other < n; other++)
                used = used || parts[other] == next;
        }
        parts[node] = next;
    }
}
