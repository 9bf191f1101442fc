/* table_cloud.h: rows of the options of `dtrain plan` and `dtrain cluster` alone. table.c includes them into
 * its table, among the options of the run. */
/* Formatted by hand: clang-format takes these rows for statements. */
/* clang-format off */

    {ROW("mtti", "HOURS", PLAN, RUN, REAL, config.mtti_h), .min = 0, .max = 1000000, .above_min = true,
     .words = {{"calm", 24}, {"normal", 8}, {"hard", 3}, {"traces", (int64_t)DT_MTTI_TRACES}},
     .by_default = "traces",
     .help = "mean time between interruptions of spot instances. calm: 24; normal: 8; hard: 3; traces: up "
             "and down times as heavy-tailed as in published traces of 2023, 3.1 hours on average"},
    {ROW("types", "TYPE,...", PLAN, RUN, PATH, types), .by_default = "",
     .help = "instance types to choose from. If not given: all of instances.json"},
    {ROW("plan", "FILE", CLUSTER, RUN, PATH, plan_file), .by_default = "",
     .help = "take region, zone, type, nodes and the way to buy from this file, which dtrain plan --json has "
             "printed. Options that are given replace what it says"},
    {ROW("choice", "WHICH", CLUSTER, RUN, CHOICE, choice), .choices = plan_choices, .by_default = "auto",
     .help = "which recommendation of --plan. auto: the cheapest in time, if the plan has a deadline; else "
             "the fastest in the budget, if it has one; else the best value"},
    {ROW("types", "TYPE,...", CLUSTER, RUN, PATH, types), .by_default = "",
     .help = "instance types of the nodes; of several, EC2 gives the one that it can. They must have the "
             "same vCPUs, GPUs and EFA: p4d.24xlarge,p4de.24xlarge. If not given: that of --plan"},
    {ROW("region", "REGION", CLUSTER, RUN, PATH, region), .by_default = "",
     .help = "where the cluster is: us-east-1. If not given: that of --plan"},
    {ROW("zone", "ZONE", CLUSTER, RUN, PATH, zone), .by_default = "",
     .help = "zone of the network that --create-network makes: its id, use1-az4, or its name, us-east-1a. If "
             "not given: that of --plan, or the region's first"},
    {ROW("bucket", "BUCKET", CLUSTER, RUN, PATH, bucket), .by_default = "",
     .help = "the S3 bucket that has the images, and gets the bootstrap script. Nodes can read it, and no "
             "other"},
    {ROW("key", "NAME", CLUSTER, RUN, PATH, key), .by_default = "",
     .help = "name of the EC2 key pair for logging in to the head node"},
    {ROW("nodes", "N", CLUSTER, RUN, INT, cluster_nodes), .min = 1, .max = 512, .words = {{"auto", 0}},
     .by_default = "auto", .help = "the most nodes that run at once. auto: those of --plan, or 1"},
    {ROW("buy", "HOW", CLUSTER, RUN, CHOICE, buy), .choices = buys, .by_default = "auto",
     .help = "which queues there are; both: one of spot instances and one on demand, each of --nodes. auto: "
             "as --plan buys, or both"},
    {ROW("subnet", "ID", CLUSTER, RUN, PATH, subnet), .by_default = "",
     .help = "subnet of the nodes: private, with a NAT gateway. There is one, so that all nodes of a job "
             "start or none"},
    {ROW("head-subnet", "ID", CLUSTER, RUN, PATH, head_subnet), .by_default = "",
     .help = "subnet of the head node: public, so that you can log in. If not given: that of the nodes"},
    {ROW("create-network", "FILE", CLUSTER, RUN, PATH, create_network), .by_default = "",
     .help = "write a CloudFormation template of a network with both subnets, in place of --subnet"},
    {ROW("name", "NAME", CLUSTER, RUN, PATH, cluster_name), .by_default = "dtrain",
     .help = "the cluster's name"},
    {ROW("head-type", "TYPE", CLUSTER, RUN, PATH, head_type), .by_default = "c6i.xlarge",
     .help = "instance type of the head node, which builds dtrain, runs Slurm and serves /shared"},
    {ROW("ssh-from", "CIDR", CLUSTER, RUN, PATH, ssh_from), .by_default = "0.0.0.0/0",
     .help = "addresses from which the head node accepts logins, such as 203.0.113.7/32"},
    {ROW("shared-gb", "GB", CLUSTER, RUN, INT, shared_gb), .min = 20, .max = 16384, .by_default = "100",
     .help = "size of /shared, an EBS volume with dtrain and the checkpoints, in GiB"},
    {ROW("fsx-gb", "GB", CLUSTER, RUN, INT, fsx_gb), .min = 0, .max = 1000000, .by_default = "0",
     .help = "size of a scratch FSx for Lustre at /fsx, in GiB: 1200, or a multiple of 2400. 0: none, since "
             "nodes copy the images to their own NVMe disks"},
    {ROW("source", "URL", CLUSTER, RUN, PATH, source), .by_default = "",
     .help = "what the head node builds dtrain from: an archive, s3:// or https://, or a git repository, "
             "https://...git. If not given: the archive that make dist makes, in --bucket"},
    {ROW("regions", "REGION,...", PLAN, RUN, PATH, regions), .by_default = "",
     .help = "regions to choose from. If not given: all of prices.json"},
    {ROW("max-nodes", "N", PLAN, RUN, INT, max_nodes), .min = 1, .max = 512, .by_default = "1",
     .help = "the most nodes of a choice; 1, 2, 4, ... are tried"},
    {ROW("nodes", "N,...", PLAN, RUN, PATH, nodes), .by_default = "",
     .help =
         "plan for these numbers of nodes, such as 1,2,4,16, and show how each type scales: step, sums of "
         "gradients, stragglers, start, checkpoint. If not given: by --max-nodes"},
    {ROW("deadline", "DURATION", PLAN, RUN, DURATION, deadline_s), .by_default = "0",
     .help = "when the training must be done: 12h, 2d. Adds rows that change from spot to on demand where "
             "the deadline would not hold otherwise. 0: none"},
    {ROW("budget", "USD", PLAN, RUN, REAL, budget_usd), .min = 0, .max = 1e9, .above_min = true,
     .words = {{"none", 0}}, .by_default = "none", .help = "what the training may cost"},
    {ROW("budget", "USD", CLUSTER, RUN, REAL, budget_usd), .min = 0, .max = 1e9, .above_min = true,
     .words = {{"none", 0}}, .by_default = "none",
     .help = "a tag on all that the cluster has, for AWS Budgets. If not given: what --plan costs at most"},
    {ROW("startup", "DURATION", PLAN, RUN, DURATION, startup_s), .by_default = "0",
     .help = "from the start of an instance to the first step, for every type. 0: estimated from the boot, "
             "the copy of the data over the type's network, and tuning"},
    {ROW("assume", "WHAT", PLAN, RUN, CHOICE, assume), .choices = assumptions, .by_default = "today",
     .help = "seed: show the table that this project started from, by its own hours and prices, beside "
             "today's figures, and why they differ"},
    {ROW("here", NULL, PLAN, RUN, FLAG, here), .by_default = "no",
     .help = "plan for the machine that dtrain bench has measured, whose file --rates names: how long start, "
             "steps, evaluations and checkpoints take there, and what a stop adds"},
    {ROW("markdown", NULL, PLAN, RUN, FLAG, markdown), .by_default = "no",
     .help = "print the table as Markdown"},
    {ROW("html", "FILE", PLAN, RUN, PATH, html), .by_default = "",
     .help = "write a page with charts too, which needs nothing from outside"},
    {ROW("refresh-prices", "FILE", PLAN, RUN, PATH, refresh_prices), .by_default = "",
     .help = "ask AWS for today's prices of --types in --regions, write them to this file for --prices, show "
             "what changed, and stop. Needs credentials, as the AWS command line does"},
    {ROW("check", NULL, PLAN, RUN, FLAG, check), .by_default = "no",
     .help = "ask AWS whether the account may start what is recommended: the type in that place, the quota, "
             "the role for spot. Needs credentials"},
    {ROW("instances", "FILE", PLAN | CLUSTER, RUN, PATH, instances_file), .by_default = "",
     .help = "instance types that are added to the built-in ones, or change them; "
             "share/dtrain/instances.json shows the format"},
    {ROW("prices", "FILE", PLAN | CLUSTER, RUN, PATH, prices_file), .by_default = "",
     .help = "prices that are added to the built-in ones, or change them"},
    {ROW("rates", "FILE", PLAN, RUN, PATH, rates_file), .by_default = "",
     .help = "images per second that are added to the built-in ones, or change them"},
