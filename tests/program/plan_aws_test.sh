#!/bin/bash
# What `dtrain plan` asks AWS: credentials, signatures, prices, quotas. The service is aws_server.py, which checks signatures itself; where python3 has
# moto, another one is moto's server (MOTO_PYTHON names another python3). Nothing leaves this machine.
. "$(dirname "$0")/../lib.sh"

job=$TOP_BUILDDIR/tests/program/aws_job
unset "${!AWS_@}" http_proxy https_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY all_proxy
servers=()
url=
with=(env) # replaced by serve
in_env=(env)
stop_servers()
{
    for server in "${servers[@]}"; do kill "$server" && wait "$server"; done 2>/dev/null
    servers=()
}
trap 'stop_servers; cd /; rm -rf "$_base"' EXIT

# No case may print a secret: each begins with the letters of this word.
secret=NEVERSHOW
keys='{"AKIDENV": {"secret": "NEVERSHOW/+env", "token": null}, "AKIDTOKEN": {"secret": "NEVERSHOWtoken", "token": "NEVERSHOW/+=token"},
       "AKIDFILE": {"secret": "NEVERSHOWfile", "token": null}, "AKIDWORK": {"secret": "NEVERSHOWwork", "token": null},
       "AKIDCONFIG": {"secret": "NEVERSHOWconfig", "token": null}, "AKIDPROGRAM": {"secret": "NEVERSHOWprogram", "token": "NEVERSHOWprogramtoken"},
       "AKIDCONTAINER": {"secret": "NEVERSHOWcontainer", "token": "NEVERSHOWcontainertoken"},
       "AKIDINSTANCE": {"secret": "NEVERSHOWinstance", "token": "NEVERSHOWinstancetoken"}}'

# serve [MODE...]: a server for this case, with an empty home and without credentials.
serve()
{
    stop_servers
    mkdir -p aws home/.aws bin
    : >aws/requests
    [ "$_state" != skipped ] || return 0
    echo "$keys" >aws/keys.json
    echo "$*" >aws/mode
    python3 "$TOP_SRCDIR/tests/program/aws_server.py" aws >aws/log 2>&1 </dev/null &
    servers+=($!)
    for _ in $(seq 200); do [ -e aws/port ] && break; sleep 0.05; done
    url=http://127.0.0.1:$(cat aws/port)
    with=(env "HOME=$PWD/home" "PATH=$PWD/bin:$PATH" "AWS_ENDPOINT_URL=$url" AWS_EC2_METADATA_DISABLED=true)
    in_env=("${with[@]}" AWS_ACCESS_KEY_ID=AKIDENV AWS_SECRET_ACCESS_KEY=$secret/+env)
}

mode() { [ "$_state" = skipped ] || { echo "$*" >aws/mode.new && mv aws/mode.new aws/mode; }; }

# ends CODE COMMAND...: as expect_exit, and no secret is printed.
ends()
{
    expect_exit "$@"
    expect_no_output $secret
    [ "$_state" = skipped ] || [ ! -s aws/log ] || fail "the server: $(tail -n 5 aws/log)"
}

checks=("$job" check g5.xlarge us-east-1 any 1 4 demand)

# signed_by KEY [VARIABLE=VALUE...]: a check is done with this key.
signed_by()
{
    local key=$1
    shift
    [ "$_state" = skipped ] || : >aws/requests
    ends 0 "${with[@]}" "$@" "${checks[@]}"
    expect grep -q "^$key ec2 us-east-1 DescribeInstanceTypeOfferings 200$" aws/requests
    expect test "$(grep -v '^GET' aws/requests | grep -cv "^$key .* 200\$")" = 0
}

if ! "$job" check g5.xlarge us-east-1 any 1 4 demand 2>&1 | grep -q 'this build has no '; then

