"""SpeechBrain's checks, on a miniature of SpeechBrain."""

import importlib.metadata
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from data_prep.files.errors import InputError
from tools.upstream import checks, processes
from tools.upstream.checked_copy import Copy, lay_over, make_python, run
from tools.upstream.checks import CHECKS, LINTERS, Verdict, check, show

RUFF = importlib.metadata.version("ruff")
HEADER = (
    "Task,Dataset,Script_file,Hparam_file,Data_prep_file,Readme_file,"
    "Result_url,HF_repo,test_debug_flags,test_debug_checks,performance\n"
)
TRAIN, YAML = "recipes/Toy/train.py", "recipes/Toy/hparams/a.yaml"
ROW = (
    f"Toys,Toy,{TRAIN},{YAML},,recipes/Toy/README.md,"
    ",,{flags},file_exists=[a],\n"
)
# Misspelt; the second is in the checkout's list of words. Reversed, for the
# spelling of this file.
TYPO, KNOWN = "het"[::-1], "of"[::-1]

# Upstream's modules at these places, reduced to what the checks call.
RUNNER = '''
"""Runs rows of tests/recipes as upstream's runner does."""

import csv
import os
import subprocess

NAMES = "Script_file", "Hparam_file", "test_debug_flags"


def rows(test_field, fields, filters):
    for table in sorted(os.listdir("tests/recipes")):
        with open("tests/recipes/" + table, newline="") as lines:
            for row in csv.DictReader(lines, skipinitialspace=True):
                match = [row[f] in w for f, w in zip(fields, filters)]
                if all(match) and row[test_field].strip():
                    yield row


def load_yaml_test(
    test_field="test_debug_flags", filters_fields=(), filters=()
):
    files = [r["Hparam_file"] for r in rows(test_field, filters_fields, filters)]
    bad = [file for file in files if "broken" in open(file).read()]
    print("cannot load", bad)
    return not bad


def run_recipe_tests(filters_fields=(), filters=()):
    os.makedirs("tests/tmp", exist_ok=True)
    good = []
    for row in rows(NAMES[2], filters_fields, filters):
        script, yaml, flags = (row[name] for name in NAMES)
        path = os.path.join(os.getcwd(), os.path.dirname(script))
        command = "PYTHONPATH=%s python %s %s %s" % (path, script, yaml, flags)
        with open("tests/tmp/err.txt", "w") as err:
            good.append(not subprocess.call(command, shell=True, stderr=err))
        if not good[-1]:
            print("Error in it. Check tests/tmp/err.txt and out.txt for more")
    return bool(good) and all(good)
'''
CONSISTENCY = '''
"""A key of a yaml file has to be in the script."""

from pathlib import Path


def test_keys():
    bad = [p for p in Path("recipes").rglob("*.yaml") if "odd:" in p.read_text()]
    print("Checking all\\n" + "".join("\\tERROR: %s\\n" % p for p in bad))
    assert not bad
'''


def write(folder, files):
    """Write texts and bytes by their paths."""
    for name, content in files.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(content, str):
            content = content.encode()
        path.write_bytes(content)
    return folder


@pytest.fixture
def sb(tmp_path):
    """A SpeechBrain checkout in miniature."""
    files = {
        ".gitignore": "**/results/\ntests/tmp/\n__pycache__/\n",
        ".yamllint.yaml": "rules: {truthy: enable}\n",
        ".dict-speechbrain.txt": f"{KNOWN}\n",
        "lint-requirements.txt": f"pytest==7.4.0\nruff==v{RUFF}\n",
        "pyproject.toml": '[tool.ruff.lint]\nselect = ["F"]\n',
        "pytest.ini": "[pytest]\n",
        "speechbrain/__init__.py": "",
        "tests/__init__.py": "",
        "tests/utils/recipe_tests.py": RUNNER,
        "tests/consistency/test_keys.py": CONSISTENCY,
        "tests/recipes/Other.csv": HEADER,
        "tests/samples/old.txt": "old\n",
        "tests/tmp/Toy_row_02/a": "left by an earlier run\n",
    }
    return write(tmp_path / "sb", files)


@pytest.fixture
def tree(tmp_path):
    """A recipe, a module and a unit test without errors."""
    rows = HEADER + ROW.format(flags="--a")
    files = {
        TRAIN: "import sys\n\nimport speechbrain\nimport toy_prepare\n\n"
        "print(sys.argv, speechbrain, toy_prepare)\n",
        YAML: "a: 1\n",
        "recipes/Toy/README.md": "# Toy\n",
        "recipes/toy_prepare.py": '"""Prepares."""\n',
        "tests/recipes/Toy.csv": rows,
        "tests/samples/toy/a.wav": b"RIFF\0\0 \n",
        "tests/unittests/test_toy.py": "def test_it():\n    assert True\n",
        "speechbrain/toy.py": '"""Toy.\n\n>>> 1 + 1\n2\n"""\n',
    }
    write(tmp_path / "tree", files)
    link = tmp_path / "tree/recipes/Toy/toy_prepare.py"
    link.symlink_to("../toy_prepare.py")
    return tmp_path / "tree"


