"""The command that compares runs: its files, sentences and refusals."""

import json
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from cry_modules.checkpoints.encoders import EncoderSource
from cry_modules.metrics.__main__ import main
from cry_modules.metrics.compare import (
    RunSet,
    compare,
    encoder_of,
    find_files,
    read_sets,
    short_names,
)
from cry_modules.metrics.compare_report import report
from cry_modules.metrics.paired import paired_difference
from data_prep.files.errors import InputError
from tests.cry_modules.metrics.compared import (
    exact,
    models,
    run_set,
    shuffled,
    write,
)

# Words.


def sentence_of(a, b):
    sets = [run_set("random", a), run_set("SimCLR", b)]
    result = compare(sets)
    text = report(result)
    (line,) = [row for row in text.splitlines() if "SimCLR has" in row]
    return line, result["differences"][0], text


def test_a_difference_in_words():
    a, b = models(np.random.default_rng(0), 40, 80, (0.7, 0.9))
    line, d, _ = sentence_of([a, a], [b, b])
    low, high = d["methods"]["ci95"]
    assert line == (
        f"SimCLR has an AUC {d['difference']:.3f} above random (95 % interval "
        f"over 120 patients and 2 seeds {low:.3f} to {high:.3f}, p < 0.001; 2 "
        "of 2 seeds; between seeds +-0.000)."
    )
    line, d, _ = sentence_of([b], [a])
    low, high = d["ci95"]
    assert line == (
        f"SimCLR has an AUC {-d['difference']:.3f} below random (95 % interval "
        f"over 120 patients {-high:.3f} to {-low:.3f}, p < 0.001; one seed "
        "each; about these models, not the methods)."
    )


def test_an_unproven_difference_in_words():
    a, b = models(np.random.default_rng(0), 10, 30, (0.75, 0.75))
    line, d, _ = sentence_of([a], [b])
    assert d["p"] > 0.1
    side = "above" if d["difference"] > 0 else "below"
    assert line == (
        f"SimCLR has an AUC {abs(d['difference']):.3f} {side} random, a "
        f"difference that 40 patients cannot prove (p = {d['p']:.2f}; a "
        f"difference up to {max(np.abs(d['ci95'])):.3f} is not ruled out, "
        f"and one of {d['detectable']:.3f} is found with 80 % power; one seed "
        "each; about these models, not the methods)."
    )


def test_seeds_that_differ_more_than_the_models_in_words():
    a, b = [exact(0)] * 3, [exact(e) for e in (-5, 0, 8)]
    line, d, text = sentence_of(a, b)
    assert d["sd_between_seeds"] > d["difference"] > 0
    expected = "between seeds +-0.328, more than the difference: another seed"
    assert f"1 of 3 seeds; {expected} may reverse it" in line
    assert "that 40 patients and 3 seeds cannot prove" in line
    line, _, text = sentence_of(a[:1], b)
    assert "seeds not paired, 1 of 3 above the mean of random" in line
    assert "not paired by seed" in text


# Files.


def pair():
    return models(np.random.default_rng(0), 10, 30, (0.7, 0.9))


def test_a_set_is_a_file_a_run_a_folder_of_runs_or_a_pattern(tmp_path):
    a, _ = pair()
    runs = tmp_path / "linear"
    for seed in ("2023", "2022"):
        write(runs / seed, a)
    (runs / "save").mkdir()
    both = [runs / s / "predictions_test.csv" for s in ("2022", "2023")]
    assert find_files(str(both[0])) == both[:1]
    assert find_files(str(runs / "2022")) == both[:1]
    for folder in (runs, runs / "20*", runs / "*" / "*.csv", tmp_path / "lin*"):
        assert find_files(str(folder)) == both
    write(runs, a)  # of all folds, say
    assert find_files(str(runs)) == [runs / "predictions_test.csv"]
    bracket = tmp_path / "lr[0.1]"
    write(bracket, a)
    assert find_files(str(bracket)) == [bracket / "predictions_test.csv"]


