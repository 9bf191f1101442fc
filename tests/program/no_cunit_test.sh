#!/bin/bash
# In place of the unit tests, where CUnit is missing.
. "$(dirname "$0")/../lib.sh"

begin "the_unit_tests"
need_cunit

finish
