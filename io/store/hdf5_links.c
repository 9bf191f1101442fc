/* hdf5_links.c: the links of a group, from its header or, if there are many, from a fractal heap
 * (specification, III.G). Links are packed from the beginning of each of the heap's blocks, and dtrain
 * removes none: the index of their names is not needed. */
#include "io/store/hdf5_bytes.h"
#include "io/store/hdf5_format.h"

#include <string.h>

static const char *const not_whole = "has a list of links that is not whole";

enum { MAX_WIDTH = 64, MAX_ROWS = 40 };

/* Signature, version, and the address of the heap's header; the block's offset in the heap follows. */
enum { BLOCK_BEGIN_BYTES = 4 + 1 + 8 };

/* What the header of a heap says. */
typedef struct heap {
    const dt_hdf5_image *image;
    uint64_t n_links, n_seen, width, first_block_bytes, largest_block_bytes, offset_bytes, checksum_bytes,
        root, n_rows;
} heap;

typedef struct visitor {
    dt_hdf5_visit *visit;
    void *context;
    bool ended;
} visitor;

/* Take a link. *is_none: the rest of the bytes holds none. */
static const char *take_link(dt_hdf5_bytes *b, dt_hdf5_link *link, bool *is_none)
{
    enum { SIZE_OF_SIZE = 0x03, HAS_ORDER = 0x04, HAS_TYPE = 0x08, HAS_CHARACTERS = 0x10 };
    const uint64_t version = dt_hdf5_read(b, 1), flags = dt_hdf5_read(b, 1);
    *is_none = b->bad || version == 0;
    if (*is_none)
        return NULL;
    if (version != 1 || flags & ~(uint64_t)(SIZE_OF_SIZE | HAS_TYPE | HAS_CHARACTERS))
        return "has a link that dtrain does not write";
    if (flags & HAS_TYPE && dt_hdf5_read(b, 1) != 0)
        return "has a link to another place";
    if (flags & HAS_CHARACTERS)
        (void)dt_hdf5_read(b, 1);
    const uint64_t name_bytes = dt_hdf5_read(b, 1 << (flags & SIZE_OF_SIZE));
    dt_hdf5_bytes name = dt_hdf5_part(b, name_bytes);
    if (name_bytes >= sizeof link->name || name_bytes == 0)
        return "has a link with a longer name than any tensor";
    memset(link->name, 0, sizeof link->name);
    if (!name.bad)
        dt_hdf5_image_read(b->image, (int64_t)name.at, (int64_t)name_bytes, link->name);
    link->object = dt_hdf5_read(b, 8);
    return b->bad ? not_whole : NULL;
}

static const char *read_heap(const dt_hdf5_image *image, uint64_t at, heap *h)
{
    dt_hdf5_bytes b = dt_hdf5_bytes_from(image, at);
    const bool begins = dt_hdf5_read_signature(&b, "FRHP") && dt_hdf5_read(&b, 1) == 0;
    (void)dt_hdf5_read(&b, 2); /* the length of an id */
    const uint64_t filter_bytes = dt_hdf5_read(&b, 2), flags = dt_hdf5_read(&b, 1);
    (void)dt_hdf5_part(&b, 4 + 2 * 8 + 2 * 8 + 3 * 8); /* limits, free space, space */
    *h = (heap){.image = image, .n_links = dt_hdf5_read(&b, 8)};
    (void)dt_hdf5_read(&b, 8);
    const uint64_t n_huge = dt_hdf5_read(&b, 8);
    (void)dt_hdf5_read(&b, 8);
    const uint64_t n_tiny = dt_hdf5_read(&b, 8);
    h->width = dt_hdf5_read(&b, 2);
    h->first_block_bytes = dt_hdf5_read(&b, 8);
    h->largest_block_bytes = dt_hdf5_read(&b, 8);
    const uint64_t offset_bits = dt_hdf5_read(&b, 2);
    (void)dt_hdf5_read(&b, 2);
    h->root = dt_hdf5_read(&b, 8);
    h->n_rows = dt_hdf5_read(&b, 2);
    h->offset_bytes = (offset_bits + 7) / 8;
    h->checksum_bytes = flags & 0x02 ? 4 : 0; /* of a block of links, in its beginning */
    if (b.bad || !begins || filter_bytes || n_huge || n_tiny || h->width < 1 || h->width > MAX_WIDTH ||
        offset_bits > 64 || h->n_rows > MAX_ROWS || h->first_block_bytes < 64 ||
        h->largest_block_bytes > (uint64_t)1 << 30)
        return not_whole;
    return NULL;
}

