"""Map label names to slots: an open, bounded label space in which a slot can be reused."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from streamlearn.errors import SnapshotError
from streamlearn.state.names import Name, pack_names, sorted_names, unpack_names

Truth = Mapping[Any, bool] | Collection[Name]
"""Labels with booleans, or the names of the true labels."""


class RiverTruth(dict[Name, bool]):
    """A truth in river's form, labels with booleans.

    It is complete if it contains all labels that are known at its row; otherwise the missing labels are unknown.
    """


TRUTH_CACHE_SIZE = 4096
"""Complete truths whose slots are cached."""


class ResolvedTruth(NamedTuple):
    """A truth in terms of slots.

    Attributes
    ----------
    slots, signs
        Slots, ascending, and 1 (true) or 0 (false) for each. A complete truth lists only its true slots; every other
        label is negative.
    complete
        Whether the truth covers all labels.
    joined
        Slots of new labels, in the order in which they were added.
    replaced
        Those of ``joined`` that belonged to another label before.
    refused
        Number of names that got no slot.
    """

    slots: list[int]
    signs: list[int]
    complete: bool
    joined: list[int]
    replaced: list[int]
    refused: int


class ResolvedCorrection(NamedTuple):
    """The truths of a row before and after a correction, in terms of slots.

    Attributes
    ----------
    before, after
        Sign of each slot, 1 or 0. A complete truth lists only its true slots; every other label is negative.
    was_complete, complete
        Whether the truth before and the truth after cover all labels.
    joined, replaced, refused
        As in `ResolvedTruth`.
    """

    before: dict[int, int]
    after: dict[int, int]
    was_complete: bool
    complete: bool
    joined: list[int]
    replaced: list[int]
    refused: int


class LabelTable:
    """The label space: the slot of each label, how often the label was true, and when last.

    Parameters
    ----------
    maximum:
        Labels at most. Beyond it a new label replaces the one with the fewest positives, if it has fewer than
        ``minimum_support``; otherwise the new label is dropped and counted.
    minimum_support:
        Positives before a label may be predicted.
    retire_after:
        Learnt rows after which a label that was not true retires. Its slot is vacant until a new label takes it, the
        lowest slot first. 0: labels never retire.
    declared:
        Labels that exist from the start. They are never replaced and never retire.
    """

    def __init__(
        self, maximum: int, *, minimum_support: int = 1, retire_after: int = 0, declared: Sequence[Name] = ()
    ) -> None:
        self.maximum = maximum
        self.minimum_support = minimum_support
        self.retire_after = retire_after
        self.rows = 0
        self.vacant: list[int] = []
        self.names: list[Name] = []
        self.generations: list[int] = []
        self.supports: list[int] = []
        self._last_true: list[int] = []
        self._next_retirement = 0  # row before which no label is due to retire
        self._slot_of: dict[Name, int] = {}
        self._resolved: dict[tuple[Name, ...], ResolvedTruth] = {}
        for name in dict.fromkeys(declared):
            if len(self.names) < maximum:
                self._append(name)
        self.declared = len(self.names)

    @property
    def count(self) -> int:
        """Slots in use, including vacant ones."""
        return len(self.names)

    @property
    def known_count(self) -> int:
        """Known labels: slots in use without the vacant ones."""
        return len(self._slot_of)

    def known_slots(self) -> list[int]:
        """Return the slots that have a label, in ascending order."""
        if not self.vacant:
            return list(range(len(self.names)))
        vacant = set(self.vacant)
        return [slot for slot in range(len(self.names)) if slot not in vacant]

    def _append(self, name: Name) -> int:
        slot = len(self.names)
        self.names.append(name)
        self.generations.append(0)
        self.supports.append(0)
        self._last_true.append(self.rows)
        self._slot_of[name] = slot
        return slot

    def find(self, name: Name) -> int | None:
        """Return the slot of a name, or None."""
        return self._slot_of.get(name)

    def knows_all(self, truth: Truth) -> bool:
        """Return whether every name of a truth has a slot."""
        slot_of = self._slot_of
        for name in truth:  # noqa: SIM110 - a generator takes three times as long, once per row
            if name not in slot_of:
                return False
        return True

    def resolve_known(self, truth: Truth, *, count: bool) -> ResolvedTruth | None:
        """Resolve a complete truth whose names all have slots; return None for any other truth.

        With ``count`` the truth counts as a learnt row.
        """
        if isinstance(truth, Mapping):
            return None
        key = tuple(truth)
        resolved = self._resolved.get(key)
        if resolved is None:
            if not self.knows_all(key):
                return None
            slots = sorted({self._slot_of[name] for name in key})
            resolved = ResolvedTruth(slots, [1] * len(slots), True, [], [], 0)
            if len(self._resolved) >= TRUTH_CACHE_SIZE:
                self._resolved.clear()
            self._resolved[key] = resolved
        if count:
            self.rows += 1
            rows, supports, last_true = self.rows, self.supports, self._last_true
            for slot in resolved.slots:
                supports[slot] += 1
                last_true[slot] = rows
        return resolved

    def may_join(self, truth: Truth) -> bool:
        """Return whether a name of a truth that has no slot can get one."""
        if self.vacant or len(self.names) < self.maximum:
            return True
        return any(
            self.supports[slot] < self.minimum_support and self.names[slot] not in truth
            for slot in range(self.declared, len(self.names))
        )

    def resolve(self, truth: Truth, *, join: bool = True) -> ResolvedTruth:
        """Map names to slots; unknown names join in the order of names.

        With ``join`` false unknown names are left out and nothing changes.
        """
        found = self.resolve_known(truth, count=join)
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
        missing = sorted_names(name for name in signs if name not in slot_of)
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
        if isinstance(truth, RiverTruth) and len(pairs) == len(self._slot_of):
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
        """Map the truths of a row before and after a correction to slots.

        Unknown names whose sign is new or changed may join; an unknown name with the same sign was refused or has
        retired. With ``join`` false nothing changes.
        """
        was_complete, complete = not isinstance(before, Mapping), not isinstance(after, Mapping)
        old, new = _signs(before), _signs(after)
        unknown = 0 if was_complete else None
        changed = sorted_names(name for name, sign in new.items() if old.get(name, unknown) != sign)
        joined: list[int] = []
        replaced: list[int] = []
        refused = 0
        if join:
            for name in changed:
                if name not in self._slot_of:
                    slot = self._join(name, new, replaced)
                    if slot is None:
                        refused += 1
                    else:
                        joined.append(slot)
            for name in changed:
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

    def _join(self, name: Name, present: Mapping[Name, int], replaced: list[int]) -> int | None:
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
        # Earlier answers keep their list of names, so the list is copied.
        self.names = list(self.names)
        self.names[slot] = name
        self._last_true[slot] = self.rows
        self._slot_of[name] = slot
        replaced.append(slot)
        return slot

    def _least_supported(self, present: Mapping[Name, int]) -> int | None:
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
        self._resolved.clear()

    def slots_to_retire(self) -> list[int]:
        """Return the slots of labels that are due to retire, ascending; ``retire_after`` must not be 0."""
        after = self.retire_after
        if self.rows < self._next_retirement:
            return []
        last = {slot: self._last_true[slot] for slot in self.known_slots()[self.declared :]}
        due = [slot for slot, row in last.items() if self.rows - row >= after]
        for slot in due:
            del last[slot]
        self._next_retirement = min(last.values(), default=self.rows) + after
        return due

    def retire(self, slots: Sequence[int]) -> None:
        """Retire the labels of these slots, which become vacant."""
        for slot in slots:
            self._empty(slot)
        self.vacant = sorted([*self.vacant, *slots])

    def change_settings(self, *, minimum_support: int, retire_after: int) -> None:
        """Use other settings from the next row on."""
        self.minimum_support = minimum_support
        self.retire_after = retire_after
        self._next_retirement = 0

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the arrays of the table."""
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
        """Load the table from the arrays of a snapshot; raises `SnapshotError` if it exceeds ``maximum``."""
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
        self._next_retirement = 0
        self._resolved.clear()


def _signs(truth: Truth) -> dict[Name, int]:
    """Return the sign, 1 or 0, of each name in a truth."""
    if isinstance(truth, Mapping):
        return {name: int(bool(sign)) for name, sign in truth.items()}
    return dict.fromkeys(truth, 1)
