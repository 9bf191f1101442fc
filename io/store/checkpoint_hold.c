#include "io/store/checkpoint_hold.h"

#include "core/base/file.h"
#include "io/store/checkpoint_folder.h"

#include <errno.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

static int try_lock(int fd, int kind)
{
    int failed;
    while ((failed = flock(fd, kind | LOCK_NB)) != 0 && errno == EINTR)
        ;
    return failed;
}

void dt_checkpoint_hold_begin(dt_checkpoint_hold *hold, const char *folder, int64_t step)
{
    hold->fd = -1;
    if (dt_checkpoint_path(folder, step, "", hold->path, NULL) != DT_OK) {
        hold->path[0] = '\0';
        return;
    }
    hold->fd = dt_file_open_folder(hold->path, 0);
    if (hold->fd >= 0)
        (void)try_lock(hold->fd, LOCK_SH); /* refused while it is being removed: that is found later */
}

bool dt_checkpoint_hold_was_removed(const dt_checkpoint_hold *hold)
{
    struct stat opened, now;
    if (!hold->path[0])
        return false;
    if (lstat(hold->path, &now) != 0)
        return errno == ENOENT;
    return hold->fd >= 0 && fstat(hold->fd, &opened) == 0 && stat(hold->path, &now) == 0 &&
           (opened.st_dev != now.st_dev || opened.st_ino != now.st_ino);
}

void dt_checkpoint_hold_end(dt_checkpoint_hold *hold)
{
    if (hold->fd >= 0)
        close(hold->fd);
    hold->fd = -1;
}

bool dt_checkpoint_is_held(int fd)
{
    return try_lock(fd, LOCK_EX) != 0 && errno == EWOULDBLOCK;
}
