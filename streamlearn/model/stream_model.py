"""The model of a stream: encoder, learner and measures, which apply micro-batches of operations in order."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

import numpy as np

from streamlearn.encoder.labels import LabelTable
from streamlearn.encoder.row import Encoder, Features, Packed
from streamlearn.encoder.text import TextFields
from streamlearn.errors import UsageError
from streamlearn.learner.drift.detectors import DriftDetectors
from streamlearn.learner.entries import Entries
from streamlearn.learner.operations import PREDICT
from streamlearn.model.batch_result import MicroBatchResult
from streamlearn.model.learner_factory import learner_bytes_bound, new_learner
from streamlearn.model.measures import Measures
from streamlearn.model.micro_batch import MicroBatch
from streamlearn.model.runner import MicroBatchRunner
from streamlearn.settings.rule import Rule
from streamlearn.settings.settings import DriftSettings, Settings
from streamlearn.state.array_names import ModelPart, join_parts
from streamlearn.state.arrays import state_hash
from streamlearn.state.lazy_arrays import split_parts
from streamlearn.state.names import Name


class StreamModel:
    """The model of one stream.

    Parameters
    ----------
    settings:
        The settings; sections ``learner``, ``drift``, ``labels``, ``features``, ``encoder``, ``limits`` and
        ``measures`` are used.
    labels:
        Label names that exist from row 0, in addition to ``labels.declared``.
    features:
        Feature names that get the first columns, in this order.
    texts:
        Names of features whose strings are texts, in addition to ``encoder.text_fields``.
    detectors:
        Empty drift detectors that replace those of the settings.

    Raises
    ------
    UsageError
        When the model may grow beyond ``limits.memory_bytes``, or the preset has detectors of its own.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        labels: Sequence[Name] = (),
        features: Sequence[Name] = (),
        texts: Collection[Name] = (),
        detectors: DriftDetectors | None = None,
    ) -> None:
        self.settings = settings
        self.rule = Rule.parse(settings.learner.rule)
        declared = list(dict.fromkeys([*settings.labels.declared, *labels]))
        self._maximum = self.check_memory(settings, len(features), len(declared), texts=bool(texts))
        maximum_features, maximum_labels = self._maximum
        self._texts = frozenset(texts)
        text = text_fields(settings, texts)
        self.encoder = Encoder(maximum_features, hashed=settings.features.hashed, declared=features, text=text)
        self.labels = LabelTable(
            maximum_labels,
            minimum_support=settings.labels.min_count,
            retire_after=settings.labels.retire_after_instances,
            declared=declared,
        )
        self.learner = new_learner(settings, self.labels.count, maximum_labels, detectors)
        self.learner.grow_features(self.encoder.columns.count)
        self.measures = Measures(settings.measures.window, self.labels.count)
        self.dropped: dict[str, int] = {}

    @property
    def observed(self) -> int:
        """Instances observed so far."""
        return self.encoder.rows_observed

    @property
    def learned(self) -> int:
        """Rows learnt so far."""
        return self.learner.learned

    @property
    def label_names(self) -> list[Name]:
        """Names of the labels known, in slot order."""
        table = self.labels
        return [table.names[slot] for slot in table.known_slots()] if table.vacant else table.names

    @property
    def feature_count(self) -> int:
        """Columns in use."""
        return self.encoder.columns.count

    @property
    def cluster_count(self) -> int:
        """Top-level clusters of labels."""
        return self.learner.cluster_count

    def clusters(self) -> list[list[Name]]:
        """Return the top-level clusters as lists of label names."""
        groups: dict[int, list[Name]] = {}
        cluster_of = self.learner.cluster_of.tolist()
        for slot in self.labels.known_slots():
            name, cluster = self.labels.names[slot], cluster_of[slot]
            groups.setdefault(cluster, []).append(name)
        return [groups[cluster] for cluster in sorted(groups)]

    def change(self, *, scores_top: int, minimum_support: int, retire_after: int, drift: DriftSettings) -> None:
        """Change settings of answers, labels and drift detectors from the next batch on."""
        self.learner.scores_top = scores_top
        self.learner.minimum_support = minimum_support
        self.labels.change_settings(minimum_support=minimum_support, retire_after=retire_after)
        self.learner.change_drift(drift.detector, drift.significance, drift.cooldown_rows)

    def new_batch(self, *, frozen: bool = False) -> MicroBatch:
        """Return an empty batch; a frozen one answers and scores but changes nothing that answers depend on."""
        return MicroBatch(self.rule, frozen)

    def pack(self, x: Features) -> Features | Packed:
        """Return an instance in less memory, where its shape is known, to wait in a batch; nothing changes."""
        return self.encoder.pack(x)

    def probabilities(self, x: Features) -> dict[Name, float]:
        """Return every label's probability for an instance; nothing changes."""
        encoded = self.encoder.encode([x], observe=False)
        entries = Entries(encoded.columns, encoded.values, encoded.rarity_weighted, encoded.bins)
        values = self.learner.probabilities(entries)
        return {self.labels.names[slot]: float(values[slot]) for slot in self.labels.known_slots()}

    def apply(self, batch: MicroBatch) -> MicroBatchResult:
        """Apply a batch's operations in order and return what they gave; a batch is applied once."""
        observed = self.observed
        encoded = self.encoder.encode(batch.instances, observe=not batch.frozen)
        self.learner.grow_features(self.encoder.columns.count)
        runner = MicroBatchRunner(self.labels, self.learner, self.measures, encoded, batch)
        runner.run()
        dropped = dict(encoded.dropped)
        if runner.refused:
            dropped["labels_full"] = runner.refused
        for reason, count in () if batch.frozen else dropped.items():
            self.dropped[reason] = self.dropped.get(reason, 0) + count
        seen = []
        for kind in batch.kinds:
            seen.append(observed)
            if kind & PREDICT and not batch.frozen:
                observed += 1
        return MicroBatchResult(runner.answers, seen, runner.rows, runner.events, dropped)

    def arrays(self) -> dict[str, np.ndarray]:
        """Return the complete state by name, for snapshots and the hash."""
        return join_parts(
            {
                ModelPart.ENCODER: self.encoder.arrays(),
                ModelPart.LABELS: self.labels.arrays(),
                ModelPart.LEARNER: self.learner.arrays(),
                ModelPart.MEASURES: self.measures.arrays(),
            }
        )

    def load_arrays(self, arrays: Mapping[str, np.ndarray]) -> None:
        """Load a state; raises `SnapshotError` when it does not fit these settings."""
        parts = split_parts(arrays)
        self.encoder.load_arrays(parts[ModelPart.ENCODER])
        self.labels.load_arrays(parts[ModelPart.LABELS])
        self.learner.load_arrays(parts[ModelPart.LEARNER])
        self.measures.load_arrays(parts[ModelPart.MEASURES], self.labels.vacant)

    def state_hash(self) -> str:
        """Return a hash of the complete state."""
        return state_hash(self.arrays())

    def memory_bytes(self) -> int:
        """Return the bytes that the state's arrays hold."""
        parts = (self.labels, self.learner, self.measures)
        return self.encoder.memory_bytes() + sum(array.nbytes for part in parts for array in part.arrays().values())

    def memory_bound_bytes(self) -> int:
        """Return the largest size in bytes that the state may grow to."""
        return _memory_bound(self.settings, *self._maximum, bool(self._texts))

    @staticmethod
    def check_memory(settings: Settings, features: int = 0, labels: int = 0, *, texts: bool = False) -> tuple[int, int]:
        """Return the most features and labels that a model of these settings may have, with this many declared.

        ``texts`` says that the model has text fields that the settings do not name.

        Raises
        ------
        UsageError
            When the model may grow beyond ``limits.memory_bytes``.
        """
        labels = max(settings.labels.maximum, labels)
        features = max(settings.features.maximum, features)
        bound = _memory_bound(settings, features, labels, texts)
        if bound > settings.limits.memory_bytes:
            raise UsageError(
                f"the model may grow to {bound:,} bytes with features.maximum = {features:,} and "
                f"labels.maximum = {labels:,}, above limits.memory_bytes = {settings.limits.memory_bytes:,}: "
                "lower the first two or raise the third"
            )
        return features, labels


def _memory_bound(settings: Settings, features: int, labels: int, texts: bool) -> int:
    bound = learner_bytes_bound(settings, features, labels) + 64 * features + 256 * (features + labels)
    if texts or settings.encoder.text_fields:
        bound += TextFields.bytes_bound(settings.encoder.text_word_length)
    return bound


def text_fields(settings: Settings, more: Collection[Name] = ()) -> TextFields:
    """Return the text fields of the settings, and ``more`` of them."""
    chosen = settings.encoder
    return TextFields(
        {*chosen.text_fields, *more},
        columns=min(chosen.text_columns, settings.features.maximum),
        words_per_field=chosen.text_words,
        word_length=chosen.text_word_length,
        pairs=chosen.text_pairs,
    )
