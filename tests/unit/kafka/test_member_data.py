"""What members tell each other when they join, also members of other releases and other programs."""

from __future__ import annotations

import socket

import pytest

from streamlearn.kafka.member_data import MemberData, describe_machine


@pytest.mark.parametrize("data", [MemberData(), MemberData("node-b (10.0.0.7)", 12), MemberData("\u00fcber", -1)])
def test_data_comes_back_as_it_was_sent(data: MemberData) -> None:
    assert MemberData.decode(data.encode()) == data


@pytest.mark.parametrize(
    ("sent", "read"),
    [
        (b"17", MemberData(generation=17)),
        (None, MemberData()),
        (b"", MemberData()),
        (b"\x00\x00\x00\x01\xff", MemberData()),
        (b'["host"]', MemberData()),
        (b'{"host": 5, "generation": "3"}', MemberData()),
    ],
)
def test_what_an_earlier_release_or_another_program_sends_is_no_error(sent: bytes | None, read: MemberData) -> None:
    assert MemberData.decode(sent) == read


def test_a_machine_has_its_name_and_the_address_that_leads_to_the_broker(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "gethostname", lambda: "node-b")
    assert describe_machine("127.0.0.1", 9092) == "node-b (127.0.0.1)"
    assert describe_machine("no.such.host.invalid", 9092) == "node-b"
