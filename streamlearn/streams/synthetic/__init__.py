"""Generators of streams with known drift."""

from streamlearn.streams.synthetic.base import Drift, GeneratedStream
from streamlearn.streams.synthetic.catalogue import GENERATORS, generator

__all__ = ["GENERATORS", "Drift", "GeneratedStream", "generator"]
