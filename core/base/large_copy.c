#include "core/base/large_copy.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#define MAX_THREADS 16 /* enough for the bandwidth of any memory */
#define LINE 64

typedef struct part {
    char *dst;
    const char *src;
    size_t bytes;
    pthread_t thread;
    bool started;
} part;

#if defined __SSE2__ && defined __GNUC__ && !defined __clang__ /* these built-ins are GCC's */
typedef long long vector __attribute__((vector_size(16)));

/* Copy n whole cache lines to an aligned destination. */
static void copy_lines(char *dst, const char *src, size_t n)
{
    for (size_t i = 0; i < n * LINE; i += sizeof(vector)) {
        vector v;
        memcpy(&v, src + i, sizeof v);
        __builtin_ia32_movntdq((vector *)(void *)(dst + i), v);
    }
    __builtin_ia32_sfence();
}
#else
static void copy_lines(char *dst, const char *src, size_t n)
{
    memcpy(dst, src, n * LINE);
}
#endif

static void *copy_part(void *context)
{
    const part *p = context;
    const size_t before = (LINE - (uintptr_t)p->dst % LINE) % LINE,
                 head = before < p->bytes ? before : p->bytes;
    const size_t lines = (p->bytes - head) / LINE, done = head + lines * LINE;
    memcpy(p->dst, p->src, head);
    copy_lines(p->dst + head, p->src + head, lines);
    memcpy(p->dst + done, p->src + done, p->bytes - done);
    return NULL;
}

void dt_large_copy(void *dst, const void *src, size_t bytes, int n_threads)
{
    part parts[MAX_THREADS];
    const int n = n_threads < 1 ? 1 : n_threads > MAX_THREADS ? MAX_THREADS : n_threads;
    for (int i = 0; i < n; i++) {
        const size_t from = bytes / (size_t)n * (size_t)i,
                     to = i == n - 1 ? bytes : bytes / (size_t)n * (size_t)(i + 1);
        parts[i] = (part){.dst = (char *)dst + from, .src = (const char *)src + from, .bytes = to - from};
        parts[i].started = i > 0 && pthread_create(&parts[i].thread, NULL, copy_part, &parts[i]) == 0;
    }
    for (int i = 0; i < n; i++)
        if (!parts[i].started)
            copy_part(&parts[i]);
    for (int i = 0; i < n; i++)
        if (parts[i].started)
            pthread_join(parts[i].thread, NULL);
}
