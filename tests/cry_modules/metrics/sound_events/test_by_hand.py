"""Figures of small examples, computed by hand or by slow plain loops."""

from itertools import permutations

import numpy as np
import pytest
from scipy.stats import pearsonr

from cry_modules.metrics.sound_events.agreement import (
    agreement,
    bins,
    minutes_per_hour,
    moments,
)
from cry_modules.metrics.sound_events.alarms import alarm_counts
from cry_modules.metrics.sound_events.comparison import (
    Recording,
    Settings,
    compare,
)
from cry_modules.metrics.sound_events.event_based import Collar, matched
from cry_modules.metrics.sound_events.intersection import (
    Criteria,
    intersection_counts,
)
from cry_modules.metrics.sound_events.intervals import covered_s, merged
from cry_modules.metrics.sound_events.resampling import Resampling
from data_prep.annotations.event import Event


def spans(*pairs):
    return np.array(pairs, dtype=float).reshape(-1, 2)


@pytest.mark.parametrize(
    "annotated, detected, expected",
    [
        ([(1, 2)], [(1.2, 2.2)], 1),  # both exactly at the collar
        ([(1, 2)], [(1.201, 2)], 0),
        ([(1, 2)], [(1, 2.201)], 0),
        ([(1, 11)], [(1, 13)], 1),  # 20 % of ten seconds
        ([(1, 11)], [(1, 13.01)], 0),
        ([(1, 2)], [(1, 2), (1.1, 2)], 1),  # each event in one pair
        # 200 ms is in time wherever it is, whatever the rounding.
        ([(0.7, 1.7)], [(0.9, 1.7)], 1),
        ([(80000.7, 80001.7)], [(80000.9, 80001.7)], 1),
        ([], [(1, 2)], 0),
        ([(1, 2)], [], 0),
    ],
)
def test_collars(annotated, detected, expected):
    assert matched(spans(*annotated), spans(*detected)) == expected


def test_as_many_pairs_as_possible_are_matched():
    """The first event fits both detections, the second only the first of them:
    a greedy match takes it away, and finds one pair."""
    annotated = spans((1.0, 3.0), (1.0, 3.3))
    detected = spans((1.0, 3.1), (1.05, 2.9))
    assert matched(annotated, detected, Collar(0.2, 0.2, 0.0)) == 2


def most_pairs(annotated, detected, collar):
    """Largest matching by trying all orders."""

    def fits(a, d):
        late = max(collar.offset_s, collar.offset_share * (a[1] - a[0]))
        return abs(a[0] - d[0]) <= collar.onset_s and abs(a[1] - d[1]) <= late

    best = 0
    for order in permutations(range(len(detected))):
        best = max(
            best, sum(fits(a, detected[i]) for a, i in zip(annotated, order))
        )
    return best


@pytest.mark.parametrize("seed", range(25))
def test_matching_against_all_orders(seed):
    rng = np.random.default_rng(seed)

    def draw(n):
        onset = rng.uniform(0, 1, n)
        both = np.stack([onset, onset + rng.uniform(0.1, 1, n)], axis=1)
        return both[np.argsort(onset)]

    annotated, detected = draw(rng.integers(1, 6)), draw(6)
    collar = Collar(0.2, 0.2, 0.3)
    expected = most_pairs(annotated, detected, collar)
    assert matched(annotated, detected, collar) == expected


def test_union_and_cover_against_a_loop_over_milliseconds():
    rng = np.random.default_rng(0)
    events = np.sort(rng.integers(0, 3000, (30, 2)), axis=1) / 1000
    grid = np.zeros(3000, dtype=bool)
    for low, high in np.round(events * 1000).astype(int):
        grid[low:high] = True
    windows = np.sort(rng.integers(0, 3000, (20, 2)), axis=1)
    expected = [grid[low:high].sum() / 1000 for low, high in windows]
    computed = covered_s(merged(events), windows / 1000)
    assert computed == pytest.approx(expected, abs=1e-9)


