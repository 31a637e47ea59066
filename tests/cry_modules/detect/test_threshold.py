"""Thresholds by false alarms an hour, against a search by hand."""

import numpy as np
import pytest
from hypothesis import (
    given,
    strategies as st,
)

from cry_modules.detect.annotated import annotated_recordings
from cry_modules.detect.events import Rule, find_events, low_of, searched
from cry_modules.detect.threshold import (
    FLOORS,
    Scored,
    candidates,
    choose,
    chosen,
    false_alarms,
    in_words,
    number_or_file,
    read_threshold,
    save,
    threshold_of_model,
)
from data_prep.files.errors import InputError

RULE = Rule(0.5, 0.3)


def night(seed, n=600, hop=4.0):
    """Scores of an hour or so, with three annotated cries."""
    rng = np.random.default_rng(seed)
    scores = 1 / (1 + np.exp(3 - rng.normal(0, 1, n)))
    annotated = []
    for first in rng.choice(np.arange(5, n - 10, 20), 3, replace=False):
        scores[first : first + 4] += (1 - scores[first : first + 4]) * 0.8
        annotated.append([first * hop, (first + 4) * hop])
    edges = np.arange(n + 1) * hop
    return Scored(f"night{seed}", edges, scores, np.array(sorted(annotated)))


def slow_false_alarms(scored, rule):
    n = 0
    for onset, offset, _ in find_events(scored.edges, scored.scores, rule):
        shared = [min(offset, b) - max(onset, a) for a, b in scored.annotated]
        n += not any(seconds > 1e-9 for seconds in shared)
    return n


@pytest.mark.parametrize("target", [0.5, 2.0, 6.0])
def test_the_lowest_threshold_that_keeps_the_target(target):
    nights = [night(seed) for seed in range(6)]
    facts = chosen(nights, RULE, target)
    hours = 6 * 600 * 4 / 3600
    values = sorted({s for n in nights for s in n.scores.tolist()})
    best = None
    for lower, upper in zip(values[::-1][1:], values[::-1]):
        high = (lower + upper) / 2
        rule = RULE._replace(high=high, low=low_of(high))
        if sum(slow_false_alarms(n, rule) for n in nights) > target * hours:
            break
        best = high
    assert facts["threshold"] == pytest.approx(best, rel=1e-12)
    assert facts["false_alarms_per_hour"] <= target + 1e-9
    low, high = facts["threshold_ci95"]
    assert low <= facts["threshold"] <= high and low < high
    low, high = facts["false_alarms_per_hour_ci95"]
    assert low <= facts["false_alarms_per_hour"] <= high
    assert facts["annotated_events"] == 18 and facts["hours"] == pytest.approx(
        hours
    )
    assert "6 annotated recordings of 4.00 hours" in in_words(facts)


def known_to(scored, floor, step=8):
    """A night of which only the gaps near scores of `floor` are scored."""
    first_pass = np.array([*range(0, len(scored.scores) - 1, step), 599])
    kept = searched(scored.scores, first_pass, floor)
    return scored._replace(scores=kept, first_pass=first_pass)


@pytest.mark.parametrize("target", [0.5, 2.0, 20.0])
def test_a_threshold_needs_few_gaps(target):
    """Scoring finely down to a floor is as good as everywhere."""
    nights = [night(seed) for seed in range(6)]
    floors = []
    for floor in FLOORS:
        floors.append(floor)
        facts = chosen([known_to(n, floor) for n in nights], RULE, target,
                       floor=floor)  # fmt: skip
        if facts is not None:
            break
    everywhere = [known_to(n, 0.0) for n in nights]
    whole = chosen(everywhere, RULE, target)
    for name in ("false_alarms_per_hour", "found_events"):
        assert facts[name] == whole[name]
    assert facts["threshold"] == pytest.approx(whole["threshold"], abs=0.01)
    assert facts["low_threshold"] >= floors[-1]
    assert target > 2 or floors[-1] > 0
    rule = RULE._replace(
        high=facts["threshold"], low=low_of(facts["threshold"])
    )
    n_false = sum(false_alarms(n, rule)[0] for n in everywhere)
    assert n_false <= target * facts["hours"] + 1e-9


@given(st.lists(st.lists(st.booleans(), min_size=4, max_size=4), min_size=1))
def test_choosing_is_a_walk_from_the_top(tables):
    for row, place in zip(tables, choose(np.array(tables))):
        expected = -1
        for i, exceeds in enumerate(row):
            if exceeds:
                break
            expected = i
        assert place == expected


