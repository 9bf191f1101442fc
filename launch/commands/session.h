/* session.h: what every command that computes needs: the other ranks, processors, a device and its kernels.
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

typedef struct dt_session {
    double start_s; /* of the program, by dt_clock_s: main's */
    dt_comm *comm;  /* NULL until there is one */
    dt_backend backend;
    dt_backend_options backend_options; /* as it was made with */
    dt_device *device;                  /* the backend's */
    dt_kernels *kernels;
    dt_affinity affinity;
} dt_session;

/* Collective. `parsed` and *parse_error: how reading the options went on this rank; a failure is agreed on,
 * so that it is told once. Then: all ranks must have been given the same options; fault points are armed,
 * threads planned, the backend created. On failure what is there stays for dt_session_close. */
dt_status dt_session_open(const dt_options *options, unsigned command, dt_status parsed,
                          const dt_error *parse_error, dt_session *session, dt_error *err);
void dt_session_close(dt_session *session);

/* Print the configuration and where each value is from, and one row for each rank. Collective; rank 0 prints
 * to stderr. */
dt_status dt_session_show(const dt_session *session, const dt_options *options, unsigned command,
                          dt_error *err);

/* A source of the training or validation images with the session's device and workers, or of synthetic ones
 * (of which there are ImageNet's number, to train with). Local. */
dt_status dt_session_source(const dt_session *session, const dt_options *options, bool training,
                            dt_source **source, dt_error *err);

#endif