def test_the_encoder_of_a_run_is_the_one_it_names(tmp_path):
    """Heads on one encoder are no pre-training seeds; a random encoder is
    drawn by each run."""
    file = tmp_path / "predictions_test.csv"
    assert encoder_of(file) == str(file)  # no run's
    for source, expected in (
        ("results/simclr/1", "results/simclr/1"),
        (None, str(file)),
        ("random_calibrated", str(file)),
    ):
        text = json.dumps({"encoder_source": source})
        (tmp_path / "metrics.json").write_text(text)
        assert encoder_of(file) == expected
        assert EncoderSource(source).is_random == (expected == str(file))
    # Encoders of one name, in the studies of two tasks, say, differ.
    metrics = {"encoder_source": "simclr/1", "encoder_checksum": "0a1b"}
    (tmp_path / "metrics.json").write_text(json.dumps(metrics))
    assert encoder_of(file) == "0a1b"


def test_runs_on_one_encoder_are_heads_and_the_command_says_so(
    tmp_path, capsys
):
    """Seeds of the head say nothing about another pre-training: no p about
    methods, and no interval of a run with another seed."""
    a, b = models(np.random.default_rng(0), 40, 80, (0.7, 0.9))
    for name, predictions in (("a", a), ("b", b)):
        for seed in "1234":
            folder = tmp_path / name / seed
            write(folder, predictions)
            own = seed if name == "a" else "1"
            metrics = {"encoder_source": f"{name}/{own}"}
            metrics["encoder_checksum"] = f"{name}{own}"
            (folder / "metrics.json").write_text(json.dumps(metrics))
    main([str(tmp_path / "a"), str(tmp_path / "b"), "--n_draws", "200"])
    printed = capsys.readouterr().out
    assert "b: its 4 runs have one pre-trained encoder" in printed
    assert "a: its" not in printed
    (row,) = [x for x in printed.splitlines() if x.startswith("| b | 4 |")]
    assert row.endswith("| needs 3 seeds |")
    (row,) = [x for x in printed.splitlines() if x.startswith("| b - a |")]
    assert "| undecided |" in row
    assert "about these models, not the methods" in printed


@pytest.mark.parametrize(
    "arguments, names",
    [
        (["r/random", "r/SimCLR/"], ["random", "SimCLR"]),
        (["r/a/2022/predictions_test.csv", "r/b/2022"], ["a", "b"]),
        (["r/a/2022", "r/b/2023"], ["a/2022", "b/2023"]),
        (["r/a", "r/a/2022"], ["a", "a/2022"]),
        (["r/a"], ["a"]),
        (["r/a*", "r/b*"], ["a*", "b*"]),
    ],
)
def test_names_are_what_tells_sets_apart(arguments, names):
    assert short_names(arguments) == names


def refusal(*arguments):
    with pytest.raises(InputError) as error:
        read_sets([str(argument) for argument in arguments])
    message = str(error.value)
    assert "\n" not in message
    return message


def test_other_recordings_are_refused(tmp_path):
    a, b = pair()
    write(tmp_path / "a", a)
    write(tmp_path / "b", b.take(range(3, len(b.ids))))
    message = refusal(tmp_path / "a", tmp_path / "b")
    assert "'r0' is in " in message
    assert f"(3 of {len(a.ids)} are not)" in message
    assert message.index("a/predictions") < message.index("b/predictions")
    message = refusal(tmp_path / "b", tmp_path / "a")
    assert f"'r0' is in {tmp_path / 'a'}" in message
    assert refusal(tmp_path)  # as two seeds


def test_other_labels_patients_and_classes_are_refused(tmp_path):
    a, _ = pair()
    write(tmp_path / "a", a)
    for change, words in (
        ({"labels": 1 - a.labels}, "label of ID 'r0' is 'injury'"),
        ({"patients": ["x", *a.patients[1:]]}, "patient_id of ID 'r0' is 'p0'"),
        ({"classes": ["healthy", "pain"]}, "healthy, pain"),
    ):
        write(tmp_path / "b", shuffled(replace(a, **change)))
        message = refusal(tmp_path / "a", tmp_path / "b")
        assert words in message
        for name in "ab":
            assert f"{tmp_path}/{name}/predictions_test.csv" in message


