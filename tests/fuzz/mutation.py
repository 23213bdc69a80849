"""Inputs made of inputs: bytes turned, cut out, repeated, and pieces of one input put into another."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

INTERESTING = (
    *(b"0", b"-1", b"1e999", b"NaN", b"null", b"true", b"[]", b"{}", b'""', b"'", b'"', b"\\", b"\n", b"\0", b"\xff"),
    *(b"9" * 400, b"[" * 600, b"\\ud800", b"\xef\xbb\xbf", b"%", b"?", b",", b"@data\n", b"=", b"2147483648"),
)


def mutated(seeds: Sequence[bytes], draw: Random) -> bytes:
    """Return one of the seeds after a few changes."""
    data = bytearray(draw.choice(seeds))
    for _ in range(draw.randrange(1, 6)):
        at = draw.randrange(len(data) + 1)
        end = min(len(data), at + draw.randrange(1, 9))
        kind = draw.randrange(6)
        if kind == 0 and at < len(data):
            data[at] ^= 1 << draw.randrange(8)
        elif kind == 1:
            del data[at:end]
        elif kind == 2:
            data[at:at] = data[at:end] * draw.randrange(1, 5)
        elif kind == 3:
            data[at:at] = draw.choice(INTERESTING)
        elif kind == 4:
            other = draw.choice(seeds)
            start = draw.randrange(len(other) + 1)
            data[at:end] = other[start : start + draw.randrange(1, 30)]
        else:
            data[at:end] = draw.randbytes(end - at)
    return bytes(data)
