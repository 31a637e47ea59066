"""Curves: which panels and lines there are, and who is told what is wrong."""

import json
from pathlib import Path

import pytest

from cry_modules.figures.training import (
    SUFFIXES,
    draw_curves,
    main,
    names_of,
    panels,
    picture,
    read_run,
    without_averages,
)
from data_prep.files.errors import InputError

MEASURED = ("loss", "accuracy", "alignment", "uniformity", "effective_rank")


def rows(n=6, corpora=("",), **extra):
    """A made-up history."""
    made = []
    for epoch in range(1, n + 1):
        row = {"epoch": epoch, "lr": 0.1 / epoch, "seconds": 3.0}
        row.update(clips_per_s=80.0 + epoch, train_grad_norm=1 / epoch)
        for corpus in corpora:
            end = f"_{corpus}" * bool(corpus)
            for name in MEASURED:
                row[f"valid_{name}{end}"] = len(end) + 1 / epoch
            row[f"train_loss{end}"] = len(end) + 1.1 / epoch
        made.append({**row, **extra})
    return made


def run_folder(folder, history, before=None):
    folder.mkdir(parents=True)
    (folder / "history.json").write_text(json.dumps(history))
    if before is not None:
        (folder / "before.json").write_text(json.dumps(before))
    return str(folder)


def lines_of(monkeypatch, histories):
    """What draw_curves draws: x and y of each line, by panel."""
    drawn = {}

    def keep(figure, path, **kwargs):
        Path(path).write_bytes(b"")
        for axes in figure.axes:
            drawn[axes.get_title()] = [
                (list(line.get_xdata()), line.get_linestyle())
                for line in axes.lines
            ]
        drawn["legend"] = [t.get_text() for t in figure.legends[0].texts]

    monkeypatch.setattr("matplotlib.figure.Figure.savefig", keep)
    return drawn, lambda path: draw_curves(histories, path, "made up")


def test_panels_are_those_of_the_keys():
    titles = [panel.title for panel in panels(["lr", "epoch", "seconds"])]
    assert titles == ["learning rate"]
    row = {**rows(corpora=("", "cry"))[0], "probe_trigger_knn": 0.5}
    titles = [panel.title for panel in panels(sorted(row))]
    assert titles == [
        "loss", "contrastive accuracy", "alignment", "uniformity",
        "effective rank", "gradient norm", "learning rate", "speed",
        "probe: trigger",
    ]  # fmt: skip


def test_averages_give_way_to_their_corpora():
    (row,) = without_averages(rows(1, corpora=("", "cry", "generic")))
    assert "valid_loss" not in row and "train_loss" not in row
    assert "valid_loss_cry" in row and "lr" in row
    assert without_averages(rows(1)) == rows(1)


def test_a_run_without_corpora_keeps_its_line_beside_one_with(
    monkeypatch, tmp_path
):
    histories = {"plain": rows(), "both": rows(4, ("", "cry", "generic"))}
    drawn, draw = lines_of(monkeypatch, histories)
    draw(tmp_path / "a.png")
    lengths = sorted(len(x) for x, _ in drawn["effective rank"])
    assert lengths == [4, 4, 6]
    dashed = sorted(style for _, style in drawn["loss"])
    assert dashed == ["-"] * 3 + ["--"] * 3
    assert drawn["legend"] == [
        "plain", "both", "cry", "generic", "training", "validation",
    ]  # fmt: skip


def test_before_training_is_epoch_0(monkeypatch, tmp_path):
    before = {"valid_loss": 5.0, "probe_trigger_map": 0.4, "encoder": "x"}
    folder = run_folder(tmp_path / "run", rows(), before)
    history = read_run(folder)
    assert history[0] == {
        "epoch": 0, "valid_loss": 5.0, "probe_trigger_map": 0.4,
    }  # fmt: skip
    drawn, draw = lines_of(monkeypatch, {"run": history})
    draw(tmp_path / "a.png")
    xs = [x for x, _ in drawn["loss"]]
    assert [0, 1] in xs
    assert [x for x, _ in drawn["probe: trigger"]] == [[0]]
    assert drawn["legend"][-1] == "before training"


