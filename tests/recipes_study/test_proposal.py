"""Sizes of a study of one's own: shares of the labels, chunks, epochs."""

import pytest
import studies

from recipes.study import proposal, survey
from recipes.study.run import ROOT
from recipes.study.settings import check_settings


def test_fractions_leave_patients_of_each_class():
    assert proposal.choose_fractions(13.2) == [0.25, 0.5, 1.0]
    assert proposal.choose_fractions(6) == [0.5, 1.0]
    assert proposal.choose_fractions(2) == [1.0]


@pytest.mark.parametrize(
    "median_s, chunk_s", [(7.0, 1.0), (2.0, 1.0), (1.0, 0.64), (0.3, 0.32)]
)
def test_chunks_of_short_recordings_are_shorter(median_s, chunk_s):
    assert proposal.choose_chunk(median_s) == chunk_s


def test_epochs_follow_the_number_of_steps():
    assert proposal.choose_epochs(11) == 100
    assert proposal.choose_epochs(2) == 300
    assert proposal.choose_epochs(80) == 50
    assert proposal.choose_epochs(6000) == 20


def test_stages_of_many_sounds_with_labels_are_options_of_their_files():
    """Fewer epochs need no masks, which supervised pre-training has not."""
    sounds = survey.Folder(ROOT, 20_000, 0.5, [], "")
    for n_cries in (0, 40, 100_000):
        stages = proposal._stages(sounds, n_cries, 7.0)
        options = {name: value for name, (value, _) in stages.items()}
        values = {**studies.settings("out"), "stages": options}
        read_stages = check_settings(values, "study.yaml").stages
        assert read_stages["simclr"]["n_masks"] == 0
        assert read_stages["simclr"]["chunk_s"] == 0.32