def test_missing_and_repeated_files_are_refused(tmp_path):
    write(tmp_path / "a", pair()[0])
    (tmp_path / "metrics.json").write_text("{}")
    (tmp_path / "empty").mkdir()
    os.symlink(tmp_path / "a", tmp_path / "link")
    same = tmp_path / "a" / "predictions_test.csv"
    for arguments, words in (
        (["missing"], "does not exist"),
        (["missing*"], "matches no file"),
        (["empty"], "empty holds no predictions_test"),
        (["metrics.json"], "metrics.json is not a csv"),
        (["a", same], "is the same as"),
        (["a", "a"], "is the same as"),
        (["a**/**"], "one file twice"),
        (["[al]*"], "one file twice"),
    ):
        assert words in refusal(*(tmp_path / name for name in arguments))


def test_seeds_of_a_study_are_the_numbers_of_its_folders():
    files = [Path(f"{seed}-41924bbc", "f.csv") for seed in (1, 2)]
    files.append(Path("3-of-mine", "f.csv"))
    assert RunSet("a", files, []).seeds == ["1", "2", "3-of-mine"]


# The command.


def test_command_line(tmp_path, capsys, monkeypatch):
    a, b = pair()
    for seed in ("2022", "2023"):
        write(tmp_path / "random" / seed, a)
        write(tmp_path / "SimCLR" / seed, shuffled(b))
    out = tmp_path / "both.json"
    arguments = [str(tmp_path / name) for name in ("random", "SimCLR")]
    argv = ["metrics", *arguments, "--out", str(out)]
    monkeypatch.setattr("sys.argv", argv)
    main()
    printed = capsys.readouterr().out.splitlines()
    assert printed[-1] == (
        f"done: sets 2, files 4, by recording, patients 40; numbers in {out}"
    )
    result = json.loads(out.read_text())
    (d,) = result["differences"]
    assert (d["a"], d["b"], d["paired_by_seed"]) == ("random", "SimCLR", True)
    expected = paired_difference(a, b)
    assert {key: d[key] for key in expected} == expected
    expected = roc_auc_score(b.labels, b.scores[:, 1])
    assert result["sets"][1]["mean"] == pytest.approx(expected)
    assert f"| SimCLR | 2 | {expected:.3f} | 0.000 |" in "\n".join(printed)

    main(
        [arguments[0], "--names", "untrained", "--metric", "average_precision"]
    )
    printed = capsys.readouterr().out
    expected = average_precision_score(a.labels, a.scores[:, 1])
    assert f"| untrained | 2 | {expected:.3f} | 0.000 |" in printed
    assert "difference" not in printed


def test_numbers_on_standard_output_are_alone_there(tmp_path, capfd):
    runs = [write(tmp_path / n, p) for n, p in zip("ab", pair())]
    main([*runs, "--out", "/dev/stdout"])
    printed = capfd.readouterr()
    assert len(json.loads(printed.out)["sets"]) == 2
    assert "done: sets 2" in printed.err


def test_several_comparisons_are_not_corrected_and_say_so(tmp_path, capsys):
    a, b = pair()
    c = a.with_scores(np.random.default_rng(9).permutation(a.scores))
    main([write(tmp_path / n, p) for n, p in zip("abc", (a, b, c))])
    printed = capsys.readouterr().out
    assert "p of these 3 comparisons are not corrected" in printed
    for difference in ("b - a", "c - a", "c - b"):
        assert f"| {difference} |" in printed


@pytest.mark.parametrize(
    "options, words",
    [
        ("--n_draws 5", "--n_draws is 5"),
        ("--seed -1", "--seed is -1"),
        ("--names a,b", "2 names"),
        ("--patient_score max", "add --unit patient"),
        ("--out x.csv", "ends in .json"),
        ("--out none/x.json", "could not be written"),
    ],
)
def test_wrong_options_are_refused_in_one_line(
    tmp_path, capsys, options, words
):
    folder = write(tmp_path / "a", pair()[0])
    with pytest.raises(SystemExit) as stop:
        main([folder, *options.split()])
    printed = capsys.readouterr()
    assert stop.value.code == 2 and printed.out == ""
    assert words in printed.err and printed.err.count("\n") == 1
