/* What a training agrees with its communicator beside the sums: captured graphs that are given up, and how
 * gradients are sent. */
#include "tests/fakes/captured_log.h"
#include "tests/fakes/fake_comm.h"
#include "tests/fakes/fake_store.h"
#include "tests/fakes/lagging_comm.h"
#include "tests/fakes/trainer_job.h"
#include "tests/testing.h"

#include <string.h>

/* -- captured graphs ------------------------------------------------------------------------------------- */

static _Thread_local dt_comm_ops ops; /* of this rank */
static _Thread_local dt_status (*true_wait)(dt_comm *comm, dt_device *device, dt_event *event, dt_error *err);
static _Thread_local int n_waits;
static int64_t n_graphs_before, n_graphs_after; /* of rank 0 */

/* As a communicator that aborts does, once. This one goes on. */
static dt_status wait_and_drop(dt_comm *comm, dt_device *device, dt_event *event, dt_error *err)
{
    dt_emulated_counts before, after;
    DT_TRY(true_wait(comm, device, event, err));
    dt_emulated_get_counts(device, &before);
    if (!comm->drop_graphs || before.n_graphs == 0 || n_waits++ > 0)
        return DT_OK;
    comm->drop_graphs(comm->drop_graphs_context);
    dt_emulated_get_counts(device, &after);
    if (comm->rank == 0) {
        n_graphs_before = before.n_graphs;
        n_graphs_after = after.n_graphs;
    }
    return DT_OK;
}

static dt_status attach_dropping(dt_comm *inner, dt_device *device, dt_comm **comm, dt_error *err)
{
    DT_TRY(lagging_comm_create(inner, device, comm, err));
    ops = *(*comm)->ops;
    true_wait = ops.device_wait;
    ops.device_wait = wait_and_drop;
    (*comm)->ops = &ops;
    n_waits = 0;
    return DT_OK;
}

static void graphs_that_the_communicator_has_destroyed_are_captured_again(void)
{
    job plain = new_job(2), dropped = new_job(2);
    plain.lagging = dropped.lagging = true;
    dropped.attach = attach_dropping;
    run(&plain);
    run(&dropped);
    check_all(&plain, DT_OK);
    check_all(&dropped, DT_OK);
    DT_CHECK_MSG(n_graphs_before > 0, "no graph was captured");
    DT_CHECK_INT(n_graphs_after, 0);
    DT_CHECK_BYTES(dropped.values[0], plain.values[0], kept_bytes(&plain));
    free_job(&plain);
    free_job(&dropped);
}

/* -- how gradients are sent ------------------------------------------------------------------------------ */

/* Train 8 steps with one wire, and 8 more with another; returns what the second start logs. */
static const char *log_of_resume(bool lagging, dt_wire_kind first, dt_wire_kind second)
{
    static const dt_computed_by computed_by = {1, {{"dtrain", "0.1.0"}}};
    job j = new_job(2);
    j.lagging = lagging;
    j.config.precision = DT_F16;
    j.config.loss_scale_init = 256;
    j.computed_by[0] = j.computed_by[1] = &computed_by;
    j.store = fake_store_create(&(fake_store_options){0});
    j.config.wire = first;
    j.config.steps = 8;
    run(&j);
    check_all(&j, DT_OK);
    j.config.wire = second;
    j.config.steps = 16;
    captured_log_begin(DT_LOG_WARN);
    run_again(&j);
    captured_log_end();
    check_all(&j, DT_OK);
    j.store->ops->destroy(j.store);
    free_job(&j);
    return captured_log_text();
}

static void a_resume_that_sends_gradients_otherwise_is_reported(void)
{
    DT_CHECK_CONTAINS(log_of_resume(true, DT_WIRE_AUTO, DT_WIRE_F32),
                      "was computed with gradient buckets 16 MiB, sent as fp16, this start computes with "
                      "gradient buckets 16 MiB, sent as fp32");
    DT_CHECK(strstr(log_of_resume(true, DT_WIRE_AUTO, DT_WIRE_SAME), "gradient buckets") == NULL);
    DT_CHECK(strstr(log_of_resume(false, DT_WIRE_AUTO, DT_WIRE_F32), "gradient buckets") == NULL);
}

static const dt_test tests[] = {
    DT_TEST(graphs_that_the_communicator_has_destroyed_are_captured_again),
    DT_TEST(a_resume_that_sends_gradients_otherwise_is_reported),
};

DT_TEST_MAIN("core/training/step_comm", tests)
