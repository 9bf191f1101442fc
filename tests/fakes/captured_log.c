#include "tests/fakes/captured_log.h"

#include <stdio.h>

static char text[1 << 16];
static size_t n_bytes;
static int n_lines;

/* dt_log calls its sink from one thread at a time. */
static void capture(void *context, dt_log_level level, const char *line)
{
    (void)context;
    (void)level;
    int n = snprintf(text + n_bytes, sizeof text - n_bytes, "%s\n", line);
    n_bytes += n < 0 ? 0 : (size_t)n;
    if (n_bytes >= sizeof text)
        n_bytes = sizeof text - 1;
    n_lines++;
}

void captured_log_begin(dt_log_level least)
{
    dt_log_set_sink(NULL, NULL, least);
    text[0] = '\0';
    n_bytes = 0;
    n_lines = 0;
    dt_log_set_sink(capture, NULL, least);
}

void captured_log_end(void)
{
    dt_log_set_sink(NULL, NULL, DT_LOG_INFO);
}

const char *captured_log_text(void)
{
    return text;
}

int captured_log_lines(void)
{
    return n_lines;
}
