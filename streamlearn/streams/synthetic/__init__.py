"""Generators with known drift, by name."""

from streamlearn.streams.synthetic.catalogue import GENERATORS, generator
from streamlearn.streams.synthetic.topics import Drift, TopicStream

__all__ = ["GENERATORS", "Drift", "TopicStream", "generator"]
