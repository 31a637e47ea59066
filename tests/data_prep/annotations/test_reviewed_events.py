"""Events of a detector, reviewed or not, become a database of clips."""

from collections import Counter

import pytest

from cry_modules.review.cases import read_scores
from data_prep.files.tables import read_table
from tests.data_prep.annotations.annotated import rows

_HEADER = "recording,onset_s,offset_s,label,score,reviewed_label,decision"


@pytest.fixture
def reviewed(nights):
    """A table as cry_modules.review writes it: one event a decision."""
    for path in nights.glob("labels/*"):
        path.unlink()
    decisions = [("cry", "kept"), ("fuss", "relabelled"), ("", "excluded")]
    decisions += [("", "unsure"), ("", "")]
    lines = [_HEADER]
    for i in range(6):
        for n, cells in enumerate(decisions):
            onset = f"night{i}.wav,{10 * n + 5},{10 * n + 6},cry,0.9"
            lines.append(",".join([onset, *cells]))
    path = nights / "labels/reviewed.csv"
    path.write_text("\n".join(lines))
    return path


def test_each_decision_has_its_reason(annotate, nights, reviewed):
    out = annotate("--patient", "folder")[1]
    for words in (
        "6 excluded in the review",
        "6 unsure in the review",
        "6 not reviewed",
    ):
        assert words in out
    assert "without a label" not in out
    reasons = {
        row["onset"]: row["reason"] for row in rows(nights, "left_out.csv")
    }
    assert reasons == {
        "25.0": "excluded in the review",
        "35.0": "unsure in the review",
        "45.0": "not reviewed",
    }


def test_a_label_for_events_without_one_leaves_a_review_as_it_is(
    annotate, nights, reviewed
):
    annotate("--patient", "folder", "--empty_label", "cry")
    labels = Counter(r["label"] for r in rows(nights))
    assert labels == {"cry": 6, "fuss": 6, "other": 12}


def test_what_a_detector_missed_can_be_a_negative(annotate, nights, reviewed):
    """Negatives are a table of events, which cry_modules.review plays; with
    its decisions in place of drawn negatives, nobody needs to trust those."""
    lines = annotate("--patient", "folder")[1].splitlines()
    assert len(lines) == 3 and lines[1].startswith("warning: the events have")
    assert "can be among the 12 negatives, labelled other: listen" in lines[1]
    assert f"cry_modules.review {nights / 'out/negatives.csv'} " in lines[1]
    assert " --classes cry fuss other --out " in lines[1]
    table = read_scores(nights / "out/negatives.csv")
    assert table.is_events and len(table.cases) == 12
    negatives = [c for _, c in read_table(nights / "out/negatives.csv", [])]
    assert len(negatives) == 12
    assert {row["label"] for row in negatives} == {"other"}
    text = ["recording,channel,onset_s,offset_s,label,reviewed_label,decision"]
    for n, row in enumerate(negatives):
        cells = ("cry", "relabelled") if n == 0 else ("other", "kept")
        text.append(",".join([*row.values(), *cells]))
    listened = reviewed.with_name("reviewed_negatives.csv")
    listened.write_text("\n".join(text))
    lines = annotate("--patient", "folder", "--negatives", "0")[1].splitlines()
    assert len(lines) == 2 and lines[1].startswith("to train on it: ")
    labels = Counter(r["label"] for r in rows(nights))
    assert labels == {"cry": 7, "fuss": 6, "other": 11}


def test_annotations_of_people_are_complete(annotate, nights):
    assert "warning" not in annotate("--patient", "folder")[1]