def contents(folder):
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_good_tree_passes(sb, tree, tmp_path, offline):
    before = contents(sb)
    verdicts = list(check(sb, tree, tmp_path / "work"))
    assert [v for v in verdicts if v.good is False] == []
    names = [(v.group, v.name) for v in verdicts]
    assert names == [
        *(c[:2] for c in CHECKS[:2]),
        ("lint", "pre-commit"),
        *(c[:2] for c in [*LINTERS, *CHECKS[2:]]),
        ("debug", "Toy_row_02 train.py a.yaml"),
        ("debug", "files outside the output"),
    ]
    assert contents(sb) == before


@pytest.fixture
def offline(monkeypatch, tmp_path):
    """pre-commit cannot download its hooks."""
    monkeypatch.setenv("https_proxy", "http://127.0.0.1:9")
    monkeypatch.setenv("PRE_COMMIT_HOME", str(tmp_path / "pre-commit"))


def test_each_check_can_fail(sb, tree, tmp_path, offline):
    row = ROW.format(flags="--a")
    write(
        tree,
        {
            "recipes/Toy/results/a.txt": "x\n",
            "recipes/Bare/train.py": '"""No row names it."""\n',
            "recipes/Toy/README.md": f"# Toy \n\n{TYPO} {KNOWN}\n",
            YAML: "odd: broken\nb: yes\n",
            TRAIN: "import os\nimport cry_modules\n",
            "recipes/Toy/litter.py": "for name in ('old', 'new'):\n"
            "    open(f'tests/samples/{name}.txt', 'w')\n",
            "speechbrain/toy.py": "'''Toy.\n\n>>> 1 + 1\n3\n'''\n",
            "tests/unittests/test_toy.py": "def test_it():\n    assert 0\n",
            "tests/recipes/Toy.csv": HEADER
            + row
            + row.replace("train.py", "litter.py"),
        },
    )
    write(sb, {"lint-requirements.txt": "ruff==v0.0.1\n"})
    verdicts = {
        f"{v.group}/{v.name}": v for v in check(sb, tree, tmp_path / "work")
    }
    culprits = {
        "layout/test rows": "tests/recipes/Bare.csv has no row",
        "layout/git-ignored files": "recipes/Toy/results/a.txt",
        "lint/versions": f"ruff {RUFF} is installed, not 0.0.1",
        "lint/git diff --check": "recipes/Toy/README.md:1: trailing",
        "lint/ruff format": "speechbrain/toy.py",
        "lint/ruff check": f"{TRAIN}:1:8: F401",
        "lint/yamllint": "truthy",
        "lint/codespell": f"{TYPO} ==> the",
        "consistency/tests/consistency": f"ERROR: {YAML}",
        "docs/doctests": "Expected:",
        "docs/unit tests": "assert 0",
        "yaml/load_yaml_test": YAML,
        "debug/Toy_row_02 train.py a.yaml": "No module named 'cry_modules'",
        "debug/files outside the output": " M tests/samples/old.txt\n"
        "?? tests/samples/new.txt",
    }
    assert verdicts.pop("debug/Toy_row_03 litter.py a.yaml").good
    skipped = verdicts.pop("lint/pre-commit")
    assert skipped.good is None and "cannot be installed" in skipped.detail
    assert list(verdicts) == list(culprits)
    for name, culprit in culprits.items():
        assert not verdicts[name].good, name
        assert culprit in verdicts[name].detail, name
    # only the error, not every file that was read
    assert verdicts["consistency/tests/consistency"].detail.count("\n") == 0
    assert f"{KNOWN} ==>" not in verdicts["lint/codespell"].detail


def test_hooks_run_where_they_can_be_installed(sb, tree, tmp_path, monkeypatch):
    """The hook is a script of the checkout, which needs no download."""
    hook = (
        "repos:\n- repo: local\n  hooks:\n  - {id: a, name: no odd, "
        "language: pygrep, entry: 'odd', types: [yaml]}\n"
    )
    write(sb, {".pre-commit-config.yaml": hook})
    write(tree, {YAML: "odd: 1\n"})
    monkeypatch.setenv("PRE_COMMIT_HOME", str(tmp_path / "hooks"))
    monkeypatch.setattr(checks, "CHECKS", [])
    verdicts = check(sb, tree, tmp_path / "work", rows=[])
    hooks = next(verdict for verdict in verdicts if verdict.group == "lint")
    assert (hooks.name, hooks.good) == ("pre-commit", False)
    assert f"{YAML}:1:odd: 1" in hooks.detail


