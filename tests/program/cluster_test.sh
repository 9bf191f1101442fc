#!/bin/bash
# dtrain cluster: the files that it writes, what it prints, the commands that follow, and what it refuses. Forms and figures are tested in
# tests/launch/cluster/.
. "$(dirname "$0")/../lib.sh"

export LC_ALL=C.UTF-8
n=0
SUBNETS="--subnet subnet-0123456789abcdef0 --head-subnet subnet-0fedcba9876543210"

# cluster OPTION...: with a region, a bucket, a key and subnets.
cluster()
{
    # shellcheck disable=SC2086 # options are words
    expect_exit 0 "$DTRAIN" cluster --region us-east-1 --bucket images --key me $SUBNETS "$@"
}

need_yaml()
{
    python3 -c 'import yaml' 2>/dev/null && return 0
    skip "python3 has no module yaml"
    return 1
}

# step NUMBER: prints the command below that number in the output, in one line.
step()
{
    sed -n "/^  $1\. /,\$p" "$OUTPUT" | sed -n '2,$p' | sed '/^  [^ ]/,$d' | sed ':a; /\\$/ { N; s/ *\\\n */ /; ba }; s/^ *//'
}

# refused MESSAGE OPTION...: one line, code 2, and nothing is written.
refused()
{
    local message=$1
    shift
    rm -rf empty && mkdir empty
    expect_exit 2 sh -c 'cd empty && exec "$@"' sh "$DTRAIN" cluster "$@"
    expect test "$(cat "$OUTPUT")" = "dtrain: $message"
    expect test -z "$(ls empty)"
}

begin "the files are written, and costs, quotas and the next commands are printed"
cluster --types p4d.24xlarge --nodes 2
expect test "$(ls | xargs)" = "cluster.yaml dtrain-bootstrap.sh"
expect_tables_of_80_columns
expect_output '^cluster.yaml: written$'
expect_output '^head node, c6i.xlarge +. +0\.170 . +0\.170 . +0\.170'
expect_output '^2 x p4d.24xlarge, with their disks +. +. +12\.[0-9]+ . +43\.[0-9]+'
expect_output '^All P4, P3 and P2 Spot .* L-7212CCBC .* 192$'
expect_output '^Running On-Demand P instances +. L-417A185B . +192$'
expect_output 'request-service-quota-increase'
expect_output 'create-service-linked-role'
expect test "$(step 1)" = "aws s3 cp dtrain-bootstrap.sh s3://images/dtrain/ && aws s3 cp dtrain-$("$DTRAIN" version | sed 's/.* //').tar.xz s3://images/dtrain/dtrain-$("$DTRAIN" version | sed 's/.* //').tar.xz"
cluster --types p4d.24xlarge --nodes 2
expect_output '^cluster.yaml: as it was$'
expect test "$(step 2)" = "pcluster create-cluster --region us-east-1 --cluster-name dtrain --cluster-configuration cluster.yaml"
expect test "$(step 3 | head -n 1)" = "pcluster ssh --region us-east-1 --cluster-name dtrain -i ~/.ssh/me.pem"
expect test "$(step 3 | tail -n 1)" = "sbatch --partition spot --nodes 2 --ntasks-per-node 8 --gpus-per-node 8 /shared/dtrain/share/dtrain/slurm/dtrain.sbatch --data s3://images/imagenet"
cluster --types g5.xlarge --buy on-demand --key 'my key' --output other.yaml
expect_output '^ +sbatch --partition ondemand --nodes 1 --ntasks-per-node 1 '
expect_no_output 'create-service-linked-role'
expect_no_output 'on spot'
expect test "$(step 2)" = "pcluster create-cluster --region us-east-1 --cluster-name dtrain --cluster-configuration other.yaml"
expect test "$(step 3 | head -n 1)" = "pcluster ssh --region us-east-1 --cluster-name dtrain -i ~/.ssh/'my key.pem'"

begin "the configuration is YAML with the right values for each kind of instance"
if need_yaml; then
    for type in p4d.24xlarge p5.48xlarge g5.xlarge g5.48xlarge g6e.xlarge; do
        for buy in spot on-demand both; do cluster --types "$type" --nodes 2 --buy $buy --output "$type-$buy.yaml"; done
    done
    python3 - <<'PY' >wrong 2>&1 || fail "$(cat wrong)"