def test_false_alarms_share_no_time_with_an_annotation():
    scored = Scored(
        "a",
        np.arange(7.0),
        np.array([1, 0, 1, 0, 1, 0.0]),
        np.array([[1.0, 2.5]]),
    )
    assert false_alarms(scored, RULE)[0] == 2 == slow_false_alarms(scored, RULE)
    empty = scored._replace(annotated=np.empty((0, 2)))
    assert false_alarms(empty, RULE) == (3, 0.5)


def test_few_recordings_have_no_interval():
    facts = chosen([night(0)], RULE, 2.0)
    assert facts["threshold_ci95"] is None
    assert "how sure is unknown" in in_words(facts)
    assert "1 annotated recording of" in in_words(facts)


def test_a_night_is_not_one_event():
    """Without false alarms at any threshold, the one that finds most."""
    scores = np.array([0.9, 0.2, 0.1])
    scored = Scored("a", np.arange(4.0), scores, np.array([[0.0, 1.0]]))
    assert chosen([scored], RULE._replace(bridge_s=5), 1.0)["threshold"] == (
        pytest.approx(0.55)
    )


def test_a_model_that_tells_nothing_apart_is_refused():
    """All scores within half the odds: at once the whole night is one event,
    which is no false alarm."""
    scores = np.linspace(0.6, 0.65, 100)
    scored = Scored("a", np.arange(101.0), scores, np.array([[30.0, 33.0]]))
    with pytest.raises(InputError, match="events cover 100% of the time"):
        chosen([scored], RULE, 1.0)


@pytest.mark.parametrize(
    "scores, words",
    [
        ([0.9, 0.1, 0.2], "at the highest score alone there are 1200.00"),
        ([np.nan] * 3, "silent in every window"),
    ],
)
def test_no_threshold_is_a_line(scores, words):
    nothing = np.empty((0, 2))
    scored = Scored("a", np.arange(4.0), np.array(scores), nothing)
    with pytest.raises(InputError, match=words):
        chosen([scored], RULE, 2.0)


def test_many_scores_are_tried_where_it_matters():
    tried = candidates([night(seed, n=5000) for seed in range(3)])
    assert 900 < len(tried) < 1100 and (np.diff(tried) < 0).all()
    assert tried[0] < 1 or tried[0] == 1.0005


def test_a_threshold_file_is_read_back(tmp_path):
    facts = chosen([night(seed) for seed in range(5)], RULE, 2.0)
    extra = {"label": "cry", "model": "x", "channels": "mix", "window_s": 4.0}
    extra |= {"hop_s": 4.0, "edge_s": 0.5, "least_s": 0.0, "bridge_s": 4.0}
    path = tmp_path / "threshold.json"
    save({**extra, **facts}, path)
    assert read_threshold(str(path))["threshold"] == facts["threshold"]
    for text in (str(path), str(tmp_path)):
        assert number_or_file(text)[1]["label"] == "cry"
    assert number_or_file("0.25") == (0.25, None)


@pytest.mark.parametrize(
    "text, words",
    [
        ("1.5", "--threshold is 1.5; it must be 0 to 1, or a threshold.json"),
        ("high", "--threshold is high"),
        ("no.json", "no.json: the file is missing; pass a number, or a"),
        ("{}", "model is missing"),
        ('{"format": "x"', "not JSON"),
    ],
)
def test_other_thresholds_are_refused(tmp_path, monkeypatch, text, words):
    monkeypatch.chdir(tmp_path)
    if text.startswith("{"):
        (tmp_path / "t.json").write_text(text)
        text = "t.json"
        words = words.replace("model is", "format is")
    with pytest.raises(InputError, match=words):
        number_or_file(text)


def test_the_models_own_threshold_is_of_clips():
    assert threshold_of_model(0.3, ["other", "cry"], "cry")[0] == 0.3
    assert threshold_of_model(0.3, ["other", "cry"], "other")[0] == 0.7
    assert threshold_of_model(None, ["a", "b", "c"], "b")[0] == 0.5


def test_annotated_points_are_said(tmp_path, capsys):
    """A point has no time that a detection could share."""
    (tmp_path / "a.txt").write_text("3\t3\tcry\n5\t6\tcry\n7\t7\tspeech\n")
    names = {"nights/a.wav": "a"}
    found = annotated_recordings(names, str(tmp_path), ["cry"])
    assert len(found["nights/a.wav"]) == 2
    err = capsys.readouterr().err
    assert (
        "1 annotated event of zero length cannot be found (the first: nights/a.wav at 3 s)"
        in err
    )
    (tmp_path / "a.txt").write_text("5\t6\tcry\n")
    annotated_recordings(names, str(tmp_path), ["cry"])
    assert "zero length" not in capsys.readouterr().err