begin "the environment's key signs requests for each service"
serve
ends 0 "${in_env[@]}" "$job" check g5.xlarge us-east-1 use1-az6 2 4 spot
expect_tables_of_80_columns
expect_output 'us-east-1a \(use1-az6\)'
expect_output 'AWSServiceRoleForEC2Spot exists'
for action in 'ec2 us-east-1 DescribeAvailabilityZones' 'ec2 us-east-1 DescribeInstanceTypeOfferings' 'servicequotas us-east-1 GetServiceQuota' 'iam us-east-1 GetRole'; do
    expect grep -q "^AKIDENV $action 200\$" aws/requests
done

begin "a wrong secret, a wrong token and an unknown key are refused, and the message shows neither the secret nor the token"
serve
ends 2 "${with[@]}" AWS_ACCESS_KEY_ID=AKIDENV AWS_SECRET_ACCESS_KEY=${secret}x "${checks[@]}"
expect_output '^dtrain: AWS does not accept the credentials from the environment \(SignatureDoesNotMatch'
expect grep -q '403$' aws/requests
ends 2 "${with[@]}" AWS_ACCESS_KEY_ID=AKIDTOKEN AWS_SECRET_ACCESS_KEY=${secret}token AWS_SESSION_TOKEN=${secret}x "${checks[@]}"
expect_output 'InvalidClientTokenId'
ends 2 "${with[@]}" AWS_ACCESS_KEY_ID=AKIDTOKEN AWS_SECRET_ACCESS_KEY=${secret}x "AWS_SESSION_TOKEN=$secret/+=token" "${checks[@]}"
expect_output 'SignatureDoesNotMatch: it is another\)'
ends 2 "${with[@]}" AWS_ACCESS_KEY_ID=AKIDNOBODY AWS_SECRET_ACCESS_KEY=${secret}x "${checks[@]}"
expect_output 'InvalidClientTokenId'
ends 2 "${with[@]}" AWS_ACCESS_KEY_ID=AKIDENV "${checks[@]}"
expect_output '^dtrain: AWS_ACCESS_KEY_ID is set, and AWS_SECRET_ACCESS_KEY is not$'

begin "each place of credentials is found, in botocore's order"
serve
ends 2 "${with[@]}" "${checks[@]}"
expect_output '^dtrain: there are no AWS credentials: .*aws configure.*AWS_ACCESS_KEY_ID'
imds=(AWS_EC2_METADATA_DISABLED=false "AWS_EC2_METADATA_SERVICE_ENDPOINT=$url")
container=("AWS_CONTAINER_CREDENTIALS_FULL_URI=$url/container?a=b" "AWS_CONTAINER_AUTHORIZATION_TOKEN=Bearer abc")
signed_by AKIDINSTANCE "${imds[@]}"
signed_by AKIDINSTANCE "${imds[@]}" AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null
signed_by AKIDCONTAINER "${imds[@]}" "${container[@]}"
echo 'Bearer abc' >token
signed_by AKIDCONTAINER "${container[0]}" AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE="$PWD/token"
printf '[default]\nregion = us-east-1\n\n[profile other]\naws_access_key_id = AKIDX\naws_secret_access_key = %sx\n' $secret >home/.aws/config
signed_by AKIDCONTAINER "${imds[@]}" "${container[@]}" # this profile has no key
printf '[default]\naws_access_key_id = AKIDCONFIG\naws_secret_access_key = %sconfig\ns3 =\n  role_arn = x\n' $secret >home/.aws/config
signed_by AKIDCONFIG "${imds[@]}" "${container[@]}"
printf '# mine\n[default]\naws_access_key_id=AKIDFILE\nAWS_SECRET_ACCESS_KEY = %sfile \n[work]\naws_access_key_id = AKIDWORK\naws_secret_access_key = %swork\n' \
    $secret $secret >home/.aws/credentials
signed_by AKIDFILE "${imds[@]}" "${container[@]}"
signed_by AKIDWORK "${imds[@]}" "${container[@]}" AWS_PROFILE=work
signed_by AKIDTOKEN "${imds[@]}" "${container[@]}" AWS_PROFILE=work AWS_ACCESS_KEY_ID=AKIDTOKEN AWS_SECRET_ACCESS_KEY=${secret}token \
    "AWS_SESSION_TOKEN=$secret/+=token"
