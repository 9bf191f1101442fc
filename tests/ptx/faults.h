/* faults.h: launchers of faults.cu. All return DT_LAUNCH's result. */
#ifndef DTRAIN_TESTS_PTX_FAULTS_H
#define DTRAIN_TESTS_PTX_FAULTS_H

#ifdef __cplusplus
extern "C" {
#endif

/* Two blocks of FAULT_THREADS threads; `to` has FAULT_ELEMS floats, 16-byte aligned. */
enum { FAULT_THREADS = 64, FAULT_ELEMS = 2 * FAULT_THREADS * 4 + 4 };
typedef enum fault {
    FAULT_NONE,         /* neighbours exchange values through shared memory, with barriers */
    FAULT_NO_BARRIER,   /* the same, without the barrier between write and read */
    FAULT_NO_SECOND,    /* without the barrier between read and the next write */
    FAULT_MISALIGNED,   /* a vector of 16 bytes at a multiple of 4 */
    FAULT_BLOCKS_WRITE, /* both blocks write one float */
    FAULT_BLOCK_READS,  /* one block reads what the other writes */
    FAULT_BYTE,         /* a thread reads a float of which another has written one byte */
    FAULT_BEYOND_SHARED /* the last thread reads beyond shared memory */
} fault;
int fault_launch(fault which, float *to);

#ifdef __cplusplus
}
#endif

#endif
