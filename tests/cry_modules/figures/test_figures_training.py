"""Training curves: panels, lines and legend, files, and refusals."""

import json
from pathlib import Path

import pytest
from matplotlib.axes import Axes
from matplotlib.text import Text

from cry_modules.figures.__main__ import main
from cry_modules.figures.style import SUFFIXES, picture
from cry_modules.figures.training import (
    draw_curves,
    names_of,
    panels,
    read_run,
    shown_panels,
)

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


@pytest.fixture
def drawn(monkeypatch, tmp_path):
    """x and dashes of each line by panel, and the legend."""

    def drawn(histories):
        content = {}

        def keep(figure, path, **kwargs):
            Path(path).write_bytes(b"")
            for axes in figure.axes:
                content[axes.get_title()] = [
                    (list(line.get_xdata()), line.get_linestyle())
                    for line in axes.lines
                ]
            content["legend"] = [t.get_text() for t in figure.legends[0].texts]

        with monkeypatch.context() as patch:
            patch.setattr("matplotlib.figure.Figure.savefig", keep)
            draw_curves(histories, tmp_path / "a.png", "made up")
        return content

    return drawn


def test_panels_are_those_of_the_keys():
    assert [p.title for p in panels(["lr", "epoch"])] == ["learning rate"]
    row = {**rows(corpora=("", "cry"))[0], "probe_trigger_knn": 0.5}
    assert [panel.title for panel in panels(row)] == [
        "loss", "contrastive accuracy", "alignment", "uniformity",
        "effective rank", "gradient norm", "learning rate", "speed",
        "probe: trigger",
    ]  # fmt: skip


def test_averages_give_way_to_their_corpora():
    history = rows(1, corpora=("", "cry", "generic"))
    (row,) = shown_panels({"run": history})[0]["run"]
    assert "valid_loss" not in row and "train_loss" not in row
    assert "valid_loss_cry" in row and "lr" in row
    assert shown_panels({"run": rows(1)})[0]["run"] == rows(1)


def test_a_run_without_corpora_keeps_its_line(drawn):
    content = drawn({"plain": rows(), "both": rows(4, ("", "cry", "generic"))})
    lengths = sorted(len(x) for x, _ in content["effective rank"])
    assert lengths == [4, 4, 6]
    dashes = sorted(dashes for _, dashes in content["loss"])
    assert dashes == ["-"] * 3 + ["--"] * 3
    assert content["legend"] == [
        "plain", "both", "cry", "generic", "training", "validation",
    ]  # fmt: skip


def test_before_training_is_epoch_0(drawn, tmp_path):
    before = {"valid_loss": 5.0, "probe_trigger_map": 0.4, "encoder": "x"}
    history = read_run(run_folder(tmp_path / "run", rows(), before))
    assert history[0] == {
        "epoch": 0, "valid_loss": 5.0, "probe_trigger_map": 0.4,
    }  # fmt: skip
    content = drawn({"run": history})
    assert [0, 1] in [x for x, _ in content["loss"]]
    assert [x for x, _ in content["probe: trigger"]] == [[0]]
    assert content["legend"][-1] == "before training"


def test_panels_of_an_auc_show_chance(drawn):
    measures = {"valid_auc": 0.8, "probe_trigger_auc": 0.6, "probe_age_map": 1}
    content = drawn({"run": rows(3, **measures)})
    assert content.pop("legend")[-1] == "chance"
    flat = [
        t for t, lines in content.items() if [0, 1] in [x for x, _ in lines]
    ]
    assert flat == ["validation AUC", "probe: trigger"]
    assert "chance" not in drawn({"run": rows(3)})["legend"]


@pytest.mark.parametrize("n", [1, 200])
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


def test_gaps_and_values_that_are_not_numbers_are_left_out(tmp_path):
    history = rows(3)
    history[1]["valid_loss"] = None
    history[2]["valid_loss"] = float("nan")
    folder = run_folder(tmp_path / "run", history)
    histories = {r"$\no$_a": read_run(folder), "b": rows()}
    draw_curves(histories, tmp_path / "a.png", r"$\no$_b")


def test_names_are_short():
    assert names_of(["a/2022", "a/2023"]) == ["2022", "2023"]
    assert names_of(["a", "a/b"]) == ["a", "a/b"]


@pytest.mark.parametrize(
    "history, before, arguments, message",
    [
        (None, None, (), "holds no history.json"),
        ([], None, (), "was not written by a training"),
        ({}, None, (), "was not written by a training"),
        ("[{", None, (), "was not written by a training"),
        (rows(1), [], (), "before.json was not written by"),
        ([{"epoch": 1}], None, (), "has no measures to draw"),
        (rows(1), None, ("run/",), "given twice"),
        (rows(1), None, ("--out", "a.doc"), "not a picture's name"),
        (rows(1), None, ("--out", "no/a.png"), "could not be written"),
    ],
)
def test_wrong_input_is_refused_in_one_line(
    history, before, arguments, message, tmp_path, capsys, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    if history is not None:
        run_folder(Path("run"), history, before)
    if history == "[{":
        Path("run/history.json").write_text(history)
    with pytest.raises(SystemExit) as stopped:
        main(["run", *arguments])
    (line,) = capsys.readouterr().err.strip().split("\n")
    assert stopped.value.code == 2
    assert line.startswith("error: ") and message in line
    assert not Path("curves.png").exists()


@pytest.mark.parametrize("suffix", SUFFIXES)
def test_the_same_picture_is_the_same_file(tmp_path, suffix):
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


def test_names_of_users_may_hold_a_dollar_or_begin_with_an_underscore(drawn):
    names = drawn({"_a": rows(), "$x^$": rows()})["legend"]
    assert names[:2] == ["_a", "$x^$"]


def test_the_epoch_that_is_used_is_marked(tmp_path, monkeypatch):
    """Of one run alone, and wherever the averages are not drawn."""
    marked = []
    monkeypatch.setattr(
        Axes, "vlines", lambda self, x, *_, **__: marked.append(x)
    )
    losses = [3.0, 1.0, 2.0]
    history = [
        {"epoch": i, "train_loss": 1.0, "valid_loss": x, "valid_loss_cry": x}
        for i, x in enumerate(losses, start=1)
    ]
    draw_curves({"run": history}, tmp_path / "a.png", "one")
    assert set(marked) == {2}
    marked.clear()
    draw_curves({"a": history, "b": history}, tmp_path / "b.png", "two")
    assert not marked


def test_names_that_are_not_text_are_escaped(tmp_path):
    """A folder of another system, or of a locale without its letters."""
    with picture(tmp_path / "a.svg", (3, 3)) as figure:
        figure.suptitle("caf\udce9 \u00e9")
        axes = figure.add_subplot()
        axes.plot([1, 2], label="\udcff.wav")
        axes.legend()
    texts = [text.get_text() for text in figure.findobj(Text)]
    assert {"caf\\udce9 \u00e9", "\\udcff.wav"} < set(texts)
    assert (tmp_path / "a.svg").stat().st_size > 1000
