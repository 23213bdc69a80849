"""Codecs: all can be used out of the box, and one whose package is missing is named with it."""

from __future__ import annotations

import sys

import pytest
from kafka import codec as client_codec

from streamlearn.check.faults import find_faults
from streamlearn.errors import UsageError
from streamlearn.kafka.codecs import compression_options, find_codec_faults
from streamlearn.settings.settings import KafkaSettings, Settings


def test_every_codec_can_be_used_and_the_client_agrees() -> None:
    assert find_codec_faults() == []
    assert (client_codec.has_snappy(), client_codec.has_lz4(), client_codec.has_zstd()) == (True, True, True)


@pytest.mark.parametrize(
    ("codec", "module", "package"),
    [("snappy", "snappy", "python-snappy"), ("lz4", "lz4.frame", "lz4"), ("zstd", "zstandard", "zstandard")],
)
def test_a_missing_package_is_named_with_its_codec(
    monkeypatch: pytest.MonkeyPatch, codec: str, module: str, package: str
) -> None:
    monkeypatch.setitem(sys.modules, module, None)
    (fault,) = find_codec_faults()
    assert f"compressed with {codec} cannot be read" in fault
    assert fault.endswith(f"install it with `pip install {package}`")
    settings = Settings.model_validate({"kafka": {"bootstrap_servers": "127.0.0.1:1"}})
    assert fault in find_faults(settings)
    with pytest.raises(UsageError, match=f"kafka.compression = {codec}: .*{package}"):
        compression_options(KafkaSettings(compression=codec))  # type: ignore[arg-type]
    assert compression_options(KafkaSettings(compression="gzip")) == {"compression_type": "gzip"}
    assert compression_options(KafkaSettings()) == {"compression_type": None}
