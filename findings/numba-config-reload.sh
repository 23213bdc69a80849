#!/usr/bin/env bash
# numba 0.68.1: a change of any NUMBA_* variable undoes what a program has set on numba.core.config.
#
# A program that sets numba.core.config.OPT or another option expects it to stay. Seen instead: at the next compilation
# numba compares the NUMBA_* variables of os.environ with those it knows and, when any of them differs, reads its whole
# configuration again. Every option that the program has set is back at its default, without a word. joblib and its like
# set NUMBA_NUM_THREADS in their worker processes, so this happens to programs that touch no variable themselves.
#
# Set such options as variables before numba is imported, or set them again before each compilation. Exits with 0 while
# this is so, and with 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet numba==0.68.1 numpy==2.4.6
cat >"$folder/reload.py" <<'PYTHON'
import os

from numba import njit
from numba.core import config


def compile_one():
    njit(lambda value: value + 1)(1)


before = config.FULL_TRACEBACKS, config.BOUNDSCHECK
config.FULL_TRACEBACKS, config.BOUNDSCHECK = 1, 1
compile_one()
print("set, after a compilation:", config.FULL_TRACEBACKS, config.BOUNDSCHECK)
os.environ["NUMBA_NUM_THREADS"] = "1"
print("after a change of NUMBA_NUM_THREADS:", config.FULL_TRACEBACKS, config.BOUNDSCHECK)
compile_one()
print("after the next compilation, as before setting:", (config.FULL_TRACEBACKS, config.BOUNDSCHECK) == before)
PYTHON
seen=$("$folder/venv/bin/python" "$folder/reload.py")
echo "$seen"
expected="set, after a compilation: 1 1
after a change of NUMBA_NUM_THREADS: 1 1
after the next compilation, as before setting: True"
[ "$seen" = "$expected" ] || { echo "this has changed; expected:" && echo "$expected"; exit 1; }