mkdir else && mv home/.aws/* else
signed_by AKIDWORK AWS_SHARED_CREDENTIALS_FILE="$PWD/else/credentials" AWS_PROFILE=work
signed_by AKIDCONFIG AWS_CONFIG_FILE="$PWD/else/config"

begin "single sign-on, roles and processes are left to the program aws"
serve
printf '#!/bin/sh\necho "$*" >>%s/calls\ncat %s/answer\n' "$PWD" "$PWD" >bin/aws && chmod +x bin/aws
printf '{"Version": 1, "AccessKeyId": "AKIDPROGRAM", "SecretAccessKey": "%sprogram", "SessionToken": "%sprogramtoken", "Expiration": "2099-01-01T00:00:00+00:00"}' \
    $secret $secret >answer
for setting in 'sso_session = x' 'sso_start_url = https://x' 'role_arn = arn:x' 'login_session = x' 'credential_process = /bin/x' 'web_identity_token_file = x'; do
    printf '[profile work]\n%s\n' "$setting" >home/.aws/config
    signed_by AKIDPROGRAM AWS_PROFILE=work
done
expect test "$(sort -u calls 2>/dev/null)" = 'configure export-credentials --format process --profile work'
printf '[work]\naws_access_key_id = AKIDWORK\naws_secret_access_key = %swork\n' $secret >home/.aws/credentials
signed_by AKIDPROGRAM AWS_PROFILE=work
for setting in 'login_session = x' 'credential_process = /bin/x'; do # a key in credentials comes before these
    printf '[profile work]\n%s\n' "$setting" >home/.aws/config
    signed_by AKIDWORK AWS_PROFILE=work
done
rm home/.aws/credentials
printf '{"AccessKeyId": "AKIDPROGRAM", "SecretAccessKey": "%sprogram", "Expiration": "2020-01-01T00:00:00Z"}' $secret >answer
ends 2 "${with[@]}" AWS_PROFILE=work "${checks[@]}"
expect_output "^dtrain: the credentials of profile 'work' by the program aws expired at 2020-01-01T00:00:00Z"
echo "no JSON, but $secret" >answer
ends 1 "${with[@]}" AWS_PROFILE=work "${checks[@]}"
printf '#!/bin/sh\necho "Error loading SSO Token" >&2; exit 255\n' >bin/aws
ends 2 "${with[@]}" AWS_PROFILE=work "${checks[@]}"
expect_output "^dtrain: profile 'work' has credential_process; aws configure export-credentials: Error loading SSO Token"
rm bin/aws
ends 2 "${with[@]}" PATH="$PWD/bin:/usr/bin/nowhere" AWS_PROFILE=work "$job" check g5.xlarge us-east-1 any 1 4 demand
expect_output "^dtrain: profile 'work' has credential_process, which needs the program aws \(.*\): install the AWS command line"

begin "mistakes in the files of profiles are named, without their text"
serve
printf '[default]\naws_secret_access_key %s\n' $secret >home/.aws/credentials
ends 2 "${with[@]}" "${checks[@]}"
expect_output "^dtrain: $PWD/home/.aws/credentials:2: neither \[section\] nor name = value"
printf 'aws_secret_access_key = %s\n' $secret >home/.aws/credentials
ends 2 "${with[@]}" "${checks[@]}"
expect_output "credentials:1: a line before the first \[section\]"
printf '[default]\naws_access_key_id = AKIDX\n[work]\n' >home/.aws/credentials
ends 2 "${with[@]}" "${checks[@]}"
expect_output "profile 'default' has aws_access_key_id and no aws_secret_access_key"
ends 2 "${with[@]}" AWS_PROFILE=nobody "${checks[@]}"
expect_output "^dtrain: AWS_PROFILE is 'nobody': neither .*credentials \(default, work\) nor .*config \(no profiles\) has such a profile"
ends 2 "${with[@]}" AWS_CONTAINER_CREDENTIALS_FULL_URI=http://example.com/x AWS_PROFILE=work "${checks[@]}"
expect_output 'not an address of this machine'
ends 2 "${with[@]}" AWS_CONTAINER_CREDENTIALS_FULL_URI=http://127.0.0.1@example.com/x AWS_PROFILE=work "${checks[@]}"
expect_output 'not an address of this machine'

begin "a clock that is wrong is named"
serve clock=900
ends 2 "${in_env[@]}" "${checks[@]}"
expect_output "because this machine's clock is 15 minutes slow: set it"
mode clock=-3600
ends 2 "${in_env[@]}" "${checks[@]}"
expect_output "because this machine's clock is 60 minutes fast"

begin "too many requests and lost connections are tried again, and not for ever"
serve throttle=2
ends 0 "${in_env[@]}" "${checks[@]}"
expect_output 'AWS answered 503 RequestLimitExceeded: slower; trying again in [0-9.]+ s'
mode broken=2
ends 0 "${in_env[@]}" "${checks[@]}"
expect_output '; trying again in '
mode throttle=9999
: >aws/requests
ends 1 "${in_env[@]}" "${checks[@]}"
expect_output '^dtrain: ec2:DescribeAvailabilityZones in us-east-1: AWS answered 503 RequestLimitExceeded: slower$'
expect test "$(wc -l <aws/requests)" = 5

begin "answers that are something else are errors"
serve garbage
ends 1 "${in_env[@]}" "${checks[@]}"
expect_output 'ec2:DescribeAvailabilityZones in us-east-1: the answer is another'
ends 1 "${in_env[@]}" "$job" refresh prices.json g5.xlarge us-east-1
expect test ! -e prices.json
mode endless
ends 1 "${in_env[@]}" "$job" refresh prices.json g5.xlarge,p4d.24xlarge us-east-1
expect_output 'the answer does not end'
expect test ! -e prices.json
ends 2 "${in_env[@]}" "$job" check g5.xlarge 'us-east-1.example.com/' any 1 4 demand
expect_output "^dtrain: 'us-east-1.example.com/' is not the name of an AWS region"

begin "answers with wrong bytes do no harm"
serve
for n in $(seq 20) $(if_long $(seq 21 200)); do
    mode mangle=$n
    ends '0|1' "${in_env[@]}" "$job" refresh prices.json g5.xlarge,p4d.24xlarge us-east-1 || break
    ends '0|1' "${in_env[@]}" "$job" check p4d.24xlarge us-east-1 any 1 96 spot || break
done

begin "a server whose certificate nobody has signed gets no request"
serve
if ! command -v openssl >/dev/null; then
    skip "there is no openssl, which makes a certificate"
elif [ "$_state" != skipped ]; then
    openssl req -x509 -newkey rsa:2048 -nodes -keyout key.pem -out cert.pem -days 1 -subj /CN=localhost -addext subjectAltName=DNS:localhost 2>openssl.log
    python3 - 2>https.log <<'PY' &
import http.server, os, ssl, threading
server = http.server.HTTPServer(("127.0.0.1", 0), http.server.BaseHTTPRequestHandler)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("cert.pem", "key.pem")
server.socket = context.wrap_socket(server.socket, server_side=True)
open("https.new", "w").write(str(server.server_address[1]))
os.rename("https.new", "https")
threading.Timer(120, lambda: os._exit(1)).start()
server.serve_forever()
PY
    servers+=($!)
    for _ in $(seq 200); do [ -e https ] && break; sleep 0.05; done
    ends 1 "${in_env[@]}" "AWS_ENDPOINT_URL=https://localhost:$(cat https)" "${checks[@]}"
    expect_output '^dtrain: ec2:DescribeAvailabilityZones, https://localhost:.*: .*certificate'
    expect_no_output 'trying again'
    expect test "$(grep -c POST https.log)" = 0
    # With the certificate among the trusted ones the request arrives; this server knows no POST.
    ends 1 "${in_env[@]}" "AWS_ENDPOINT_URL=https://localhost:$(cat https)" "AWS_CA_BUNDLE=$PWD/cert.pem" "${checks[@]}"
    expect_output 'AWS answered 501'
fi

begin "an address of one service comes before that of all"
serve
ends 0 "${in_env[@]}" AWS_ENDPOINT_URL=http://127.0.0.1:9 "AWS_ENDPOINT_URL_EC2=$url/" "AWS_ENDPOINT_URL_SERVICE_QUOTAS=$url" "${checks[@]}"

begin "prices are written in the format of --prices, and what has changed is shown"
serve
ends 0 "${in_env[@]}" "$job" refresh prices.json g5.xlarge,p4d.24xlarge us-east-1,us-east-2
expect_tables_of_80_columns
expect_output '^g5.xlarge +(│|\|) use1-az6 +. spot +. +0.4905 . +0.51 . +\+4.0%'
expect_output '^p4d.24xlarge +(│|\|) us-east-1 +. on demand . +21.96 . +20.5 . +-6.6%'
expect_output '^p4d.24xlarge +(│|\|) us-east-2 +. on demand . +21.96 . +- . not offered'
expect_no_output '^g5.xlarge +. us-east-1 ' # the same as before
expect_output '^prices.json: 8 prices of AWS: 4 changed, 2 new, 2 the same, [0-9]+ not offered; use them with --prices prices.json$'
expect_output '^AWS has nothing in the place of 3 built-in prices, which a file cannot remove: ' # p4d in us-east-2: on demand, two zones
expect test "$(grep -c '^AKIDENV pricing us-east-1 GetProducts 200$' aws/requests)" = 7 # the price list is there only; two pages where it has a price
expect grep -q '^AKIDENV ec2 us-east-2 DescribeSpotPriceHistory 200$' aws/requests
expect python3 - <<'PY'
import json
file = json.load(open("prices.json"))
rows = {(p["type"], p["region"], p.get("zone"), p["kind"]): p for p in file["prices"]}
assert len(rows) == len(file["prices"]) == 8, rows
assert rows["g5.xlarge", "us-east-1", "use1-az6", "spot"]["usd_h"] == 0.51
assert rows["g5.xlarge", "us-east-1", "use1-az5", "spot"]["usd_h"] == 0.48
assert rows["p4d.24xlarge", "us-east-1", "use1-az4", "spot"]["usd_h"] == 13.5
assert rows["p4d.24xlarge", "us-east-1", None, "on demand"]["usd_h"] == 20.5
assert all(p["source"] in file["sources"] for p in rows.values())
PY
# AWS changes a price: the second refresh shows only this one, and prices of other regions stay.
[ "$_state" = skipped ] || sed -i 's/"usd_h": 20.5/"usd_h": 10.25/' prices.json
ends 0 "${in_env[@]}" "$job" refresh second.json g5.xlarge,p4d.24xlarge us-east-1 prices.json
expect_output '^p4d.24xlarge +. us-east-1 +. on demand . +10.25 . +20.5 . \+100.0%'
expect test "$(grep -c '"us-east-2"' second.json 2>/dev/null)" = 2
expect test "$(grep -c 'use1-az6 .* spot' "$OUTPUT")" = 0

begin "a file that cannot be written is an error, and the older one stays"
serve
echo old >prices.json
ends 2 "${in_env[@]}" "$job" refresh missing/prices.json g5.xlarge us-east-1
expect test ! -s aws/requests # it is found before AWS is asked
ends 0 "${in_env[@]}" "$job" refresh prices.json g5.xlarge us-east-1
mode throttle=9999
cp prices.json before.json
ends 1 "${in_env[@]}" "$job" refresh prices.json g5.xlarge us-east-1
expect cmp prices.json before.json

begin "a check says what is missing and what to do"
serve zero_quota no_role
ends 1 "${in_env[@]}" "$job" check p4d.24xlarge us-east-1 use1-az5 2 96 spot
expect_output 'not offered in use1-az5'
expect_output '^  choose a subnet for p4d.24xlarge in one of the zones us-east-1a \(use1-az6\), us-east-1c \(use1-az4\)$'
expect_output "quota 'All P4, P3 and P2 Spot"
expect_output '^  aws service-quotas request-service-quota-increase --service-code ec2 --quota-code L-7212CCBC --desired-value 192 --region us-east-1 '
expect_output '^  aws iam create-service-linked-role --aws-service-name spot.amazonaws.com '
expect_output '^dtrain: --check: 1 of 1 kinds of instances cannot be started as it is$'
mode
ends 1 "${in_env[@]}" "$job" check p4d.24xlarge us-east-1 any 2 96 demand
expect_output 'quota-code L-417A185B --desired-value 192'
expect_no_output 'create-service-linked-role'
ends 0 "${in_env[@]}" "$job" check p4d.24xlarge us-east-1 us-east-1c 1 96 demand
expect_no_output 'What to do'
mode no_offer
ends 1 "${in_env[@]}" "$job" check g5.xlarge us-east-1 any 1 4 demand
expect_output 'not offered in us-east-1'
mode default_quota
ends 1 "${in_env[@]}" "$job" check g5.xlarge us-east-1 any 3 4 demand
expect_output '8 vCPUs for all that runs; 3 nodes'
expect_output 'desired-value 12 '

begin "what the credentials may not ask is not known, and the policy is named"
serve
for action in GetRole GetServiceQuota DescribeInstanceTypeOfferings; do
    mode deny=$action
    ends 0 "${in_env[@]}" "$job" check g5.xlarge us-east-1 any 1 4 spot
    expect_output 'not known: the credentials may'
    expect_output "^  allow .*:$action"
done
mode deny=GetProducts
ends 2 "${in_env[@]}" "$job" refresh prices.json g5.xlarge us-east-1
expect_output 'the credentials from the environment may not do pricing:GetProducts'

begin "the secret is in no process's arguments, and Ctrl-C ends a request"
serve hang
start_job "${in_env[@]}" "${checks[@]}"
sleep 1
expect test "$(tr '\0' ' ' 2>/dev/null </proc/$pid/cmdline | grep -c 'aws_job check g5.xlarge')" = 1
expect test "$(tr '\0' ' ' 2>/dev/null </proc/$pid/cmdline | grep -c "$secret")" = 0
kill -INT $pid 2>/dev/null
kill $pid 2>/dev/null
end_job
expect test "$code" != 0

begin "dtrain plan --refresh-prices and --check ask AWS, for the types and regions that are given"
serve
ends 0 "${in_env[@]}" "$DTRAIN" plan --refresh-prices prices.json --types g5.xlarge,p4d.24xlarge --regions us-east-1
expect_output '^prices.json: 6 prices of AWS: '
expect test "$(grep -c '^AKIDENV ec2 us-east-2' aws/requests)" = 0
ends 0 "${in_env[@]}" "$DTRAIN" plan --prices prices.json --types p4d.24xlarge --regions us-east-1
expect_output ' use1-az6 '
ends 1 "${in_env[@]}" "$DTRAIN" plan --types p4d.24xlarge --regions us-east-1 --check
expect_output '^p4d.24xlarge in use1-az1 +. - +. not offered in use1-az1' # the cheapest of the built-in prices
expect_output '^dtrain: --check: 1 of 2 kinds of instances cannot be started as it is$'
ends 1 "${in_env[@]}" bash -c '"$@" --json | python3 -m json.tool >/dev/null && exit "${PIPESTATUS[0]}"' bash "$DTRAIN" plan --types p4d.24xlarge --regions us-east-1 --check
expect_output 'not offered in use1-az1'
ends 0 "${in_env[@]}" "$DTRAIN" plan --types g5.xlarge --regions us-east-2 --prices prices.json --refresh-prices second.json
expect test "$(grep -c '"us-east-1"' second.json 2>/dev/null)" = 6 # those of the file that was given stay
ends 2 "${in_env[@]}" "$DTRAIN" plan --refresh-prices new.json --types g5.xlrage
expect_output "^dtrain: --types: there is no instance type 'g5.xlrage'; did you mean 'g5.xlarge'"
ends 2 "${in_env[@]}" "$DTRAIN" plan --refresh-prices new.json --types g5.xlarge --regions mars
expect_output "^dtrain: 'mars' is not the name of an AWS region, such as us-east-1"
expect test ! -e new.json
ends 2 "${in_env[@]}" "$DTRAIN" plan --here --check
expect_output '^dtrain: --check: asks about choices among instances, and --here makes none$'
ends 1 "${in_env[@]}" "$DTRAIN" plan --types g5.xlarge,p4d.24xlarge --regions us-east-1 --deadline 4h --check
expect_output '^dtrain: --check: 3 of 4 kinds of instances' # cheapest: spot; fastest: on demand; in time: both, in one zone

begin "against moto's server, which checks signatures"
python=${MOTO_PYTHON:-python3}
if [ "$_state" = skipped ]; then
    :
elif ! "$python" -c 'import moto.server, boto3' 2>/dev/null; then
    skip "$python has no moto (pip install 'moto[server]' boto3; Debian has no package of it)"
else
    serve
    port=$(python3 -c 'import socket; s = socket.socket(); s.bind(("127.0.0.1", 0)); print(s.getsockname()[1])')
    # Three requests make a user, its policy and its key; the fourth makes the role. After them each signature is checked.
    env INITIAL_NO_AUTH_ACTION_COUNT=4 "$python" -m moto.server -H 127.0.0.1 -p "$port" >moto.log 2>&1 </dev/null &
    servers+=($!)
    moto=http://127.0.0.1:$port
    for _ in $(seq 400); do (exec 3<>"/dev/tcp/127.0.0.1/$port") 2>/dev/null && break; sleep 0.05; done
    env AWS_ACCESS_KEY_ID=x AWS_SECRET_ACCESS_KEY=y AWS_DEFAULT_REGION=us-east-1 AWS_ENDPOINT_URL="$moto" timeout 60 "$python" - >key 2>boto.log <<'PY' || fail "$(tail -n 3 boto.log)"
import boto3
import json
iam = boto3.client("iam")
iam.create_user(UserName="planner")
iam.put_user_policy(UserName="planner", PolicyName="plan", PolicyDocument=json.dumps({"Version": "2012-10-17", "Statement": [
    {"Effect": "Allow", "Action": ["ec2:Describe*", "iam:GetRole"], "Resource": "*"}]}))
key = iam.create_access_key(UserName="planner")["AccessKey"]
iam.create_role(RoleName="AWSServiceRoleForEC2Spot", AssumeRolePolicyDocument="{}")
print(key["AccessKeyId"], key["SecretAccessKey"])
PY
    read -r key_id key_secret <key
    python3 -c 'import json, sys; k = json.load(open("aws/keys.json")); k[sys.argv[1]] = {"secret": sys.argv[2], "token": None}; json.dump(k, open("aws/keys.json", "w"))' "$key_id" "$key_secret"
    with=(env "HOME=$PWD/home" AWS_EC2_METADATA_DISABLED=true "AWS_ENDPOINT_URL=$moto" "AWS_ENDPOINT_URL_SERVICE_QUOTAS=$url" "AWS_ENDPOINT_URL_PRICING=$url"
        "AWS_ACCESS_KEY_ID=$key_id") # moto has no prices on demand and no quotas of EC2
    ends 2 "${with[@]}" AWS_SECRET_ACCESS_KEY=${secret}x "${checks[@]}"
    expect_output 'does not accept the credentials from the environment'
    expect grep -q 'POST / HTTP/1.1.* 40[13] ' moto.log
    ends 0 "${with[@]}" "AWS_SECRET_ACCESS_KEY=$key_secret" "$job" check g5.xlarge us-east-1 any 1 4 spot
    expect_output 'AWSServiceRoleForEC2Spot exists'
    expect_output 'us-east-1[a-f] \(use1-az'
    ends 0 "${with[@]}" "AWS_SECRET_ACCESS_KEY=$key_secret" "$job" refresh prices.json g5.xlarge us-east-1
    expect grep -q '"zone": "use1-az[0-9]", "kind": "spot", "usd_h": 1e-05' prices.json
    expect test "$(grep -c "$key_secret" "$OUTPUT")" = 0
fi

else
    begin "without libcurl or expat the requests say so"
    ends 1 "$job" refresh prices.json all all
    expect_output '^dtrain: --refresh-prices: this build has (no|libcurl)'
fi

finish
