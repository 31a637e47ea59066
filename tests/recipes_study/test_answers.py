"""The sentence that says whether training an encoder was worth it."""

import pytest
import studies

from cry_modules.metrics.compare import ONE_SEED
from recipes.study.encoders import ENCODERS
from recipes.study.report.answers import answers
from recipes.study.report.findings import Pairs

LOGMEL = "log-mel statistics, logistic regression"
RANDOM = ENCODERS["random_calibrated"].label
UNTRAINED = f"an untrained encoder ({RANDOM})"
SIMCLR, REPLAY = ENCODERS["simclr"].label, ENCODERS["adapt_replay"].label
STEPS = ENCODERS["adapt_control"].label


def row(a, b, difference, p, why=None):
    found = {"a": a, "b": b, "difference": difference}
    return {**found, "p_holm": p, "no_interval": why}


@pytest.mark.parametrize(
    "rows, sentence",
    [
        (
            [row(SIMCLR, LOGMEL, 0.1, 0.2), row(REPLAY, LOGMEL, -0.1, 0.05)],
            f"No trained encoder is shown to be better than {LOGMEL}",
        ),
        (
            [row(SIMCLR, LOGMEL, 0.1, 0.04), row(REPLAY, LOGMEL, -0.1, 0.01)],
            f"{SIMCLR} is better than {LOGMEL}, and {REPLAY} is worse",
        ),
        (
            # The higher one comes first, whichever it is.
            [row(REPLAY, SIMCLR, 0.1, 0.0), row(RANDOM, SIMCLR, 0.1, 0.01)],
            f"No trained encoder is shown to be better than {UNTRAINED}, and "
            f"{SIMCLR} is worse",
        ),
        (
            [
                row(SIMCLR, LOGMEL, 0.2, 0.0), row(REPLAY, LOGMEL, 0.2, 0.0),
                row(SIMCLR, RANDOM, 0.1, 0.9),
            ],
            f"{SIMCLR} and {REPLAY} are better than {LOGMEL}; no trained "
            f"encoder is shown to be better than {UNTRAINED}",
        ),
        (
            [row(SIMCLR, LOGMEL, 0.2, None, ONE_SEED)],
            f"Undecided against {LOGMEL}: {ONE_SEED}",
        ),
        # More steps without cries are a control, not a trained encoder.
        ([row(STEPS, LOGMEL, 0.2, 0.0), row(STEPS, RANDOM, 0.2, 0.0)], None),
    ],
)  # fmt: skip
def test_what_is_separable_is_said(tmp_path, rows, sentence):
    settings = studies.plan_of(studies.whole(tmp_path)).settings
    column = settings.tasks[0].label_column
    entries = [
        Pairs(settings.tasks[0].name, "linear_blocks", "", rows),
        Pairs(settings.tasks[0].name, "linear", "", []),
    ]
    expected = {}
    if sentence:
        expected = {column: f"{sentence} (linear on blocks)."}
    assert answers(settings, entries) == expected
