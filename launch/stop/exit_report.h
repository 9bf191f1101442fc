/* exit_report.h: reports this training's exit code to dtrain-run.
 *
 * A launcher's exit code does not always say how its ranks ended (comm/README.md, "When a rank is lost"):
 * Open MPI 5 returns 0 after a lost host, srun with PMI 2 returns 137 for any error. So dtrain-run creates an
 * empty file, and names it in DTRAIN_EXIT_FILE; the rank that knows how the job ends writes the exit code
 * there.
 */
#ifndef DT_LAUNCH_STOP_EXIT_REPORT_H
#define DT_LAUNCH_STOP_EXIT_REPORT_H

/* Write "CODE\n" to the file DTRAIN_EXIT_FILE, unless it has a code: that of the first report is the job's.
 * Call on rank 0 before it ends MPI, and on a rank that is about to end the job because of its own error.
 * Does nothing where the variable is not set, or where there is no such file, as on a host that does not see
 * its folder. */
void dt_exit_report(int code);

#endif
