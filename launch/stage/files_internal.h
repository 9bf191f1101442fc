/* files_internal.h: what files.c (open, what is there), files_put.c (writing), files_name.c (sync and names)
 * and files_paths.c share. files.c calls files_name.c; all call files_paths.c. */
#ifndef DT_LAUNCH_STAGE_FILES_INTERNAL_H
#define DT_LAUNCH_STAGE_FILES_INTERNAL_H

#include "launch/stage/files.h"
#include "launch/stage/journal.h"

#include <pthread.h>
#include <stdatomic.h>

/* Written, and not yet durable: a small file, or a part. */
typedef struct dt_stage_written {
    int64_t object;
    int64_t part;   /* -1: a small file */
    int64_t number; /* of a small file's name in new/ */
    uint64_t crc;   /* of a part */
} dt_stage_written;

struct dt_stage_files {
    const dt_stage_listing *list;
    char folder[DT_PATH_BYTES];
    int root; /* the open folder, for syncfs */
    bool has_syncfs;
    unsigned char *bits;       /* as they were at the beginning */
    unsigned char *named;      /* bits as they are now; guarded by the mutex */
    uint64_t *crcs;            /* [list->n_parts]; guarded by the mutex */
    dt_stage_journal *journal; /* the naming thread's */
    atomic_llong next_number;

    pthread_mutex_t mutex; /* guards what follows */
    pthread_cond_t changed;
    dt_stage_written *waiting; /* to be named */
    int64_t n_waiting, capacity;
    bool is_naming, hurry, leave; /* the thread works on some; it must not wait for more; it must end */
    dt_stage_files_counts counts;
    dt_error error; /* of the thread; DT_OK: none */
    pthread_t thread;
    bool has_thread;
};

/* FOLDER/PATH of an object. */
dt_status dt_stage_final_path(const dt_stage_files *files, int64_t object, char path[DT_DURABLE_PATH_BYTES],
                              dt_error *err);
/* The unfinished file of a large object, and the nameless one of a small one. */
void dt_stage_parts_path(const dt_stage_files *files, int64_t object, char path[DT_STAGE_FOLDER_BYTES]);
void dt_stage_new_path(const dt_stage_files *files, int64_t number, char path[DT_STAGE_FOLDER_BYTES]);

/* Bytes of a part of a large object. */
int64_t dt_stage_part_bytes(const dt_stage_object *object, int64_t part);

/* Records that no part of an object counts. The journal is written later. DT_ERR_MEMORY. */
dt_status dt_stage_forget_parts(dt_stage_files *files, int64_t object, dt_error *err);

/* The naming thread. */
void *dt_stage_files_thread(void *files);

#endif
