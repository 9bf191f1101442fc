/* fake_clock.h: a clock that stands still until the test moves it, so that times and rates are exact numbers.
 *
 *   tests_FOLDER_NAME_test_LDFLAGS = $(fake_clock_flags)      in tests/FOLDER.mk
 *   fake_clock_set(100.0);
 *   fake_clock_advance(0.25);
 *
 * In a program that is linked so, dt_clock_s returns this clock's time, dt_clock_sleep_s moves it forward and
 * returns at once, and dt_writer_is_ready first waits until the writer's thread is ready: a checkpoint of
 * step k on one rank is then always reported with the result of step k + 1. Deadlines of waits on condition
 * variables (dt_clock_deadline) remain real. Thread-safe; all threads see one time. */
#ifndef DTRAIN_TESTS_FAKE_CLOCK_H
#define DTRAIN_TESTS_FAKE_CLOCK_H

void fake_clock_set(double seconds);
void fake_clock_advance(double seconds);

#endif
