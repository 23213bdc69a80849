"""Combines the label updates of one instance, and takes labels that were never named as negative.

A complete truth is a list of names, sorted; a partial one an object of names and booleans. Their bytes are what is kept
of an instance.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from streamlearn.codec.decode import Truth
from streamlearn.encoder.labels import Truth as AnyTruth

_encoder = msgspec.json.Encoder(order="deterministic")
_decoder = msgspec.json.Decoder(Truth)


def combine(before: Truth | None, new: Truth) -> Truth | None:
    """Return the truth after an update; None when the update says nothing new.

    The newer value of a label counts. A complete truth stays complete.
    """
    if before is None:
        return new
    if isinstance(new, list):
        after = sorted(set(new))
        return None if isinstance(before, list) and set(before) == set(after) else after
    if isinstance(before, list):
        changed = any(sign != (name in before) for name, sign in new.items())
        return sorted({*before, *new} - {name for name, sign in new.items() if not sign}) if changed else None
    after = {**before, **new}
    return None if after == before else after


def close_world(before: Truth | None) -> list[str]:
    """Return the complete truth in which every label that was not named is negative (closed-world assumption)."""
    known = before or {}
    return sorted(name for name, sign in known.items() if sign) if isinstance(known, Mapping) else known


def encode_truth(truth: AnyTruth) -> bytes:
    """Return a truth as JSON; equal truths give equal bytes."""
    return _encoder.encode(truth if isinstance(truth, Mapping) else sorted(set(truth)))


def decode_truth(data: bytes) -> Truth | None:
    """Return the truth that `encode_truth` encoded; None for no bytes."""
    return _decoder.decode(data) if data else None
