/* address.h: the forms of names and addresses that AWS accepts, checked before a cluster is asked for. `what`
 * begins each message: "--bucket". All return DT_ERR_USAGE for another form. Local. */
#ifndef DT_LAUNCH_CLUSTER_ADDRESS_H
#define DT_LAUNCH_CLUSTER_ADDRESS_H

#include "core/base/error.h"

dt_status dt_check_bucket(const char *bucket, const char *what, dt_error *err); /* my-images */
dt_status dt_check_key(const char *key, const char *what, dt_error *err);       /* of a key pair, no file */
dt_status dt_check_cluster_name(const char *name, const char *what, dt_error *err); /* at most 60 bytes */
dt_status dt_check_subnet(const char *subnet, const char *what, dt_error *err); /* subnet-0123456789abcdef0 */
dt_status dt_check_cidr(const char *cidr, const char *what, dt_error *err);     /* 203.0.113.7/32 */

/* c6i.xlarge: a type of x86-64, as the nodes are. */
dt_status dt_check_head_type(const char *type, const char *what, dt_error *err);

/* s3://BUCKET/KEY of an archive in that bucket, https:// of an archive, https://...git. */
dt_status dt_check_source(const char *source, const char *bucket, const char *what, dt_error *err);

#endif
