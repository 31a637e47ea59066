"""A broken environment gives one line, whichever command meets it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from data_prep.files import environment
from data_prep.files.environment import broken_package

ROOT = Path(__file__).resolve().parents[3]

#: Failures: torchaudio with an older torch, torch without its CUDA libraries,
#: torchvision with another torch, a missing package.
BROKEN = {
    "torchaudio": "raise OSError('libtorchaudio.so: undefined symbol: torch')",
    "torch": "raise ImportError('libcudart.so.13: cannot open shared object')",
    "speechbrain": "raise RuntimeError('operator torchvision::nms is missing')",
    "scipy": "raise ModuleNotFoundError('No module named x', name='scipy')",
}
COMMANDS = (
    ["train_simclr.py", "hparams/vggsound.yaml"],
    ["recipes/simclr/train_simclr.py", "hparams/vggsound.yaml"],
    ["train_adapt.py", "hparams/cry_adapt.yaml"],
    ["train_cls.py", "hparams/neuro_linear_bn.yaml"],
    ["-m", "cry_modules.inference", "model", "a.wav"],
)


def run_with(folder, package, command):
    """Run a command where `package` fails while it is imported."""
    broken = folder / package
    broken.mkdir()
    (broken / "__init__.py").write_text(BROKEN[package])
    return subprocess.run(
        [sys.executable, *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join((str(folder), "."))},
    )


@pytest.mark.parametrize(
    "package, command",
    [("torch", command) for command in COMMANDS]
    + [(package, COMMANDS[0]) for package in ("torchaudio", "speechbrain")]
    + [("scipy", ["-m", "data_prep.synthetic", "corpus"])],
)
def test_one_line_names_the_package_and_the_cure(tmp_path, package, command):
    done = run_with(tmp_path, package, command)
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: the Python environment is broken: ")
    assert f"importing {package} failed" in line
    assert "make setup" in line or "bin/activate" in line
    assert "constraints.txt" in line
    assert done.returncode == 1


@pytest.mark.parametrize("command", COMMANDS)
def test_a_python_without_our_packages_gives_one_line(command):
    """The environment was not activated; -S hides its packages."""
    done = subprocess.run(
        [sys.executable, "-S", *command],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={"PATH": os.environ["PATH"], "PYTHONPATH": "."},
    )
    (line,) = done.stderr.splitlines()
    assert "importing tqdm failed" in line and "torch missing" in line
    assert done.returncode == 1


def test_the_cure_for_another_python_is_to_activate_ours(tmp_path, monkeypatch):
    error = ModuleNotFoundError("No module named 'tqdm'", name="tqdm")
    for ours, cure in (
        (tmp_path, "source .venv/bin/activate"),
        (Path(sys.prefix), "make setup"),
        (tmp_path / "missing", "make setup"),
    ):
        monkeypatch.setattr(environment, "_OURS", ours)
        assert cure in environment.explanation("tqdm", error)


def test_an_older_python_is_refused(monkeypatch, capsys):
    monkeypatch.setattr(sys, "version_info", (3, 9, 18, "final", 0))
    with pytest.raises(SystemExit) as stop:
        environment.require_python()
    assert stop.value.code == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert "this is Python 3.9.18" in line and "3.11 or newer" in line


@pytest.mark.parametrize(
    "module, code",
    [
        ("cry_modules.cnn14", "1 / 0"),
        ("cry_modules.cnn14", "import cry_modules.no_such_module"),
        ("recipes.study.run", "int('x')"),
        # A user's own script, which imports this project.
        ("__main__", "import no_such_module"),
        ("her_own_module", "1 / 0"),
    ],
)
def test_other_errors_stay_tracebacks(module, code):
    with pytest.raises(Exception) as raised:
        exec(code, {"__name__": module})
    traceback = raised.value.__traceback__.tb_next  # without this test's frame
    assert broken_package(raised.value, traceback) is None


def test_a_package_that_we_import_and_is_absent_is_named():
    with pytest.raises(ModuleNotFoundError) as raised:
        exec("import no_such_package", {"__name__": "cry_modules.cnn14"})
    traceback = raised.value.__traceback__.tb_next
    assert broken_package(raised.value, traceback) == "no_such_package"
