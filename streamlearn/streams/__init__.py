"""Streams to learn from: ARFF and JSON Lines files, and generators."""

from streamlearn.streams.base import Stream, StreamRow
from streamlearn.streams.opening import open_stream

__all__ = ["Stream", "StreamRow", "open_stream"]
