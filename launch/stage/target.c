#include "config.h"

#include "launch/stage/target.h"

#include "core/base/clock.h"
#include "core/base/file.h"
#include "core/collective/agreement.h"
#include "io/durable.h"
#include "io/replace.h"
#include "launch/stage/names.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/file.h>
#include <sys/statfs.h>
#include <unistd.h>

enum { RECORD_BYTES = DT_PATH_BYTES + 256 };

void dt_stage_target_file(const char *folder, const char *name, char path[DT_STAGE_FOLDER_BYTES])
{
    snprintf(path, DT_STAGE_FOLDER_BYTES, "%s/" DT_STAGE_OWN_FOLDER "/%s", folder, name);
}

void dt_stage_source_name(const char *source, char name[DT_PATH_BYTES])
{
    const bool is_folder = strstr(source, "://") == NULL;
    char *real = is_folder ? realpath(source, NULL) : NULL;
    const bool has_query = strncasecmp(source, "http", 4) == 0 && !is_folder;
    const char *text = real ? real : source;
    snprintf(name, DT_PATH_BYTES, "%.*s", (int)strcspn(text, has_query ? "?#\n" : "\n"), text);
    for (size_t n = strlen(name); n > 1 && name[n - 1] == '/'; n--)
        name[n - 1] = '\0';
    free(real);
}

dt_status dt_stage_target_make(const char *folder, dt_error *err)
{
    char path[DT_STAGE_FOLDER_BYTES];
    DT_TRY(dt_durable_make_folder(folder, err));
    dt_stage_target_file(folder, "parts", path);
    DT_TRY(dt_durable_make_folder(path, err));
    dt_stage_target_file(folder, "new", path);
    return dt_durable_make_folder(path, err);
}

/* -- who writes ------------------------------------------------------------------------------------------ */

static void probe_path(const char *folder, const char *nonce, int rank, char path[DT_STAGE_FOLDER_BYTES])
{
    char name[80];
    snprintf(name, sizeof name, "host-%.40s-%d", nonce, rank);
    dt_stage_target_file(folder, name, path);
}

static dt_status make_probe(const char *path, dt_error *err)
{
    const int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (fd < 0)
        return dt_fail_errno(err, "%s: cannot make a file there", path);
    close(fd);
    return DT_OK;
}

dt_status dt_stage_target_choose_writer(const char *folder, dt_comm *comm, bool leads, bool *writer,
                                        dt_error *err)
{
    char nonce[40], own[DT_STAGE_FOLDER_BYTES], other[DT_STAGE_FOLDER_BYTES];
    memset(nonce, 0, sizeof nonce);
    snprintf(nonce, sizeof nonce, "%ld-%.0f", (long)getpid(), dt_clock_unix_s() * 1e3);
    *writer = leads;
    if (comm->local_size == comm->size)
        return DT_OK;
    DT_TRY(comm->ops->broadcast(comm, nonce, sizeof nonce, 0, err));
    probe_path(folder, nonce, comm->rank, own);
    DT_TRY(dt_agree(comm, leads ? make_probe(own, err) : DT_OK, err));
    for (int rank = 0; rank < comm->rank && *writer; rank++) {
        probe_path(folder, nonce, rank, other);
        *writer = access(other, F_OK) != 0;
    }
    const dt_status status = comm->ops->barrier(comm, err); /* after this no rank needs the probes */
    if (leads)
        unlink(own);
    return status;
}

/* -- opening --------------------------------------------------------------------------------------------- */

static dt_status take_lock(dt_stage_target *t, dt_error *err)
{
    char path[DT_STAGE_FOLDER_BYTES];
    dt_stage_target_file(t->folder, "lock", path);
    DT_TRY(dt_file_open(path, O_RDWR | O_CREAT, 0666, &t->lock, err));
    if (flock(t->lock, LOCK_EX | LOCK_NB) == 0 || errno != EWOULDBLOCK)
        return DT_OK; /* a file system without locks is no error */
    return dt_fail(err, DT_ERR_USAGE,
                   "%s: another dtrain copies data into this folder now; wait for it, or choose another one",
                   t->folder);
}

/* Reads a small file; "" if there is none. */
static void read_text(const char *folder, const char *name, char *text, size_t bytes)
{
    char path[DT_STAGE_FOLDER_BYTES];
    FILE *stream = NULL;
    text[0] = '\0';
    dt_stage_target_file(folder, name, path);
    if (dt_file_open_stream(path, &stream, NULL) != DT_OK)
        return;
    text[fread(text, 1, bytes - 1, stream)] = '\0';
    fclose(stream);
}