import yaml
for type, efa, archs in (("p4d.24xlarge", True, "80"), ("p5.48xlarge", True, "90"), ("g5.xlarge", False, "86"), ("g5.48xlarge", True, "86"), ("g6e.xlarge", False, "89")):
    for buy, names in (("spot", ["spot"]), ("on-demand", ["ondemand"]), ("both", ["spot", "ondemand"])):
        c = yaml.safe_load(open(f"{type}-{buy}.yaml"))
        queues = c["Scheduling"]["SlurmQueues"]
        assert [q["Name"] for q in queues] == names, queues
        for q in queues:
            [r] = q["ComputeResources"]
            assert q["CapacityType"] == {"spot": "SPOT", "ondemand": "ONDEMAND"}[q["Name"]], q
            assert r["Instances"] == [{"InstanceType": type}] and (r["MinCount"], r["MaxCount"]) == (0, 2), r
            assert r.get("Efa", {}).get("Enabled", False) is efa, r
            assert q["JobExclusiveAllocation"] is True and q["Networking"]["SubnetIds"] == ["subnet-0123456789abcdef0"], q
            assert "CustomActions" not in q and q["ComputeSettings"]["LocalStorage"]["EphemeralVolume"] == {"MountDir": "/scratch"}, q
        assert c["HeadNode"]["CustomActions"]["OnNodeConfigured"]["Args"][1] == archs, c["HeadNode"]
        assert c["Scheduling"]["SlurmSettings"]["CustomSlurmSettings"] == [{"RequeueExit": 75}, {"KillWait": 60}]
        assert c["Scheduling"]["ScalingStrategy"] == "all-or-nothing"
PY
fi

begin "a YAML reader reads back what is quoted"
if need_yaml; then
    cat >keys <<'END'
yes
1e3
~
#1
a: b
it's
say "x"
a\b
- a
%
0.5
2026-11-30
END
    while read -r key; do cluster --types g5.xlarge --key "$key" --budget 50 --output "$((n += 1)).yaml"; done <keys
    python3 - <<'PY' >wrong 2>&1 || fail "$(cat wrong)"
import yaml
for n, key in enumerate(open("keys").read().splitlines(), 1):
    c = yaml.safe_load(open(f"{n}.yaml"))
    assert c["HeadNode"]["Ssh"] == {"KeyName": key, "AllowedIps": "0.0.0.0/0"}, (key, c["HeadNode"]["Ssh"])
    assert c["Tags"][1]["Value"] == "50.00", c["Tags"]
PY
fi

begin "a plan's choice becomes a cluster"
expect_exit 0 "$DTRAIN" plan --types p5.48xlarge,g5.xlarge --deadline 5h --max-nodes 2 --json
cp "$OUTPUT" plan.json
for choice in auto cheapest fastest best-value in-deadline; do
    # shellcheck disable=SC2086 # options are words
    expect_exit 0 "$DTRAIN" cluster --plan plan.json --choice $choice --bucket images --key me $SUBNETS --output "$choice.yaml"
    python3 - "$choice" "$OUTPUT" <<'PY' >wrong || fail "$choice: $(cat wrong)"
import json, sys
plan = json.load(open("plan.json"))
start = {"auto": "Cheapest in", "cheapest": "Cheapest", "fastest": "Fastest", "best-value": "Best value", "in-deadline": "Cheapest in"}[sys.argv[1]]
whole = sys.argv[1] in ("cheapest", "fastest")
row = next(plan["rows"][r["row"]] for r in plan["recommendations"] if (r["title"] == start if whole else r["title"].startswith(start)))
text, printed = open(sys.argv[1] + ".yaml").read(), open(sys.argv[2]).read()
queues = {"spot": ["SPOT"], "on demand": ["ONDEMAND"], "mixed": ["SPOT", "ONDEMAND"]}[row["buy"]]
wrong = [q for q in ("SPOT", "ONDEMAND") if ("CapacityType: %s\n" % q in text) != (q in queues)]
wrong += [w for w in ("Region: " + row["region"], "InstanceType: " + row["instance"], "MaxCount: %d\n" % row["nodes"],
                      'Value: "%.2f"' % row["usd"]["p95"]) if w not in text]
