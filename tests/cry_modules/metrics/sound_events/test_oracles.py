"""Figures of random events equal those of sed_eval and psds_eval."""

import math
import sys
import types
import warnings

import numpy as np
import pytest
from hypothesis import (
    HealthCheck,
    given,
    settings,
    strategies as st,
)

from cry_modules.metrics.sound_events.comparison import (
    Recording,
    Settings,
    compare,
    thresholds_of,
)
from cry_modules.metrics.sound_events.event_based import Collar
from cry_modules.metrics.sound_events.intersection import Criteria
from cry_modules.metrics.sound_events.psds import SCENARIOS
from cry_modules.metrics.sound_events.resampling import Resampling
from tests.cry_modules.metrics.sound_events.event_lists import (
    DURATION_S,
    LABELS,
    any_lists,
    apart,
    numpy_lists,
    rows,
)


@pytest.fixture(scope="session")
def sed_eval():
    """sed_eval, which imports pkg_resources for no use; setuptools no longer
    brings it."""
    missing = "pkg_resources" not in sys.modules
    sys.modules.setdefault("pkg_resources", types.ModuleType("pkg_resources"))
    module = pytest.importorskip("sed_eval")
    if missing:
        del sys.modules["pkg_resources"]
    return module


@pytest.fixture
def psds_eval(monkeypatch):
    """psds_eval with what pandas 3 and NumPy 2.4 no longer have."""
    module = pytest.importorskip("psds_eval")
    import pandas as pd

    fillna = pd.DataFrame.fillna

    def with_method(self, value=None, method=None, **others):
        if method == "ffill":
            return self.ffill()
        return fillna(self, value, **others)

    monkeypatch.setattr(pd.DataFrame, "fillna", with_method)
    to_int = getattr(module.psds, "int", int)
    monkeypatch.setattr(
        module.psds,
        "int",
        lambda x: to_int(x.item() if hasattr(x, "item") else x),
        raising=False,
    )
    return module


SAME = {
    "deadline": None,
    "suppress_health_check": [HealthCheck.function_scoped_fixture],
}


def figures(recordings, labels=LABELS, **options):
    groups = [recording.name for recording in recordings]
    return compare(
        recordings, Settings(labels, **options), Resampling(groups, n_draws=100)
    )


def recordings_of(pairs):
    return [
        Recording(f"r{i}", DURATION_S, [*a], [*d])
        for i, (a, d) in enumerate(pairs)
    ]


def equal(ours, theirs):
    """Equal to 1e-9; ours is None where sed_eval has NaN."""
    if ours is None:
        return math.isnan(theirs)
    return abs(ours - theirs) <= 1e-9


def assert_shares(ours, theirs):
    for name, other in (("precision",) * 2, ("recall",) * 2):
        assert equal(ours[name], theirs[other])
    # Nothing detected: sed_eval's F1 is NaN, ours 0 (2 TP / (N + M)).
    if math.isnan(theirs["f_measure"]):
        assert ours["f1"] in (0, None)
    else:
        assert equal(ours["f1"], theirs["f_measure"])


def assert_event_based(sed_eval, pairs, collar):
    metrics = sed_eval.sound_event.EventBasedMetrics(
        LABELS,
        t_collar=collar.onset_s,
        percentage_of_length=collar.offset_share,
        event_matching_type="optimal",
    )
    for annotated, detected in pairs:
        metrics.evaluate(rows(annotated), rows(detected))
    ours = figures(recordings_of(pairs), collar=collar)["event_based"]
    assert_shares(ours["micro"], metrics.overall_f_measure())
    for label in LABELS:
        of_label = metrics.class_wise_f_measure(label)
        assert_shares(ours["per_class"][label], of_label)


@settings(max_examples=40, **SAME)
@given(st.lists(any_lists(), min_size=1, max_size=3))
def test_event_based_of_any_lists(sed_eval, pairs):
    collar = Collar(0.25, 0.25, 0.5)  # exact in binary, as sed_eval needs
    assert_event_based(sed_eval, pairs, collar)


@pytest.mark.parametrize("share", [0.2, 0.5])
@pytest.mark.parametrize("seed", range(3))
def test_event_based_of_likely_lists(sed_eval, seed, share):
    pairs = [numpy_lists([seed, i], jitter=0.15) for i in range(3)]
    assert_event_based(sed_eval, pairs, Collar(0.2, 0.2, share))


