/* table_stage.h: rows of the options of `dtrain stage`, and of commands whose --data is copied first. table.c
 * includes them into its table, among the options of the run. */
/* Formatted by hand: clang-format takes these rows for statements. */
/* clang-format off */

    {ROW("stage-dir", "DIR", BOTH, RUN, PATH, stage_dir), .by_default = "", .one_start = true,
     .help = "where --data s3:// or http:// is copied to first: a folder on a disk of each host's own. "
             "If not given: one named after the source, in $TMPDIR, /scratch or /var/tmp, if that exists"},
    {ROW("split", NULL, STAGE, RUN, FLAG, split), .by_default = "no",
     .help = "each node keeps a part of the objects, for disks that are too small for all of them. A "
             "training by dtrain needs all on every node"},
    {ROW("endpoint-url", "URL", BOTH | STAGE, RUN, PATH, endpoint_url), .by_default = "", .one_start = true,
     .help = "the address of a store that speaks S3's protocol, such as MinIO. If not given: "
             "AWS_ENDPOINT_URL_S3, AWS_ENDPOINT_URL, or AWS"},
    {ROW("anonymous", NULL, BOTH | STAGE, RUN, FLAG, anonymous), .by_default = "no", .one_start = true,
     .help = "send requests to S3 without credentials, for public buckets"},
    {ROW("requester-pays", NULL, BOTH | STAGE, RUN, FLAG, requester_pays), .by_default = "no",
     .one_start = true,
     .help = "agree that the account of the credentials pays for requests to a bucket that asks for it"},
    {ROW("profile", "NAME", STAGE, RUN, PATH, aws_profile), .by_default = "",
     .help = "the profile in ~/.aws with the credentials. If not given: AWS_PROFILE, or default"},
    {ROW("region", "REGION", STAGE, RUN, PATH, region), .by_default = "",
     .help = "the bucket's region. If not given: AWS_REGION, the profile's, or the one that S3 names"},
    {ROW("connections", "N", STAGE, RUN, INT, connections), .min = 0, .max = 64, .words = {{"auto", 0}},
     .by_default = "auto", .per_rank = true,
     .help = "connections of each node; auto: as many as make the copy faster, which is measured"},

    /* clang-format on */
