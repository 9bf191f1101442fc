#!/bin/bash
# The documents of launch/deploy: their commands, options and files exist, the way on AWS runs with stand-ins for AWS, and the container's files fit together.
# readme_commands.py finds and checks commands; readme_commands.txt has what other programs know.
. "$(dirname "$0")/../lib.sh"

deploy=$TOP_SRCDIR/launch/deploy
here=$TOP_SRCDIR/tests/program
export TOP_SRCDIR DTRAIN DTRAIN_RUN=$deploy/dtrain-run

readmes=()
for readme in "$deploy/README.md" "$deploy"/*/README.md; do readmes+=("$readme"); done

# DEPLOY_TOOLS: a folder with pcluster, and a python3 with botocore and kubernetes_validate; tests/cloud has one.
PATH=${DEPLOY_TOOLS:+$DEPLOY_TOOLS:}$PATH

need_yaml()
{
    ! python3 -c 'import yaml' 2>/dev/null || return 0
    skip "python3 has no yaml here"
    return 1
}

begin "every_command_of_the_documents_has_options_and_files_that_exist"
expect_exit 0 python3 "$here/readme_commands.py" check "$here/readme_commands.txt" "${readmes[@]}"
expect_output '^[0-9]{2,} commands in [0-9] documents, 0 mistakes$'

# It has one that it wants: the example of an error.
begin "so_have_those_of_README"
expect_exit 1 python3 "$here/readme_commands.py" check "$here/readme_commands.txt" "$TOP_SRCDIR/README.md"
expect_output 'dtrain +has no --bacth$'
expect_output '^[0-9]{2,} commands in 1 documents, 1 mistakes$'

begin "a_mistake_in_a_command_is_found"
cat >bad.md <<'END'
Text with `dtrain plan --budgett 5`, `aws s3 mb --regoin us-east-1 s3://b` and `slurm/none.sbatch`.

    dtrain-run --rank 2 -- --data d
    mpirun -np 2 dtrain --bacth 3
    sbatch --node=2 missing.sbatch --data d

More text.

    $ docker run --shm-siz 1g dtrain --ranks 2 -- --no-such
    output of it --ignored
    $ dtrain nothing \
        --data d
END
expect_exit 1 python3 "$here/readme_commands.py" check "$here/readme_commands.txt" bad.md
for line in 'bad.md:1: dtrain plan has no --budgett' 'bad.md:1: aws s3 mb has no --regoin' 'bad.md: there is no slurm/none.sbatch' \
    'bad.md:3: dtrain-run has no --rank' 'bad.md:4: dtrain +has no --bacth' 'bad.md:5: there is no slurm/missing.sbatch' 'bad.md:5: sbatch has no --node' \
    'bad.md:9: docker run has no --shm-siz' 'bad.md:9: dtrain +has no --no-such' 'bad.md:11: dtrain has no command nothing'; do
    expect_output "^$line"
done
expect_no_output 'ignored'

begin "the_table_of_options_agrees_with_the_programs_that_are_here"
# Slurm's programs show their help where there is such a file.
printf 'ClusterName=x\nSlurmctldHost=localhost\nNodeName=a CPUs=1\nPartitionName=p Nodes=a\n' >slurm.conf
expect_exit 0 env SLURM_CONF="$PWD/slurm.conf" python3 "$here/readme_commands.py" verify "$here/readme_commands.txt"

# stand_in NAME: puts a program of that name on the PATH, whose body is standard input.
stand_in()
{
    { echo '#!/bin/bash'; cat; } >"bin/$1"
    chmod +x "bin/$1"
}

# A machine with stand-ins for AWS, ParallelCluster and the cluster; dtrain is the real one. Slurm's job is a training on the built-in digits.
stand_ins()
{
    local name
    mkdir -p bin home/.ssh build shared/runs imagenet
    touch build/dtrain-0.1.0.tar.xz log
    for name in make scp; do stand_in $name <<<'echo "$(basename "$0") $*" >>"$TMP/log"'; done
    stand_in python3 <<'END'
[ "$1 $2" = "-m venv" ] || exit 1
mkdir -p "$3/bin" && ln -s "$(type -P true)" "$3/bin/pip"
END
    stand_in aws <<'END'
echo "aws $*" >>"$TMP/log"
case "$*" in
*describe-stacks*) echo "--subnet subnet-0123456789abcdef0 --head-subnet subnet-0123456789abcdef1" ;;
*"s3 cp "*) [ -s "$3" ] || [ -e "$3" ] ;;
*deploy*) [ -s network.yaml ] ;;
esac
END
    stand_in pcluster <<'END'
echo "pcluster $*" >>"$TMP/log"
[ "$1" != create-cluster ] || grep -q 'SubnetId' cluster.yaml
END
    stand_in squeue <<<'echo squeue'
    stand_in sbatch <<'END'
echo "sbatch $*" >>"$TMP/log"
case "$*" in *--wrap*) exit ;; esac
while [ $# -gt 0 ]; do
    case $1 in --out | --export) options+=("$1" "$2") ;; *.sbatch) [ -r "$1" ] || exit 1 ;; esac
    shift
done
dtrain-run --once --ranks 1 -- --data "$TMP/digits" --arch resnet18 --image-size 16 --batch 8 --steps 2 --threads 1 "${options[@]}" >dtrain-1.log 2>&1 || exit 1
echo "Submitted batch job 1"
END
    stand_in dtrain <<END
case "\$*" in *--check*) exit ;; esac
exec "$DTRAIN" "\$@"
END
    ln -s "$DTRAIN_RUN" bin/dtrain-run
    digits digits 2 8 4
}

begin "the_way_on_AWS_can_be_gone_from_the_bucket_to_the_end"
need_cpu_backend && {
    stand_ins
    way=("$deploy/README.md" "## On AWS, the whole way" bin BUCKET=my-bucket KEY=my-key /shared/dtrain/share/dtrain="$deploy" /shared/runs="$TMP/shared/runs")
    expect_exit 0 env HOME="$TMP/home" TMP="$TMP" python3 "$here/readme_walk.py" "${way[@]}"
    expect_output '^[0-9]{2} commands of .*, all done$'
    expect test -s shared/runs/resnet50.safetensors
    expect test -s shared/runs/imagenet/starts.log
    expect grep -q '^aws s3 cp dtrain-bootstrap.sh s3://my-bucket/dtrain/$' log
    # The commands that dtrain cluster prints are those of the page.
    # shellcheck disable=SC1003 # a backslash
    "$DTRAIN" cluster --plan plan.json --choice cheapest --bucket my-bucket --key my-key --subnet subnet-0123456789abcdef0 --head-subnet subnet-0123456789abcdef1 2>&1 |
        sed -n '/^Next:/,$p' | tr -d '\\' | tr -s ' \n' '  ' >next
    for words in "$(grep -o '^pcluster create-cluster.*' log)" "$(grep -o '^pcluster ssh.* -i' log)" "$(grep -o '^aws s3 cp dtrain-[0-9].*' log)" \
        "$(sed -n 's/^\(sbatch .*\) --out .*/\1/p' log | sed "s|$deploy|/shared/dtrain/share/dtrain|")"; do
        expect test -n "$words"
        expect grep -qF -e "$words" next
    done
}