def test_intersection_criteria_by_hand():
    cry, speech = spans((0, 10), (20, 30)), spans((40, 50))
    detected = spans(
        (0, 6),  # all of it within cry: 6 of 10 s covered
        (28, 36),  # a quarter of it within cry: false
        (45, 60),  # a third of it within speech: a cross-trigger, false
    )
    counts = intersection_counts([cry, speech], [detected, spans()], Criteria())
    assert counts.tolist() == [[1, 2, 0, 1], [0, 0, 0, 0]]
    # Two short detections find one event together; exactly half of it.
    halves = spans((0, 2), (4, 7))
    counts = intersection_counts([cry], [halves], Criteria(0.5, 0.5))
    assert counts.tolist() == [[1, 0, 0]]
    # One passes DTC, its event fails GTC: neither true nor false.
    counts = intersection_counts([cry], [spans((0, 4))], Criteria(0.5, 0.5))
    assert counts.tolist() == [[0, 0, 0]]


def test_alarms_by_hand():
    cry, music = spans((0, 10), (20, 30)), spans((40, 50), (60, 70))
    detected = spans((9, 12), (30, 31), (41, 42), (43, 44))
    # The detection from 30 s on only touches the second cry: it is missed.
    (counts,) = alarm_counts([cry], [detected], [music])
    assert counts.tolist() == [2, 1, 4, 3, 2, 1]


def test_rates_are_per_hour_of_recording():
    day = Recording(
        "day",
        7200.0,
        [Event(0, 10, "cry"), Event(50, 60, "cry"), Event(70, 80, "music")],
        [Event(1, 5, "cry"), Event(72, 75, "cry"), Event(100, 101, "cry")],
        "day",
    )
    result = compare([day], Settings(["cry"], ["music"]), Resampling(["day"]))
    micro = result["alarms"]["micro"]
    assert micro["false_alarms_per_hour"] == 1.0
    assert micro["false_alarms_per_night"] == 8.0
    assert micro["missed_per_hour"] == 0.5 and micro["missed_share"] == 0.5
    of_music = result["alarms"]["confusers"]["music"]
    assert of_music["false_alarms"] == of_music["n_events"] == 1
    assert of_music["false_alarms_per_hour_of_it"] == pytest.approx(360)
    assert result["no_interval"] == "1 recording, and an interval needs 5"
    assert micro["false_alarms_per_hour_ci95"] is None


def icc_by_anova(x, y):
    """ICC(A,1) of two raters by loops over the table of bins and raters."""
    table, n, k = np.stack([x, y], axis=1), len(x), 2
    grand = table.mean()
    rows = sum(k * (row.mean() - grand) ** 2 for row in table) / (n - 1)
    columns = sum(n * (c.mean() - grand) ** 2 for c in table.T) / (k - 1)
    rest = sum(
        (table[i, j] - table[i].mean() - table[:, j].mean() + grand) ** 2
        for i in range(n)
        for j in range(k)
    ) / ((n - 1) * (k - 1))
    return (rows - rest) / (rows + (k - 1) * rest + k / n * (columns - rest))


def test_agreement_against_definitions():
    rng = np.random.default_rng(4)
    x = rng.gamma(1, 5, 40)
    y = 0.8 * x + rng.normal(2, 2, 40)
    figures = agreement(moments(x, y))
    assert figures["pearson"] == pytest.approx(pearsonr(x, y)[0], abs=1e-12)
    assert figures["icc"] == pytest.approx(icc_by_anova(x, y), abs=1e-12)
    lin = 2 * np.cov(x, y, ddof=0)[0, 1]
    lin /= x.var() + y.var() + (x.mean() - y.mean()) ** 2
    assert figures["concordance"] == pytest.approx(lin, abs=1e-12)
    gap = np.abs(x - y).mean()
    assert figures["mean_absolute_difference"] == pytest.approx(gap)
    assert figures["mean_difference"] == pytest.approx((y - x).mean())


