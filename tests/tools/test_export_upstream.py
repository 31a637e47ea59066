"""What is laid out for SpeechBrain is this project's own, and whole."""

import ast
import csv
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import speechbrain

from data_prep.files.errors import InputError
from tools.upstream import render
from tools.upstream.command import main
from tools.upstream.fixes import fixes
from tools.upstream.layout import export, rendered, up_to
from tools.upstream.patches import commit, copy_of, git, write_patches
from tools.upstream.render import TEMPLATES, File, Homes, finished, keys
from tools.upstream.series import CSV_COLUMNS, SERIES
from tools.upstream.source import ROOT, Import, imports_of, module

INSTALLED = Path(speechbrain.__file__).parents[1]
ALL = [path for request in SERIES for path in request.files]


@pytest.fixture(scope="module")
def texts():
    """Text of every file, before ruff sorts its imports."""
    return rendered(INSTALLED, SERIES)


@pytest.fixture(scope="module")
def tree(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tree") / "tree"
    export(folder, INSTALLED, SERIES)
    return folder


def definitions(text):
    """Functions, and statements of classes, by name, without docstrings and
    with plain errors."""
    found = {}
    for node in ast.parse(text.replace("InputError", "ValueError")).body:
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            continue
        for inner in ast.walk(node):
            if isinstance(inner, (ast.FunctionDef, ast.ClassDef)):
                if ast.get_docstring(inner):
                    del inner.body[0]
        parts = node.body if isinstance(node, ast.ClassDef) else [node]
        found[node.name] = [ast.dump(part) for part in parts]
    return found


def test_what_is_taken_is_what_the_project_has(texts):
    """Name by name, the code that leaves is the code that stays."""
    n_compared = 0
    names = {request.name for request in SERIES}
    for path in (p for p in ALL if p.endswith(".py")):
        file = File(path, names, INSTALLED)
        exported = definitions(texts[path])
        for name, source in file.taken.items():
            ours = definitions(source.path.read_text())
            if name in ours and not source.name.startswith("tests."):
                there = {_code(part) for part in ours[name]}
                left = [p for p in exported[name] if _code(p) not in there]
                assert left == [], (path, name)
                n_compared += 1
    assert n_compared > 60


def _code(part):
    """Less the words of messages, some of which mean nothing there."""
    text = r"Constant\(value=('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")\)"
    return re.sub(text, "", part)


def test_templates_hold_no_second_copy():
    """No function of this project is written down in a template."""
    own = {}
    for folder in ("cry_modules", "data_prep", "recipes"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.FunctionDef):
                    own[_body(node)] = f"{path.name}: {node.name}"
    copies = []
    there = {request.name for request in SERIES}
    for target in (p for p in ALL if p.endswith(".py")):
        text = Written(target, there, INSTALLED).text
        for node in ast.walk(ast.parse(text.replace("@@imports@@", ""))):
            if not isinstance(node, ast.FunctionDef) or len(node.body) < 3:
                continue  # of one statement there is no copy
            if _body(node) in own:
                copies.append((target, node.name, own[_body(node)]))
    assert own and copies == []


class Written(File):
    """What is written in a template, without what it takes."""

    def take(self, *names, **how):
        super().take(*names, **how)
        return ""

    def existing(self):
        return ""


def _body(node):
    body = node.body[1:] if ast.get_docstring(node) else node.body
    return "\n".join(ast.dump(statement) for statement in body)


def test_nothing_of_this_project_is_named(tree):
    for path in tree.rglob("*"):
        if path.suffix in (".py", ".yaml", ".md", ".csv"):
            for word in ("cry_modules", "data_prep", "InputError", "@@"):
                assert word not in path.read_text(), (path, word)


def test_templates_say_why_they_are_no_derivations():
    files = [path for path in TEMPLATES.rglob("*.j2")]
    assert len(files) > 30
    for path in files:
        head = re.match(r"\{#(.*?)#\}\n", path.read_text(), re.S)
        assert head and len(head[1].split()) > 4, path