@pytest.mark.parametrize(
    "name", ["ruff check", "doctests", "unit tests", "load_yaml_test"]
)
def test_checks_without_a_file(name, tmp_path):
    root = write(tmp_path / "root", {"speechbrain/a.txt": "a\n"})
    functions = {name: function for _, name, function in [*CHECKS, *LINTERS]}
    outcome = functions[name](Copy(root, ["speechbrain/a.txt"], tmp_path))
    assert outcome == (True, "no such file in the tree")


def test_lay_over(sb, tree, tmp_path):
    (sb / "speechbrain/old.py").symlink_to("__init__.py")
    write(tree, {"speechbrain/old.py": "new\n", "recipes/__pycache__/a": ""})
    write(sb, {"speechbrain/__pycache__/a": "", ".git/a": ""})
    root = tmp_path / "work/checked"
    write(root, {"left": "by an earlier run"})
    before = contents(sb)
    copy = lay_over(sb, tree, tmp_path / "work")
    assert contents(sb) == before and copy.root == root
    assert copy.files == sorted(copy.files) and len(copy.files) == 10
    assert os.readlink(root / "recipes/Toy/toy_prepare.py") == (
        "../toy_prepare.py"
    )
    assert (root / "speechbrain/old.py").read_text() == "new\n"
    assert (root / "speechbrain/__init__.py").read_text() == ""
    assert (root / "tests/samples/old.txt").is_file()
    for absent in ("left", "tests/tmp", ".git/a", "speechbrain/__pycache__"):
        assert not (root / absent).exists()


def test_input_errors(sb, tree, tmp_path):
    work = tmp_path / "work"
    for arguments, message in (
        ((tree, tree, work), f"{tree} is not a SpeechBrain checkout"),
        ((sb, tmp_path, work), "has neither recipes/ nor"),
        ((sb, tree, tmp_path / "a b"), "a b has a space"),
        ((sb, tree, sb / "work"), f"and {sb} contain one another"),
    ):
        with pytest.raises(InputError) as error:
            list(check(*arguments))
        assert "\n" not in str(error.value) and message in str(error.value)


@pytest.fixture
def copy(tmp_path):
    """A copy with its own speechbrain."""
    root = write(
        tmp_path / "root",
        {"speechbrain/__init__.py": "", "recipes/toy.py": ""},
    )
    return Copy(root, [], make_python(tmp_path, root))


@pytest.mark.parametrize("name", ["cry_modules", "data_prep.files.errors"])
def test_this_project_is_hidden(copy, name):
    # it can be imported elsewhere
    assert not subprocess.call([sys.executable, "-c", f"import {name}"])
    status, output = run(copy, "python", "-c", f"import {name}")
    assert status == 1
    package = name.split(".")[0]
    assert f"ModuleNotFoundError: No module named '{package}'" in output


def test_python_as_upstream_calls_it(copy):
    """With its own PYTHONPATH, and the copy's speechbrain."""
    code = "import toy, speechbrain; print(speechbrain.__file__)"
    status, output = run(
        copy, "sh", "-c", f"PYTHONPATH=$PWD/recipes python -c '{code}'"
    )
    assert status == 0, output
    assert Path(output.strip()) == copy.root / "speechbrain/__init__.py"


def test_environment_of_programs(copy, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.setenv("GIT_DIR", "/elsewhere")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    _, output = run(copy, "env")
    assert "HF_HUB_OFFLINE=1\n" in output
    assert "OMP_NUM_THREADS=3\n" in output
    assert "/elsewhere" not in output


def test_a_program_that_hangs_is_stopped_with_its_children(copy, monkeypatch):
    monkeypatch.setattr(processes, "LIMIT_SECONDS", 0.3)
    start = time.monotonic()
    status, output = run(copy, "sh", "-c", "echo on; sleep 60 & wait")
    assert time.monotonic() - start < 30
    assert status < 0
    assert output == "on\nstopped after 0.3 s\n"


def test_each_verdict_is_shown_at_once(capsys):
    detail = "\n".join(map(str, range(20)))

    def verdicts():
        yield Verdict("lint", "ruff check", True, "", 2.6)
        assert capsys.readouterr().out == "PASS  lint/ruff check  3 s\n"
        yield Verdict("docs", "doctests", True, "no such file", 0)
        yield Verdict("lint", "pre-commit", None, "offline", 0)
        yield Verdict("yaml", "load", False, detail, 61.2)

    assert show(verdicts()) is False
    assert capsys.readouterr().out.splitlines() == [
        "PASS  docs/doctests  0 s  (no such file)",
        "SKIP  lint/pre-commit  0 s  (offline)",
        "FAIL  yaml/load  61 s",
        *(f"      {number}" for number in range(5, 20)),
        "2 passed, 1 failed",
    ]
    assert show([Verdict("lint", "codespell", True, "", 0)]) is True
