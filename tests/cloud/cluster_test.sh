#!/bin/bash
# What `dtrain cluster` writes, beside AWS's own tools: ParallelCluster's schema and validators, and CloudFormation as moto has it. Without
# credentials, and nothing leaves this machine.
# shellcheck source-path=SCRIPTDIR
. "$(dirname "$0")/cloud.sh"

bucket=imagenet-of-mine
key=my-key

# images: the file of moto's images, with those of this ParallelCluster.
images()
{
    "$venv/bin/python" - <<'PY'
import importlib.metadata, json
version = importlib.metadata.version("aws-parallelcluster")
names = ["amzn2-hvm-x86_64", "amzn2023-hvm-x86_64", "ubuntu-2204-lts-hvm-x86_64", "ubuntu-2404-lts-hvm-x86_64", "rhel9-hvm-x86_64", "rocky9-hvm-x86_64"]
print(json.dumps([{
    "ami_id": f"ami-0000000000000000{n}", "name": f"aws-parallelcluster-{version}-{name}-202601010000", "description": name, "owner_id": "137112412989",
    "public": True, "state": "available", "image_location": f"amazon/{name}", "image_type": "machine", "architecture": "x86_64", "root_device_type": "ebs",
    "root_device_name": "/dev/sda1", "virtualization_type": "hvm", "hypervisor": "xen", "sriov": "simple", "creation_date": "2026-01-01T00:00:00.000Z",
} for n, name in enumerate(names)]))
PY
}

# The server, for all cases: what an account has in us-east-1. $_base/plain has a bootstrap script of `dtrain cluster`.
mkdir -p "$_base/plain"
images >"$_base/images.json"
moto "$_base/moto" MOTO_AMIS_PATH="$_base/images.json"
(cd "$_base/plain" && "$DTRAIN" cluster --region us-east-1 --bucket $bucket --key $key --types g5.xlarge --subnet subnet-00000000000000001) >"$_base/plain/log" 2>&1
if ! world=$("${in_cloud[@]}" python "$cloud/cluster_world.py" us-east-1 $bucket $key "$_base/plain/dtrain-bootstrap.sh" 2>&1); then
    echo "the server could not be filled: $world"
    cat "$_base/plain/log"
    tail -n 20 "$_base/moto/log"
    exit 1
fi
read -r private public _ <<<"$world"

check=("${in_cloud[@]}" python "$cloud/cluster_check.py")

# cluster FILE OPTION...: writes a configuration, in the subnets that exist.
cluster()
{
    local file=$1
    shift
    expect_exit 0 "$DTRAIN" cluster --region us-east-1 --bucket $bucket --key $key --subnet "$private" --head-subnet "$public" --output "$file" "$@"
}

# accepted FILE: the last output has no error about it, and no warning but that a placement group would bring nodes nearer to each other: it would also make
# spot capacity scarcer.
accepted()
{
    expect_output "^$1: accepted$"
    expect test -z "$(grep -E "^$1: (ERROR|WARNING)" "$OUTPUT" | grep -v 'WARNING EfaPlacementGroupValidator')"
}

begin "ParallelCluster asks no other host than this one"
cluster cluster.yaml --types g5.xlarge
expect_exit 1 env -u AWS_ENDPOINT_URL python "$cloud/cluster_check.py" cluster.yaml
expect_output 'AWS_ENDPOINT_URL is not set.*nothing was asked'
expect_exit 1 env AWS_ENDPOINT_URL=http://192.0.2.1:80 python "$cloud/cluster_check.py" cluster.yaml
expect_output 'not an address of this machine; nothing was asked'
expect_exit 1 "${in_cloud[@]}" AWS_ENDPOINT_URL_EC2=http://127.0.0.1@192.0.2.1/ python "$cloud/cluster_check.py" cluster.yaml
expect_output 'not an address of this machine; nothing was asked'

# Types, and the ways to buy them.
begin "ParallelCluster accepts p4d, p5, g5 and g6e, on spot, on demand and both"
files=()
for type in p4d.24xlarge p5.48xlarge g5.xlarge g5.48xlarge g6e.xlarge g6e.48xlarge; do
    for buy in spot on-demand both; do
        cluster "$type-$buy.yaml" --types "$type" --buy "$buy" --nodes 2
        files+=("$type-$buy.yaml")
    done
done
cluster two-types.yaml --types p4d.24xlarge,p4de.24xlarge --nodes 2
cluster one-node.yaml --types p4d.24xlarge --nodes 1
cluster fsx.yaml --types p4d.24xlarge --fsx-gb 1200
cluster budget.yaml --types p4d.24xlarge --budget 50 --ssh-from 203.0.113.7/32 --shared-gb 500
files+=(two-types.yaml one-node.yaml fsx.yaml budget.yaml)
expect_exit 0 "${check[@]}" "${files[@]}"
for file in "${files[@]}"; do accepted "$file"; done

