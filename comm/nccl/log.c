/* log.c: catch NCCL's log in a file in memory, and print the warnings in it after an error. */
#include "config.h"

#include "comm/nccl/log.h"

#include "comm/nccl/environment.h"
#include "core/base/alloc.h"
#include "core/base/log.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define WARNING "NCCL WARN "
enum { TAIL_BYTES = 1 << 16 /* of the log, in which warnings are looked for */ };

/* INIT lines name the network, NET lines the interface; GRAPH lines show whether there is NVLink. Warnings
 * come with any setting. */
static const struct {
    const char *name, *value;
} settings[] = {{"NCCL_DEBUG", "INFO"}, {"NCCL_DEBUG_SUBSYS", "INIT,NET,GRAPH"}, {"NCCL_DEBUG_FILE", NULL}};
enum { N_SETTINGS = sizeof settings / sizeof *settings };

static bool user_sets_debug(void)
{
    for (int i = 0; i < N_SETTINGS; i++)
        if (getenv(settings[i].name))
            return true;
    return dt_nccl_files_set("NCCL_DEBUG");
}

/* NCCL reads the environment once, at its first call, and opens the file itself. A file in memory need not be
 * deleted. */
void dt_nccl_log_begin(dt_nccl_log *log)
{
    char path[40];
    *log = (dt_nccl_log){.fd = -1};
    if (user_sets_debug())
        return;
    log->fd = memfd_create("nccl-log", MFD_CLOEXEC);
    if (log->fd < 0)
        return;
    log->set = true;
    snprintf(path, sizeof path, "/proc/self/fd/%d", log->fd);
    for (int i = 0; i < N_SETTINGS; i++)
        setenv(settings[i].name, settings[i].value ? settings[i].value : path, 1);
}

/* The last `most` bytes of the log at most, ended by '\0'; NULL: none. The caller frees it with dt_free. */
static char *read_end(const dt_nccl_log *log, off_t most)
{
    struct stat s;
    char *text = NULL;
    if (log->fd < 0 || fstat(log->fd, &s) != 0 || s.st_size == 0)
        return NULL;
    const off_t bytes = s.st_size < most ? s.st_size : most;
    text = dt_alloc((size_t)bytes + 1);
    if (!text)
        return NULL;
    const ssize_t n = pread(log->fd, text, (size_t)bytes, s.st_size - bytes);
    text[n > 0 ? n : 0] = '\0';
    return text;
}

char *dt_nccl_log_end(dt_nccl_log *log)
{
    for (int i = 0; log->set && i < N_SETTINGS; i++)
        unsetenv(settings[i].name);
    log->set = false;
    return read_end(log, 1 << 30);
}

void dt_nccl_log_warnings(const dt_nccl_log *log)
{
    const char *last[DT_NCCL_LOG_WARNINGS];
    int n = 0;
    char *text = read_end(log, TAIL_BYTES);
    for (const char *p = text ? strstr(text, WARNING) : NULL; p; p = strstr(p, WARNING)) {
        p += strlen(WARNING);
        last[n++ % DT_NCCL_LOG_WARNINGS] = p;
    }
    for (int i = n > DT_NCCL_LOG_WARNINGS ? n - DT_NCCL_LOG_WARNINGS : 0; i < n; i++) {
        const char *line = last[i % DT_NCCL_LOG_WARNINGS];
        dt_log_warn("NCCL's log: %.*s", (int)strcspn(line, "\r\n"), line);
    }
    dt_free(text);
}

void dt_nccl_log_close(dt_nccl_log *log)
{
    if (log->fd >= 0)
        close(log->fd);
    log->fd = -1;
}
