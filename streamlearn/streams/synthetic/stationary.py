"""A stream without drift, on which a detector should stay silent."""

from __future__ import annotations

from streamlearn.streams.synthetic.topic_mixture import TopicStream


class Stationary(TopicStream):
    """A stream of topics that do not change."""

    name = "synthetic:stationary"
