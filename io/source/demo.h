/* demo.h: a data set that needs no download: 1,797 handwritten digits of 8x8 pixels, compiled in.
 *
 *   dt_demo_data_write("demo-data", err);       then --data demo-data
 *
 * E. Alpaydin, C. Kaynak: Optical Recognition of Handwritten Digits, UCI Machine Learning Repository, 1998,
 * CC BY 4.0.
 */
#ifndef DT_IO_SOURCE_DEMO_H
#define DT_IO_SOURCE_DEMO_H

#include "core/base/error.h"

/* Write DIR/train/<digit>/NNNN.jpg and DIR/val/<digit>/NNNN.jpg: 32x32 pixels, every fifth digit in val
 * (1,437 and 360 files). A complete DIR is not changed. The files are written to a temporary folder beside
 * DIR, which is then renamed: DIR is complete or absent, and any number of processes may do this at the same
 * time. DT_ERR_USAGE: DIR exists and is not the demo data; DT_ERR_IO: it cannot be written; DT_ERR_MEMORY. */
dt_status dt_demo_data_write(const char *dir, dt_error *err);

#endif
