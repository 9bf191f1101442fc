/* session.h: what every command that computes needs: the communicator, processors, a device and its kernels.
 *
 *   dt_options_parse(..., &own) -> dt_session_open(&options, status, &own, &session, err) -> ... ->
 *   dt_session_close(&session)
 */
#ifndef DT_LAUNCH_COMMANDS_SESSION_H
#define DT_LAUNCH_COMMANDS_SESSION_H

#include "core/comm.h"
#include "core/kernels.h"
#include "core/source.h"
#include "launch/hardware/affinity.h"
#include "launch/hardware/backends.h"
#include "launch/options/options.h"
#include "launch/stop/start_watch.h"

typedef struct dt_session {
    double start_s;        /* when the program started, by dt_clock_s; main.c sets it */
    dt_start_watch *watch; /* of the start; main.c creates and destroys it */
    dt_comm *comm;         /* NULL until it is created */
    dt_backend backend;
    dt_backend_options backend_options; /* that `backend` was created with */
    dt_device *device;                  /* the backend's */
    dt_kernels *kernels;
    dt_affinity affinity;
} dt_session;

/* Collective. `parsed`, *parse_error: what dt_options_parse returned on this rank; ranks agree on a failure,
 * so that it is printed once. Then check that all ranks have the same options, arm fault points, choose the
 * numbers of threads, and create the backend. After a failure dt_session_close frees what was created. */
dt_status dt_session_open(const dt_options *options, unsigned command, dt_status parsed,
                          const dt_error *parse_error, dt_session *session, dt_error *err);
/* Collective. The same without a backend, for commands that compute nothing. */
dt_status dt_session_open_ranks(const dt_options *options, unsigned command, dt_status parsed,
                                const dt_error *parse_error, dt_session *session, dt_error *err);
void dt_session_close(dt_session *session);

/* Collective. Rank 0 prints the options, with the origin of each value, and a row for each rank to stderr. */
dt_status dt_session_show(const dt_session *session, const dt_options *options, unsigned command,
                          dt_error *err);

/* Local. Create a source of the training or validation images, or of synthetic ones (for training only: as
 * many as in --data, or as in ImageNet without --data), on the session's device. The caller destroys it. */
dt_status dt_session_source(const dt_session *session, const dt_options *options, bool training,
                            dt_source **source, dt_error *err);

#endif