begin "the configuration of a plan"
expect_exit 0 "$DTRAIN" plan --types p4d.24xlarge,g6e.xlarge --regions us-east-1 --json
cp "$OUTPUT" plan.json
cluster planned.yaml --plan plan.json
expect_exit 0 "${check[@]}" planned.yaml
accepted planned.yaml

# One run of ParallelCluster for all mutations.
(
    cd "$_base/plain" || exit
    "$DTRAIN" cluster --region us-east-1 --bucket $bucket --key $key --types p4d.24xlarge --nodes 2 --subnet "$private" --head-subnet "$public" \
        --output mutated.yaml
    "${in_cloud[@]}" python "$cloud/cluster_mutations.py" mutated.yaml "$public"
) >"$_base/mutations" 2>&1
while IFS= read -r name; do
    begin "ParallelCluster refuses $name"
    expect grep -q "^refused $name: " "$_base/mutations" || grep -a "^accepted $name: \|Error" "$_base/mutations" | sed 's/^/    | /'
done < <(python "$cloud/cluster_mutations.py" --list)
begin "there are mutations"
expect test "$(python "$cloud/cluster_mutations.py" --list | wc -l)" -ge 16

# commands: those that the last output names, one a line.
commands() { sed -n 's/^     \([^ ].*\)/\1/p' "$OUTPUT" | sed -e ':again' -e '/\\$/{N;s/\\\n */ /;b again' -e '}'; }

# run_command N [WORD...]: the Nth of $commands, with the programs of the environment and this dtrain; WORDs are added to it.
run_command()
{
    local command
    command=$(sed -n "$1p" <<<"$commands")
    shift
    [ -n "$command" ] || { fail "there is no such command"; return 1; }
    expect_exit 0 "${in_cloud[@]}" PATH="$(dirname "$DTRAIN"):$PATH" bash -c "$command $*"
}

begin "the commands that dtrain cluster prints make the network, and a cluster in it that pcluster accepts"
expect_exit 0 "$DTRAIN" cluster --region us-east-1 --bucket $bucket --key $key --types p4d.24xlarge --nodes 2 --zone use1-az4 --create-network network.yaml
commands=$(commands)
run_command 1
expect_exit 0 "${in_cloud[@]}" python "$cloud/network_check.py" dtrain-network us-east-1
expect_exit 0 cfn-lint network.yaml
run_command 2
commands=$(commands)
tar cf "$(sed -n 's/.* \(dtrain-[0-9.]*\.tar\.xz\) .*/\1/p' <<<"$commands" | head -n 1)" network.yaml
run_command 1
expect_exit 0 "${check[@]}" cluster.yaml
accepted cluster.yaml
# pcluster ends with 1 also after a dry run that found nothing.
command=$(sed -n 2p <<<"$commands")
suppressed=$(sed -n 's/^LEFT_OUT = {\(.*\)}/\1/p' "$cloud/cluster_check.py" | tr -d '",' | sed 's/[A-Za-z]*Validator/type:&/g')
expect_exit 1 "${in_cloud[@]}" bash -c "$command --dryrun true --suppress-validators $suppressed"
expect_output 'DryRun flag is set'

# network_without SED TEXT: a network whose template was changed so is noticed.
network_without()
{
    sed "$1" network.yaml >changed.yaml
    expect test "$(cmp -s network.yaml changed.yaml; echo $?)" = 1
    expect_exit 0 "${in_cloud[@]}" aws cloudformation deploy --stack-name "changed-$RANDOM" --template-file changed.yaml
    expect_exit 1 "${in_cloud[@]}" python "$cloud/network_check.py" "$(sed -n 's/.* - \(changed-[0-9]*\)$/\1/p' "$OUTPUT")" us-east-1
    expect_output "^[^=]*$2"
    expect test "$(grep -cvE '^[A-Za-z]+=' "$OUTPUT")" -le 2 # what follows from it, and nothing else
}

begin "a network that is another is noticed"
expect_exit 0 "$DTRAIN" cluster --region us-east-1 --bucket $bucket --key $key --types p4d.24xlarge --create-network network.yaml
network_without 's/MapPublicIpOnLaunch: false/MapPublicIpOnLaunch: true/' 'nodes get public addresses'
network_without 's/NatGatewayId: .*/GatewayId: !Ref InternetGateway/' 'does not lead to a NAT gateway'
network_without 's/RouteTableIds: .*/RouteTableIds: [!Ref PublicRoutes]/' 'does not use the endpoint'
network_without 's/VpcEndpointType: Gateway/VpcEndpointType: Interface/' 'no gateway'

finish
