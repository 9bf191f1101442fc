#!/bin/bash
# venv.sh FOLDER: a virtual environment with the packages of requirements.txt, for make check-cloud. Does nothing where FOLDER has them already.
# PYTHON names another python3 than the distribution's.
set -euo pipefail
folder=$1
list=$(dirname "$0")/requirements.txt
done=$folder/requirements.txt
! cmp -s "$list" "$done" || exit 0

echo "check-cloud: installing the packages of tests/cloud/requirements.txt (a minute or two)"
rm -rf "$folder"
"${PYTHON:-/usr/bin/python3}" -m venv "$folder" ||
    { echo "check-cloud: python3 cannot make a virtual environment (Debian: apt-get install python3-venv)" >&2; exit 1; }
"$folder/bin/python" -m pip install --quiet --no-input --no-compile --disable-pip-version-check -r "$list"
cp "$list" "$done"
