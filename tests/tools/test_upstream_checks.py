"""The runner of SpeechBrain's checks, on a miniature of SpeechBrain."""

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
from tools.upstream.checks import CHECKS, Verdict, check, show

HEADER = (
    "Task,Dataset,Script_file,Hparam_file,Data_prep_file,Readme_file,"
    "Result_url,HF_repo,test_debug_flags,test_debug_checks,performance\n"
)
TRAIN, YAML = "recipes/Toy/train.py", "recipes/Toy/hparams/a.yaml"
ROW = (
    f"Toys,Toy,{TRAIN},{YAML},,recipes/Toy/README.md,"
    ",,{flags},file_exists=[a],{performance}\n"
)
# Misspelt; the second is in the checkout's list of words. Reversed, for the
# check of this file's own spelling.
TYPO, KNOWN = "het"[::-1], "of"[::-1]
LINE = " | [`{0}`]({0}) | {1}\n"

# What upstream has at these places, as far as it is called.
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
BUILDER = '''
"""Makes the page of results from tables."""

import csv
import sys
from pathlib import Path

tables, made = (option.partition("=")[2] for option in sys.argv[1:])
with open(made, "w") as page:
    for table in sorted(Path(tables).glob("*.csv")):
        for row in csv.DictReader(table.open()):
            name, value = row["Hparam_file"], row["performance"]
            if value:
                page.write(" | [`%s`](%s) | %s\\n" % (name, name, value))
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
    ruff = importlib.metadata.version("ruff")
    files = {
        ".gitignore": "**/results/\ntests/tmp/\n",
        ".yamllint.yaml": "rules: {truthy: enable}\n",
        ".dict-speechbrain.txt": f"{KNOWN}\n",
        "lint-requirements.txt": f"pytest==7.4.0\nruff==v{ruff}\n",
        "pyproject.toml": '[tool.ruff.lint]\nselect = ["F"]\n',
        "pytest.ini": "[pytest]\n",
        "PERFORMANCE.md": "# Results\n",
        "speechbrain/__init__.py": "",
        "tests/__init__.py": "",
        "tests/utils/recipe_tests.py": RUNNER,
        "tests/consistency/test_keys.py": CONSISTENCY,
        "tests/recipes/Other.csv": HEADER,
        "tests/samples/old.txt": "old\n",
        "tests/tmp/Toy_row_02/a": "of an earlier run\n",
        "tools/readme_builder.py": BUILDER,
    }
    return write(tmp_path / "sb", files)


@pytest.fixture
def tree(tmp_path):
    """A recipe, a module and a unit test that are in order."""
    rows = HEADER + ROW.format(flags="--a", performance="AUC=0.9")
    files = {
        TRAIN: "import sys\n\nimport speechbrain\nimport toy_prepare\n\n"
        "print(sys.argv, speechbrain, toy_prepare)\n",
        YAML: "a: 1\n",
        "recipes/Toy/README.md": "# Toy\n",
        "recipes/toy_prepare.py": '"""Prepares."""\n',
        "recipes/Toy/requirements.txt": "# both\nB==1\nc>=2\n",
        "tests/recipes/Toy.csv": rows,
        "tests/samples/toy/a.wav": b"RIFF\0\0 \n",
        "tests/unittests/test_toy.py": "def test_it():\n    assert True\n",
        "speechbrain/toy.py": '"""Toy.\n\n>>> 1 + 1\n2\n"""\n',
        "PERFORMANCE.md": "# Results\n" + LINE.format(YAML, "AUC=0.9"),
    }
    write(tmp_path / "tree", files)
    link = tmp_path / "tree/recipes/Toy/toy_prepare.py"
    link.symlink_to("../toy_prepare.py")
    return tmp_path / "tree"


def contents(folder):
    return {p: p.read_bytes() for p in folder.rglob("*") if p.is_file()}


def test_a_good_tree_passes(sb, tree, tmp_path):
    before = contents(sb)
    verdicts = list(check(sb, tree, tmp_path / "work"))
    assert [v for v in verdicts if not v.good] == []
    names = [(v.group, v.name) for v in verdicts]
    assert names[: len(CHECKS)] == [c[:2] for c in CHECKS]
    assert names[len(CHECKS) :] == [
        ("debug", "Toy_row_02 train.py a.yaml"),
        ("debug", "tests/samples"),
        ("performance", "PERFORMANCE.md"),
    ]
    assert contents(sb) == before


def test_each_check_can_fail(sb, tree, tmp_path):
    row = ROW.format(flags="--a", performance="AUC=0.8")
    rows = row, row.replace("--a", ""), row.replace("train.py", "litter.py")
    write(
        tree,
        {
            "stray.txt": "x\n",
            "recipes/Toy/results/a.txt": "x\n",
            "recipes/Toy/big.bin": bytes(1024 * 1024 + 1),
            "recipes/Toy/README.md": f"# Toy \n\n{TYPO} {KNOWN}\r\n",
            "recipes/Toy/requirements.txt": "c\nB\n",
            YAML: "odd: broken\nb: yes\n",
            TRAIN: "import os\nimport cry_modules\n\n",
            "recipes/Toy/litter.py": "for name in ('old', 'new'):\n"
            "    open(f'tests/samples/{name}.txt', 'w')\n",
            "speechbrain/toy.py": "'''Toy.\n\n>>> 1 + 1\n3\n'''\n",
            "tests/unittests/test_toy.py": "def test_it():\n    assert 0\n",
            "tests/recipes/Toy.csv": HEADER + "".join(rows),
        },
    )
    (tree / "recipes/Toy/link").symlink_to("nowhere")
    verdicts = {
        f"{v.group}/{v.name}": v for v in check(sb, tree, tmp_path / "work")
    }
    culprits = {
        "layout/top folders": "stray.txt",
        "layout/test rows": "Toy.csv row 3",
        "layout/symlinks": "recipes/Toy/link",
        "layout/git-ignored files": "recipes/Toy/results/a.txt",
        "layout/sizes": "recipes/Toy/big.bin",
        "hooks/trailing whitespace": "recipes/Toy/README.md line 1",
        "hooks/end of .py files": TRAIN,
        "hooks/sorted requirements": "recipes/Toy/requirements.txt",
        "hooks/line endings": "recipes/Toy/README.md",
        "lint/ruff format": "speechbrain/toy.py",
        "lint/ruff check": f"{TRAIN}:1:8: F401",
        "lint/yamllint": "truthy",
        "lint/codespell": f"{TYPO} ==> the",
        "consistency/tests/consistency": f"ERROR: {YAML}",
        "docs/doctests": "Expected:",
        "docs/unit tests": "assert 0",
        "yaml/load_yaml_test": YAML,
        "debug/Toy_row_02 train.py a.yaml": "No module named 'cry_modules'",
        "debug/Toy_row_03 train.py a.yaml": "",
        "debug/tests/samples": "tests/samples/new.txt was written by a run\n"
        "tests/samples/old.txt was written by a run",
        "performance/PERFORMANCE.md": "in no table: | [`recipes/Toy",
    }
    assert verdicts.pop("debug/Toy_row_04 litter.py a.yaml").good
    assert list(verdicts) == list(culprits)
    for name, culprit in culprits.items():
        assert not verdicts[name].good, name
        assert culprit in verdicts[name].detail, name
    # one line of its own, not all that was looked at
    assert verdicts["consistency/tests/consistency"].detail.count("\n") == 0
    assert f"{KNOWN} ==>" not in verdicts["lint/codespell"].detail


@pytest.fixture
def outcome(tmp_path):
    """Run one check that needs no program: ``outcome(name, files)``."""

    def outcome(name, files, links=()):
        root = write(tmp_path / "root", files)
        for link, target in links:
            (root / link).symlink_to(target)
        names = sorted([*files, *(link for link, _ in links)])
        functions = {name: function for _, name, function in CHECKS}
        return functions[name](Copy(root, names, tmp_path))

    return outcome


@pytest.mark.parametrize(
    "file, good",
    [
        ("recipes/a", True),
        ("speechbrain/a/b", True),
        ("PERFORMANCE.md", True),
        ("README.md", False),
        ("cry_modules/a.py", False),
    ],
)
def test_top_folders(outcome, file, good):
    assert outcome("top folders", {file: ""})[0] is good


@pytest.mark.parametrize(
    "target, problem",
    [
        ("b", ""),
        ("../a/b", ""),
        ("/etc", "is absolute"),
        ("c", "leads nowhere"),
        ("../../../root/a/../..", "leaves the repository"),
    ],
)
def test_symlinks(outcome, target, problem):
    good, detail = outcome("symlinks", {"a/b": ""}, [("a/link", target)])
    assert good is (not problem)
    assert detail.endswith(problem)


@pytest.mark.parametrize(
    "sizes, problem",
    [
        ({"recipes/a": 1024 * 1024}, ""),
        ({"recipes/a": 1024 * 1024 + 1}, "recipes/a"),
        ({"tests/samples/a": 999_999, "tests/samples/b": 999_999}, ""),
        ({"tests/samples/a": 1_000_000}, "tests/samples/a"),
        ({f"tests/samples/{i}": 700_000 for i in range(3)}, "together"),
    ],
)
def test_sizes(outcome, sizes, problem):
    good, detail = outcome("sizes", {f: bytes(n) for f, n in sizes.items()})
    assert good is (not problem)
    assert problem in detail


@pytest.mark.parametrize(
    "table, problem",
    [
        (HEADER + ROW, ""),
        (HEADER, "has no row"),
        (None, "has no row"),
        (HEADER + ROW.replace("file_exists", "files"), "names no file"),
        (HEADER + ROW.replace("{flags}", " "), "test_debug_flags is empty"),
        (HEADER + "Toys,Toy\n", "row 2 has no Script_file, Hparam_file,"),
        (HEADER.replace("HF_repo,", "") + ROW, "row 2 has no HF_repo"),
        (HEADER + ROW.rstrip() + ",more\n", "more fields"),
    ],
)
def test_rows(outcome, table, problem):
    files = {TRAIN: ""}
    if table is not None:
        files["tests/recipes/Toy.csv"] = table
    good, detail = outcome("test rows", files)
    assert good is (not problem)
    assert problem in detail


@pytest.mark.parametrize(
    "name, file, content, good",
    [
        ("trailing whitespace", "a.md", b"a\r\n\r\n b\n", True),
        ("trailing whitespace", "a.csv", b"a\nb,\t\n", False),
        ("trailing whitespace", "a.md", b"a ", False),
        ("trailing whitespace", "a.md", b"a \r\n", False),
        ("trailing whitespace", "a.wav", b"RIFF\0 \n", True),
        ("end of .py files", "a.py", b"", True),
        ("end of .py files", "a.py", b"a\n", True),
        ("end of .py files", "a.py", b"a\r\n", True),
        ("end of .py files", "a.py", b"a", False),
        ("end of .py files", "a.py", b"a\n\n", False),
        ("end of .py files", "a.py", b"\n", False),
        ("end of .py files", "a.txt", b"a", True),
        ("sorted requirements", "extra_requirements.txt", b"A\nb\n", True),
        ("sorted requirements", "extra_requirements.txt", b"b\nA\n", False),
        ("sorted requirements", "x/requirements.txt", b"#c\nb\n\nc\n", True),
        ("sorted requirements", "requirements.txt", b"a==1\na-b\n", True),
        ("sorted requirements", "notes.txt", b"b\na\n", True),
        ("line endings", "a.md", b"a\r\nb\r\n", True),
        ("line endings", "a.md", b"a\nb\r\n", False),
        ("line endings", "a.md", b"a\nb\rc\n", False),
        ("line endings", "a.wav", b"\0\n\r\n", True),
    ],
)
def test_hooks(outcome, name, file, content, good):
    assert outcome(name, {file: content})[0] is good


def test_hooks_pass_over_symlinks(outcome):
    """As pre-commit does; a link has no text of its own."""
    name, root = "trailing whitespace", {"a.md": "a\n"}
    assert outcome(name, root, [("b.md", "a.md "), ("c.md", "a.md")])[0]


@pytest.mark.parametrize(
    "name", ["ruff check", "doctests", "unit tests", "load_yaml_test"]
)
def test_what_is_not_there_is_said(outcome, name):
    said = outcome(name, {"speechbrain/a.txt": "a\n"})
    assert said == (True, "no such file in the tree")


def test_debug_runs_can_be_left_out(sb, tree, tmp_path, monkeypatch):
    monkeypatch.setattr(checks, "CHECKS", [])
    verdicts = check(sb, tree, tmp_path / "work", rows=[])
    assert [v.name for v in verdicts] == ["tests/samples", "PERFORMANCE.md"]


def test_lay_over(sb, tree, tmp_path):
    (sb / "speechbrain/old.py").symlink_to("__init__.py")
    write(tree, {"speechbrain/old.py": "new\n", "recipes/__pycache__/a": ""})
    write(sb, {"speechbrain/__pycache__/a": "", ".git/a": ""})
    root = tmp_path / "copy"
    write(root, {"left": "of an earlier time"})
    before = contents(sb)
    files = lay_over(sb, tree, root)
    assert contents(sb) == before
    assert files == sorted(files) and len(files) == 12
    assert "recipes/Toy/toy_prepare.py" in files
    assert os.readlink(root / "recipes/Toy/toy_prepare.py") == (
        "../toy_prepare.py"
    )
    assert (root / "speechbrain/old.py").read_text() == "new\n"
    assert (root / "speechbrain/__init__.py").read_text() == ""
    assert (root / "tests/samples/old.txt").is_file()
    for absent in ("left", "tests/tmp", ".git/a", "speechbrain/__pycache__"):
        assert not (root / absent).exists()


def test_input_errors(sb, tree, tmp_path, monkeypatch):
    def message(*arguments):
        with pytest.raises(InputError) as error:
            list(check(*arguments))
        assert "\n" not in str(error.value)
        return str(error.value)

    work = tmp_path / "work"
    assert f"{tree} is no SpeechBrain checkout" in message(tree, tree, work)
    assert "has neither recipes/ nor" in message(sb, tmp_path, work)
    assert "a b has a space" in message(sb, tree, tmp_path / "a b")
    assert f"lies in {sb}" in message(sb, tree, sb / "work")
    sb.rename(tmp_path / "checked")  # what the copy would be called
    assert "overwritten" in message(tmp_path / "checked", tree, tmp_path)
    (tmp_path / "checked").rename(sb)
    write(sb, {"lint-requirements.txt": "ruff==v0.0.1\n"})
    assert "asks for ruff 0.0.1 and" in message(sb, tree, work)

    def absent(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr(importlib.metadata, "version", absent)
    assert "and none is installed" in message(sb, tree, work)


@pytest.fixture
def copy(tmp_path):
    """A copy with a speechbrain of its own."""
    root = write(
        tmp_path / "root",
        {"speechbrain/__init__.py": "", "recipes/beside.py": ""},
    )
    return Copy(root, [], make_python(tmp_path, root))


@pytest.mark.parametrize("name", ["cry_modules", "data_prep.files.errors"])
def test_this_project_is_hidden(copy, name):
    # it can be imported where it is not
    assert not subprocess.call([sys.executable, "-c", f"import {name}"])
    status, output = run(copy, "python", "-c", f"import {name}")
    assert status == 1
    package = name.split(".")[0]
    assert f"ModuleNotFoundError: No module named '{package}'" in output


def test_python_as_upstream_calls_it(copy):
    """With a PYTHONPATH of its own, and the copy's speechbrain."""
    code = "import beside, speechbrain; print(speechbrain.__file__)"
    status, output = run(
        copy, "sh", "-c", f"PYTHONPATH=$PWD/recipes python -c '{code}'"
    )
    assert status == 0, output
    assert Path(output.strip()) == copy.root / "speechbrain/__init__.py"


def test_programs_run_offline_and_apart(copy, monkeypatch):
    monkeypatch.setenv("PYTHONPATH", "/elsewhere")
    monkeypatch.setenv("GIT_DIR", "/elsewhere")
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    _, output = run(copy, "env")
    assert "HF_HUB_OFFLINE=1\n" in output
    assert "OMP_NUM_THREADS=3\n" in output
    assert "/elsewhere" not in output


def test_a_program_that_hangs(copy, monkeypatch):
    """It is stopped with those that it started."""
    monkeypatch.setattr(processes, "LIMIT_SECONDS", 0.3)
    start = time.monotonic()
    status, output = run(copy, "sh", "-c", "echo on; sleep 60 & wait")
    assert time.monotonic() - start < 30
    assert status < 0
    assert output == "on\nstopped after 0.3 s\n"


def test_show(capsys):
    detail = "\n".join(map(str, range(20)))

    def verdicts():
        yield Verdict("lint", "ruff check", True, "", 2.6)
        assert capsys.readouterr().out == "PASS  lint/ruff check  3 s\n"
        yield Verdict("docs", "doctests", True, "no such file", 0)
        assert capsys.readouterr().out == (
            "PASS  docs/doctests  0 s  (no such file)\n"
        )
        yield Verdict("yaml", "load", False, detail, 61.2)

    assert show(verdicts()) is False
    shown = capsys.readouterr().out
    lines = "".join(f"      {number}\n" for number in range(5, 20))
    assert shown == f"FAIL  yaml/load  61 s\n{lines}2 passed, 1 failed\n"
    assert show([Verdict("lint", "codespell", True, "", 0)]) is True