def test_every_template_is_used_once():
    targets = {
        path.relative_to(TEMPLATES).as_posix()[: -len(".j2")]
        for path in TEMPLATES.rglob("*.j2")
        if "parts" not in path.parts
    }
    assert len(set(ALL)) == len(ALL) and set(ALL) == targets
    text = "\n".join(path.read_text() for path in TEMPLATES.rglob("*.j2"))
    for part in (TEMPLATES / "parts").iterdir():
        assert f'"parts/{part.name}"' in text, part


@pytest.mark.parametrize("n", range(1, len(SERIES) + 1))
def test_each_stands_on_those_before_it(n):
    """What a file imports, or a yaml file builds, is there by then: in
    SpeechBrain, or in what came before."""
    early = rendered(INSTALLED, SERIES[:n])
    n_found = 0
    for path in SERIES[n - 1].files:
        text = early[path]
        wanted = re.findall(r"!(?:new|name):(speechbrain\.[\w.]+)\.(\w+)", text)
        if path.endswith(".py"):
            wanted += [
                (found.module, found.name)
                for found in imports_of(ast.parse(text))
                if found.module.startswith("speechbrain")
            ]
        for module_name, name in wanted:
            file = module_name.replace(".", "/") + ".py"
            there = early.get(file) or _installed(file)
            if there is not None:
                defined = rf"^(def|class) {name}\b|^{name}\b.* = "
                is_module = (INSTALLED / file).with_suffix("").is_dir()
                assert re.search(defined, there, re.M) or is_module, name
                n_found += 1
    assert n_found or SERIES[n - 1].name in ("ranking", "warmup_cosine")


def _installed(file):
    path = INSTALLED / file
    if path.is_file():
        return path.read_text()
    package = path.with_suffix("")
    assert package.is_dir(), f"{file} is not there yet"
    return None


def test_imports_are_of_what_is_there(texts):
    """Every name that is imported of an exported module is defined in it."""
    ours = {p[: -len(".py")].replace("/", "."): p for p in texts}
    n_found = 0
    for path, text in texts.items():
        if path.endswith(".py"):
            for found in imports_of(ast.parse(text)):
                if found.module in ours:
                    own = texts[ours[found.module]]
                    assert re.search(
                        rf"^(def|class) {found.name}\b|^{found.name}\b.* = ",
                        own,
                        re.M,
                    ), (path, found)
                    n_found += 1
    assert n_found > 20


def test_scripts_of_one_name_have_no_examples(texts):
    for path, text in texts.items():
        if path.startswith("recipes/") and path.endswith(".py"):
            assert ("    >>> " in text) == path.endswith("_prepare.py"), path


def test_links_lead_to_the_preparation(tree):
    links = [path for path in tree.rglob("*") if path.is_symlink()]
    assert len(links) == 5
    for link in links:
        assert link.resolve().is_file() and tree in link.resolve().parents
        script = (link.parent / "train.py").read_text()
        assert f"from {link.stem} import" in script


def test_rows(tree):
    tables = sorted((tree / "tests/recipes").iterdir())
    assert [path.stem for path in tables] == ["InfantCry", "VGGSound"]
    for table in tables:
        with open(table, newline="") as file:
            rows = list(csv.DictReader(file))
        assert tuple(rows[0]) == CSV_COLUMNS
        for row in rows:
            named = (
                "Script_file",
                "Hparam_file",
                "Data_prep_file",
                "Readme_file",
            )
            for name in " ".join(row[column] for column in named).split():
                assert (tree / name).is_file(), name
            assert row["Dataset"] == table.stem
            for sample in re.findall(r"tests/samples/\S+", str(row)):
                assert (tree / sample.rstrip("',")).is_dir()


def test_where_results_are_stands_in_rows_and_readmes(tmp_path):
    url = "https://results.example/cries"
    export(tmp_path / "tree", INSTALLED, SERIES, url)
    for request in SERIES:
        for row in request.rows:
            table = tmp_path / f"tree/tests/recipes/{row['Dataset']}.csv"
            assert f"README.md,{url},," in table.read_text()
            assert url in (tmp_path / "tree" / row["Readme_file"]).read_text()


