"""Label names to slots: open, bounded, each slot with a generation."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import NamedTuple

import numpy as np

from streamlearn.errors import SnapshotError
from streamlearn.state.arrays import pack_names, unpack_names

Truth = Mapping[str, bool] | Collection[str]


class AllNamed(dict[str, bool]):
    """A mapping that is a complete truth if it names every label known then; else what it does not name is unknown."""


TRUTHS_REMEMBERED = 4096


class ResolvedTruth(NamedTuple):
    """A truth in slots.

    ``slots`` ascending, ``signs`` (1 true, 0 false) beside them; a complete truth lists only its true slots, and every
    other label is negative. ``joined`` says whether a name joined;
    ``replaced`` are the slots whose label left to make room; ``refused`` counts names that
    found none.
    """

    slots: list[int]
    signs: list[int]
    complete: bool
    joined: bool
    replaced: list[int]
    refused: int


class LabelTable:
    """The label space: who has which slot, and how often each was true.

    Parameters
    ----------
    maximum:
        Labels at most. Beyond it the least supported label with fewer than ``minimum_support`` positives leaves; when
        there is none, the new name is dropped and counted.
    minimum_support:
        Positives before a label may be predicted.
    declared:
        Labels that exist from the start. They never leave.
    """

    def __init__(self, maximum: int, *, minimum_support: int = 1, declared: Sequence[str] = ()) -> None:
        self.maximum = maximum
        self.minimum_support = minimum_support
        self.names: list[str] = []
        self.generations: list[int] = []
        self.supports: list[int] = []
        self._slot_of: dict[str, int] = {}
        self._remembered: dict[tuple[str, ...], ResolvedTruth] = {}
        for name in dict.fromkeys(declared):
            if len(self.names) < maximum:
                self._append(name)
        self.declared = len(self.names)

    @property
    def count(self) -> int:
        """Slots in use."""
        return len(self.names)

    def _append(self, name: str) -> int:
        slot = len(self.names)
        self.names.append(name)
        self.generations.append(0)
        self.supports.append(0)
        self._slot_of[name] = slot
        return slot

    def find(self, name: str) -> int | None:
        """Return the slot of a name, or None."""
        return self._slot_of.get(name)

    def knows_all(self, truth: Truth) -> bool:
        """Return whether every name of a truth has a slot."""
        slot_of = self._slot_of
        for name in truth:  # noqa: SIM110 - a generator costs three times as much, once a row
            if name not in slot_of:
                return False
        return True

    def known(self, truth: Truth, *, count: bool) -> ResolvedTruth | None:
        """Return a complete truth in slots when every name has one, else None; with ``count`` it is a row learnt."""
        if isinstance(truth, Mapping):
            return None
        key = tuple(truth)
        resolved = self._remembered.get(key)
        if resolved is None:
            if not self.knows_all(key):
                return None
            slots = sorted({self._slot_of[name] for name in key})
            resolved = ResolvedTruth(slots, [1] * len(slots), True, False, [], 0)
            if len(self._remembered) >= TRUTHS_REMEMBERED:
                self._remembered.clear()
            self._remembered[key] = resolved
        if count:
            supports = self.supports
            for slot in resolved.slots:
                supports[slot] += 1
        return resolved

    def may_join(self, truth: Truth) -> bool:
        """Return whether a name of a truth that has no slot would get one."""
        if len(self.names) < self.maximum:
            return True
        return any(
            self.supports[slot] < self.minimum_support and self.names[slot] not in truth
            for slot in range(self.declared, len(self.names))
        )

    def resolve(self, truth: Truth, *, join: bool = True) -> ResolvedTruth:
        """Turn names into slots; names seen for the first time join in code-point order.

        With ``join`` false unknown names are left out and nothing changes.
        """
        found = self.known(truth, count=join)
        if found is not None:
            return found
        listed = not isinstance(truth, Mapping)
        signs = dict.fromkeys(truth, 1) if listed else {name: int(bool(sign)) for name, sign in truth.items()}
        slot_of = self._slot_of
        replaced: list[int] = []
        refused = 0
        missing = sorted(name for name in signs if name not in slot_of)
        if missing:
            if join:
                refused = sum(self._join(name, signs, replaced) is None for name in missing)
            signs = {name: sign for name, sign in signs.items() if name in slot_of}
        pairs = sorted([(slot_of[name], sign) for name, sign in signs.items()])
        if join:
            for slot, sign in pairs:
                self.supports[slot] += sign
        complete = listed
        if isinstance(truth, AllNamed) and len(pairs) == len(self.names):
            complete = True
            pairs = [(slot, sign) for slot, sign in pairs if sign]
        return ResolvedTruth(
            [slot for slot, _ in pairs],
            [sign for _, sign in pairs],
            complete,
            join and len(missing) > refused,
            replaced,
            refused,
        )

    def _join(self, name: str, present: Mapping[str, int], replaced: list[int]) -> int | None:
        if len(self.names) < self.maximum:
            return self._append(name)
        leaving = None
        for slot in range(self.declared, len(self.names)):
            if self.supports[slot] >= self.minimum_support or self.names[slot] in present:
                continue
            if leaving is None or self.supports[slot] < self.supports[leaving]:
                leaving = slot
        if leaving is None:
            return None
        del self._slot_of[self.names[leaving]]
        # Answers given before keep the names and generations that they were made with.
        self.names = list(self.names)
        self.generations = list(self.generations)
        self.names[leaving] = name
        self.generations[leaving] += 1
        self.supports[leaving] = 0
        self._slot_of[name] = leaving
        self._remembered.clear()
        replaced.append(leaving)
        return leaving

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the table by name."""
        packed, offsets = pack_names(self.names)
        return {
            "names": packed,
            "name_offsets": offsets,
            "generations": np.array(self.generations, np.int64),
            "supports": np.array(self.supports, np.int64),
            "declared": np.array([self.declared], np.int64),
        }

    def load_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Take the table over; raises `SnapshotError` when it holds more labels than ``maximum``."""
        names = unpack_names(arrays["names"], arrays["name_offsets"])
        if len(names) > self.maximum:
            raise SnapshotError(
                f"the snapshot has {len(names)} labels but labels.maximum is {self.maximum}: raise the setting"
            )
        self.names = names
        self.generations = [int(value) for value in arrays["generations"]]
        self.supports = [int(value) for value in arrays["supports"]]
        self.declared = int(arrays["declared"][0])
        self._slot_of = {name: slot for slot, name in enumerate(names)}
        self._remembered.clear()
