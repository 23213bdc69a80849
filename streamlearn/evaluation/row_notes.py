"""Notes about the rows of an evaluation: what makes its result empty is an error, what makes it surprising a remark."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from streamlearn.errors import UsageError
from streamlearn.settings.settings import Settings
from streamlearn.streams.base import Stream, StreamRow

_ADVICE = {
    "nan": "numbers that are not finite; correct them",
    "infinite": "numbers beyond 1e150; correct or scale them",
    "text_too_long": "long strings; name the field in encoder.text_fields if it is a text, or raise limits.name_bytes",
    "word_too_long": "long words of texts; raise encoder.text_word_length if they matter",
    "text_words_full": "words behind the first ones of a text; raise encoder.text_words if they matter",
    "features_full": "values of new features; raise features.maximum",
    "labels_full": "new labels; raise labels.maximum",
}
NAMES_SHOWN = 5


class RowNotes:
    """Notes of the rows of one stream.

    Parameters
    ----------
    stream:
        The stream.
    settings:
        As the user gave them: ``encoder.text_fields`` and ``labels.declared`` are names that rows should have.
    """

    def __init__(self, stream: Stream, settings: Settings) -> None:
        self._stream = stream
        self._rows = self._with_truth = 0
        self._has_true_label = False
        self._has_feature = bool(stream.features)
        self._not_seen = dict.fromkeys(name for name in settings.encoder.text_fields if name not in stream.features)
        self._not_a_text = dict.fromkeys(settings.encoder.text_fields)
        self._not_mentioned = dict.fromkeys(name for name in settings.labels.declared if name not in stream.labels)
        self._first_features: Sequence[str] = list(stream.features)

    def add(self, rows: Iterable[StreamRow]) -> None:
        """Take rows into account, in order."""
        for row in rows:
            self._rows += 1
            if row.y is not None and (row.y or not isinstance(row.y, Mapping)):
                self._with_truth += 1
                if not self._has_true_label:
                    self._has_true_label = any(row.y.values()) if isinstance(row.y, Mapping) else bool(row.y)
                for name in [name for name in self._not_mentioned if name in row.y]:
                    del self._not_mentioned[name]
            self._has_feature = self._has_feature or bool(row.x)
            if isinstance(row.x, Mapping):
                self._first_features = self._first_features or list(row.x)
                for name in [name for name in self._not_a_text if name in row.x]:
                    self._not_seen.pop(name, None)
                    if isinstance(row.x[name], str):
                        del self._not_a_text[name]

    def check(self) -> None:
        """Check that there is something to score.

        Raises
        ------
        UsageError
            When there is no row, or none with a truth.
        """
        source = self._stream.source
        if not self._rows:
            raise UsageError(f"{source} has no instances: there is nothing to evaluate; give a file with rows")
        if not self._with_truth:
            raise UsageError(
                f"{source}: none of its {self._rows:,} instances has labels, so nothing was scored or learnt; each "
                'needs its true labels: in JSON Lines "y", a list of names, [] for none; in ARFF 0 or 1 instead of ?'
            )

    def remarks(self, dropped: Mapping[str, int]) -> list[str]:
        """Return what is surprising, a sentence each; ``dropped`` are counts of values by reason."""
        found = []
        if self._with_truth < self._rows:
            found.append(
                f"{self._rows - self._with_truth:,} of {self._rows:,} instances have no labels: they are predicted, "
                "but neither scored nor learnt."
            )
        if not self._has_true_label:
            found.append("No instance has a true label: the measures only say how often none is predicted.")
        if not self._has_feature:
            found.append("No instance has a feature: x is empty.")
        has = f"; the first instance has {_names(self._first_features)}" if self._first_features else ""
        if self._not_seen:
            found.append(f"encoder.text_fields has {_names(self._not_seen)}, which no instance has{has}.")
        if numbers := [name for name in self._not_a_text if name not in self._not_seen]:
            found.append(f"encoder.text_fields has {_names(numbers)}, which is never a text.")
        if self._not_mentioned:
            found.append(f"labels.declared has {_names(self._not_mentioned)}, which no instance mentions.")
        for reason, count in dropped.items():
            found.append(f"{count:,} values were left out ({reason}): {_ADVICE.get(reason, 'see the documentation')}.")
        return found


def _names(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(map(repr, names[:NAMES_SHOWN])) + (", ..." if len(names) > NAMES_SHOWN else "")
