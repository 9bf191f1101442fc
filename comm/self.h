/* self.h: core/comm.h for one rank alone: nothing is sent. */
#ifndef DT_COMM_SELF_H
#define DT_COMM_SELF_H

#include "core/comm.h"

/* The caller destroys it with (*comm)->ops->destroy. DT_ERR_MEMORY only. */
dt_status dt_comm_self_create(dt_comm **comm, dt_error *err);

#endif
