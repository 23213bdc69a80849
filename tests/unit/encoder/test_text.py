"""Text fields: the encoding of texts, dropped words, and a stream of tickets that is learnt from text alone."""

from __future__ import annotations

from pathlib import Path

import pytest

from streamlearn import LabelHierarchyClassifier
from streamlearn.codec.decode import EVERY_FIELD, decode_instance
from streamlearn.encoder.row import Encoder
from streamlearn.encoder.text import TextFields
from streamlearn.evaluation.prequential import evaluate_stream
from streamlearn.model.stream_model import StreamModel
from streamlearn.settings.loading import load_settings
from streamlearn.settings.settings import LimitSettings, Settings
from streamlearn.streams import open_stream

TICKETS = Path(__file__).parents[2] / "data" / "tickets.jsonl"


def bag(text: str, **options: int) -> dict[str, float]:
    return TextFields(["body"], **options).bag_of_words([("body", text)])  # type: ignore[arg-type]


def test_columns_are_the_same_on_every_machine() -> None:
    assert bag("Card charged") == {"text#21981": 1.0, "text#6355": 1.0, "text#23703": 1.0}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Card, charged!", "card CHARGED"),
        ("caf\u00e9", "CAFE\u0301"),
        ("\uff21\uff22\uff23", "abc"),
        ("refund\n\trefund refund", "refund refund"),
        ("", " .,;-\u2014 "),
    ],
)
def test_equivalent_texts_have_the_same_bag_of_words(one: str, other: str) -> None:
    assert bag(one) == bag(other)


def test_pairs_distinguish_word_orders() -> None:
    assert bag("not good but bad") != bag("not bad but good")
    assert bag("not good but bad", pairs=False) == bag("not bad but good", pairs=False)


def test_each_character_of_a_script_without_spaces_is_a_word() -> None:
    assert len(bag("返金してください", pairs=False)) == 8
    assert set(bag("返金")) < set(bag("今月の返金"))


def test_dropped_words_are_counted() -> None:
    encoder = Encoder(1_000, text=TextFields(["body"], words_per_field=3, word_length=5))
    encoded = encoder.encode([{"body": "one two parcels three four"}, {"body": "one"}], observe=True)
    assert encoded.dropped == {"word_too_long": 1, "text_words_full": 1}
    assert encoded.starts.tolist() == [0, 5, 6]
    assert encoder.encode([{"body": "one"}], observe=True).dropped == {}


def test_text_columns_are_bounded() -> None:
    encoder = Encoder(100, text=TextFields(["body"], columns=8))
    encoded = encoder.encode([{"body": " ".join(map(str, range(500))), "f": 1.0}], observe=True)
    assert encoder.columns.count == 9
    assert encoded.dropped == {}


def test_text_columns_are_limited_to_the_maximum_of_features() -> None:
    small = Settings.model_validate({"encoder": {"text_fields": ["body"]}, "features": {"maximum": 16}})
    assert StreamModel(small).encoder._text.columns == 16
    encoder = Encoder(2, text=TextFields(["body"]))
    assert encoder.encode([{"body": "one two three"}], observe=True).dropped == {"features_full": 3}


def test_a_text_field_with_another_type_is_an_ordinary_feature() -> None:
    encoder = Encoder(100, text=TextFields(["body"]))
    rows = [{"body": 2.0, "f": 1.0}, {"body": "2.0", "f": 1.0}, {"body": None, "f": 1.0}, {"body": True, "f": 2.0}]
    starts = encoder.encode(rows, observe=True).starts.tolist()
    assert starts == [0, 2, 6, 7, 9]
    assert encoder.columns.names[:2] == ["body", "f"]
    assert not any("=" in name for name in encoder.columns.names)


def test_other_strings_stay_nominal() -> None:
    encoder = Encoder(100, text=TextFields(["body"]))
    encoder.encode([{"kind": "late parcel", "body": "late parcel"}], observe=True)
    assert "kind=late parcel" in encoder.columns.names
    assert encoder.columns.count == 4


def test_the_codec_accepts_long_texts_in_text_fields_only() -> None:
    words = "parcel " * 1_000
    value = f'{{"x": {{"body": "{words}", "kind": "{words}"}}}}'.encode()
    dropped: dict[str, int] = {}
    assert decode_instance(value, LimitSettings(), dropped, ("body",)).x == {"body": words, "kind": None}
    assert dropped == {"text_too_long": 1}
    assert decode_instance(value, LimitSettings(), None, EVERY_FIELD).x == {"body": words, "kind": words}


def test_the_setting_can_come_from_a_file_an_option_or_the_environment(tmp_path: Path) -> None:
    file = tmp_path / "run.toml"
    file.write_text('[encoder]\ntext_fields = ["title", "body"]\n')
    for loaded in (
        load_settings(file, (), {}),
        load_settings(None, ["encoder.text_fields=title, body"], {}),
        load_settings(None, (), {"STREAMLEARN_ENCODER__TEXT_FIELDS": "title,body"}),
    ):
        assert loaded.settings.encoder.text_fields == ("title", "body")


def test_replaced_texts_are_numbers() -> None:
    fields = TextFields(["body"])
    x = {"kind": "a", "n": 2.0, "body": "Late parcel"}
    assert fields.replace_texts(x) == {"kind": "a", "n": 2.0, **bag("late parcel")}
    assert fields.replace_texts({"body": 1.0}) == {"body": 1.0}


def test_the_classifier_learns_from_text(tmp_path: Path) -> None:
    model = LabelHierarchyClassifier(preset="fast", maximum_features=4_096, text_fields=["title", "body"])
    for row in open_stream(str(TICKETS), text_fields=model.text_fields or ()):
        model.learn_one(row.x, row.y or ())  # type: ignore[arg-type]
    asked = {"title": "Parcel lost", "body": "The courier has lost my parcel, the tracking shows nothing."}
    answer = model.predict(asked)
    assert answer.labels == ["shipping"]
    model.save(tmp_path / "model.npz")
    restored = LabelHierarchyClassifier.load(tmp_path / "model.npz")
    assert restored.predict(asked) == answer
    assert restored.state_hash() == model.state_hash()


def test_text_alone_is_far_better_than_the_majority() -> None:
    settings = Settings.model_validate(
        {
            "learner": {"preset": "fast"},
            "encoder": {"text_fields": ["title", "body"]},
            "features": {"maximum": 4_096},
        }
    )
    stream = open_stream(str(TICKETS), text_fields=settings.encoder.text_fields)
    ours, majority = (
        evaluate_stream(stream, settings, learner=learner).measures for learner in ("streamlearn", "majority")
    )
    without = evaluate_stream(stream, settings.model_copy(update={"encoder": Settings().encoder})).measures
    for measure, times in (("subset_accuracy", 3), ("example_f1", 2), ("micro_f1", 2), ("macro_f1", 4)):
        assert (ours[measure] or 0.0) > times * (majority[measure] or 0.0), measure
        assert (ours[measure] or 0.0) > 1.5 * (without[measure] or 0.0), measure


def test_a_baseline_gets_the_encoded_texts() -> None:
    settings = Settings.model_validate({"encoder": {"text_fields": ["title", "body"]}})
    stream = open_stream(str(TICKETS), text_fields=settings.encoder.text_fields)
    report = evaluate_stream(stream, settings, learner="majority", limit=20)
    assert report.features > 200
