"""Names of topics, groups and journals; an integration test compares them with what a broker accepts."""

from __future__ import annotations

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st
from kafka.util import ensure_valid_topic_name

from streamlearn.settings.names import (
    LONGEST_TOPIC,
    are_one_to_kafka,
    check_group_name,
    check_topic_name,
    journal_topic_of,
)
from streamlearn.settings.settings import Settings


@given(st.text(max_size=4) | st.from_regex(r"\A[a-zA-Z0-9._-]{0,260}\Z"))
def test_names_of_topics_are_those_that_the_client_takes(name: str) -> None:
    try:
        ensure_valid_topic_name(name)
    except ValueError:
        with pytest.raises(ValueError, match="topic"):
            check_topic_name(name)
    else:
        # The client's pattern ends in a dollar sign, which also stands before a last newline.
        if not name.endswith("\n"):
            assert check_topic_name(name) == name


def test_topics_of_the_brokers_themselves_are_refused() -> None:
    with pytest.raises(ValueError, match="a topic of the brokers themselves"):
        check_topic_name("__consumer_offsets")


@given(st.text(min_size=1, max_size=300))
def test_the_journal_of_any_group_has_a_legal_name(group: str) -> None:
    try:
        check_group_name(group)
    except ValueError:
        return
    name = journal_topic_of(group)
    assert check_topic_name(name) == name
    assert Settings.model_validate({"kafka": {"group_id": group}}).journal_topic == name


def test_journals_of_different_groups_differ_and_legal_names_stay() -> None:
    groups = ["team/tagging 1", "team_tagging_1", "team/tagging_1", "ä", "ö", "g" * 249, "g" * 248 + "h", "g" * 241]
    names = [journal_topic_of(group) for group in groups]
    assert len(set(names)) == len(groups)
    assert names[1] == "team_tagging_1-journal"
    assert names[-1] == "g" * 241 + "-journal"
    assert len(names[-1]) == LONGEST_TOPIC
    assert not any(are_one_to_kafka(*pair) for pair in itertools.pairwise(names))


@pytest.mark.parametrize("group", ["a\nb", "\x1b[31m", "a\x85", "a\u2028b", "\ud800", "ä" * 43, "g" * 256])
def test_groups_that_cannot_be_printed_or_stored_are_refused(group: str) -> None:
    with pytest.raises(ValueError, match="the name has"):
        check_group_name(group)
