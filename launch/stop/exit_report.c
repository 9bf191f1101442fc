#include "config.h"

#include "launch/stop/exit_report.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

void dt_exit_report(int code)
{
    const char *path = getenv("DTRAIN_EXIT_FILE");
    char text[16];
    struct stat st;
    const int fd = path ? open(path, O_WRONLY | O_CLOEXEC | O_NONBLOCK) : -1;
    if (fd < 0)
        return;
    const int n = snprintf(text, sizeof text, "%d\n", code);
    if (fstat(fd, &st) == 0 && S_ISREG(st.st_mode) && st.st_size == 0)
        (void)!write(fd, text, (size_t)n); /* without it dtrain-run believes the launcher */
    (void)close(fd);
}
