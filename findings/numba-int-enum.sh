#!/usr/bin/env bash
# numba 0.68.1: members of an IntEnum inside compiled functions.
#
# A member indexes an array in a compiled function, so one expects it to be an integer there. Seen instead:
# - int(member) and len(EnumClass) do not compile (TypingError); np.int64(member) does;
# - a member that is passed on as an argument is a type of its own: a function that was compiled for int64 is compiled
#   once more for each enum class that it is called with.
#
# For a code base that names the fields of its arrays with IntEnum: index with members, convert with np.int64 before a
# call, and take the number of fields outside. Exits with 0 while this is so, and with 1 when it has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m venv "$folder/venv"
"$folder/venv/bin/pip" install --quiet numba==0.68.1 numpy==2.4.6
cat >"$folder/members.py" <<'PYTHON'
from enum import IntEnum

import numpy as np
from numba import njit
from numba.core.errors import TypingError


class Field(IntEnum):
    ROWS = 0
    WIDTH = 1


class Size(IntEnum):
    SMALL = 1


@njit
def by_member(values):
    return values[Field.WIDTH]


@njit
def by_int64(values):
    return values[np.int64(Field.WIDTH)]


@njit
def by_int(values):
    return values[int(Field.WIDTH)]


@njit
def count_fields():
    return len(Field)


@njit
def at(values, index):
    return values[index]


@njit
def call_with_members(values):
    return at(values, 1) + at(values, Field.WIDTH) + at(values, Size.SMALL)


def outcome(function, *arguments):
    try:
        return str(function(*arguments))
    except TypingError:
        return "TypingError"


values = np.arange(3.0)
print("values[member]:", outcome(by_member, values))
print("values[np.int64(member)]:", outcome(by_int64, values))
print("values[int(member)]:", outcome(by_int, values))
print("len(enum):", outcome(count_fields))
call_with_members(values)
print("signatures of a function called with 1 and two members:", len(at.signatures))
PYTHON
seen=$("$folder/venv/bin/python" "$folder/members.py")
echo "$seen"
expected="values[member]: 1.0
values[np.int64(member)]: 1.0
values[int(member)]: TypingError
len(enum): TypingError
signatures of a function called with 1 and two members: 3"
[ "$seen" = "$expected" ] || { echo "this has changed; expected:" && echo "$expected"; exit 1; }
