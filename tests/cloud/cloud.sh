# shellcheck shell=bash
# cloud.sh: for the scripts of this folder, in place of ../lib.sh, which it includes. Nothing that they start leaves this machine.
#
# Where the packages of requirements.txt are missing (venv.sh installs them), one case is skipped, and the script ends.
#
# moto NAME [VAR=VALUE]  starts moto's server (moto_server.py) with these variables; its files are in the folder NAME; sets $url
# in_cloud               an array, set by moto: "${in_cloud[@]}" COMMAND is a client of that server, whose key may do everything until signatures are checked
# shellcheck source-path=SCRIPTDIR disable=SC2034 # scripts use these variables
. "$(dirname "${BASH_SOURCE[0]}")/../lib.sh"

cloud=$TOP_SRCDIR/tests/cloud
venv=${DTRAIN_CLOUD_VENV:-$TOP_BUILDDIR/build-cloud/venv}
export PATH=$venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1
unset "${!AWS_@}" "${!MOTO_@}" http_proxy https_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY all_proxy
servers=()
url=
in_cloud=(false) # until moto is called

stop_servers()
{
    local server
    for server in "${servers[@]}"; do kill "$server" && wait "$server"; done 2>/dev/null
    servers=()
}
trap 'stop_servers; cd /; rm -rf "$_base"' EXIT

moto()
{
    local folder=$1
    shift
    mkdir -p "$folder"
    env "$@" "$venv/bin/python" "$cloud/moto_server.py" "$folder" >"$folder/log" 2>&1 </dev/null &
    servers+=($!)
    for _ in $(seq 1200); do
        if [ -e "$folder/port" ] || gone "${servers[-1]}"; then break; fi
        sleep 0.05
    done
    [ -e "$folder/port" ] || { fail "moto's server does not start: $(tail -n 5 "$folder/log")"; return 1; }
    url=http://127.0.0.1:$(cat "$folder/port")
    in_cloud=(env "AWS_ENDPOINT_URL=$url" AWS_ACCESS_KEY_ID=AKIAEVERYTHINGALLOWD AWS_SECRET_ACCESS_KEY=any AWS_DEFAULT_REGION=us-east-1
        AWS_REGION=us-east-1 AWS_EC2_METADATA_DISABLED=true AWS_CONFIG_FILE=/dev/null AWS_SHARED_CREDENTIALS_FILE=/dev/null)
}

if ! [ -x "$venv/bin/moto_server" ] || ! [ -x "$venv/bin/aws" ] || ! [ -x "$venv/bin/pcluster" ]; then
    begin "all cases"
    skip "$venv has not the packages of tests/cloud/requirements.txt: make check-cloud installs them"
    finish
fi
