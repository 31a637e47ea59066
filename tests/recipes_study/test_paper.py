"""The page of a study of own recordings: one table of all encoders, their
differences, doubtful recordings, and paragraphs whose numbers are those of the
results.

Issue 30, item 7.
"""

import csv
import json
import re
from dataclasses import replace
from itertools import combinations

import numpy as np
import pytest
import studies
import yaml

from cry_modules.evaluation import report
from cry_modules.metrics.predictions import Predictions
from recipes.study.encoders import ENCODERS
from recipes.study.report import doubtful, limits, rows
from recipes.study.report.findings import Pairs
from recipes.study.report.page import make_report
from recipes.study.report.results import Cell, Results

N_PATIENTS = 22
CLASSES = ["Bath", "Vaccination"]
NAMES = ["random_calibrated", "simclr", "adapt_all"]
MODES = ["linear", "linear_blocks"]
FOLDS = ["fold_0_0", "fold_1_1", "fold_2_2"]
WARNING = "Condition can be predicted from the files alone"


def recordings():
    """ID, patient, path, label and fold: each patient has both classes."""
    return [
        (
            f"r{i}_{k}_{j}",
            f"SECRET Baby {i}",
            f"SECRET/{i}-{k}-{j}.wav",
            k,
            i % 3,
        )
        for i in range(N_PATIENTS)
        for k in range(2)
        for j in range(2)
    ]


