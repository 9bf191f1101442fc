#include "io/source/left_out.h"

#include <stdio.h>
#include <string.h>

/* Kinds in a text; more would only hide the first ones. */
#define MAX_SHOWN 6

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* The ending of a file's name with its dot, in lower case, if it is short and of letters and digits. */
static void name_of_ending(const char *path, char out[24])
{
    enum { LONGEST = 10 };
    const char *dot = strrchr(path, '.'), *slash = strrchr(path, '/');
    size_t n = dot && (!slash || dot > slash + 1) ? strlen(dot) : 0;
    bool plain = n > 1 && n <= LONGEST;
    for (size_t i = 0; plain && i <= n; i++) {
        out[i] = lower(dot[i]);
        plain = i == 0 || i == n || (out[i] >= 'a' && out[i] <= 'z') || (out[i] >= '0' && out[i] <= '9');
    }
    if (!plain)
        snprintf(out, 24, "of other names");
}

static void name_of_kind(dt_left_out_kind kind, const char *path, char out[24])
{
    static const char *const names[] = {[DT_LEFT_OUT_FOLDER] = "folder",
                                        [DT_LEFT_OUT_HIDDEN] = "hidden",
                                        [DT_LEFT_OUT_BESIDE] = "beside the classes",
                                        [DT_LEFT_OUT_BROKEN_LINK] = "broken link",
                                        [DT_LEFT_OUT_SPECIAL] = "FIFO or device"};
    if (kind == DT_LEFT_OUT_FILE)
        name_of_ending(path, out);
    else
        snprintf(out, 24, "%s", names[kind]);
}

/* Where a kind is counted. */
static int find(dt_left_out *left_out, const char *name)
{
    for (int k = 0; k < left_out->n_kinds; k++)
        if (strcmp(left_out->kinds[k].name, name) == 0)
            return k;
    if (left_out->n_kinds == DT_LEFT_OUT_KINDS)
        return DT_LEFT_OUT_KINDS - 1;
    const int k = left_out->n_kinds++;
    snprintf(left_out->kinds[k].name, sizeof left_out->kinds[k].name, "%s",
             k == DT_LEFT_OUT_KINDS - 1 ? "of other kinds" : name);
    return k;
}

static void add(dt_left_out *left_out, const char *name, int64_t n, const char *example)
{
    const int k = find(left_out, name);
    char *first = left_out->kinds[k].example;
    if (left_out->kinds[k].n == 0 || strcmp(example, first) < 0)
        snprintf(first, sizeof left_out->kinds[k].example, "%s", example);
    left_out->kinds[k].n += n;
    left_out->n += n;
}

void dt_left_out_add(dt_left_out *left_out, dt_left_out_kind kind, const char *path)
{
    char name[24];
    name_of_kind(kind, path, name);
    add(left_out, name, 1, path);
    left_out->n_hidden += kind == DT_LEFT_OUT_HIDDEN;
}

void dt_left_out_merge(dt_left_out *left_out, const dt_left_out *from, const char *name)
{
    char example[512];
    for (int k = 0; k < from->n_kinds; k++) {
        snprintf(example, sizeof example, "%.255s/%s", name, from->kinds[k].example);
        add(left_out, from->kinds[k].name, from->kinds[k].n, example);
    }
    left_out->n_hidden += from->n_hidden;
}

/* Whether the name of a kind gets an s in the plural. */
static bool is_noun(const char *name)
{
    return strcmp(name, "folder") == 0 || strcmp(name, "broken link") == 0;
}

const char *dt_left_out_text(const dt_left_out *left_out, char *out, size_t out_bytes)
{
    bool shown[DT_LEFT_OUT_KINDS] = {false};
    out[0] = '\0';
    if (left_out->n == 0)
        return out;
    size_t used = (size_t)snprintf(out, out_bytes, "%lld entr%s: ", (long long)left_out->n,
                                   left_out->n == 1 ? "y" : "ies");
    for (int i = 0; i < left_out->n_kinds && used < out_bytes; i++) {
        int most = -1;
        for (int k = 0; k < left_out->n_kinds; k++) {
            const bool more = !shown[k] && (most < 0 || left_out->kinds[k].n > left_out->kinds[most].n);
            most = more ? k : most;
        }
        if (i == MAX_SHOWN) {
            snprintf(out + used, out_bytes - used, " and %d other kind%s", left_out->n_kinds - i,
                     left_out->n_kinds - i == 1 ? "" : "s");
            break;
        }
        shown[most] = true;
        const char *name = left_out->kinds[most].name;
        used += (size_t)snprintf(out + used, out_bytes - used, "%s%lld %s%s (e.g. %s)", i ? ", " : "",
                                 (long long)left_out->kinds[most].n, name,
                                 is_noun(name) && left_out->kinds[most].n > 1 ? "s" : "",
                                 left_out->kinds[most].example);
    }
    return out;
}
