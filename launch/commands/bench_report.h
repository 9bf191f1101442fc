/* bench_report.h: prints what `dtrain bench` has measured, and writes it as a file for `dtrain plan --here
 * --rates FILE`. Local, on rank 0.
 *
 *   DT_TRY(dt_bench_report_print(&parts, &figures, stdout, err));
 *   DT_TRY(dt_bench_report_write(&parts, &figures, "rates.json", err));
 */
#ifndef DT_LAUNCH_COMMANDS_BENCH_REPORT_H
#define DT_LAUNCH_COMMANDS_BENCH_REPORT_H

#include "launch/commands/bench_measure.h"

#include <stdio.h>

/* A table of two columns, 80 characters wide. DT_ERR_MEMORY, DT_ERR_IO. */
dt_status dt_bench_report_print(const dt_bench_parts *parts, const dt_bench_figures *figures, FILE *stream,
                                dt_error *err);

/* A file for dt_catalog_load, whole or not at all. DT_ERR_IO, DT_ERR_MEMORY. */
dt_status dt_bench_report_write(const dt_bench_parts *parts, const dt_bench_figures *figures,
                                const char *path, dt_error *err);

/* The name that rates use for a GPU, from the one that CUDA gives it ("NVIDIA A100-SXM4-40GB": "A100-40GB").
 * A GPU without such a name keeps CUDA's. memory_bytes: 0 if it is not known. */
void dt_bench_report_gpu_name(const char *cuda_name, int64_t memory_bytes, char *out, size_t out_bytes);

#endif
