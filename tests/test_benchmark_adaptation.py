"""The adaptation study: its figures against slow or analytic versions, what
its encoders may hear, and its refusal of wrong input."""

import doctest

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from benchmarks import adaptation
from benchmarks.adaptation import (
    FIGURES,
    METHODS,
    TRAINED,
    WITH_LOGMEL,
    Trainer,
    build_generic,
    difference,
    hold_out,
    main,
    over_folds,
    parse,
    pre_training,
    probe,
    retrieve,
    tables,
    training_command,
)
from data_prep.files.errors import InputError
from data_prep.files.tables import read_lines
from data_prep.vggsound_prepare import prepare_vggsound


def study(tmp_path, *more):
    return parse([str(tmp_path), f"--out={tmp_path}/out", *more])


def sounds(n=60):
    """Generic sounds of two a patient, every fifth a cry."""
    rows = []
    for i in range(n):
        cry = i // 2 % 5 == 0
        rows.append(
            {
                "recording_id": f"_a{i}_000005",
                "patient_id": f"p{i // 2}",
                "sound": "crying_baby" if cry else "other",
                "super_class": "" if cry else f"s{i // 2 % 3}",
                "category": "" if cry else f"c{i // 2 % 4}, of few",
            }
        )
    return rows


def test_examples_of_the_docstrings():
    assert doctest.testmod(adaptation).failed == 0


def test_retrieval_equals_its_slow_version():
    rng = np.random.default_rng(0)
    x = rng.normal(2, 3, (40, 6))
    labels, patients = rng.integers(0, 4, 40), rng.integers(0, 15, 40)
    test = np.arange(40) < 15
    scaled = (x - x[~test].mean(axis=0)) / x[~test].std(axis=0)
    hits, precisions = [], []
    for i in range(15):
        scores, right = [], []
        for j in range(15, 40):
            if patients[j] == patients[i]:
                continue
            one, other = scaled[i], scaled[j]
            lengths = np.sqrt(one @ one) * np.sqrt(other @ other)
            scores.append(one @ other / lengths)
            right.append(labels[i] == labels[j])
        hits.append(right[int(np.argmax(scores))])
        precisions.append(average_precision_score(right, scores))
    expected = np.mean(hits), np.mean(precisions)
    np.testing.assert_allclose(retrieve(x, labels, patients, test), expected)


def test_retrieval_passes_over_what_has_nothing_to_find():
    x = np.array([[1.0, 0.0], [1.0, 0.1], [0.9, 0.0], [-1.0, 0.2]])
    labels, test = np.array(list("abab")), np.array([True, True, False, False])
    found = retrieve(x, labels, np.array(list("pqrq")), test)
    assert found == (1.0, 1.0)  # of the first alone: q has its own b only


def test_probe_finds_what_is_there_and_sees_no_judged_label():
    rng = np.random.default_rng(0)
    labels = np.arange(60) % 2 == 1
    x = rng.normal(0, 0.1, (60, 3)) + labels[:, None]
    patients, test = np.arange(60) // 3, np.arange(60) < 20
    called, scores = probe(x, labels, patients, test)
    assert (called == labels[test]).all()
    assert scores[labels[test]].min() > scores[~labels[test]].max()
    wrong = np.where(test, ~labels, labels)
    np.testing.assert_array_equal(probe(x, wrong, patients, test)[1], scores)


