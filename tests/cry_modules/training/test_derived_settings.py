"""What an encoder or a table knows is not asked again."""

import pytest

from cry_modules.training.derived_settings import (
    with_classes,
    with_encoder_settings,
)
from data_prep.files.errors import InputError

LINEAR, ADAPT = "hparams/neuro_linear.yaml", "hparams/small_adapt.yaml"
#: Of the session's tiny run.
KNOWN = {"architecture": "cnn14", "front_end": "fbank", "pooling": "mean"}


@pytest.fixture
def typed(pretrained, tmp_path):
    return {
        "encoder_source": str(pretrained),
        "output_folder": str(tmp_path / "run"),
    }


@pytest.mark.parametrize("file", [LINEAR, ADAPT])
def test_settings_come_from_the_encoder(file, typed):
    expected = {**KNOWN, "width": 1, **typed}
    assert with_encoder_settings(file, typed) == expected
    again = {**typed, "width": 1, "front_end": "fbank"}
    assert with_encoder_settings(file, again) == expected


@pytest.mark.parametrize(
    "name, value, has",
    [("width", 8, 1), ("front_end", "panns", "fbank"),
     ("pooling", "frequency", "mean")],
)  # fmt: skip
def test_a_contradiction_is_refused(typed, name, value, has):
    message = f"--{name} is {value}, and --encoder_source .* has {has}; leave"
    with pytest.raises(InputError, match=message):
        with_encoder_settings(LINEAR, {**typed, name: value})


@pytest.mark.parametrize("source", [None, "random_calibrated"])
def test_a_random_encoder_knows_nothing(source, tmp_path):
    typed = {"encoder_source": source, "output_folder": str(tmp_path)}
    assert with_encoder_settings(LINEAR, typed) == typed


def test_encoders_of_folds(typed, pretrained, tmp_path):
    (tmp_path / "adapted").mkdir()
    (tmp_path / "adapted/0").symlink_to(pretrained)
    typed["encoder_source"] = f"{tmp_path}/adapted/{{fold}}"
    assert with_encoder_settings(LINEAR, typed)["width"] == 1


def test_a_missing_encoder_is_refused_later(typed):
    """After what is wrong with the data."""
    typed["encoder_source"] = "gone/a/run"
    assert with_encoder_settings(LINEAR, typed) == typed


def test_the_classes_of_another_column(clinic):
    typed = {"data_folder": str(clinic), "label_column": "kind"}
    assert with_classes(LINEAR, typed)["classes"] == ["a", "b"]
    positive = with_classes(LINEAR, {**typed, "positive": "a"})
    assert positive["classes"] == ["b", "a"]
    given = {**typed, "classes": ["b", "a"]}
    assert with_classes(LINEAR, given) == given
    own = with_classes(
        LINEAR, {"data_folder": str(clinic), "positive": "healthy"}
    )
    assert own["classes"] == ["injury", "healthy"]
