#include "tests/gpu/fused_counts.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* The kinds, and whether each exists on sm_80 to 89, and on sm_90: the table of layers/cuda/README.md. Of the
 * last one sm_80 to 89 have only those that were measured to be faster, maybe none. */
static const struct {
    const char *name;
    bool on_80, on_90;
} kinds[DT_FUSED_N_KINDS] = {{"conv+sums", true, true},
                             {"bnrelu+conv+sums", true, true},
                             {"bn+add+relu+conv+sums", false, true},
                             {"bn+bn+add+relu+conv+sums", false, true},
                             {"dgrad+drelu+dbn", true, true},
                             {"bnrelu+wgrad", true, true},
                             {"dgrad+add+drelu+dbn", false, true}};

/* With the backward of a second BatchNorm: counted with that of one. */
static const char two_norms[] = "dgrad+add+drelu+2dbn";

static bool is_kind(const char *graph, const char *kind)
{
    const size_t n = strlen(kind);
    return strncmp(graph, kind, n) == 0 && (graph[n] == '\0' || graph[n] == ' ');
}

void dt_fused_counts_add(dt_fused_counts *counts, const char *graph, bool is_there)
{
    for (int i = 0; i < DT_FUSED_N_KINDS; i++) {
        if (!is_kind(graph, kinds[i].name) && !(i == DT_FUSED_N_KINDS - 1 && is_kind(graph, two_norms)))
            continue;
        counts->n++;
        counts->n_there += is_there;
        counts->n_there_of[i] += is_there;
    }
}

void dt_fused_counts_visit(void *context, const dt_cuda_plan_row *row)
{
    dt_fused_counts *counts = context;
    if (!row->conv || !row->is_fused)
        return;
    dt_fused_counts_add(counts, row->name, !row->is_refused);
    if (row->is_refused)
        snprintf(counts->reason, sizeof counts->reason, "%s", row->reason);
}

int dt_fused_counts_of_resnet50(int sm)
{
    if (sm < 80)
        return 0;
    if (sm < 90)
        return 50;
    return sm == 90 ? 61 : -1;
}

__attribute__((format(printf, 3, 4))) static void append(char *text, size_t text_bytes, const char *format,
                                                         ...)
{
    const size_t n = strlen(text);
    va_list args;
    va_start(args, format);
    vsnprintf(text + n, text_bytes - n, format, args);
    va_end(args);
}

bool dt_fused_counts_check(const dt_fused_counts *counts, int sm, int least, char *text, size_t text_bytes)
{
    bool is_enough = counts->n_there >= least && (sm <= 90 || counts->n_there > 0);
    snprintf(text, text_bytes, "%d of %d:", counts->n_there, counts->n);
    for (int i = 0; i < DT_FUSED_N_KINDS; i++) {
        const bool is_needed = sm == 90 ? kinds[i].on_90 : sm >= 80 && sm < 90 && kinds[i].on_80;
        if (counts->n_there_of[i] > 0)
            append(text, text_bytes, " %d %s,", counts->n_there_of[i], kinds[i].name);
        else if (is_needed)
            append(text, text_bytes, " no %s,", kinds[i].name);
        is_enough = is_enough && (counts->n_there_of[i] > 0 || !is_needed);
    }
    text[strlen(text) - 1] = '\0';
    if (!is_enough)
        append(text, text_bytes, "; sm_%d has more, %d at least%s%s", sm, least,
               counts->reason[0] ? ": " : "", counts->reason);
    return is_enough;
}
