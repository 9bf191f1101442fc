/* Kernels with planted faults, run as nvcc compiled them: library.c and races.c find each. ptx_test.sh starts
 * this program, with the library of faults.cu. */
#include "tests/emulator/emulator.h"
#include "tests/ptx/faults.h"
#include "tests/testing.h"

static float to[FAULT_ELEMS] __attribute__((aligned(16)));

static void check_found(fault which, const char *message)
{
    for (unsigned order = 0; order < 4; order++) {
        dt_emulator_set_order(order);
        DT_CHECK_INT(fault_launch(which, to), DT_EMULATOR_LAUNCH_FAILED);
        DT_CHECK_CONTAINS(dt_emulator_message(), message);
        DT_CHECK_CONTAINS(dt_emulator_message(), "tests/ptx/faults.ptx90:");
    }
    dt_emulator_set_order(0);
}

static void a_kernel_without_a_fault_runs_in_every_order(void)
{
    for (unsigned order = 0; order < 4; order++) {
        dt_emulator_set_order(order);
        DT_CHECK_INT(fault_launch(FAULT_NONE, to), 0);
        for (int i = 0; i < 2 * FAULT_THREADS; i++)
            DT_CHECK(to[i] == (float)(i % FAULT_THREADS));
    }
    dt_emulator_set_order(0);
}

static void a_missing_barrier_after_a_write_is_found(void)
{
    check_found(FAULT_NO_BARRIER, "and no barrier orders them");
}

static void a_missing_barrier_after_a_read_is_found(void)
{
    check_found(FAULT_NO_SECOND, "of shared memory");
}

/* The emulator leaves the barriers out that the PTX has. */
static void a_barrier_that_the_emulator_leaves_out_is_found(void)
{
    dt_emulator_plant("exchange", DT_EMULATOR_NO_BARRIERS);
    check_found(FAULT_NONE, "and no barrier orders them");
    dt_emulator_plant(NULL, DT_EMULATOR_NO_BARRIERS);
}

static void a_misaligned_vector_is_found(void)
{
    check_found(FAULT_MISALIGNED, "which is no multiple of 16");
}

static void two_blocks_that_write_one_address_are_found(void)
{
    check_found(FAULT_BLOCKS_WRITE, "4 bytes of global memory");
}

static void a_block_that_reads_what_another_writes_is_found(void)
{
    check_found(FAULT_BLOCK_READS, "and no barrier orders them");
}

static void a_byte_written_in_a_float_that_is_read_is_found(void)
{
    check_found(FAULT_BYTE, "and no barrier orders them");
}

static void a_read_beyond_shared_memory_is_found(void)
{
    check_found(FAULT_BEYOND_SHARED, "at byte 256 of 256 bytes of shared memory");
}

static const dt_test tests[] = {
    DT_TEST(a_kernel_without_a_fault_runs_in_every_order),
    DT_TEST(a_missing_barrier_after_a_write_is_found),
    DT_TEST(a_missing_barrier_after_a_read_is_found),
    DT_TEST(a_barrier_that_the_emulator_leaves_out_is_found),
    DT_TEST(a_misaligned_vector_is_found),
    DT_TEST(two_blocks_that_write_one_address_are_found),
    DT_TEST(a_block_that_reads_what_another_writes_is_found),
    DT_TEST(a_byte_written_in_a_float_that_is_read_is_found),
    DT_TEST(a_read_beyond_shared_memory_is_found),
};
DT_TEST_MAIN("ptx/faults", tests)
