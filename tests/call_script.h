/* call_script.h: records the calls that the tested code makes on the files of a folder, and lets chosen ones
 * fail. A test links tests/calls.c and tests/call_script.c (tests/io.mk has examples).
 *
 *   calls_record(dt_test_temp_dir());
 *   calls_fail("fsync", "x", 1, 1, EIO);              the first fsync of x
 *   DT_CHECK_INT(save("x"), DT_ERR_IO);
 *   calls_stop();
 *   DT_CHECK_STR(calls_text(), "create x\n"
 *                              "pwrite x\n"
 *                              "fsync x: Input/output error\n"
 *                              "close x\n");
 *
 * Paths are relative to the folder; "." is the folder itself. Reading attributes is not recorded. fsync and
 * fdatasync are recorded and not made: a test reads the files back from the same page cache.
 */
#ifndef DTRAIN_TESTS_CALL_SCRIPT_H
#define DTRAIN_TESTS_CALL_SCRIPT_H

#include "tests/calls.h"

/* Forget all calls and rules, and record the calls on this folder and the files in it, of all threads. */
void calls_record(const char *folder);

/* Neither record nor change further calls; but fsync of files in the folder is still not made. */
void calls_stop(void);

/* Neither record nor change calls on paths that match, until the next calls_record: of threads that make
 * calls at any time. */
void calls_ignore(const char *pattern);

/* Of the calls with this name (calls.h; "*": any) on a path that matches the pattern (fnmatch(3)): the calls
 * nth to nth + times - 1, from 1, fail with this errno. Up to eight rules; the first one that matches
 * counts. */
void calls_fail(const char *name, const char *pattern, int nth, int times, int error);

/* The nth of these calls transfers half of its bytes. */
void calls_halve(const char *name, const char *pattern, int nth);

/* The nth of these reads finds the end of the file. */
void calls_end(const char *name, const char *pattern, int nth);

/* The nth of these calls changes the last bit of the last byte: a disk that returns other data. */
void calls_flip(const char *name, const char *pattern, int nth);

/* The calls, one a line: "NAME PATH", "rename PATH -> PATH", and for a failed one ": REASON". Equal calls
 * that follow each other are one line. Valid until the next call of calls_text. */
const char *calls_text(void);

/* How many calls with this name were made on paths that match the pattern, failed ones included. */
int calls_count(const char *name, const char *pattern);

/* The call that the first rule changed last, as in calls_text without the line's end; "": none. */
const char *calls_changed(void);

#endif
