"""``--help`` of the commands, and modules that are not commands."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from cry_modules.training import options
from cry_modules.training.option_help import described, option_help
from data_prep.files.commands import commands, refuse_other_modules

ROOT = Path(__file__).resolve().parents[1]
SOURCES = ("cry_modules", "data_prep", "recipes", "tools", "benchmarks")
YAMLS = sorted((ROOT / "hparams").glob("*.yaml"))


def help_of(path):
    return option_help(str(path), options._options(str(path)))


@pytest.mark.parametrize("path", YAMLS, ids=lambda path: path.name)
def test_every_option_of_a_yaml_file_has_its_default_and_a_sentence(path):
    lines = help_of(path).split("\n")
    for name in options._options(str(path)):
        at = [i for i, line in enumerate(lines) if f"  --{name} " in line]
        assert len(at) == 1, name
        text = " ".join(lines[at[0] : at[0] + 2])
        words = text.split(f"--{name}")[1].split("--")[0].split()
        assert len(words) >= 3, text  # the default and words about it
    assert max(map(len, lines)) <= 80
    assert "Model and training:" in lines


def test_the_groups_and_comments_are_those_of_the_file(tmp_path):
    path = tmp_path / "a.yaml"
    path.write_text(
        "seed: 1\n\ndata_folder: d # its audio\nclasses: [a, b]\n\n"
        "lr: 0.1 # best of three\nmine: null # of a new recipe\n"
        "o: !new:torch.nn.ReLU\noutput_folder: o\n"
    )
    text = " ".join(help_of(path).split())
    assert text.index("Repetition:") < text.index("Data and output:")
    assert "--data_folder d Folder of the audio (its audio)." in text
    assert "--lr 0.1 Highest learning rate (best of" in text
    assert "--mine null Of a new recipe." in text
    assert "--o " not in text
    assert described("classes", "") == "Labels."


@pytest.mark.parametrize(
    "arguments, shown",
    [
        (["--help"], "neuro_linear.yaml"),
        (["-h"], "neuro_linear.yaml"),
        (["hparams/trigger_linear.yaml", "--help"], "trigger_linear.yaml"),
        (["hparams/vggsound.yaml", "--lr", "1", "-h"], "vggsound.yaml"),
    ],
)
def test_help_lists_the_options_and_then_speechbrains(
    arguments, shown, capsys, monkeypatch
):
    monkeypatch.setattr(sys, "argv", ["train_cls.py"])
    with pytest.raises(SystemExit) as stop:
        options.parse_arguments(arguments, "neuro_linear.yaml")
    assert not stop.value.code
    text = capsys.readouterr().out
    assert f"{shown}" in text.split("\n")[2]
    assert text.index("--lr ") < text.index("Options of SpeechBrain:")
    assert text.index("Options of SpeechBrain:") < text.index("--precision")


def arguments_without_help():
    for folder in SOURCES:
        for path in sorted((ROOT / folder).rglob("*.py")):
            for node in ast.walk(ast.parse(path.read_text("utf-8"))):
                if (
                    isinstance(node, ast.Call)
                    and getattr(node.func, "attr", "") == "add_argument"
                    and not any(k.arg in ("help", None) for k in node.keywords)
                    and not isinstance(node.args[0], ast.Starred)
                ):
                    yield f"{path.relative_to(ROOT)}:{node.lineno}"


def test_every_option_of_every_command_has_a_sentence():
    assert list(arguments_without_help()) == []


@pytest.mark.parametrize(
    "module",
    [
        *("cry_modules.embeddings", "cry_modules.training", "cry_modules"),
        *("cry_modules.training.brain", "data_prep.manifest"),
        *("data_prep.files", "recipes.classification.after"),
    ],
)
def test_a_module_that_is_not_a_command_says_so(module, capsys):
    for extra in ([], ["--help"], ["a.wav"]):
        with pytest.raises(SystemExit) as stop:
            refuse_other_modules(
                ["python", "-W", "error", "-m", module, *extra]
            )
        assert stop.value.code == 2
        captured = capsys.readouterr()
        assert captured.err.startswith(f"error: {module} is not a command; ")
        assert captured.err.count("\n") == 1 and not captured.out


@pytest.mark.parametrize(
    "arguments",
    [
        *(["-m", "pytest"], ["-c", "import cry_modules"], [], ["-"]),
        *(["train_cls.py"], ["-m", "data_prep.audit"], ["-i"]),
        *(["-m", "cry_modules.views"], ["-m", "cry_modules.inference", "x"]),
        *(["-m", "cry_modules.no_such"], ["tests/forks.py"], ["-m"]),
        *(["-m", "recipes.study.run"], ["/elsewhere/embeddings.py"]),
        *(["-m", "torch.distributed.run"], ["benchmarks/speed.py"]),
    ],
)
def test_commands_and_other_programs_run(arguments):
    refuse_other_modules(["python", *arguments])


def test_the_process_ends_before_the_module_runs():
    done = subprocess.run(
        [sys.executable, "-m", "data_prep.manifest"],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert done.returncode == 2 and not done.stdout
    assert "data_prep.audit" in done.stderr and "\n" not in done.stderr[:-1]
    assert "data_prep.audit" in commands("data_prep")


#: Recipes by their own path, as SpeechBrain's are started.
RECIPES = [
    path.relative_to(ROOT) for path in sorted(ROOT.glob("recipes/*/train_*.py"))
]
#: Packages that take a second or more to import.
SLOW = ("torch", "speechbrain", "sklearn", "matplotlib", "scipy.stats")
#: The script of an exported model, and steps that only a study starts.
HEAVY = (
    "cry_modules.export.run_onnx",
    "recipes.study.command",
    "recipes.study.embed",
    "recipes.study.forkserver",
    "recipes.study.report.so_far",
)
RUN = f"""
import runpy, sys
script, *sys.argv[1:] = sys.argv[1:]
try:
    sys.argv[0] = script
    if script.endswith(".py"):
        runpy.run_path(script, run_name="__main__")
    else:
        runpy.run_module(script, run_name="__main__", alter_sys=True)
except SystemExit as stop:
    slow = [name for name in {SLOW} if name in sys.modules]
    sys.exit(f"{{slow}} imported" if slow else int(stop.code or 0))
"""


@pytest.mark.parametrize(
    "arguments, status",
    [
        (["train_simclr.py", "--help"], 0),
        (["train_adapt.py", "-h"], 0),
        (["train_cls.py", "hparams/neuro_linear_bn.yaml", "--help"], 0),
        (["train_cls.py", "hparams/neuro_linear_bn.yaml", "--lrr", "1"], 2),
        (["train_simclr.py", "hparams/vggsound.yaml", "--seed", "-1"], 2),
        *(([str(path), "--help"], 0) for path in RECIPES),
        *(
            ([str(path), "hparams/vggsound.yaml", "--lrr", "1"], 2)
            for path in RECIPES
        ),
        (["cry_modules.views", "a.csv", "--n", "x"], 2),
        *(
            ([name, "--help"], 0)
            for package in ("cry_modules", "data_prep", "recipes")
            for name in commands(package)
            if name not in HEAVY
        ),
    ],
    ids=str,
)
def test_options_are_read_before_slow_packages_are_imported(arguments, status):
    done = subprocess.run(
        [sys.executable, "-c", RUN, *arguments],
        capture_output=True,
        text=True,
        cwd=ROOT,
    )
    assert (done.returncode, "Traceback" in done.stderr) == (status, False), (
        done.stderr
    )
