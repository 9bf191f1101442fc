#include "core/base/large_copy.h"

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define MAX_THREADS 16 /* fewer fill any memory's bandwidth */
#define LINE        64

typedef struct part {
    char *dst;
    const char *src;
    size_t bytes;
    pthread_t thread;
    bool started;
} part;

#ifdef __SSE2__
/* n whole lines to an aligned destination. */
static void copy_lines(char *dst, const char *src, size_t n)
{
    for (size_t i = 0; i < n; i++, dst += LINE, src += LINE)
        for (int v = 0; v < LINE / 16; v++)
            _mm_stream_si128((__m128i *)(void *)(dst + 16 * v), _mm_loadu_si128((const __m128i *)(const void *)(src + 16 * v)));
    _mm_sfence();
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
    const size_t before = (LINE - (uintptr_t)p->dst % LINE) % LINE, head = before < p->bytes ? before : p->bytes;
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
        const size_t from = bytes / (size_t)n * (size_t)i, to = i == n - 1 ? bytes : bytes / (size_t)n * (size_t)(i + 1);
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
