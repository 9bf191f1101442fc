#include "io/store/hdf5_format.h"

#include "io/store/hdf5_bytes.h"

#include <string.h>

/* The types of an object header's messages (specification, IV.A.2). */
enum {
    NOTHING = 0x00,
    SPACE = 0x01,
    LINK_INFO = 0x02,
    DATATYPE = 0x03,
    FILL_VALUE = 0x05,
    LINK = 0x06,
    EXTERNAL_FILES = 0x07,
    LAYOUT = 0x08,
    GROUP_INFO = 0x0A,
    FILTERS = 0x0B,
    ATTRIBUTE = 0x0C,
    CONTINUATION = 0x10,
    ATTRIBUTE_INFO = 0x15,
    LINK_COUNT = 0x16
};

enum { SHARED = 0x02, MAX_PARTS = 64 };

/* The parts of a header: the first, and those that continuation messages name. */
typedef struct parts {
    int n;
    dt_hdf5_bytes at[MAX_PARTS];
} parts;

static dt_hdf5_space read_space(dt_hdf5_bytes b)
{
    const uint64_t version = dt_hdf5_read(&b, 1), rank = dt_hdf5_read(&b, 1), flags = dt_hdf5_read(&b, 1),
                   type = dt_hdf5_read(&b, 1);
    dt_hdf5_space space = {.n_dims = (int)rank};
    if (version == 1)
        (void)dt_hdf5_read(&b, 4);
    const bool is_known = (version == 1 && type == 0) || (version == 2 && type == (rank > 0));
    if (!is_known || rank > DT_STATE_MAX_DIMS || flags > 1)
        return (dt_hdf5_space){.n_dims = -1};
    for (uint64_t d = 0; d < rank; d++)
        space.dims[d] = (int64_t)dt_hdf5_read(&b, 8);
    for (uint64_t d = 0; d < rank && flags == 1; d++)
        if ((int64_t)dt_hdf5_read(&b, 8) != space.dims[d])
            space.n_dims = -1; /* it may grow */
    return b.bad ? (dt_hdf5_space){.n_dims = -1} : space;
}

/* Whether a datatype is this one. Its version, 1 to 3, is in the first byte beside the class. */
static bool is_type(dt_hdf5_bytes b, const unsigned char *expected, size_t n)
{
    const uint64_t first = dt_hdf5_read(&b, 1);
    if ((first & 0x0F) != expected[0] || first >> 4 < 1 || first >> 4 > 3)
        return false;
    for (size_t i = 1; i < n; i++)
        if (dt_hdf5_read(&b, 1) != expected[i])
            return false;
    return !b.bad;
}

/* class, three bytes of flags, size (4); then of integers offset and precision (2, 2), of floats also the
 * position and size of exponent and mantissa, and the exponent's bias (4) */
static bool is_int64(dt_hdf5_bytes b)
{
    static const unsigned char type[] = {0, 0x08, 0, 0, 8, 0, 0, 0, 0, 0, 64, 0};
    return is_type(b, type, sizeof type);
}

static bool is_float32(dt_hdf5_bytes b)
{
    static const unsigned char type[] = {1, 0x20, 31, 0, 4, 0, 0, 0, 0, 0, 32, 0, 23, 8, 0, 23, 127, 0, 0, 0};
    return is_type(b, type, sizeof type);
}

static const char *read_attribute(dt_hdf5_object *o, dt_hdf5_bytes b)
{
    if (o->n_attributes == DT_HDF5_MAX_ATTRIBUTES)
        return "has more attributes than dtrain writes";
    dt_hdf5_attribute *a = &o->attributes[o->n_attributes++];
    const uint64_t version = dt_hdf5_read(&b, 1), flags = dt_hdf5_read(&b, 1),
                   name_bytes = dt_hdf5_read(&b, 2), type_bytes = dt_hdf5_read(&b, 2),
                   space_bytes = dt_hdf5_read(&b, 2);
    (void)dt_hdf5_read(&b, 1); /* the name's character set */
    if (version != 3 || flags != 0)
        return "has an attribute that dtrain does not write";
    dt_hdf5_bytes name = dt_hdf5_part(&b, name_bytes), type = dt_hdf5_part(&b, type_bytes),
                  space = dt_hdf5_part(&b, space_bytes);
    for (size_t i = 0; i < name_bytes && i + 1 < sizeof a->name; i++)
        a->name[i] = (char)dt_hdf5_read(&name, 1);
    a->space = read_space(space);
    a->is_int64 = is_int64(type) && a->space.n_dims >= 0 && a->space.n_dims <= 1 &&
                  (a->space.n_dims == 0 || (a->space.dims[0] >= 1 && a->space.dims[0] <= DT_STATE_MAX_DIMS));
    for (int64_t i = 0; a->is_int64 && i < (a->space.n_dims ? a->space.dims[0] : 1); i++)
        a->values[i] = (int64_t)dt_hdf5_read(&b, 8);
    return b.bad ? "has an attribute that is cut short" : NULL;
}

static void read_layout(dt_hdf5_object *o, dt_hdf5_bytes b)
{
    const uint64_t version = dt_hdf5_read(&b, 1), class = dt_hdf5_read(&b, 1);
    o->is_dataset = true;
    o->is_contiguous = (version == 3 || version == 4) && class == 1;
    o->at = dt_hdf5_read(&b, 8);
    o->bytes = dt_hdf5_read(&b, 8);
    o->is_contiguous = o->is_contiguous && !b.bad;
}