def test_auc_over_the_folds_of_the_table():
    rows = [
        {"age": "ab"[i % 2], "fold": "011222"[i // 6], "patient_id": str(i)}
        for i in range(36)
    ]
    x = np.array([[i % 2 + 0.001 * i] for i in range(36)])
    assert over_folds(x, rows, "age") == 1.0
    # In the smallest fold the other way round: 0 there, 1 elsewhere.
    first = np.array([row["fold"] == "0" for row in rows])
    flipped = np.where(first[:, None], 1 - x, x)
    value = over_folds(flipped, rows, "age")
    assert value == pytest.approx(2 / 3)


def test_a_fold_with_one_label_is_refused():
    rows = [
        {"age": "ab"[i // 6], "fold": str(i // 6), "patient_id": str(i)}
        for i in range(12)
    ]
    with pytest.raises(InputError, match="fold 0 has one value of age"):
        over_folds(np.zeros((12, 1)), rows, "age")


@pytest.mark.parametrize("fold", range(3))
def test_nothing_held_out_nor_any_cry_is_heard(fold):
    rows = sounds()
    held = hold_out(rows, 0, fold)
    heard = pre_training(rows, held)
    patients = {row["patient_id"] for row, out in zip(rows, held) if out}
    assert heard and not patients & {row["patient_id"] for row in heard}
    assert all(row["sound"] == "other" for row in heard)
    n_generic = sum(
        row["sound"] == "other" for row, out in zip(rows, held) if not out
    )
    assert len(heard) == n_generic


def test_folds_cover_all_once_and_seeds_differ():
    rows = sounds()
    assert (sum(hold_out(rows, 0, k).astype(int) for k in range(3)) == 1).all()
    assert (hold_out(rows, 0, 0) != hold_out(rows, 1, 0)).any()


def test_generic_folder_has_the_form_of_vggsound(noise, tmp_path):
    rows = [row for row in sounds() if row["sound"] == "other"]
    for row in rows:
        row["file"] = str(noise(f"db/{row['recording_id']}.flac", 0.5))
    folder = tmp_path / "labelled"
    for _ in range(2):  # the second time it is there already
        build_generic(rows, folder, supervised=True)
    cells = read_lines(folder / "vggsound.csv")
    assert len(cells) == len(rows) and cells[0][:3] == [
        "_a2",
        "5",
        "c1, of few",
    ]
    assert sorted(row[3] for row in cells)[:2] == ["test", "train"]
    prepare_vggsound(folder, tmp_path / "manifest", require_all_classes=True)
    with pytest.raises(InputError, match="other recordings"):
        build_generic(rows[1:], folder)


def option(command, name):
    """Values of an option."""
    start = f"--{name}="
    return [a[len(start) :] for a in command if a.startswith(start)]


def test_every_training_has_the_same_number_of_steps(tmp_path):
    chosen = study(
        tmp_path, "--epochs=50", "--adapt_epochs=20", "--only", *METHODS
    )
    commands = {
        name: training_command(chosen, name, 1, 2) for name in chosen.trained
    }
    assert list(commands) == list(TRAINED)
    epochs = {
        name: option(command, "number_of_epochs")[0]
        for name, command in commands.items()
    }
    assert epochs == {
        "supervised": "50",
        "simclr": "50",
        "control": "20",
        "adapt": "20",
        "adapt_replay": "10",
        "two_passes": "50",
        "predictor": "50",
    }
    assert "--predictor=True" in commands["predictor"]
    assert "--two_passes=True" in commands["two_passes"]
    assert option(commands["adapt"], "warmup_epochs") == ["2"]
    assert option(commands["adapt_replay"], "warmup_epochs") == ["1"]
    assert "--control=True" in commands["control"]
    assert {option(c, "seed")[0] for c in commands.values()} == {"1"}


def test_adaptation_hears_no_recording_that_is_judged(tmp_path):
    chosen = study(tmp_path)
    for name in ("control", "adapt", "adapt_replay"):
        command = training_command(chosen, name, 0, 0)
        assert option(command, "exclude") == [
            f"{tmp_path}/recordings_sounds.csv",
            f"{tmp_path}/recordings_donateacry.csv",
        ]
        assert option(command, "excluded") == ["drop"]
        place = tmp_path / "out/0_0"
        assert option(command, "encoder_source") == [f"{place}/simclr"]
        assert option(command, "replay_folder") == [f"{place}/generic"]


def test_only_trains_what_is_judged_and_what_that_begins_with(tmp_path):
    chosen = study(tmp_path, "--only", "adapt", "random")
    assert chosen.methods == ("random", "adapt")
    assert chosen.trained == ["simclr", "adapt"]


def test_trainer_goes_on_and_refuses_another_command(
    tmp_path, monkeypatch, capsys
):
    chosen = study(tmp_path, "--seeds=3", "--only", "simclr")
    for seed, fold in chosen.hold_outs:
        chosen.place(seed, fold).mkdir(parents=True)
    text = f"open({str(tmp_path / 'ran')!r}, 'a').write('x')"

    def command(text):
        monkeypatch.setattr(
            adaptation, "training_command", lambda *_: ["-c", text]
        )

    command(text)
    Trainer(chosen).train()
    assert "[3/3]" in capsys.readouterr().out
    Trainer(chosen).train()
    assert (tmp_path / "ran").read_text() == "xxx"
    assert capsys.readouterr().out.count("already done") == 3
    command(text + " ")
    with pytest.raises(InputError, match="another command"):
        Trainer(chosen).train()


def test_trainer_shows_why_a_command_failed(tmp_path, monkeypatch, capsys):
    chosen = study(tmp_path, "--seeds=1", "--only", "simclr")
    chosen.place(0, 0).mkdir(parents=True)
    monkeypatch.setattr(
        adaptation, "training_command", lambda *_: ["-c", "no_such_name"]
    )
    with pytest.raises(InputError, match="failed with status 1"):
        Trainer(chosen).train()
    assert "NameError" in capsys.readouterr().err
    assert not (chosen.place(0, 0) / "simclr/done").exists()


def results(rng):
    names = [*METHODS, *(name + WITH_LOGMEL for name in METHODS)]
    return {
        name: {
            hold: {figure: float(rng.random()) for figure in FIGURES}
            for hold in ("0_0", "1_0", "2_0")
        }
        for name in names
    }


def test_tables_hold_means_and_paired_differences(tmp_path):
    found = results(np.random.default_rng(0))
    text = tables(found)
    values = [
        [block["category_map"] for block in found[name].values()]
        for name in ("adapt_replay", "adapt")
    ]
    gains = np.subtract(*values)
    expected = (
        f"{gains.mean():+.3f} ± {gains.std(ddof=1):.3f} ({sum(gains > 0)} of 3)"
    )
    row = next(
        r for r in text.split("\n") if r.startswith("| adapt_replay - a")
    )
    assert expected in row and difference(*map(np.array, values)) == expected
    mean, sd = np.mean(values[1]), np.std(values[1], ddof=1)
    row = next(
        r
        for r in text.split("\n")
        if r.startswith(f"| {METHODS['adapt']} (adapt) |")
    )
    assert f"| {mean:.3f} ± {sd:.3f} |" in row
    adaptation.draw(found, "caption", tmp_path / "study.png")
    assert (tmp_path / "study.png").is_file()


@pytest.mark.parametrize(
    "arguments, says",
    [
        (["--adapt_epochs=3"], "even number"),
        (["--folds=4"], "there are 3"),
        (["--seeds=0"], "1 or more"),
        ([], "recordings_sounds.csv does not exist"),
    ],
)
def test_wrong_input_is_refused_in_one_line(tmp_path, capsys, arguments, says):
    with pytest.raises(SystemExit) as stopped:
        main([str(tmp_path), f"--out={tmp_path}/out", *arguments])
    error = capsys.readouterr().err
    assert stopped.value.code == 2
    assert error.startswith("error: ") and error.count("\n") == 1
    assert says in error


def test_missing_audio_and_missing_category_are_named(tmp_path, noise, capsys):
    table = tmp_path / "recordings_sounds.csv"
    table.write_text(
        "recording_id,patient_id,path,sound,super_class\n"
        "a_000000,p,audio/a.wav,other,urban\n"
    )
    arguments = [str(tmp_path), f"--out={tmp_path}/out"]
    for says in ("row 2", "no recording a_000000"):
        with pytest.raises(SystemExit):
            main(arguments)
        assert says in capsys.readouterr().err
        noise("audio/a.wav")
        (tmp_path / "generic_dev").mkdir(exist_ok=True)
        (tmp_path / "generic_dev/metadata.csv").write_text(
            "recording_id,category\nb_000000,Dog\n"
        )