def test_samples_are_small(tree):
    sizes = [p.stat().st_size for p in (tree / "tests/samples").rglob("*.*")]
    assert max(sizes) < 1e6 and sum(sizes) < 2e6


@pytest.mark.parametrize("request_", SERIES, ids=lambda r: r.name)
def test_descriptions(request_):
    assert 10 < len(request_.title) < 70
    for heading in ("What does this PR do?", "Before submitting"):
        assert heading in request_.description


def test_an_earlier_tree_is_part_of_a_later_one(tmp_path, tree):
    export(tmp_path / "few", INSTALLED, up_to("cnn14_lengths"))
    few = [p for p in (tmp_path / "few").rglob("*") if p.is_file()]
    assert len(few) == 6
    for path in few:
        whole = tree / path.relative_to(tmp_path / "few")
        assert path.read_text() == whole.read_text()


def test_keys_bring_their_comments_and_not_our_doubts():
    assert keys("hparams/vggsound.yaml", "batch_size", "lr") == (
        "batch_size: 128 # recordings; twice as many views\n"
        "lr: !ref 0.03 * <batch_size> / 256 # 0.015 at 128"
    )
    with pytest.raises(InputError, match="has no key 'batchsize'"):
        keys("hparams/vggsound.yaml", "batchsize")


@pytest.fixture
def template(tmp_path, monkeypatch):
    """A template of our own: ``template(text, path)``."""
    monkeypatch.setattr(render, "TEMPLATES", tmp_path)

    def write(text, path="speechbrain/a.py"):
        target = tmp_path / f"{path}.j2"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        return File(path, set(), INSTALLED)

    return write


def test_imports_follow_from_what_is_used(template):
    one = template("{{ imports }}\n{{ take('cry_modules.training.schedule',"
                   " 'warmup_cosine') }}\n")  # fmt: skip
    homes = Homes([one])
    assert finished(one, homes).startswith("import math\n")
    assert homes.moved(
        Import(
            "cry_modules.training.schedule", "warmup_cosine", "warmup_cosine"
        )
    ) == Import("speechbrain.a", "warmup_cosine", "warmup_cosine")


def test_a_method_may_stay_here(template):
    name, method = "cry_modules.front_ends", "MelFrames.band_at"
    whole = template(f"{{{{ take('{name}', 'MelFrames') }}}}\n").text
    less = template(
        f"{{{{ take('{name}', without=('{method}', 'LogMel')) }}}}\n"
    ).text
    assert "def band_at" in whole and "def band_at" not in less
    assert "def padded" in less and "class LogMel" not in less
    with pytest.raises(InputError, match="does not hold"):
        template(f"{{{{ take('{name}', 'LogMel', without=('{method}',)) }}}}\n")


@pytest.mark.parametrize(
    "text, message",
    [
        (
            "{{ take('cry_modules.nothing') }}",
            "is not a module of this project",
        ),
        (
            "{{ take('cry_modules.training.schedule', 'cosine') }}",
            "defines no cosine",
        ),
        (
            "{{ take('cry_modules.finetune', 'FinetunedEncoder.go') }}",
            "has no go",
        ),
        (
            "{{ take('cry_modules.training.schedule', replace={'abc': ''}) }}",
            "does not hold 'abc' any more",
        ),
    ],
)
def test_a_template_that_does_not_fit_any_more(template, text, message):
    with pytest.raises(InputError, match=message):
        template(text)


def test_what_is_exported_nowhere_is_refused(template):
    file = template(
        "{{ imports }}\n{{ take('cry_modules.views', 'RandomChunks') }}\n"
    )
    with pytest.raises(InputError, match="audio.repeat_to is in no file"):
        finished(file, Homes([file]))


def test_one_home_for_each_definition(template):
    text = "{{ take('cry_modules.training.schedule', 'warmup_cosine') }}\n"
    files = [template(text, f"speechbrain/{name}.py") for name in "ab"]
    with pytest.raises(InputError, match="would be in .*a and in .*b"):
        Homes(files)


