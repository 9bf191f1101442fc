#!/bin/bash
# The cases of tests/program/deploy_docs_test.sh that ask ParallelCluster, the AWS command line and Kubernetes' schema whether they know what our documents use.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/cloud.sh"

DEPLOY_TOOLS=$venv/bin bash "$TOP_SRCDIR/tests/program/deploy_docs_test.sh" the_table_of_options the_Kubernetes_job
