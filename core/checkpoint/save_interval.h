/* save_interval.h: how often to write checkpoints when interruptions come at random.
 *
 * With a mean time M between interruptions and a time C that one checkpoint takes, the least time is lost if
 * training goes on for T between two checkpoints (J. T. Daly, A higher order estimate of the optimum
 * checkpoint interval for restart dumps, 2006; its first term is J. W. Young's of 1974):
 *   T = sqrt(2 C M) (1 + sqrt(C / 2M) / 3 + C / 18M) - C   if C < 2M,   T = M   otherwise.
 */
#ifndef DT_CORE_CHECKPOINT_SAVE_INTERVAL_H
#define DT_CORE_CHECKPOINT_SAVE_INTERVAL_H

/* Seconds between checkpoints: T, with C = cost_s > 0 and M = mtti_s > 0. */
double dt_save_interval_s(double cost_s, double mtti_s);

/* The share of the time that is lost: a stall of stall_s in each interval_s, and with each interruption the
 * work since the last checkpoint, on average half an interval and write_s, the time of a write. */
double dt_save_loss(double interval_s, double stall_s, double write_s, double mtti_s);

#endif