@pytest.mark.parametrize(
    "x, y, pearson, concordance",
    [
        ([1, 2, 3], [1, 2, 3], 1, 1),
        ([1, 2, 3], [3, 2, 1], -1, -1),
        ([1, 2, 3], [0, 0, 0], np.nan, 0),  # a detector that never fires
        ([0, 0], [0, 0], np.nan, np.nan),
        ([0.1] * 3, [0.1] * 3, np.nan, np.nan),  # rounding is not variance
    ],
)
def test_agreement_of_what_does_not_vary(x, y, pearson, concordance):
    figures = agreement(moments(np.array(x, float), np.array(y, float)))
    values = [figures["pearson"], figures["concordance"]]
    assert values == pytest.approx([pearson, concordance], nan_ok=True)


def test_a_single_bin_has_no_correlation():
    figures = agreement(moments(np.array([1.0]), np.array([2.0])))
    assert np.isnan(figures["pearson"]) and np.isnan(figures["icc"])


@pytest.mark.parametrize(
    "duration, bin_s, lengths",
    [
        (900, 300, [300] * 3),
        (1049, 300, [300, 300, 449]),  # a rest below half a bin is added
        (1050, 300, [300, 300, 300, 150]),  # from half a bin on it is one
        (20, 300, [20]),
        (28800, 86400, [28800]),
    ],
)
def test_bins_cover_the_recording(duration, bin_s, lengths):
    edges = bins(duration, bin_s)
    assert np.diff(edges, axis=1).ravel().tolist() == lengths
    assert edges[0, 0] == 0 and edges[-1, 1] == duration


def test_amounts_count_overlaps_once():
    amounts = minutes_per_hour(spans((0, 30), (20, 60)), bins(600, 300))
    assert amounts.tolist() == [12.0, 0.0]


def test_intervals_are_the_loop_over_groups():
    """The bootstrap of summed counts equals repeating recordings of the drawn
    infants and computing the figure again."""
    rng = np.random.default_rng(1)
    recordings = []
    for i in range(12):
        starts = np.arange(0, 100, 10.0)
        annotated = [Event(t, t + 5, "cry") for t in starts]
        detected = [
            Event(t, t + 5, "cry") for t in starts[rng.random(10) < 0.6]
        ]
        group = f"p{i // 2}"
        recordings.append(Recording(str(i), 100.0, annotated, detected, group))
    groups = [recording.group for recording in recordings]
    resampling = Resampling(groups, "infant", 7, 300)
    result = compare(recordings, Settings(["cry"]), resampling)
    more = np.random.default_rng(7)
    weights = np.concatenate(
        [more.multinomial(6, np.full(6, 1 / 6), 100) for _ in range(3)]
    )
    recalls = []
    for draw in weights:
        n = n_right = 0
        for group, times in enumerate(draw):
            for recording in recordings[2 * group : 2 * group + 2]:
                n += times * len(recording.annotated)
                n_right += times * len(recording.detected)
        recalls.append(n_right / n)
    low, high = np.quantile(recalls, [0.025, 0.975])
    computed = result["event_based"]["micro"]["recall_ci95"]
    assert computed == pytest.approx([low, high])
    assert result["n_infants_drawn"] == 6


def test_no_false_alarm_has_an_upper_limit():
    """None in 10 hours: 2.5 % of such nights have none at 3.69 / 10 an hour."""
    cry = [Event(0, 10, "cry")]
    nights = [Recording(str(i), 3600.0, cry, cry, str(i)) for i in range(10)]
    names = [night.name for night in nights]
    result = compare(nights, Settings(["cry"]), Resampling(names, n_draws=100))
    micro = result["alarms"]["micro"]
    assert micro["false_alarms_per_hour_ci95"] == pytest.approx(
        [0, 0.3689], 1e-3
    )
    assert micro["false_alarms_per_night_ci95"][1] == pytest.approx(2.951, 1e-3)
    # All ten are found: Clopper and Pearson's interval of ten of ten.
    expected = [0.025 ** (1 / 10), 1.0]
    recall = result["event_based"]["micro"]["recall_ci95"]
    assert recall == pytest.approx(expected)
    assert micro["missed_share_ci95"] == pytest.approx([0, 1 - expected[0]])
