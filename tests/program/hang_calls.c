/* hang_calls.c: linked into dtrain with tests/calls.c: calls on some paths do not return, as on a network's
 * disk whose server is gone.
 *
 *   DT_HANG_ON=/train/3 DT_HANG_CALL=opendir DT_HANG_RANK=1 hang_dtrain ...
 *
 * DT_HANG_ON is a part of the path (or of the path of the descriptor); DT_HANG_CALL is a name of
 * tests/calls.h (open also stands for create), and DT_HANG_RANK a rank, or all if it is not set. */
#include "tests/calls.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

call_action call_before(const call *c, int *error)
{
    const char *on = getenv("DT_HANG_ON"), *name = getenv("DT_HANG_CALL"), *of = getenv("DT_HANG_RANK"),
               *mine = getenv("OMPI_COMM_WORLD_RANK");
    mine = mine ? mine : getenv("PMI_RANK"); /* MPICH */
    (void)error;
    if (!on || !name || strcmp(name, strcmp(c->name, "create") == 0 ? "open" : c->name) != 0 ||
        !strstr(c->path, on))
        return CALL_MAKE;
    if (of && strcmp(of, mine ? mine : "0") != 0)
        return CALL_MAKE;
    for (;;)
        pause();
}