static const char *visit_block(heap *h, uint64_t at, uint64_t bytes, visitor *v)
{
    dt_hdf5_bytes b = dt_hdf5_bytes_at(h->image, at, bytes);
    dt_hdf5_bytes begin = dt_hdf5_part(&b, BLOCK_BEGIN_BYTES + h->offset_bytes + h->checksum_bytes);
    if (b.bad || !dt_hdf5_read_signature(&begin, "FHDB") || dt_hdf5_read(&begin, 1) != 0)
        return not_whole;
    while (h->n_seen < h->n_links && !v->ended) {
        dt_hdf5_link link;
        bool is_none;
        const char *problem = take_link(&b, &link, &is_none);
        if (problem)
            return problem;
        if (is_none)
            break;
        h->n_seen++;
        v->ended = !v->visit(v->context, &link);
    }
    return NULL;
}

/* The blocks of the root's rows: two rows of the smallest size, then each row of twice the size before. */
static const char *visit_rows(heap *h, visitor *v)
{
    dt_hdf5_bytes b = dt_hdf5_bytes_from(h->image, h->root);
    if (!dt_hdf5_read_signature(&b, "FHIB") || dt_hdf5_read(&b, 1) != 0)
        return not_whole;
    (void)dt_hdf5_part(&b, BLOCK_BEGIN_BYTES - 4 - 1 + h->offset_bytes);
    uint64_t bytes = h->first_block_bytes;
    for (uint64_t row = 0; row < h->n_rows && h->n_seen < h->n_links && !v->ended; row++) {
        if (bytes > h->largest_block_bytes)
            return "has more links than any group of dtrain's";
        for (uint64_t i = 0; i < h->width; i++) {
            const uint64_t at = dt_hdf5_read(&b, 8);
            if (b.bad)
                return not_whole;
            const char *problem = at == UINT64_MAX ? NULL : visit_block(h, at, bytes, v);
            if (problem)
                return problem;
        }
        bytes *= row > 0 ? 2 : 1;
    }
    return NULL;
}

static const char *visit_heap(const dt_hdf5_image *image, uint64_t at, visitor *v)
{
    heap h;
    const char *problem = read_heap(image, at, &h);
    if (problem)
        return problem;
    problem = h.n_rows ? visit_rows(&h, v) : visit_block(&h, h.root, h.first_block_bytes, v);
    if (problem || v->ended)
        return problem;
    return h.n_seen == h.n_links ? NULL : not_whole;
}

const char *dt_hdf5_visit_links(const dt_hdf5_image *image, const dt_hdf5_object *group, dt_hdf5_visit *visit,
                                void *context)
{
    visitor v = {visit, context, false};
    if (group->heap != UINT64_MAX)
        return group->n_links ? "has links in two places" : visit_heap(image, group->heap, &v);
    for (int i = 0; i < group->n_links && !v.ended; i++) {
        dt_hdf5_bytes b = dt_hdf5_bytes_from(image, group->links[i]);
        dt_hdf5_link link;
        bool is_none;
        const char *problem = take_link(&b, &link, &is_none);
        if (problem || is_none)
            return problem ? problem : not_whole;
        v.ended = !visit(context, &link);
    }
    return NULL;
}