begin "a_page_whose_output_is_not_what_dtrain_prints_is_found"
printf '## A way\n\n    $ dtrain plan --types p5.48xlarge --regions us-east-1\n    a line that is not there 5\n' >page.md
mkdir bin
ln -s "$DTRAIN" bin/dtrain
expect_exit 1 python3 "$here/readme_walk.py" page.md '## A way' bin
expect_output 'it did not print: a line that is not there 5'
sed -i 's/a line that.*/resnet50, 80 epochs of 99 images (7 GB) at 1 pixels, fp16/' page.md
expect_exit 0 python3 "$here/readme_walk.py" page.md '## A way' bin
sed -i 's/--types/--tipes/' page.md
expect_exit 1 python3 "$here/readme_walk.py" page.md '## A way' bin
expect_output 'page.md:3: it failed'

begin "every_file_of_launch_deploy_is_installed"
(cd "$TOP_SRCDIR" && find launch/deploy -type f ! -name deploy.mk ! -name '*~') >files
while IFS= read -r file; do
    grep -qE "^(dist_bin_SCRIPTS|dist_[a-z]+_(DATA|SCRIPTS)) \+?= $file\$" "$deploy/deploy.mk" || fail "launch/deploy/deploy.mk installs no $file"
done <files
expect test "$(wc -l <files)" -ge 8

