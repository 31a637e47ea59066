"""Command lines: one line for each mistake, and ~ is the home folder."""

import pytest

from data_prep.files import processors
from data_prep.files.arguments import Arguments


@pytest.fixture
def parser(monkeypatch):
    monkeypatch.setattr(processors, "n_processors", lambda: 2)
    parser = Arguments(prog="x")
    parser.add_argument("recordings", metavar="RECORDINGS")
    parser.add_argument("--out", required=True)
    parser.add_argument("--label_column", default="a")
    parser.add_argument("--classes", nargs="+")
    parser.add_argument("--exclude", action="append", default=[])
    parser.add_argument("--rate", type=int, default=16000)
    parser.add_argument("--share", type=float)
    parser.add_argument("--jobs", type=int)
    parser.add_argument("--seed", default=0)
    parser.add_argument("--plot", action="store_true")
    return parser


@pytest.mark.parametrize(
    "arguments, line",
    [
        (["r"], "the following arguments are required: --out"),
        (["", "--out=o"], "RECORDINGS is empty; pass a value, or leave the"),
        (["r", "--out="], "--out is empty; pass a value, or leave the option"),
        (["r", "--out", " "], "--out is empty"),
        (["r", "--out=a\nb"], r"--out is 'a\nb', with a line break"),
        (["r", "--out=<out>"], "--out is <out>; type a value in place of <out"),
        (["r", "--out=$OUT/x"], "type a value in place of $OUT"),
        (["r", "--out=~no_one/x"], "~no_one is not a user of this machine"),
        (["r", "--out=o", "--label_column="], "--label_column is empty"),
        (["r", "--out=--"], "--out is --; pass a value"),
        (["r", "--out=o", "--classes=--"], "--classes is --; pass a value"),
        (["r", "--out=o", "--out=p"], "--out is given twice; keep one of them"),
        (["r", "--out=o", "--out", "o"], "--out is given twice"),
        (["r", "--out=o", "--seed=-1"], "--seed is -1; it must be 0 or more"),
        (["r", "--out=o", "--seed=1e9"], "--seed is 1e9; it must be a whole"),
        (["r", "--out=o", "--seed=4294967296"], "must be 4294967295 or less"),
        (["r", "--out=o", "--rate=nan"], "--rate is nan; it must be a number"),
        (["r", "--out=o", "--rate=1.5"], "--rate is 1.5; it must be a whole"),
        (["r", "--out=o", "--rate="], "--rate is empty; it must be a number"),
        (["r", "--out=o", "--rate=400000"], "it must be 384000 or less"),
        (
            ["r", "--out=o", "--share=inf"],
            "--share is inf; it must be a number",
        ),
        (["r", "--out=o", "--share=1e400"], "it must be 1000000000 or less"),
        (["r", "--out=o", "--jobs=1000000"], "it must be 1000 or less"),
        (
            ["r", "--out=o", "--jobs=9"],
            "--jobs is 9; it must be 8 or less, 4 ",
        ),
        (["r", "--out=o", "--rat=3"], "--rat is not an option (did you mean"),
        (["r", "--out=o", "-rate=3"], "-rate is not an option; options begin"),
        (["r", "--out=o", "–rate=3"], "–rate is not an option; options begin"),
        (["r", "s", "--out=o"], "s is one argument too many; quote values"),
        (["r", "--out=o", "--plot=True"], "--plot: ignored explicit argument"),
    ],
)
def test_a_mistake_is_one_line(parser, arguments, line, capsys):
    with pytest.raises(SystemExit) as stop:
        parser.parse_args(arguments)
    assert stop.value.code == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert line in error


def test_values_stay_what_was_typed(parser, monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", "/home/me")
    args = parser.parse_args(
        ["~/r.csv", "--out=~/o", "--label_column=~x", "--classes", "no", "01"]
        + ["--exclude=~/a", "--exclude=100%", "--seed", "7"]
    )
    assert args.recordings == "/home/me/r.csv" and args.out == "/home/me/o"
    assert args.label_column == "~x" and args.classes == ["no", "01"]
    assert args.exclude == ["/home/me/a", "100%"]
    assert (args.seed, args.rate, args.jobs) == (7, 16000, None)
    (tmp_path / "$x{a}<b>").mkdir()  # it exists: not a placeholder
    path = f"{tmp_path}/$x{{a}}<b>"
    assert parser.parse_args([path, "--out=o"]).recordings == path