static void read_fill_value(dt_hdf5_object *o, dt_hdf5_bytes b)
{
    const uint64_t version = dt_hdf5_read(&b, 1), flags = dt_hdf5_read(&b, 1);
    if (version == 3) {
        o->has_fill_value = (flags & 0x20) != 0 || b.bad;
    } else {
        (void)dt_hdf5_read(&b, 1);
        const uint64_t defined = dt_hdf5_read(&b, 1);
        o->has_fill_value = version != 2 || (defined && dt_hdf5_read(&b, 4) != 0) || b.bad;
    }
}

static const char *read_link_info(dt_hdf5_object *o, dt_hdf5_bytes b)
{
    const uint64_t version = dt_hdf5_read(&b, 1), flags = dt_hdf5_read(&b, 1);
    o->is_group = true;
    o->heap = dt_hdf5_read(&b, 8);
    return version != 0 || flags != 0 || b.bad ? "is a group that dtrain does not write" : NULL;
}

static const char *read_attribute_info(dt_hdf5_bytes b)
{
    const uint64_t version = dt_hdf5_read(&b, 1), flags = dt_hdf5_read(&b, 1), heap = dt_hdf5_read(&b, 8);
    return version != 0 || flags != 0 || heap != UINT64_MAX || b.bad
               ? "has more attributes than dtrain writes"
               : NULL;
}

static const char *add_part(parts *p, const dt_hdf5_image *image, dt_hdf5_bytes b)
{
    const uint64_t at = dt_hdf5_read(&b, 8), bytes = dt_hdf5_read(&b, 8);
    dt_hdf5_bytes part = dt_hdf5_bytes_at(image, at, bytes);
    if (b.bad || p->n == MAX_PARTS || bytes < 8 || !dt_hdf5_read_signature(&part, "OCHK"))
        return "has a header that is not whole";
    part.end -= 4; /* its checksum */
    p->at[p->n++] = part;
    return NULL;
}

static const char *read_message(dt_hdf5_object *o, parts *p, uint64_t type, uint64_t flags, dt_hdf5_bytes b)
{
    if (flags & SHARED) { /* elsewhere in the file, such as a committed type */
        o->is_float32 = false;
        return type == DATATYPE ? NULL : "shares a part of its header";
    }
    switch (type) {
    case NOTHING:
    case GROUP_INFO:
        return NULL;
    case SPACE:
        o->space = read_space(b);
        return NULL;
    case LINK_INFO:
        return read_link_info(o, b);
    case DATATYPE:
        o->is_float32 = is_float32(b);
        return NULL;
    case FILL_VALUE:
        read_fill_value(o, b);
        return NULL;
    case LINK:
        if (o->n_links == DT_HDF5_MAX_LINKS)
            return "has more links than dtrain writes";
        o->links[o->n_links++] = b.at;
        return NULL;
    case EXTERNAL_FILES:
        o->is_external = true;
        return NULL;
    case LAYOUT:
        read_layout(o, b);
        return NULL;
    case FILTERS:
        o->is_filtered = true;
        return NULL;
    case ATTRIBUTE:
        return read_attribute(o, b);
    case CONTINUATION:
        return add_part(p, b.image, b);
    case ATTRIBUTE_INFO:
        return read_attribute_info(b);
    case LINK_COUNT:
        o->has_several_links = dt_hdf5_read(&b, 1) != 0 || dt_hdf5_read(&b, 4) != 1 || b.bad;
        return NULL;
    default:
        return "has properties that dtrain does not write";
    }
}

static const char *read_messages(dt_hdf5_object *o, parts *p, dt_hdf5_bytes part)
{
    while (part.end - part.at >= 4) { /* what is shorter than a message is a gap */
        const uint64_t type = dt_hdf5_read(&part, 1), bytes = dt_hdf5_read(&part, 2),
                       flags = dt_hdf5_read(&part, 1);
        dt_hdf5_bytes body = dt_hdf5_part(&part, bytes);
        if (body.bad)
            return "has a header that is not whole";
        const char *problem = read_message(o, p, type, flags, body);
        if (problem)
            return problem;
    }
    return NULL;
}

const char *dt_hdf5_read_object(const dt_hdf5_image *image, uint64_t at, dt_hdf5_object *o)
{
    enum { SIZE_OF_SIZE = 0x03, HAS_PHASES = 0x10, HAS_TIMES = 0x20 };
    dt_hdf5_bytes b = dt_hdf5_bytes_from(image, at);
    parts p = {.n = 1};
    *o = (dt_hdf5_object){.heap = UINT64_MAX, .space.n_dims = -1};
    const bool begins = dt_hdf5_read_signature(&b, "OHDR") && dt_hdf5_read(&b, 1) == 2;
    const uint64_t flags = dt_hdf5_read(&b, 1);
    if (!begins || flags & ~(uint64_t)(SIZE_OF_SIZE | HAS_PHASES | HAS_TIMES))
        return "has no header that dtrain writes";
    (void)dt_hdf5_part(&b, (flags & HAS_TIMES ? 16 : 0) + (flags & HAS_PHASES ? 4 : 0));
    const uint64_t bytes = dt_hdf5_read(&b, 1 << (flags & SIZE_OF_SIZE));
    p.at[0] = dt_hdf5_part(&b, bytes);
    if (b.bad)
        return "has a header that is not whole";
    for (int i = 0; i < p.n; i++) {
        const char *problem = read_messages(o, &p, p.at[i]);
        if (problem)
            return problem;
    }
    if (o->is_group && o->is_dataset)
        return "is a group and a dataset";
    return NULL;
}