@pytest.mark.parametrize("n", [1, 2, 200])
def test_the_command_writes_a_picture(tmp_path, capsys, n):
    runs = [
        run_folder(tmp_path / f"{name}/2022", rows(n, corpora), before)
        for name, corpora, before in (
            ("adapt", ("", "cry"), {"valid_loss_cry": 3.0}),
            ("replay", ("", "cry", "generic"), None),
        )
    ]
    out = tmp_path / "curves.png"
    main([*runs, "--out", str(out)])
    assert out.read_bytes().startswith(b"\x89PNG")
    assert str(out) in capsys.readouterr().out


def test_gaps_and_what_is_no_number_are_left_out(tmp_path):
    history = rows(3)
    history[1]["valid_loss"] = None
    history[2]["valid_loss"] = float("nan")
    folder = run_folder(tmp_path / "run", history)
    histories = {r"$\no$_a": read_run(folder), "b": rows()}
    draw_curves(histories, tmp_path / "a.png", r"$\no$_b")


def test_names_are_as_short_as_can_be():
    assert names_of(["a/2022", "a/2023"]) == ["2022", "2023"]
    assert names_of(["a", "a/b"]) == ["a", "a/b"]
    with pytest.raises(InputError, match="twice"):
        names_of(["a/b", "a/b/"])


def test_wrong_usage_is_told_in_one_line(tmp_path, capsys):
    good = run_folder(tmp_path / "good", rows())
    cases = {
        "holds no history.json": [tmp_path / "no"],
        "is no list of epochs": [run_folder(tmp_path / "empty", [])],
        "is not as a training": [run_folder(tmp_path / "dict", {})],
        "given twice": [good, good + "/"],
        "no picture's name": [good, "--out", tmp_path / "a.doc"],
        "could not be written": [good, "--out", tmp_path / "no/a.png"],
        "nothing was measured": [run_folder(tmp_path / "bare", [{"epoch": 1}])],
        "before.json is not": [run_folder(tmp_path / "before", rows(), [])],
    }
    for words, arguments in cases.items():
        with pytest.raises(SystemExit) as stopped:
            main(["--out", f"{tmp_path}/a.png", *map(str, arguments)])
        (line,) = capsys.readouterr().err.strip().split("\n")
        assert stopped.value.code == 2
        assert line.startswith("error: ") and words in line
    (tmp_path / "good/history.json").write_text("[{")
    with pytest.raises(InputError, match="is not as a training"):
        read_run(good)
    assert not (tmp_path / "a.png").exists()


def test_an_auc_is_seen_beside_its_chance(monkeypatch, tmp_path):
    history = [{**row, "valid_auc": 0.8} for row in rows(3)]
    history = [{**row, "probe_trigger_auc": 0.6} for row in history]
    history = [{**row, "probe_age_map": 0.6} for row in history]
    drawn, draw = lines_of(monkeypatch, {"run": history})
    draw(tmp_path / "a.png")
    flat = {title: [x for x, _ in lines if x == [0, 1]]
            for title, lines in drawn.items() if title != "legend"}  # fmt: skip
    assert [title for title, lines in flat.items() if lines] == [
        "validation AUC", "probe: trigger",
    ]  # fmt: skip
    assert drawn["legend"][-1] == "chance"
    drawn, draw = lines_of(monkeypatch, {"run": rows(3)})
    draw(tmp_path / "a.png")
    assert "chance" not in drawn["legend"]


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_a_picture_drawn_again_is_the_same_file(tmp_path, suffix):
    def draw(path, copies=()):
        with picture(path, (2, 2), copies) as figure:
            figure.subplots().plot([1, 2], marker="o")
            figure.suptitle("words")

    first, again = tmp_path / f"a{suffix}", tmp_path / f"b{suffix}"
    draw(first)
    draw(again)
    content = first.read_bytes()
    assert content == again.read_bytes()
    assert b"<dc:date>" not in content and b"CreationDate" not in content
    assert suffix != ".svg" or b">words<" in content
    draw(tmp_path / "c.png", [again])
    assert (tmp_path / "c.png").read_bytes().startswith(b"\x89PNG")
    assert again.read_bytes()[:4] == content[:4]
