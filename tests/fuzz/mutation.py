"""Mutations of inputs: flips, deletions, repetitions, insertions, and pieces of other inputs."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

INTERESTING = (
    *(b"0", b"-1", b"1e999", b"NaN", b"null", b"true", b"[]", b"{}", b'""', b"'", b'"', b"\\", b"\n", b"\0", b"\xff"),
    *(b"9" * 400, b"[" * 600, b"\\ud800", b"\xef\xbb\xbf", b"%", b"?", b",", b"@data\n", b"=", b"2147483648"),
)


def mutate(seeds: Sequence[bytes], draw: Random) -> bytes:
    """Return one of the seeds after 1 to 5 random changes."""
    data = bytearray(draw.choice(seeds))
    for _ in range(draw.randrange(1, 6)):
        position = draw.randrange(len(data) + 1)
        end = min(len(data), position + draw.randrange(1, 9))
        kind = draw.randrange(6)
        if kind == 0 and position < len(data):
            data[position] ^= 1 << draw.randrange(8)
        elif kind == 1:
            del data[position:end]
        elif kind == 2:
            data[position:position] = data[position:end] * draw.randrange(1, 5)
        elif kind == 3:
            data[position:position] = draw.choice(INTERESTING)
        elif kind == 4:
            other = draw.choice(seeds)
            start = draw.randrange(len(other) + 1)
            data[position:end] = other[start : start + draw.randrange(1, 30)]
        else:
            data[position:end] = draw.randbytes(end - position)
    return bytes(data)
