# Tests beside AWS's own tools: ParallelCluster, moto, the AWS command line. make check-cloud installs these in a virtual environment and runs TESTS_CLOUD.
TESTS_CLOUD += tests/cloud/cluster_test.sh
TESTS_CLOUD += tests/cloud/docs_test.sh
TESTS_CLOUD += tests/cloud/stage_test.sh
TESTS_CLOUD += tests/cloud/plan_test.sh
# What they read or run.
PROGRAM_FILES += tests/cloud/cloud.sh
PROGRAM_FILES += tests/cloud/cluster_check.py
PROGRAM_FILES += tests/cloud/cluster_mutations.py
PROGRAM_FILES += tests/cloud/cluster_world.py
PROGRAM_FILES += tests/cloud/loopback.py
PROGRAM_FILES += tests/cloud/moto_network.py
PROGRAM_FILES += tests/cloud/moto_server.py
PROGRAM_FILES += tests/cloud/network_check.py
PROGRAM_FILES += tests/cloud/requirements.txt
PROGRAM_FILES += tests/cloud/s3_fill.py
PROGRAM_FILES += tests/cloud/signed_get.py
PROGRAM_FILES += tests/cloud/venv.sh
