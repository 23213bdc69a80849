"""Names that Kafka accepts: of topics and of consumer groups."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from urllib.parse import quote

LONGEST_TOPIC = 249
LONGEST_FOLDER_BYTES = 255
_ILLEGAL = re.compile(r"[^a-zA-Z0-9._-]")
_INTERNAL = ("__consumer_offsets", "__transaction_state", "__share_group_state", "__cluster_metadata")
"""Topics of the brokers themselves, which no client may write."""
_SUFFIX = "-journal"
_DIGEST_BYTES = 4


def check_topic_name(name: str) -> str:
    """Return a name that a topic can have.

    Raises
    ------
    ValueError
        When Kafka would refuse it.
    """
    if not name:
        raise ValueError("the name of a topic is empty")
    if name in (".", ".."):
        raise ValueError(f"{name!r} is no name for a topic")
    if len(name) > LONGEST_TOPIC:
        raise ValueError(f"the name of a topic has {len(name)} characters, Kafka takes up to {LONGEST_TOPIC}")
    illegal = _ILLEGAL.search(name)
    if illegal is not None:
        raise ValueError(
            f"the name of a topic has the character {illegal[0]!r}; Kafka takes ASCII letters, digits, '.', '_' and '-'"
        )
    if name in _INTERNAL:
        raise ValueError(f"{name!r} is a topic of the brokers themselves; use another one")
    return name


def check_group_name(name: str) -> str:
    """Return a name that a consumer group or one of its workers can have.

    Kafka takes any text there, but the group also names a folder of snapshots, and both are written to logs.

    Raises
    ------
    ValueError
        When it has characters that cannot be printed, or is too long for a folder.
    """
    for character in name:
        if unicodedata.category(character) in ("Cc", "Cs", "Zl", "Zp"):
            raise ValueError(f"the name has the character {character!r}, which cannot be printed; leave it out")
    length = len(quote(name, safe=""))
    if length > LONGEST_FOLDER_BYTES:
        raise ValueError(
            f"the name has {length} bytes (percent-encoded), but it also names a folder, which may have up to "
            f"{LONGEST_FOLDER_BYTES}: use a shorter one"
        )
    return name


def are_one_to_kafka(name: str, other: str) -> bool:
    """Return whether Kafka refuses one of two topics because of the other: '.' and '_' are the same to it."""
    return name.replace(".", "_") == other.replace(".", "_")


def journal_topic_of(group: str) -> str:
    """Return the name of a group's journal: the group's with a suffix.

    Characters that a topic cannot have are replaced, and a long name is cut; a hash of the group's name then keeps the
    journals of different groups apart.

    >>> journal_topic_of("tagging")
    'tagging-journal'
    >>> journal_topic_of("team/tagging 1")
    'team_tagging_1-2c641237-journal'
    """
    name = f"{group}{_SUFFIX}"
    if len(name) <= LONGEST_TOPIC and _ILLEGAL.search(name) is None:
        return name
    digest = hashlib.blake2b(group.encode(), digest_size=_DIGEST_BYTES).hexdigest()
    ending = f"-{digest}{_SUFFIX}"
    return _ILLEGAL.sub("_", group)[: LONGEST_TOPIC - len(ending)] + ending