def test_comments_and_decorators_belong_to_a_definition():
    text = module("cry_modules.training.state").text("PerRank")
    assert text.startswith("@partial(register_checkpoint_hooks")
    text = module("cry_modules.replay").text("REPLAY")
    assert text.startswith("#: How the share")


def test_list_is_the_whole_series():
    done = subprocess.run(
        [sys.executable, "tools/export_upstream.py", "--list"],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert done.returncode == 0
    for request in SERIES:
        assert f"{request.name}: {request.title}" in done.stdout
        for path in request.files:
            assert path in done.stdout
    for fix in fixes():
        assert f"{fix.name}: {fix.title}" in done.stdout


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """What an export needs of SpeechBrain, and no more."""
    folder = tmp_path_factory.mktemp("checkout")
    for path in ("tests/recipes", "tests/unittests", "speechbrain/nnet"):
        (folder / path).mkdir(parents=True)
    name = "speechbrain/nnet/schedulers.py"
    shutil.copy(INSTALLED / name, folder / name)
    (folder / ".gitignore").write_text("**/results/\n")
    return folder


@pytest.mark.parametrize(
    "arguments, message",
    [
        ([], "pass --sb"),
        (["--sb", "{sb}"], "pass --sb"),
        (["--sb", INSTALLED, "--out", "{tmp}/a"], "is no checkout"),
        (["--sb", "{sb}", "--check"], "pass --sb"),
        (["--sb", "{sb}", "--patches", "{tmp}/a", "--check"], "pass --out"),
        (["--sb", "{sb}", "--out", ROOT], "holds something else"),
        (["--sb", "{sb}", "--out", "{sb}"], "holds something else"),
        (["--sb", "{sb}", "--out", ROOT / "README.md"], "is a file"),
        (["--sb", "{sb}", "--out", "{tmp}/a", "--upto", "x"], "there are"),
    ],
)
def test_usage_errors_are_one_line(
    tmp_path, checkout, arguments, message, capsys
):
    before = sorted(checkout.rglob("*"))
    places = {"tmp": tmp_path, "sb": checkout}
    with pytest.raises(SystemExit) as stop:
        main([str(argument).format(**places) for argument in arguments])
    said = capsys.readouterr().err
    assert stop.value.code == 2
    assert said.startswith("error: ") and message in said
    assert said.count("\n") == 1
    assert sorted(checkout.rglob("*")) == before


def test_a_tree_of_an_earlier_time_is_replaced(checkout, tmp_path):
    tree = tmp_path / "tree"
    export(tree, checkout, SERIES[:2])
    export(tree, checkout, SERIES[:1])
    assert len([path for path in tree.rglob("*") if path.is_file()]) == 2


def test_patches_apply_in_turn_and_hold_the_tree(checkout, tmp_path):
    """``write_patches`` applies them itself; here it is done by hand."""
    few = up_to("warmup_cosine")
    patches = write_patches(checkout, tmp_path / "patches", few)
    assert [path.name[:4] for path in patches] == [
        f"{n:04d}" for n in range(1, len(few) + 1)
    ]
    for path, request in zip(patches, few):
        text = " ".join(path.read_text().split())
        assert request.title in text
    repository = tmp_path / "repository"
    copy_of(checkout, repository)
    git(repository, "am", "-q", *(str(path) for path in patches))
    export(tmp_path / "tree", checkout, few)
    for path in (tmp_path / "tree").rglob("*.py"):
        there = repository / path.relative_to(tmp_path / "tree")
        assert there.read_text() == path.read_text()


def test_what_gitignore_would_swallow_is_refused(checkout, tmp_path):
    repository = tmp_path / "repository"
    copy_of(checkout, repository)
    export(tmp_path / "tree", checkout, SERIES[:1])
    lost = tmp_path / "tree/recipes/results/a.txt"
    lost.parent.mkdir(parents=True)
    lost.write_text("a")
    with pytest.raises(InputError, match="results/a.txt would be lost"):
        commit(repository, tmp_path / "tree", SERIES[0])
