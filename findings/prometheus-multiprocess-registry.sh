#!/usr/bin/env bash
# prometheus-client 0.26.0: PROMETHEUS_MULTIPROC_DIR decides where every metric lives, also those of private registries.
#
# The variable is documented for servers with several processes, whose registry has a MultiProcessCollector. One expects
# metrics on another, private CollectorRegistry to stay in memory. Seen instead, with the variable set for any reason,
# such as an image that inherits it from a web server:
# - a counter on a private registry is a file in that folder;
# - when the folder does not exist, the declaration of a counter fails with FileNotFoundError.
# The choice is made when prometheus_client is imported: removing the variable before that keeps metrics in memory.
# Exits with 0 while this is so, and with 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet prometheus-client==0.26.0
cat >"$folder/declare.py" <<'PYTHON'
import os
import sys

if sys.argv[1] == "removed":
    del os.environ["PROMETHEUS_MULTIPROC_DIR"]
from prometheus_client import CollectorRegistry, Counter

try:
    counter = Counter("rows", "Rows.", registry=CollectorRegistry())
    counter.inc()
    print(f"{sys.argv[1]}:", counter._value.get())
except FileNotFoundError as error:
    print(f"{sys.argv[1]}: FileNotFoundError")
folder = os.environ.get("PROMETHEUS_MULTIPROC_DIR", "")
for name in sorted(os.listdir(folder)) if os.path.isdir(folder) else []:
    print("file:", name.replace(str(os.getpid()), "PID"))
PYTHON
mkdir "$folder/metrics"
seen=$(
  PROMETHEUS_MULTIPROC_DIR="$folder/metrics" "$folder/venv/bin/python" "$folder/declare.py" "folder there"
  PROMETHEUS_MULTIPROC_DIR="$folder/absent" "$folder/venv/bin/python" "$folder/declare.py" "folder absent"
  PROMETHEUS_MULTIPROC_DIR="$folder/absent" "$folder/venv/bin/python" "$folder/declare.py" removed
)
echo "$seen"
expected="folder there: 1.0
file: counter_PID.db
folder absent: FileNotFoundError
removed: 1.0"
[ "$seen" = "$expected" ] || { echo "this has changed; expected:" && echo "$expected"; exit 1; }
