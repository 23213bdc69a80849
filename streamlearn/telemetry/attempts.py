"""What a worker asks brokers for, each kind of which may fail and is tried again by itself."""

from __future__ import annotations

from typing import Literal, get_args

Attempt = Literal[
    "open",  # connect, and join the group
    "poll",  # the next records
    "ask",  # whether any broker answers
    "take_over",  # what is needed to take over tasks: committed offsets, the journal, the input again
    "keep_alive",  # to stay in the group during a restore
    "commit",  # to commit a batch
    "settle",  # the outcome of a commit that failed, and to commit again what was not committed
    "lag",  # the ends of the log
    "publish",  # to write measures
    "stand_by",  # the journal that a stand-by follows
]

ATTEMPTS: tuple[Attempt, ...] = get_args(Attempt)
