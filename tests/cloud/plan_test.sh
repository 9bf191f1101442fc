#!/bin/bash
# tests/program/plan_aws_test.sh, with moto: what `dtrain plan` asks AWS.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/cloud.sh"

MOTO_PYTHON=$venv/bin/python bash "$TOP_SRCDIR/tests/program/plan_aws_test.sh" "$@"
