"""Compares answers that threads noted with those of a model that is used by one thread, row by row."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable, Sequence
from typing import Any, NamedTuple, Protocol

from streamlearn.encoder.row import Features


class Learner(Protocol):
    """What the rows are learnt by."""

    def learn_one(self, x: Features, y: set[str]) -> None: ...


class Note(NamedTuple):
    """An answer, with the rows learnt before the question was asked and after it was answered.

    ``question`` is a key of the table of questions; ``before`` and ``after`` are equal if the answer has its row.
    """

    question: Hashable
    before: int
    after: int
    answer: Any


def differing(
    model: Learner,
    rows: Sequence[tuple[Features, set[str]]],
    questions: dict[Hashable, Callable[[Any], Any]],
    notes: Iterable[Note],
) -> list[Note]:
    """Return the notes whose answer the model gives at none of the rows that they allow.

    Parameters
    ----------
    model:
        A model that has learnt nothing and that no other thread uses.
    rows:
        What it learns, in order.
    questions:
        What to ask the model for each question.
    notes:
        Answers to compare.
    """
    waiting = sorted(notes, key=lambda note: note.before, reverse=True)
    last = max(note.after for note in waiting)
    assert last <= len(rows)
    wrong: list[Note] = []
    open_notes: list[Note] = []
    for row in range(last + 1):
        if row:
            model.learn_one(*rows[row - 1])
        while waiting and waiting[-1].before <= row:
            open_notes.append(waiting.pop())
        answers = {question: questions[question](model) for question in {note.question for note in open_notes}}
        open_notes = [note for note in open_notes if note.answer != answers[note.question]]
        wrong += [note for note in open_notes if note.after <= row]
        open_notes = [note for note in open_notes if note.after > row]
    assert not waiting
    return wrong
