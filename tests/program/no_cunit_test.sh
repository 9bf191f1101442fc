#!/bin/bash
# Runs instead of the unit tests if CUnit is missing.
. "$(dirname "$0")/../lib.sh"

begin "the_unit_tests"
need_cunit

finish