def assert_segment_based(sed_eval, pairs, segment_s):
    metrics = sed_eval.sound_event.SegmentBasedMetrics(LABELS, segment_s)
    for annotated, detected in pairs:
        metrics.evaluate(
            rows(annotated), rows(detected), evaluated_length_seconds=DURATION_S
        )
    ours = figures(recordings_of(pairs), segment_s=segment_s)["segment_based"]
    # sed_eval 0.2.1 asks for an attribute it lacks where nothing is detected.
    metrics.empty_system_output_handling = None
    assert_shares(ours["micro"], metrics.overall_f_measure())
    for label in LABELS:
        of_label = metrics.class_wise_f_measure(label)
        assert_shares(ours["per_class"][label], of_label)
        rate = metrics.class_wise_error_rate(label)["error_rate"]
        if any(e.label == label for a, _ in pairs for e in a):
            assert equal(ours["per_class"][label]["error_rate"], rate)
    if any(a for a, _ in pairs):
        for name, rate in metrics.overall_error_rate().items():
            assert equal(ours["micro"][name], rate)


@settings(max_examples=40, **SAME)
@given(st.lists(any_lists(), min_size=1, max_size=3))
def test_segment_based_of_any_lists(sed_eval, pairs):
    assert_segment_based(sed_eval, pairs, 1.0)


@pytest.mark.parametrize("segment_s", [0.5, 1.0, 7.0])
def test_segment_based_of_likely_lists(sed_eval, segment_s):
    pairs = [numpy_lists([9, i]) for i in range(3)]
    assert_segment_based(sed_eval, pairs, segment_s)


def tables(psds_eval, pairs):
    import pandas as pd

    columns = ["filename", "onset", "offset", "event_label"]

    def table(side, least=-1.0):
        return pd.DataFrame(
            [
                (f"r{i}", e.onset_s, e.offset_s, e.label)
                for i, pair in enumerate(pairs)
                for e in pair[side]
                if (e.score or 0) >= least
            ],
            columns=columns,
        )

    durations = [(f"r{i}", DURATION_S) for i in range(len(pairs))]
    return table, pd.DataFrame(durations, columns=["filename", "duration"])


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("seed, n_labels", [(0, 3), (1, 2)])
def test_psds_and_intersection_based(psds_eval, seed, n_labels):
    labels = LABELS[:n_labels]
    pairs = [
        tuple(map(apart, numpy_lists([seed, i], labels, n=3))) for i in range(2)
    ]
    recordings = recordings_of(pairs)
    ours = figures(recordings, labels, criteria=Criteria(0.5, 0.5, 0.3))
    table, durations = tables(psds_eval, pairs)
    for name, scenario in SCENARIOS.items():
        theirs = psds_eval.PSDSEval(
            *(scenario.criteria.dtc, scenario.criteria.gtc),
            scenario.criteria.cttc,
            ground_truth=table(0),
            metadata=durations,
        )
        for threshold in thresholds_of(recordings, labels):
            theirs.add_operating_point(table(1, threshold))
        value = theirs.psds(
            scenario.alpha_ct, scenario.alpha_st, scenario.max_efpr
        ).value
        assert ours["psds"][name] == pytest.approx(value, abs=1e-9)
        if name == "paper":
            _, by_label = theirs.compute_macro_f_score(table(1))
            for label, f1 in by_label.items():
                of_label = ours["intersection_based"]["per_class"][label]
                if math.isnan(f1):  # psds_eval's of no true positive
                    f1 = 0.0
                assert of_label["f1"] == pytest.approx(f1, abs=1e-9)


def test_psds_is_none_of_no_events_and_0_of_no_detections():
    empty = figures([Recording("r", 60.0, [], [])])["psds"]
    assert [empty[name] for name in SCENARIOS] == [None] * 3
    annotated, _ = numpy_lists(0)
    silent = figures([Recording("r", 60.0, annotated, [])])["psds"]
    assert [silent[name] for name in SCENARIOS] == [0.0] * 3


def test_no_warning_where_figures_are_not_defined():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        result = figures([Recording("r", 60.0, [], [])])
    assert result["event_based"]["micro"]["f1"] is None
    assert result["alarms"]["micro"]["false_alarms_per_hour"] == 0
    assert np.isclose(result["hours"], 1 / 60)