options = next(r["command"] for r in plan["recommendations"] if r["row"] is not None and plan["rows"][r["row"]] is row).split(" dtrain ")[1]
joined = " ".join(printed.replace("\\\n", " ").split())
wrong += [] if options.replace("--data DIR", "--data s3://images/imagenet") in joined else ["the plan's training: " + options]
wrong += [] if "$%.2f on average" % row["usd"]["mean"] in printed else ["the plan's dollars"]
print(wrong)
sys.exit(bool(wrong))
PY
done
# shellcheck disable=SC2086 # options are words
expect_exit 0 "$DTRAIN" cluster --plan plan.json --types g6e.xlarge --region us-west-2 --nodes 3 --buy both --bucket images --key me $SUBNETS
for word in 'Region: us-west-2' 'InstanceType: g6e.xlarge' 'MaxCount: 3' 'CapacityType: SPOT' 'CapacityType: ONDEMAND'; do expect grep -q "$word" cluster.yaml; done

begin "the cluster command of each recommendation works as it is printed"
expect_exit 0 "$DTRAIN" plan --types p4d.24xlarge,g5.xlarge --deadline 30h --budget 60 --json
python3 -c 'import json, sys; [print(r["cluster"]) for r in json.load(open(sys.argv[1]))["recommendations"]]' "$OUTPUT" >commands
expect test "$(grep -c '^dtrain cluster --region .* --types .* --nodes 1 --buy .* --budget 60 --bucket BUCKET --key KEY --create-network network.yaml$' commands)" = 5
expect grep -q -e '--zone us' commands
while read -r command; do
    rm -f ./*.yaml
    expect_exit 0 bash -c "dtrain() { \"$DTRAIN\" \"\$@\"; }; ${command/BUCKET/images}"
done <commands
expect_exit 0 "$DTRAIN" plan --types p4d.24xlarge
expect_output '^  A cluster for it:$'
expect_output '^    dtrain cluster --region '

begin "the network's template is written, and the next command puts its subnets in"
expect_exit 0 "$DTRAIN" cluster --region us-east-1 --zone use1-az4 --types p4d.24xlarge --bucket images --key "my key" --create-network network.yaml
expect_output '^network.yaml: written$'
expect grep -q 'subnet-0privatesubnet000' cluster.yaml
expect test "$(step 1)" = "aws cloudformation deploy --region us-east-1 --stack-name dtrain-network --template-file network.yaml --parameter-overrides ZoneId=use1-az4"
again=$(step 2)
mkdir bin
cat >bin/aws <<'END'
#!/bin/sh
echo "$*" >aws.log
echo --subnet subnet-0aaaaaaaaaaaaaaaa --head-subnet subnet-0bbbbbbbbbbbbbbbb
END
printf '#!/bin/sh\nexec "%s" "$@"\n' "$DTRAIN" >bin/dtrain
chmod +x bin/aws bin/dtrain
expect_exit 0 env PATH="$PWD/bin:$PATH" sh -c "$again"
expect_output '^cluster.yaml: replaced, since it was unchanged$'
expect_output '^  1\. Upload'
expect grep -q 'SubnetId: subnet-0bbbbbbbbbbbbbbbb' cluster.yaml
expect grep -q -e '- subnet-0aaaaaaaaaaaaaaaa' cluster.yaml
expect grep -q 'KeyName: "my key"' cluster.yaml
expect test "$(cat aws.log)" = "cloudformation describe-stacks --region us-east-1 --stack-name dtrain-network --output text --query Stacks[0].Outputs[?OutputKey==\`Options\`].OutputValue"
expect_exit 0 "$DTRAIN" cluster --region us-east-1 --zone us-east-1b --types p4d.24xlarge --bucket images --key me --create-network other.yaml --output o.yaml
expect_output 'Zone=us-east-1b'

begin "the template has two subnets, a NAT gateway and an S3 endpoint for both"
if need_yaml; then
    python3 - "$TOP_SRCDIR/launch/deploy/parallelcluster/network.yaml" <<'PY' >wrong || fail "$(cat wrong)"
import sys, yaml
class Loader(yaml.SafeLoader): pass
Loader.add_multi_constructor("!", lambda loader, tag, node: (tag, loader.construct_sequence(node, deep=True) if isinstance(node, yaml.SequenceNode) else loader.construct_scalar(node)))
t = yaml.load(open(sys.argv[1]), Loader)
kinds = sorted(r["Type"].split("::")[2] for r in t["Resources"].values())
assert kinds.count("Subnet") == 2 and kinds.count("NatGateway") == 1 and kinds.count("VPCEndpoint") == 1, kinds
r = {n: x["Properties"] for n, x in t["Resources"].items()}
assert r["PublicSubnet"]["MapPublicIpOnLaunch"] is True and r["PrivateSubnet"]["MapPublicIpOnLaunch"] is False
assert r["PrivateDefaultRoute"]["NatGatewayId"] == ("Ref", "NatGateway") and r["PublicDefaultRoute"]["GatewayId"] == ("Ref", "InternetGateway")
assert r["S3Endpoint"]["VpcEndpointType"] == "Gateway" and {x[1] for x in r["S3Endpoint"]["RouteTableIds"]} == {"PrivateRoutes", "PublicRoutes"}
assert r["NatGateway"]["SubnetId"] == ("Ref", "PublicSubnet")
def names(x):
    if isinstance(x, tuple) and x[0] in ("Ref", "GetAtt"):
        yield x[1].split(".")[0]
    for y in x.values() if isinstance(x, dict) else x if isinstance(x, (list, tuple)) else []:
        yield from names(y)
missing = {n for n in names(t) if not n.startswith("AWS::") and n not in t["Resources"] and n not in t["Parameters"]}
assert not missing, missing
PY
fi

begin "a file that was changed is kept, and so are the others"
cluster --types p4d.24xlarge
sed -i 's/MaxCount: 1/MaxCount: 7/' cluster.yaml
cp cluster.yaml before
# shellcheck disable=SC2086 # options are words
expect_exit 2 "$DTRAIN" cluster --region us-east-1 --bucket images --key me $SUBNETS --types p4d.24xlarge
expect test "$(cat "$OUTPUT")" = "dtrain: --output: cluster.yaml was changed since dtrain cluster wrote it, and would lose these changes: move it away, or write elsewhere"
expect cmp cluster.yaml before
rm cluster.yaml
echo '# mine' >>dtrain-bootstrap.sh
# shellcheck disable=SC2086 # options are words
expect_exit 2 "$DTRAIN" cluster --region us-east-1 --bucket images --key me $SUBNETS --types p4d.24xlarge
expect_output 'dtrain-bootstrap.sh is there, and dtrain cluster did not write it as it is'
expect test ! -e cluster.yaml
echo 'my network' >network.yaml
rm dtrain-bootstrap.sh
expect_exit 2 "$DTRAIN" cluster --region us-east-1 --bucket images --key me --types p4d.24xlarge --create-network network.yaml
expect_output '^dtrain: --create-network: network.yaml is there, and dtrain cluster did not write it as it is: move it away, or write elsewhere$'
expect test "$(ls | xargs)" = "before network.yaml"

begin "what cannot be written is named, and nothing is half written"
# shellcheck disable=SC2086 # options are words
set -- "$DTRAIN" cluster --region us-east-1 --bucket images --key me $SUBNETS --types g5.xlarge
expect_exit 2 "$@" --output nowhere/cluster.yaml
expect_output '^dtrain: --output nowhere/cluster.yaml: '
expect_exit 2 "$@" --output dtrain-bootstrap.sh
expect_output '^dtrain: --output: dtrain-bootstrap.sh is the name of another file that is written$'
mkdir cluster.yaml
expect_exit '1|2' "$@"
expect_output '^dtrain: --output'
rmdir cluster.yaml
expect test -z "$(ls)"
expect_exit 1 bash -c '"$@" >/dev/full' bash "$@"

begin "mistakes are named in one line with what was meant"
refused "--region is missing: where the cluster is, such as --region us-east-1; or --plan FILE"
refused "--region: there is no region 'us-est-1'; did you mean 'us-east-1'?" --region us-est-1
refused "--types: there is no instance type 'p4d.24xlrage'; did you mean 'p4d.24xlarge'?" --region us-east-1 --types p4d.24xlrage
refused "--types: trn1.2xlarge is not supported: $(python3 -c 'import json, sys; print(next(i["unsupported"]["text"] for i in json.load(open(sys.argv[1]))["instances"] if i["type"] == "trn1.2xlarge"))' "$TOP_SRCDIR/launch/estimate/data/instances.json")" --region us-east-1 --types trn1.2xlarge
refused "--subnet is missing: a private subnet for the nodes, --subnet subnet-...; --create-network network.yaml makes one" --region us-east-1 --types g5.xlarge
refused "--bucket is missing: the S3 bucket with the images" --region us-east-1 --types g5.xlarge --create-network n.yaml
refused "--key is missing: the name of an EC2 key pair in the region, to log in with" --region us-east-1 --types g5.xlarge --create-network n.yaml --bucket images
refused "unknown option --subnets; did you mean --subnet?" --subnets x
refused "--choice: of which plan? --plan FILE names it" --choice cheapest
refused "--plan: nowhere.json: No such file or directory" --plan nowhere.json

begin "a configuration file has the options too"
printf 'region = "us-east-1";\nbucket = "images";\nkey = "me";\ntypes = "g5.xlarg";\ncreate_network = "n.yaml";\n' >run.conf
expect_exit 2 "$DTRAIN" cluster --config run.conf
expect_output "^dtrain: run.conf:4: --types: there is no instance type 'g5.xlarg'; did you mean 'g5.xlarge'\?$"
sed -i 's/g5.xlarg"/g5.xlarge"/' run.conf
expect_exit 0 "$DTRAIN" cluster --config run.conf
expect_exit 0 "$DTRAIN" cluster --config run.conf --subnet subnet-0123456789abcdef0 --head-subnet subnet-0fedcba9876543210 # the second step of those it prints
expect grep -q subnet-0123456789abcdef0 cluster.yaml

begin "files of the user's add types and prices"
cat >prices.json <<'END'
{"sources": {"offer": {"text": "an offer", "date": "2026-11-12", "confidence": "published"}},
 "prices": [{"type": "g5.xlarge", "region": "xx-east-9", "kind": "on demand", "usd_h": 5, "source": "offer"}]}
END
# shellcheck disable=SC2086 # options are words
expect_exit 0 "$DTRAIN" cluster --region xx-east-9 --types g5.xlarge --bucket images --key me $SUBNETS --buy on-demand --prices prices.json
expect_output '^1 x g5.xlarge, with their disks .* 5\.011'
cat >instances.json <<'END'
{"sources": {"guess": {"text": "a guess", "date": "2026-11-12", "confidence": "estimated"}},
 "instances": [{"type": "g9.xlarge", "source": "guess", "gpus": 1, "gpu": "Z1", "gpu_memory_gib": 100, "vcpus": 4, "cores": 2, "ram_gib": 16, "nvme_gb": 0}]}
END
# shellcheck disable=SC2086 # options are words
expect_exit 0 "$DTRAIN" cluster --region us-east-1 --types g9.xlarge --bucket images --key me $SUBNETS --instances instances.json --output g9.yaml
expect grep -q -e '- all$' g9.yaml
expect_no_output scratch
expect test "$(grep -c scratch g9.yaml)" = 0
expect grep -q 'No price of g9.xlarge in us-east-1 is known' <<<"$(tr '\n' ' ' <"$OUTPUT")"
# Spot prices are of zones: one of another zone says nothing about this one.
expect_exit 0 "$DTRAIN" cluster --region us-east-1 --zone use1-az4 --types p4d.24xlarge --bucket images --key me --create-network n.yaml --output p4d.yaml
expect grep -q 'No spot price of p4d.24xlarge in use1-az4 is known' <<<"$(tr '\n' ' ' <"$OUTPUT")"
expect_exit 0 "$DTRAIN" cluster --region us-east-1 --zone us-east-1a --types p4d.24xlarge --bucket images --key me --create-network n.yaml --output p4d.yaml
expect_no_output 'is known: it may'

finish