def write_database(folder):
    folder.mkdir()
    with (folder / "recordings.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        head = ["recording_id", "patient_id", "path", "Condition", "fold"]
        writer.writerow(head)
        for ID, patient, path, k, fold in recordings():
            writer.writerow([ID, patient, path, CLASSES[k], f"SECRET{fold}"])
            (folder / path).parent.mkdir(exist_ok=True)
            (folder / path).touch()  # not read


def write_run(run, encoder_seed):
    """Write predictions with paths, and metrics as a run with folds has."""
    rows = recordings()
    labels = np.array([row[3] for row in rows])
    rng = np.random.default_rng([run.facts["seed"], len(run.name)])
    better = 1.5 if run.facts["mode"] == "linear_blocks" else 1.0
    odds = rng.normal(better * (2 * labels - 1), 2.0)
    p = 1 / (1 + np.exp(-odds))
    predictions = Predictions(
        [row[0] for row in rows], [row[1] for row in rows], labels,
        np.stack([1 - p, p], axis=1), CLASSES, [str(row[4]) for row in rows],
    )  # fmt: skip
    studies.write_results(run, predictions)
    predictions.write(
        run.folder / "predictions_test.csv", {row[0]: row[2] for row in rows}
    )
    path = run.folder / "metrics.json"
    metrics = json.loads(path.read_text())
    encoder = run.facts["encoder"]
    metrics.update(
        folds=FOLDS,
        prevalence=[0.5, 0.5],
        encoder_source=f"{encoder}/{encoder_seed}",
        files={"class_warning": WARNING, "split_warning": None,
               "by_class": {}, "by_split": {}},
    )  # fmt: skip
    if encoder == "random_calibrated":
        metrics["encoder_source"] = encoder
    elif (encoder, run.facts["mode"]) == ("simclr", "linear"):
        metrics["controls"] = {
            "logmel_logistic": control(0.8),
            "logmel_spread": control(0.41),
        }
    path.write_text(json.dumps(metrics))
    p = 1 / (1 + np.exp(-rng.normal(labels - 0.5, 2.0)))
    weaker = predictions.with_scores(np.stack([1 - p, p], axis=1))
    chosen = {"chosen": {"epoch": 3 + run.facts["seed"]}}
    for i, name in enumerate(FOLDS):
        folder = run.folder / name / "controls/logmel_logistic"
        folder.mkdir(parents=True)
        (run.folder / name / "metrics.json").write_text(json.dumps(chosen))
        rows_of = [k for k, row in enumerate(rows) if row[4] == i]
        part = replace(weaker.take(rows_of[::-1]), folds=None)
        part.write(folder / "predictions_test.csv")


def control(auc):
    values = {"auc": auc, "average_precision": auc - 0.01}
    values["auc_ci95"] = [auc - 0.1, auc + 0.1]
    difference = {"difference": 0.0, "ci95": [-0.1, 0.1], "p": 1.0}
    block = {**values, "difference": difference}
    return {"recording": block, "patient": block}


def make_study(folder, pretraining_seeds):
    write_database(folder / "cries")
    values = studies.real(
        folder, folder / "cries", folds=True, nuisance=None, encoders=NAMES,
        modes=MODES, seeds=[1, 2], pretraining_seeds=pretraining_seeds,
        confounds=True,
        tasks={"pain": {"label_column": "Condition", "classes": CLASSES}},
    )  # fmt: skip
    plan = studies.plan_of(values)
    (folder / "out/study.yaml").parent.mkdir()
    (folder / "out/study.yaml").write_text(yaml.safe_dump(values))
    for run in plan.of_rule("train_cls"):
        n = run.facts["seed"] if len(pretraining_seeds) > 1 else 1
        write_run(run, n)
    background = {"auc": 0.71, "ci95": [0.61, 0.81]}
    run = plan["confounds/pain"]
    run.folder.mkdir(parents=True)
    confounds = {"verdict": ["Background: it can"], "notes": []}
    confounds["probes"] = {"label_background": {"evidence": background}}
    run.result.write_text(json.dumps(confounds))
    return plan


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """A study with two pre-training seeds, and its folder."""
    folder = tmp_path_factory.mktemp("own")
    plan = make_study(folder, [1, 2])
    with studies.fewer_draws():
        make_report(folder / "out")
        yield plan, folder / "out", Results(plan)


@pytest.fixture(scope="module")
def one_seed(tmp_path_factory):
    folder = tmp_path_factory.mktemp("one_seed")
    make_study(folder, [1])
    with studies.fewer_draws():
        make_report(folder / "out")
    return folder / "out"


def numbers_of(out):
    return json.loads((out / "results.json").read_text())


def test_one_table_has_all_encoders_and_controls_sorted(study):
    _, out, results = study
    rows = numbers_of(out)["tables"]["encoders_pain"]
    labels = [f"{ENCODERS[e].label}, {m}" for e in NAMES
              for m in ("linear", "linear on blocks")]  # fmt: skip
    labels += [
        "log-mel statistics, logistic regression",
        "log-mel statistics without means, logistic regression",
        "background alone (quietest frames)",
    ]
    assert sorted(row["label"] for row in rows) == sorted(labels)
    aucs = [row["cells"][0]["mean"] for row in rows]
    assert aucs == sorted(aucs, reverse=True)
    of = {row["label"]: row for row in rows}
    cell = of["SimCLR on generic sounds, linear on blocks"]["cells"][0]
    compared = results.compared("pain", "simclr", "linear_blocks")["sets"][0]
    assert cell["mean"] == compared["mean"] and cell["ci95"] == compared["ci95"]
    assert cell["sd"] == pytest.approx(np.std(compared["by_seed"], ddof=1))
    assert of[labels[6]]["cells"][0]["ci95"] == pytest.approx([0.7, 0.9])
    assert of[labels[6]]["control"] and of[labels[-1]]["control"]
    page = (out / "report.html").read_text()
    assert page.count('<table id="encoders_pain">') == 1
    assert page.index('id="encoders_pain"') < page.index('id="corpora"')
    assert "table_1" not in page and "table_2" not in page
    picture = (out / "figures/auc_pain.svg").read_text()
    for label in ("without means", "background alone", "calibrated", "chance"):
        assert label in picture.replace("\n", " ")


def test_the_spread_is_that_of_pretraining_seeds(one_seed):
    """Two heads on one encoder say nothing about another pre-training."""
    rows = numbers_of(one_seed)["tables"]["encoders_pain"]
    sd = {row["label"]: row["cells"][0]["sd"] for row in rows}
    assert sd["SimCLR on generic sounds, linear"] is None
    assert sd["random, BatchNorm calibrated, linear"] > 0  # two encoders
    page = (one_seed / "report.html").read_text()
    assert "between 1 pre-training seed:" in page


def test_all_pairs_are_compared_in_two_modes(study):
    _, out, results = study
    entries = numbers_of(out)["pairs"]
    assert {e["mode"] for e in entries} == {"linear", "linear_blocks"}
    assert sum("paper's" in e["title"] for e in entries) == 1
    pairs = {frozenset(ENCODERS[n].label for n in p)
             for p in combinations(NAMES, 2)}  # fmt: skip
    name_of = {ENCODERS[name].label: name for name in NAMES}
    for entry in entries:
        of_encoders = entry["rows"][:-3]
        assert {frozenset((r["a"], r["b"])) for r in of_encoders} == pairs
        for row in of_encoders:
            a, b = (results.cell("pain", name_of[row[x]], entry["mode"]).mean
                    for x in "ab")  # fmt: skip
            assert row["difference"] == pytest.approx(a - b)
            assert row["p"] <= row["p_holm"] <= 1
    page = (out / "report.html").read_text()
    (details,) = re.findall('<details id="pairs">.*?</details>', page, re.S)
    assert details.count("<tr>") == 2 * (1 + len(pairs) + len(NAMES))
    assert "undecided" not in details


def slow_auc(scores, rows):
    """Pairs of a positive and a negative of one fold; a positive counts once."""
    shares = []
    for ID, _, _, label, fold in rows:
        if label == 1:
            others = [scores[r[0]] for r in rows if (r[3], r[4]) == (0, fold)]
            shares.append(np.mean([scores[ID] > other for other in others]))
    return np.mean(shares)


def test_each_encoder_is_compared_with_log_mel_statistics(study):
    plan, out, results = study
    run = plan.classifiers("pain", "simclr", "linear")[0]
    scores = {}
    for name in FOLDS:
        table = run.folder / name / "controls/logmel_logistic"
        with (table / "predictions_test.csv").open(newline="") as file:
            for row in csv.DictReader(file):
                scores[row["ID"]] = float(row["Vaccination"])
    control = slow_auc(scores, recordings())
    for entry in numbers_of(out)["pairs"]:
        above = entry["rows"][-3:]
        assert {row["a"] for row in above} == {
            ENCODERS[name].label for name in NAMES
        }
        for row in above:
            assert row["b"] == "log-mel statistics, logistic regression"
            (name,) = (n for n in NAMES if ENCODERS[n].label == row["a"])
            cell = results.cell("pain", name, entry["mode"])
            assert row["difference"] == pytest.approx(cell.mean - control)
            # Over the seeds of the encoder alone: the control has none.
            assert row["n_encoders"] == [2] and row["p"] <= row["p_holm"]


def test_a_doubtful_score_is_that_of_equally_frequent_classes():
    scores = np.array([[0.7, 0.3], [0.7, 0.3]])
    p = Predictions(["a", "b"], ["p", "q"], np.array([1, 0]), scores, CLASSES)
    rare = (0.3 / 0.2) / (0.3 / 0.2 + 0.7 / 0.8)
    assert doubtful._scores(p, [0.8, 0.2]) == pytest.approx([rare, 1 - rare])
    assert doubtful._scores(p, None) == pytest.approx([0.3, 0.7])


def test_pairs_of_one_pretraining_seed_are_undecided(one_seed):
    page = (one_seed / "report.html").read_text()
    (details,) = re.findall('<details id="pairs">.*?</details>', page, re.S)
    # The random encoder has two seeds, which log-mel statistics do not need.
    assert details.count(">undecided</td>") == 2 * (3 + 2)


def test_doubtful_recordings_are_named_in_their_file_alone(study):
    plan, out, results = study
    found = list(csv.DictReader((out / "doubtful.csv").open(newline="")))
    assert list(found[0]) == [
        "path", "patient", "label", "score", "times_wrong", "kind",
    ]  # fmt: skip
    encoder, mode = max(
        ((e, m) for e in NAMES for m in MODES),
        key=lambda where: results.cell("pain", *where).mean,
    )
    runs = plan.classifiers("pain", encoder, mode)
    files = [
        list(csv.DictReader((run.folder / "predictions_test.csv").open()))
        for run in runs
    ]
    of_path = {rows[0]["path"]: rows for rows in zip(*files)}
    means = []
    for row in found:
        same = of_path[row["path"]]
        assert row["patient"] == same[0]["patient_id"]
        assert row["label"] == same[0]["label"]
        scores = [float(cells[row["label"]]) for cells in same]
        assert float(row["score"]) == pytest.approx(np.mean(scores), abs=1e-4)
        assert int(row["times_wrong"]) == sum(s < 0.5 for s in scores)
        means.append(np.mean(scores))
    kinds = [row["kind"] for row in found]
    n = kinds.count("most wrong")
    assert kinds == ["most wrong"] * n + ["most unsure"] * 20
    assert means[:n] == sorted(means[:n]) and means[n - 1] < 0.5
    unsure = [abs(mean - 0.5) for mean in means[n:]]
    assert unsure == sorted(unsure)
    assert len({row["path"] for row in found}) == len(found)
    page = (out / "report.html").read_text()
    assert "doubtful.csv" in page
    for file in out.iterdir():
        if file.is_file() and not file.name.startswith("doubtful"):
            assert "SECRET" not in file.read_text(), file


def numbers_in(text):
    """Numbers of results: not those in names, and no chosen percentages."""
    return re.findall(r"(?<![\w.])[+-]?\d+(?:\.\d+)?(?!\w| ?%)(?!\.\d)", text)


def known_numbers(data):
    """All numbers of some JSON, as text in the forms of the paragraphs."""
    if isinstance(data, dict):
        return set().union(*map(known_numbers, data.values()))
    if isinstance(data, list):
        return set().union(*map(known_numbers, data), {str(len(data))})
    if isinstance(data, bool) or not isinstance(data, (int, float)):
        return set()
    forms = {f"{data:.3f}", f"{data:+.3f}", f"{data:g}", f"{-data:+.3f}"}
    return forms | {f"{data:.2f}"}


def test_each_number_of_the_results_is_in_results_json(study):
    _, out, _ = study
    data = numbers_of(out)
    text = data["paper"].pop("results")
    known = known_numbers(data)
    used = numbers_in(text)
    assert len(used) > 30
    assert not {number for number in used} - known
    assert text in (out / "paper.md").read_text()


def test_the_paragraphs_say_what_was_done(study):
    _, out, results = study
    text = (out / "paper.md").read_text()
    for part in (
        "classified as Bath or Vaccination (Condition",
        "Each of 3 folds was the test set once",
        "no patient was in two of these sets",
        "Encoders were adapted without the patients of validation and test",
        "epoch of linear 4.5 (4 to 5)",
        "Encoders were trained with 2 seeds and classifiers with 2",
        "that of 100 bootstrap draws",
        "For Condition, 88 recordings of 22 patients, 44 patient-class pairs "
        "were tested (Bath: 44 of 22 patients; Vaccination: 44 of 22 patients)",
        "Of 6 combinations of encoder and read-out",
        "log-mel statistics, logistic regression 0.800 (0.700 to 0.900)",
        "corrected by Holm's procedure for their number within a family",
    ):
        assert part in text, part
    methods, found = text.index("## Methods"), text.index("## Results")
    assert methods < found < text.index("## What may not be said")
    best = max(results.cell("pain", e, m).mean for e in NAMES for m in MODES)
    assert f"had the highest AUC, {best:.3f}" in text


def sensitivity_at_80(p):
    """Largest sensitivity of a threshold with 80 % specificity."""
    score = p.scores[:, 1]
    return max(
        np.mean(score[p.labels == 1] >= threshold)
        for threshold in score
        if np.mean(score[p.labels == 0] < threshold) >= 0.8
    )


def test_sensitivity_and_specificity_of_the_best_method_are_said(study):
    """The stand-in runs chose their thresholds on the test set."""
    _, out, results = study
    method = doubtful.best_method(results, "pain")
    values = [
        sensitivity_at_80(p)
        for p in results.set_of("pain", *method).predictions
    ]
    expected = (
        f"for Vaccination was {np.mean(values):.3f} "
        f"({min(values):.3f} to {max(values):.3f} between seeds)"
    )
    assert expected in (out / "paper.md").read_text()


def test_a_sentence_without_its_figure_is_left_out(study):
    """No encoder was trained here: its epochs and sounds are unknown."""
    text = (study[1] / "paper.md").read_text()
    assert "SimCLR on generic sounds;" in text  # no epochs in brackets
    assert "Generic sounds were" not in text
    paragraphs = text[: text.index("## What may not be said")]
    for word in ("None", "nan", "unknown", "not known"):
        assert word not in paragraphs


def test_what_may_not_be_said(study, one_seed):
    lines = numbers_of(study[1])["paper"]["not_said"]
    text = "\n".join(lines)
    assert "it is the highest of 6, chosen on these patients" in text
    assert f"recognised by the cry: {WARNING}." in text
    assert "background alone (quietest frames), AUC 0.710" in text
    assert "no external data were tested" in text
    assert "one pre-training seed" not in text
    text = "\n".join(numbers_of(one_seed)["paper"]["not_said"])
    assert "one pre-training seed, and another may reverse" in text
    page = (one_seed / "report.html").read_text()
    assert "were not tested against each other" in page
    assert WARNING in page[: page.index('id="paper"')]


def row(a, b, p, why=None):
    return {"a": a, "b": b, "p_holm": p, "no_interval": why}


def test_pairs_that_are_not_significant_may_not_be_claimed():
    rows = [row("A", "B", 0.01), row("A", "C", 0.05), row("B", "C", None)]
    entries = [Pairs("t", "linear", "", rows), Pairs("u", "linear", "", rows)]
    (line,) = limits._on_pairs(entries, "t")
    assert "A and C; B and C" in line and "A and B" not in line
    assert limits._on_pairs([Pairs("t", "linear", "", rows[:1])], "t") == []


def test_a_control_is_drawn_in_a_row_of_its_own():
    cell = Cell(0.6, [0.6], None, [0.5, 0.7])
    picture = rows.auc_by_encoder(
        "a", "A", {"SimCLR": {"linear": cell}, "log-mel": {"": cell}},
        ["linear"], {"log-mel"},
    )  # fmt: skip
    assert "Highest: SimCLR, linear, 0.600" in picture.alt
    assert "Lowest: SimCLR, linear" in picture.alt  # equal: the first


def test_report_md_does_not_call_pairs_patients(study):
    """22 babies with both kinds of cry are not 44."""
    run = study[0].classifier("pain", "simclr", "linear", 1.0, 1)
    metrics = json.loads((run.folder / "metrics.json").read_text())
    metrics.update(label_column="Condition", classes=CLASSES, controls=None)
    text = report.sentence(metrics)
    assert "recordings, each classified by the model trained without" in text
    assert "of 22 patients, 44 patient-class pairs (Bath: 44 of 22" in text
