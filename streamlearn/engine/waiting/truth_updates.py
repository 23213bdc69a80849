"""What is known of an instance: truths that add up, and their bytes."""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from streamlearn.codec.decode import Truth
from streamlearn.encoder.labels import Truth as AnyTruth

_encoder = msgspec.json.Encoder(order="deterministic")
_decoder = msgspec.json.Decoder(Truth)


def merged(before: Truth | None, new: Truth) -> Truth | None:
    """Return all that is known after another truth: a list is complete, an object partial; None: it tells nothing new.

    Whatever the newer truth says of a label counts. Who knows all labels goes on knowing them.
    """
    if before is None:
        return new
    if isinstance(new, list):
        after = sorted(set(new))
        return None if isinstance(before, list) and set(before) == set(after) else after
    if isinstance(before, list):
        told = {name: sign for name, sign in new.items() if sign != (name in before)}
        return sorted({*before, *new} - {name for name, sign in new.items() if not sign}) if told else None
    after = {**before, **new}
    return None if after == before else after


def silent(before: Truth | None) -> list[str]:
    """Return the complete truth of an instance when whatever nobody has said of it is false."""
    known = before or {}
    return sorted(name for name, sign in known.items() if sign) if isinstance(known, Mapping) else known


def truth_bytes(truth: AnyTruth) -> bytes:
    """Return a truth as JSON; equal truths have equal bytes."""
    return _encoder.encode(truth if isinstance(truth, Mapping) else sorted(set(truth)))


def truth_of(data: bytes) -> Truth | None:
    """Return what `truth_bytes` made bytes of; None for none."""
    return _decoder.decode(data) if data else None
