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
    other label is negative. ``joined`` are the slots of names that joined, in the order in which they did; ``replaced``
    are those among them that another label had before; ``refused`` counts names that found none.
    """

    slots: list[int]
    signs: list[int]
    complete: bool
    joined: list[int]
    replaced: list[int]
    refused: int


class ResolvedCorrection(NamedTuple):
    """What was known of a row before and after another truth for it, in slots.

    A slot's sign is 1 or 0; of a complete truth only the true slots are listed, and every other label is negative.
    ``joined``, ``replaced`` and ``refused`` are as in `ResolvedTruth`.
    """

    before: dict[int, int]
    after: dict[int, int]
    was_complete: bool
    complete: bool
    joined: list[int]
    replaced: list[int]
    refused: int


class LabelTable:
    """The label space: who has which slot, how often each was true, and when last.

    Parameters
    ----------
    maximum:
        Labels at most. Beyond it the least supported label with fewer than ``minimum_support`` positives leaves; when
        there is none, the new name is dropped and counted.
    minimum_support:
        Positives before a label may be predicted.
    retire_after:
        A label that was not true in so many rows learnt retires: its slot is vacant until another one takes it, the
        lowest first. 0: none does.
    declared:
        Labels that exist from the start. They never leave.
    """

    def __init__(
        self, maximum: int, *, minimum_support: int = 1, retire_after: int = 0, declared: Sequence[str] = ()
    ) -> None:
        self.maximum = maximum
        self.minimum_support = minimum_support
        self.retire_after = retire_after
        self.rows = 0
        self.vacant: list[int] = []
        self.names: list[str] = []
        self.generations: list[int] = []
        self.supports: list[int] = []
        self._last_true: list[int] = []
        self._none_retires_before = 0
        self._slot_of: dict[str, int] = {}
        self._remembered: dict[tuple[str, ...], ResolvedTruth] = {}
        for name in dict.fromkeys(declared):
            if len(self.names) < maximum:
                self._append(name)
        self.declared = len(self.names)

    @property
    def count(self) -> int:
        """Slots in use, the vacant ones among them."""
        return len(self.names)

    @property
    def known_count(self) -> int:
        """Labels known."""
        return len(self._slot_of)

    def known_slots(self) -> list[int]:
        """Return the slots that have a label, ascending."""
        if not self.vacant:
            return list(range(len(self.names)))
        vacant = set(self.vacant)
        return [slot for slot in range(len(self.names)) if slot not in vacant]

    def _append(self, name: str) -> int:
        slot = len(self.names)
        self.names.append(name)
        self.generations.append(0)
        self.supports.append(0)
        self._last_true.append(self.rows)
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
            resolved = ResolvedTruth(slots, [1] * len(slots), True, [], [], 0)
            if len(self._remembered) >= TRUTHS_REMEMBERED:
                self._remembered.clear()
            self._remembered[key] = resolved
        if count:
            self.rows += 1
            rows, supports, last_true = self.rows, self.supports, self._last_true
            for slot in resolved.slots:
                supports[slot] += 1
                last_true[slot] = rows
        return resolved

    def may_join(self, truth: Truth) -> bool:
        """Return whether a name of a truth that has no slot would get one."""
        if self.vacant or len(self.names) < self.maximum:
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
        signs = _signs(truth)
        slot_of = self._slot_of
        joined: list[int] = []
        replaced: list[int] = []
        refused = 0
        if join:
            self.rows += 1
        missing = sorted(name for name in signs if name not in slot_of)
        if missing:
            if join:
                for name in missing:
                    slot = self._join(name, signs, replaced)
                    if slot is None:
                        refused += 1
                    else:
                        joined.append(slot)
            signs = {name: sign for name, sign in signs.items() if name in slot_of}
        pairs = sorted([(slot_of[name], sign) for name, sign in signs.items()])
        if join:
            for slot, sign in pairs:
                self.supports[slot] += sign
                if sign:
                    self._last_true[slot] = self.rows
        complete = listed
        if isinstance(truth, AllNamed) and len(pairs) == len(self._slot_of):
            complete = True
            pairs = [(slot, sign) for slot, sign in pairs if sign]
        return ResolvedTruth(
            [slot for slot, _ in pairs],
            [sign for _, sign in pairs],
            complete,
            joined,
            replaced,
            refused,
        )

    def correct(self, before: Truth, after: Truth, *, join: bool = True) -> ResolvedCorrection:
        """Turn what is known of a row before and after another truth into slots.

        Names that this truth tells for the first time, or otherwise, may join; a name that was there before and has no
        slot was refused or has retired. With ``join`` false nothing changes.
        """
        was_complete, complete = not isinstance(before, Mapping), not isinstance(after, Mapping)
        old, new = _signs(before), _signs(after)
        unknown = 0 if was_complete else None
        told = sorted(name for name, sign in new.items() if old.get(name, unknown) != sign)
        joined: list[int] = []
        replaced: list[int] = []
        refused = 0
        if join:
            for name in told:
                if name not in self._slot_of:
                    slot = self._join(name, new, replaced)
                    if slot is None:
                        refused += 1
                    else:
                        joined.append(slot)
            for name in told:
                if new[name] and name in self._slot_of:
                    slot = self._slot_of[name]
                    self.supports[slot] += 1
                    self._last_true[slot] = self.rows
        return ResolvedCorrection(
            {self._slot_of[name]: sign for name, sign in old.items() if name in self._slot_of},
            {self._slot_of[name]: sign for name, sign in new.items() if name in self._slot_of},
            was_complete,
            complete,
            joined,
            replaced,
            refused,
        )

    def _join(self, name: str, present: Mapping[str, int], replaced: list[int]) -> int | None:
        if self.vacant:
            slot = self.vacant.pop(0)
        elif len(self.names) < self.maximum:
            return self._append(name)
        else:
            leaving = self._least_supported(present)
            if leaving is None:
                return None
            slot = leaving
            self._empty(slot)
        # Answers given before keep the names that they were made with.
        self.names = list(self.names)
        self.names[slot] = name
        self._last_true[slot] = self.rows
        self._slot_of[name] = slot
        replaced.append(slot)
        return slot

    def _least_supported(self, present: Mapping[str, int]) -> int | None:
        leaving = None
        for slot in range(self.declared, len(self.names)):
            if self.supports[slot] >= self.minimum_support or self.names[slot] in present:
                continue
            if leaving is None or self.supports[slot] < self.supports[leaving]:
                leaving = slot
        return leaving

    def _empty(self, slot: int) -> None:
        del self._slot_of[self.names[slot]]
        self.names = list(self.names)
        self.generations = list(self.generations)
        self.names[slot] = ""
        self.generations[slot] += 1
        self.supports[slot] = 0
        self._remembered.clear()

    def too_long_false(self) -> list[int]:
        """Return the slots of labels that are due to retire, ascending; ``retire_after`` must not be 0."""
        after = self.retire_after
        if self.rows < self._none_retires_before:
            return []
        last = {slot: self._last_true[slot] for slot in self.known_slots()[self.declared :]}
        due = [slot for slot, row in last.items() if self.rows - row >= after]
        for slot in due:
            del last[slot]
        self._none_retires_before = min(last.values(), default=self.rows) + after
        return due

    def retire(self, slots: Sequence[int]) -> None:
        """Let the labels of these slots go."""
        for slot in slots:
            self._empty(slot)
        self.vacant = sorted([*self.vacant, *slots])

    def change(self, *, minimum_support: int, retire_after: int) -> None:
        """Let other settings hold from the next row on."""
        self.minimum_support = minimum_support
        self.retire_after = retire_after
        self._none_retires_before = 0

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the table by name."""
        packed, offsets = pack_names(self.names)
        return {
            "names": packed,
            "name_offsets": offsets,
            "generations": np.array(self.generations, np.int64),
            "supports": np.array(self.supports, np.int64),
            "last_true": np.array(self._last_true, np.int64),
            "rows": np.array([self.rows], np.int64),
            "vacant": np.array(self.vacant, np.int64),
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
        self._last_true = [int(value) for value in arrays["last_true"]]
        self.rows = int(arrays["rows"][0])
        self.vacant = [int(value) for value in arrays["vacant"]]
        self.declared = int(arrays["declared"][0])
        self._slot_of = {names[slot]: slot for slot in self.known_slots()}
        self._none_retires_before = 0
        self._remembered.clear()


def _signs(truth: Truth) -> dict[str, int]:
    """Return the sign of each name that a truth tells of, 1 or 0."""
    if isinstance(truth, Mapping):
        return {name: int(bool(sign)) for name, sign in truth.items()}
    return dict.fromkeys(truth, 1)
