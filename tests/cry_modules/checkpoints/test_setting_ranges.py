"""Settings: one parser, one table of ranges."""

import pytest

from cry_modules.checkpoints.settings import (
    RANGES,
    TEXTS,
    check_ranges,
    plain_settings,
)
from cry_modules.cnn14 import POOLINGS
from cry_modules.embeddings import INPUTS
from cry_modules.metrics.predictions import AGGREGATIONS
from data_prep.files.errors import InputError


@pytest.mark.parametrize(
    "name, value, words",
    [
        ("number_of_epochs", "0", "is 0; it must be 1 or more"),
        ("lr", "0.0", "is 0.0; it must be above 0"),
        ("lr", ".nan", "is .nan; it must be above 0"),
        ("lr", "", "is null; it must be above 0"),
        ("interpolate", "2", "is 2; it must be 0 to 1"),
        ("batch_size", "[8]", r"is \[8\]; it must be 2 or more"),
        ("balance", "some", "is some; expected one of loss, sampling, none"),
        ("patient_score", "[max]", r"is \[max\]; expected one of mean_log"),
        ("noise_snr", "10", "is 10; it must be null, or the lowest and"),
        ("noise_snr", "[10, 0]", r"is \[10, 0\]; it must be null, or the"),
        ("noise_snr", "[0, 1, 2]", r"is \[0, 1, 2\]; it must be null, or"),
        ("noise_snr", "[0, 1000]", r"is \[0, 1000\]; it must be null, or"),
        ("noise_snr", "[[0, 1]]", r"is \[.*; it must be null, or"),
        ("frequency_response", "-1", "is -1; it must be 0 or more"),
    ],
)
def test_a_value_out_of_range_is_refused(name, value, words):
    with pytest.raises(InputError, match=f"--{name} {words}"):
        check_ranges(plain_settings(f"base: {{}}\n{name}: {value}"))


def test_ranges_of_the_base_are_checked_and_overridden():
    text = "base: {base: {lr: 0}, n_masks: -1}\nn_masks: 1\n"
    with pytest.raises(InputError, match="lr is 0"):
        check_ranges(plain_settings(text))
    check_ranges(plain_settings(text + "lr: 1e-3\n"))
    assert {"lr", "n_masks"} < set(RANGES)


def test_names_are_those_of_the_modules():
    for name, names in (
        ("trained_on", INPUTS),
        ("patient_score", AGGREGATIONS),
        ("pooling", POOLINGS),
    ):
        for value in names:
            check_ranges({name: value})
        with pytest.raises(InputError, match=", ".join(names) + "$"):
            check_ranges({name: "other"})


@pytest.mark.parametrize(
    "name", sorted(name for name in RANGES if name not in TEXTS)
)
def test_every_number_has_an_upper_limit(name):
    for value in ("1" + "0" * 29, "nan", "inf", "[1]", "", "abc"):
        if name.endswith("_snr") and not value:
            check_ranges({name: value})  # null switches it off
            continue
        with pytest.raises(InputError, match=f"--{name} is "):
            check_ranges({name: value})