static dt_status check_source(const dt_stage_target *t, const char *source, dt_error *err)
{
    char path[DT_STAGE_FOLDER_BYTES], stored[RECORD_BYTES], record[RECORD_BYTES];
    read_text(t->folder, "source", stored, sizeof stored);
    stored[strcspn(stored, "\n")] = '\0';
    if (stored[0] && strcmp(stored, source) != 0)
        return dt_fail(err, DT_ERR_USAGE,
                       "%s is a copy of %s; copy %s to another folder, or remove this one first", t->folder,
                       stored, source);
    dt_stage_target_file(t->folder, "source", path);
    const int n = snprintf(record, sizeof record, "%s\n", source);
    return stored[0] ? DT_OK : dt_replace_file(path, record, n, err);
}

/* Files without a name are of a start that was killed; links and folders are not dtrain's. */
static dt_status remove_unnamed(const dt_stage_target *t, dt_error *err)
{
    char path[DT_STAGE_FOLDER_BYTES];
    dt_stage_target_file(t->folder, "new", path);
    DIR *folder = opendir(path);
    if (!folder)
        return dt_fail_errno(err, "%s", path);
    for (const struct dirent *entry; (entry = readdir(folder));)
        if (entry->d_name[0] != '.')
            (void)unlinkat(dirfd(folder), entry->d_name, 0);
    closedir(folder);
    return DT_OK;
}

/* Whether a file is found under the same name in other letters. */
static bool finds_other_case(const char *folder)
{
    char lower[DT_STAGE_FOLDER_BYTES], upper[DT_STAGE_FOLDER_BYTES];
    dt_stage_target_file(folder, "lock", lower);
    dt_stage_target_file(folder, "LOCK", upper);
    return access(lower, F_OK) == 0 && access(upper, F_OK) == 0;
}

dt_status dt_stage_target_open(const char *folder, const char *source, dt_stage_target *t, dt_error *err)
{
    struct statfs fs;
    char split[64];
    *t = (dt_stage_target){.lock = -1, .part = -1, .of = -1};
    if (strlen(folder) >= sizeof t->folder)
        return dt_fail(err, DT_ERR_USAGE, "%.60s...: the path is too long", folder);
    snprintf(t->folder, sizeof t->folder, "%s", folder);
    DT_TRY(dt_stage_target_make(folder, err));
    dt_status status = take_lock(t, err);
    if (status == DT_OK)
        status = check_source(t, source, err);
    if (status == DT_OK)
        status = remove_unnamed(t, err);
    t->folds_case = finds_other_case(folder);
    t->is_memory = statfs(folder, &fs) == 0 && fs.f_type == TMPFS_MAGIC;
    read_text(folder, "split", split, sizeof split);
    if (sscanf(split, "%d of %d", &t->part, &t->of) != 2)
        t->part = t->of = -1;
    if (status != DT_OK)
        dt_stage_target_close(t);
    return status;
}

void dt_stage_target_close(dt_stage_target *t)
{
    if (t->lock >= 0)
        close(t->lock);
    t->lock = -1;
}

dt_status dt_stage_target_set_split(const char *folder, int part, int of, dt_error *err)
{
    char path[DT_STAGE_FOLDER_BYTES], record[64];
    dt_stage_target_file(folder, "split", path);
    const int n = snprintf(record, sizeof record, "%d of %d\n", part, of);
    return dt_replace_file(path, record, n, err);
}

/* -- the record that all is there ------------------------------------------------------------------------ */

dt_status dt_stage_target_set_complete(const char *folder, const dt_stage_complete *c, dt_error *err)
{
    char path[DT_STAGE_FOLDER_BYTES], record[RECORD_BYTES];
    dt_stage_target_file(folder, "complete", path);
    if (!c)
        return unlink(path) == 0 || errno == ENOENT ? DT_OK
                                                    : dt_fail_errno(err, "%s: cannot remove it", path);
    const int n = snprintf(record, sizeof record,
                           "objects %" PRId64 "\nbytes %" PRId64 "\npart %d of %d\nunix %.0f\n%s\n",
                           c->objects, c->bytes, c->part, c->of, c->unix_s, c->source);
    return dt_replace_file(path, record, n, err);
}

bool dt_stage_target_get_complete(const char *folder, dt_stage_complete *c)
{
    char record[RECORD_BYTES];
    int at = 0;
    *c = (dt_stage_complete){0};
    read_text(folder, "complete", record, sizeof record);
    if (sscanf(record, "objects %" SCNd64 " bytes %" SCNd64 " part %d of %d unix %lf %n", &c->objects,
               &c->bytes, &c->part, &c->of, &c->unix_s, &at) != 5 ||
        at == 0)
        return false;
    const size_t n = strcspn(record + at, "\n");
    if (n == 0 || n >= sizeof c->source || record[at + (int)n] != '\n')
        return false;
    memcpy(c->source, record + at, n);
    return true;
}