begin "the_Dockerfile_is_understood_and_its_commands_are_shell"
expect_exit 0 python3 "$here/dockerfile.py" stages "$deploy/container/Dockerfile"
expect_output '^build debian:12$'
expect_output '^1 debian:12-slim$'
python3 "$here/dockerfile.py" commands "$deploy/container/Dockerfile" >runs
while IFS= read -r -d '' command; do
    expect sh -n -c "$command"
done <runs
expect test "$(tr -cd '\0' <runs | wc -c)" -ge 4

# The lines of README.md, and those at the top of the Dockerfile.
begin "the_documented_builds_have_arguments_that_the_Dockerfile_knows"
sed 's/^#$//; s/^#   /    /' "$deploy/container/Dockerfile" >Dockerfile.md
python3 "$here/readme_commands.py" list "$here/readme_commands.txt" "$deploy/container/README.md" Dockerfile.md >found
n=0
while IFS=$'\t' read -r _ command; do
    [[ $command == docker\ build\ * ]] || continue
    n=$((n + 1))
    args=()
    eval "set -- $command"
    while [ $# -gt 0 ]; do
        case $1 in
        --build-arg) args+=("$2") ;;
        -f) expect test "$TOP_SRCDIR/$2" -ef "$deploy/container/Dockerfile" ;;
        esac
        shift
    done
    expect_exit 0 python3 "$here/dockerfile.py" stages "$deploy/container/Dockerfile" "${args[@]}"
done <found
expect test "$n" -ge 4
expect_exit 1 python3 "$here/dockerfile.py" stages "$deploy/container/Dockerfile" BUILD_IMGE=x
expect_output 'no ARG BUILD_IMGE'

begin "a_Dockerfile_that_the_test_could_not_run_is_refused"
printf 'FROM a\nHEALTHCHECK NONE\n' >Dockerfile
expect_exit 1 python3 "$here/dockerfile.py" stages Dockerfile
expect_output 'Dockerfile:2: HEALTHCHECK'
printf 'FROM a\nENTRYPOINT dtrain-run\n' >Dockerfile
expect_exit 1 python3 "$here/dockerfile.py" stages Dockerfile
expect_output 'a shell would be process 1'
printf 'FROM a\nRUN x \\\n# comment\n  y\n' >Dockerfile
expect test "$(python3 "$here/dockerfile.py" commands Dockerfile | tr '\0' '\n')" = "x   y"

# What README.md says of job.yaml, and what Kubernetes itself would refuse.
begin "the_Kubernetes_job_is_what_its_document_says"
need_yaml && {
    expect_exit 0 python3 "$here/job_check.py" "$deploy/container/job.yaml"
    expect_output 'args: .*--checkpoint-every'
    words=$(sed -n 's/^args: //p' "$OUTPUT")
    printf '    dtrain-run %s\n' "$words" >args.md
    expect_exit 0 python3 "$here/readme_commands.py" check "$here/readme_commands.txt" args.md
    expect_output '^1 commands'
    sed 's/values: \[75\]/values: [74]/' "$deploy/container/job.yaml" >bad.yaml
    expect_exit 1 python3 "$here/job_check.py" bad.yaml
    sed 's/containerName: dtrain/containerName: main/' "$deploy/container/job.yaml" >bad.yaml
    expect_exit 1 python3 "$here/job_check.py" bad.yaml
    sed 's/terminationGracePeriodSeconds: .*/terminationGracePeriodSeconds: 30/' "$deploy/container/job.yaml" >bad.yaml
    expect_exit 1 python3 "$here/job_check.py" bad.yaml
}

finish
