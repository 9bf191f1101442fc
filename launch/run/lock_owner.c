#include "config.h"

#include "launch/run/lock_owner.h"

#include "core/base/clock.h"

#include <errno.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

/* Reads the state letter and the start time of a process of this PID namespace; false: there is none. */
static bool read_process(long long pid, char *state, unsigned long long *start)
{
    char path[48], text[1024];
    snprintf(path, sizeof path, "/proc/%lld/stat", pid);
    FILE *f = fopen(path, "re");
    if (!f)
        return false;
    size_t n = fread(text, 1, sizeof text - 1, f);
    fclose(f);
    text[n] = '\0';
    const char *p = strrchr(text, ')'); /* the process's name may hold any characters */
    if (!p || sscanf(p + 1, " %c", state) != 1)
        return false;
    for (int field = 2; p && field < 22; field++) /* the start is field 22 */
        p = strchr(p + 1, ' ');
    return p && sscanf(p, "%llu", start) == 1;
}

static void read_boot(char boot[40])
{
    FILE *f = fopen("/proc/sys/kernel/random/boot_id", "re");
    if (!f || fscanf(f, "%39s", boot) != 1)
        snprintf(boot, 40, "-");
    if (f)
        fclose(f);
}

static void make_id(char id[33])
{
    uint64_t bits[2];
    if (getrandom(bits, sizeof bits, GRND_NONBLOCK) != (ssize_t)sizeof bits) {
        bits[0] = (uint64_t)(dt_clock_unix_s() * 1e6);
        bits[1] = (uint64_t)(dt_clock_s() * 1e9) ^ (uint64_t)getpid() << 40;
    }
    snprintf(id, 33, "%016llx%016llx", (unsigned long long)bits[0], (unsigned long long)bits[1]);
}

void dt_lock_owner_self(dt_lock_owner *self)
{
    char state;
    struct stat st;
    *self = (dt_lock_owner){.pid = getpid(), .count = 1};
    if (gethostname(self->host, sizeof self->host - 1) != 0 || !self->host[0] || strpbrk(self->host, " \t\n"))
        snprintf(self->host, sizeof self->host, "unknown");
    (void)read_process(self->pid, &state, &self->start);
    make_id(self->id);
    read_boot(self->boot);
    if (stat("/proc/self/ns/pid", &st) == 0)
        self->pid_namespace = st.st_ino;
}

int dt_lock_owner_format(const dt_lock_owner *o, char text[DT_LOCK_TEXT_BYTES])
{
    return snprintf(text, DT_LOCK_TEXT_BYTES, "%s %lld %llu %020llu v2 %s %s %llu %d\n", o->host, o->pid,
                    o->start, o->count, o->id, o->boot, o->pid_namespace, o->locked);
}

bool dt_lock_owner_parse(const char *text, dt_lock_owner *owner)
{
    char line[DT_LOCK_TEXT_BYTES];
    dt_lock_owner o = {.pid = 0};
    int version = 0, locked = 0;
    snprintf(line, sizeof line, "%.*s", (int)strcspn(text, "\n"), text);
    const int n = sscanf(line, "%64s %lld %llu %llu v%d %32s %39s %llu %d", o.host, &o.pid, &o.start,
                         &o.count, &version, o.id, o.boot, &o.pid_namespace, &locked);
    if (n != 4 && n != 9)
        return false;
    o.locked = locked != 0;
    *owner = o;
    return true;
}

bool dt_lock_owner_is(const dt_lock_owner *a, const dt_lock_owner *b)
{
    return strcmp(a->id, b->id) == 0 && strcmp(a->host, b->host) == 0 && a->pid == b->pid &&
           a->start == b->start;
}

bool dt_lock_owner_same_boot(const dt_lock_owner *a, const dt_lock_owner *b)
{
    return a->id[0] && b->id[0] && a->boot[0] != '-' && strcmp(a->boot, b->boot) == 0;
}

dt_lock_life dt_lock_owner_life(const dt_lock_owner *o, const dt_lock_owner *self)
{
    char state = 0;
    unsigned long long start = 0;
    const bool here = dt_lock_owner_same_boot(o, self) && o->pid_namespace == self->pid_namespace &&
                      self->pid_namespace != 0;
    const bool maybe_here = !o->id[0] && strcmp(o->host, self->host) == 0; /* the first format */
    if (self->start == 0 || (!here && !maybe_here))
        return DT_LOCK_UNKNOWN;
    if (read_process(o->pid, &state, &start)) {
        if (start == o->start && state != 'Z' && state != 'X')
            return DT_LOCK_ALIVE;
        return here || start == o->start ? DT_LOCK_DEAD : DT_LOCK_UNKNOWN;
    }
    if (kill((pid_t)o->pid, 0) == 0 || errno != ESRCH) /* /proc hides the processes of other users */
        return DT_LOCK_UNKNOWN;
    return here ? DT_LOCK_DEAD : DT_LOCK_UNKNOWN;
}
