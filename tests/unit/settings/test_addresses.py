"""Broker addresses: accepted and refused texts."""

from __future__ import annotations

import pytest

from streamlearn.settings.addresses import parse_broker_addresses


@pytest.mark.parametrize(
    "text",
    ["localhost:9092", "a:1,b:2", " a.example.org:9092 , b ", "[::1]:9092", "10.0.0.1:65535", "[fe80::1%eth0]:9092"],
)
def test_addresses_are_split_at_commas(text: str) -> None:
    assert parse_broker_addresses(text) == [part.strip() for part in text.split(",")]


@pytest.mark.parametrize("text", ["", " , ", "a:b", "a:0", "a:65536", "::1", "a b:1", "SSL://a:1", "a:1:2", "a:"])
def test_texts_that_are_not_addresses_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="host:port"):
        parse_broker_addresses(text)
