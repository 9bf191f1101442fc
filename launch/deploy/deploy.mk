# launch/deploy/: scripts and templates, no C. Scripts that users call go to bin; templates to share/dtrain, in folders of the same names.
dist_bin_SCRIPTS = launch/deploy/dtrain-run
dist_pkgdata_DATA += launch/deploy/README.md

parallelclusterdir = $(pkgdatadir)/parallelcluster
dist_parallelcluster_DATA = launch/deploy/parallelcluster/README.md
dist_parallelcluster_DATA += launch/deploy/parallelcluster/bootstrap.sh
dist_parallelcluster_DATA += launch/deploy/parallelcluster/network.yaml

containerdir = $(pkgdatadir)/container
dist_container_DATA = launch/deploy/container/Dockerfile
dist_container_DATA += launch/deploy/container/Dockerfile.dockerignore
dist_container_DATA += launch/deploy/container/README.md
dist_container_DATA += launch/deploy/container/job.yaml

slurmdir = $(pkgdatadir)/slurm
dist_slurm_DATA = launch/deploy/slurm/README.md
dist_slurm_DATA += launch/deploy/slurm/common.sh
dist_slurm_SCRIPTS = launch/deploy/slurm/check-node
dist_slurm_SCRIPTS += launch/deploy/slurm/check-nodes
dist_slurm_SCRIPTS += launch/deploy/slurm/dtrain-cpu.sbatch
dist_slurm_SCRIPTS += launch/deploy/slurm/dtrain.sbatch
dist_slurm_SCRIPTS += launch/deploy/slurm/job
dist_slurm_SCRIPTS += launch/deploy/slurm/submit
