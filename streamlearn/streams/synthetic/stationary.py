"""A stream that never changes: what a detector should be silent on."""

from __future__ import annotations

from streamlearn.streams.synthetic.topics import TopicStream


class Stationary(TopicStream):
    """Topics that stay as they are."""

    name = "synthetic:stationary"
