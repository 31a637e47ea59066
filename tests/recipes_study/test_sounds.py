"""The views on a study's page are those of its runs."""

import pytest
from hyperpyyaml import resolve_references

from recipes.study.report.sounds import recorded_views
from recipes.study.run import ROOT


@pytest.mark.parametrize(
    "options", [{}, {"noise_snr": [0, 20], "frequency_response": 6}]
)
def test_settings_of_a_run_are_read_as_text(tmp_path, options):
    # As SpeechBrain saves it: a null is an empty value there.
    with open(ROOT / "hparams/small_simclr.yaml", encoding="utf-8") as file:
        text = resolve_references(file, {"seed": 5, **options}).read()
    (tmp_path / "hyperparams.yaml").write_text(text, encoding="utf-8")
    views = recorded_views(tmp_path)
    augment = views["waveform_augment"]
    assert views["seed"] == 5
    assert augment.background is None
    assert (augment.noise is not None) == bool(options)
    assert (augment.response is not None) == bool(options)
