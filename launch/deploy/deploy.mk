# launch/deploy/: scripts and templates, no C. Scripts that users call go to bin; templates to share/dtrain, in folders of the same names.
dist_bin_SCRIPTS = launch/deploy/dtrain-run
EXTRA_DIST += launch/deploy/README.md

parallelclusterdir = $(pkgdatadir)/parallelcluster
dist_parallelcluster_DATA = launch/deploy/parallelcluster/README.md
dist_parallelcluster_DATA += launch/deploy/parallelcluster/bootstrap.sh
dist_parallelcluster_DATA += launch/deploy/parallelcluster/network.yaml
