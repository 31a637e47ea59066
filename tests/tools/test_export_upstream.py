"""The files for SpeechBrain: derived from this project, and complete."""

import ast
import csv
import re
import shutil
from pathlib import Path

import pytest
import speechbrain

from data_prep.files.errors import InputError
from tools.export_upstream import main
from tools.upstream import render
from tools.upstream.checked_copy import git, make_repository
from tools.upstream.fixes import fixes
from tools.upstream.layout import export, rendered, up_to
from tools.upstream.patches import commit, write_patches
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
    codes = {}
    for node in ast.parse(text.replace("InputError", "ValueError")).body:
        if not isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            continue
        for inner in ast.walk(node):
            if isinstance(inner, (ast.FunctionDef, ast.ClassDef)):
                if ast.get_docstring(inner):
                    del inner.body[0]
        parts = node.body if isinstance(node, ast.ClassDef) else [node]
        codes[node.name] = [ast.dump(part) for part in parts]
    return codes


def test_exported_code_equals_the_code_of_the_project(texts):
    n_compared = 0
    names = {request.name for request in SERIES}
    for path in (p for p in ALL if p.endswith(".py")):
        file = File(path, names, INSTALLED)
        exported = definitions(texts[path])
        for name, source in file.taken.items():
            ours = definitions(source.path.read_text())
            if name in ours and not source.name.startswith("tests."):
                codes = {_code(part) for part in ours[name]}
                changed = [p for p in exported[name] if _code(p) not in codes]
                assert changed == [], (path, name)
                n_compared += 1
    assert n_compared > 60


def _code(part):
    """Code without text constants, as some messages are replaced."""
    text = r"Constant\(value=('(?:[^'\\]|\\.)*'|\"(?:[^\"\\]|\\.)*\")\)"
    return re.sub(text, "", part)


def test_templates_hold_no_second_copy():
    """No template repeats a function of this project."""
    functions = {}
    for folder in ("cry_modules", "data_prep", "recipes"):
        for path in (ROOT / folder).rglob("*.py"):
            for node in ast.walk(ast.parse(path.read_text())):
                if isinstance(node, ast.FunctionDef):
                    functions[_body(node)] = f"{path.name}: {node.name}"
    copies = []
    names = {request.name for request in SERIES}
    for target in (p for p in ALL if p.endswith(".py")):
        text = Written(target, names, INSTALLED).text
        for node in ast.walk(ast.parse(text.replace("@@imports@@", ""))):
            if not isinstance(node, ast.FunctionDef) or len(node.body) < 3:
                continue  # too short to be a copy
            if _body(node) in functions:
                copies.append((target, node.name, functions[_body(node)]))
    assert functions and copies == []


class Written(File):
    """A template's own text, without taken definitions."""

    def take(self, *names, **how):
        super().take(*names, **how)
        return ""

    def existing(self):
        return ""


def _body(node):
    body = node.body[1:] if ast.get_docstring(node) else node.body
    return "\n".join(ast.dump(statement) for statement in body)


def test_exported_files_do_not_name_this_project(tree):
    for path in tree.rglob("*"):
        if path.suffix in (".py", ".yaml", ".md", ".csv"):
            for word in ("cry_modules", "data_prep", "InputError", "@@"):
                assert word not in path.read_text(), (path, word)


def test_templates_begin_with_a_reason():
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
def test_each_pull_request_needs_only_earlier_ones(n):
    """Imports, and classes in yaml files, are in SpeechBrain or in earlier
    pull requests."""
    early = rendered(INSTALLED, SERIES[:n])
    n_checked = 0
    for path in SERIES[n - 1].files:
        text = early[path]
        wanted = re.findall(r"!(?:new|name):(speechbrain\.[\w.]+)\.(\w+)", text)
        if path.endswith(".py"):
            wanted += [
                (imported.module, imported.name)
                for imported in imports_of(ast.parse(text))
                if imported.module.startswith("speechbrain")
            ]
        for module_name, name in wanted:
            file = module_name.replace(".", "/") + ".py"
            code = early.get(file) or _installed(file)
            if code is not None:
                defined = rf"^(def|class) {name}\b|^{name}\b.* = "
                is_module = (INSTALLED / file).with_suffix("").is_dir()
                assert re.search(defined, code, re.M) or is_module, name
                n_checked += 1
    assert n_checked or SERIES[n - 1].name in ("ranking", "warmup_cosine")


def _installed(file):
    path = INSTALLED / file
    if path.is_file():
        return path.read_text()
    package = path.with_suffix("")
    assert package.is_dir(), f"{file} does not exist yet"
    return None


def test_scripts_have_no_doctests(texts):
    for path, text in texts.items():
        if path.startswith("recipes/") and path.endswith(".py"):
            assert ("    >>> " in text) == path.endswith("_prepare.py"), path


def test_links_point_to_the_preparation(tree):
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
            kinds = ("Script", "Hparam", "Data_prep", "Readme")
            for name in " ".join(row[f"{kind}_file"] for kind in kinds).split():
                assert (tree / name).is_file(), name
            assert row["Dataset"] == table.stem
            for sample in re.findall(r"tests/samples/\S+", str(row)):
                assert (tree / sample.rstrip("',")).is_dir()


def test_address_of_results_is_in_rows_and_readmes(tmp_path):
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
    for placeholder in ("CHECKLIST", "DOCUMENTATION", "TESTS"):
        assert placeholder not in request_.description


def test_an_early_tree_is_part_of_a_later_one_and_replaces_it(tmp_path, tree):
    export(tmp_path, INSTALLED, SERIES[:2])
    export(tmp_path, INSTALLED, SERIES[:1])
    few = [path for path in tmp_path.rglob("*") if path.is_file()]
    assert len(few) == 2
    for path in few:
        whole = tree / path.relative_to(tmp_path)
        assert path.read_text() == whole.read_text()


def test_keys_keep_comments_without_marks_of_certainty():
    assert keys("hparams/vggsound.yaml", "batch_size", "lr") == (
        "batch_size: 128 # recordings; twice as many views\n"
        "lr: !ref 0.03 * <batch_size> / 256 # 0.015 at 128"
    )
    with pytest.raises(InputError, match="has no key 'batchsize'"):
        keys("hparams/vggsound.yaml", "batchsize")


@pytest.fixture
def template(tmp_path, monkeypatch):
    """Write a template: ``template(text, path)``."""
    monkeypatch.setattr(render, "TEMPLATES", tmp_path)

    def write(text, path="speechbrain/a.py"):
        target = tmp_path / f"{path}.j2"
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
        return File(path, set(), INSTALLED)

    return write


def test_imports_follow_from_used_names(template):
    file = template("{{ imports }}\n{{ take('cry_modules.training.schedule',"
                   " 'warmup_cosine') }}\n")  # fmt: skip
    homes = Homes([file])
    assert finished(file, homes).startswith("import math\n")
    assert homes.moved(
        Import(
            "cry_modules.training.schedule", "warmup_cosine", "warmup_cosine"
        )
    ) == Import("speechbrain.a", "warmup_cosine", "warmup_cosine")


def test_a_method_can_be_left_out(template):
    name, method = "cry_modules.front_ends", "MelFrames.band_at"
    whole = template(f"{{{{ take('{name}', 'MelFrames') }}}}\n").text
    less = template(
        f"{{{{ take('{name}', without=('{method}', 'LogMel')) }}}}\n"
    ).text
    assert "def band_at" in whole and "def band_at" not in less
    assert "def padded" in less and "class LogMel" not in less


@pytest.mark.parametrize(
    "name, taken, message",
    [
        ("nothing", "", "is not a module of this project"),
        ("training.schedule", ", 'cosine'", "defines no cosine"),
        ("finetune", ", 'FinetunedEncoder.go'", "has no go"),
        ("finetune", ", replace={'abc': ''}", "no longer holds 'abc'"),
        (
            "front_ends",
            ", 'LogMel', without=('MelFrames.band_at',)",
            "no longer holds",
        ),
    ],
)
def test_outdated_templates_are_refused(template, name, taken, message):
    with pytest.raises(InputError, match=message):
        template(f"{{{{ take('cry_modules.{name}'{taken}) }}}}")


def test_a_definition_that_is_not_exported_is_refused(template):
    file = template(
        "{{ imports }}\n{{ take('cry_modules.views.chunks_and_masks', 'RandomChunks') }}\n"
    )
    with pytest.raises(InputError, match="audio.repeat_to is in no file"):
        finished(file, Homes([file]))


def test_a_definition_is_exported_once(template):
    text = "{{ take('cry_modules.training.schedule', 'warmup_cosine') }}\n"
    files = [template(text, f"speechbrain/{name}.py") for name in "ab"]
    with pytest.raises(InputError, match="would be in .*a and in .*b"):
        Homes(files)


def test_comments_and_decorators_belong_to_a_definition():
    text = module("cry_modules.training.state").text("PerRank")
    assert text.startswith("@partial(register_checkpoint_hooks")
    text = module("cry_modules.replay").text("REPLAY")
    assert text.startswith("#: Ways to set the share")


def test_list_is_the_whole_series(capsys):
    main(["--list"])
    listed = capsys.readouterr().out
    for part in (*SERIES, *fixes()):
        assert f"{part.name}: {part.title}" in listed
    assert all(path in listed for path in ALL)


@pytest.fixture(scope="module")
def checkout(tmp_path_factory):
    """The files of SpeechBrain that an export needs."""
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
        (
            ["--sb", INSTALLED, "--out", "{tmp}/a"],
            "is not a SpeechBrain checkout",
        ),
        (["--sb", "{sb}", "--check"], "pass --sb"),
        (["--sb", "{sb}", "--patches", "{tmp}/a", "--check"], "pass --out"),
        (["--sb", "{sb}", "--out", ROOT], "holds other files"),
        (["--sb", "{sb}", "--out", "{sb}"], "holds other files"),
        (["--sb", "{sb}", "--out", ROOT / "README.md"], "is a file"),
        (["--sb", "{sb}", "--out", "{tmp}/a", "--upto", "x"], "pass one of"),
    ],
)
def test_usage_errors_are_one_line(
    tmp_path, checkout, arguments, message, capsys
):
    before = sorted(checkout.rglob("*"))
    places = {"tmp": tmp_path, "sb": checkout}
    with pytest.raises(SystemExit) as stop:
        main([str(argument).format(**places) for argument in arguments])
    line = capsys.readouterr().err
    assert stop.value.code == 2
    assert line.startswith("error: ") and message in line
    assert line.count("\n") == 1
    assert sorted(checkout.rglob("*")) == before


def test_patches_apply_in_order_and_give_the_tree(checkout, tmp_path):
    few = up_to("warmup_cosine")
    patches = write_patches(checkout, tmp_path / "patches", few)
    assert [path.name[:4] for path in patches] == [
        f"{n:04d}" for n in range(1, len(few) + 1)
    ]
    for path, request in zip(patches, few):
        text = " ".join(path.read_text().split())
        assert request.title in text
    repository = tmp_path / "repository"
    make_repository(checkout, repository)
    git(repository, "am", "-q", *(str(path) for path in patches))
    export(tmp_path / "tree", checkout, few)
    for path in (tmp_path / "tree").rglob("*.py"):
        patched = repository / path.relative_to(tmp_path / "tree")
        assert patched.read_text() == path.read_text()


def test_git_ignored_files_are_refused(checkout, tmp_path):
    repository = tmp_path / "repository"
    make_repository(checkout, repository)
    export(tmp_path / "tree", checkout, SERIES[:1])
    lost = tmp_path / "tree/recipes/results/a.txt"
    lost.parent.mkdir(parents=True)
    lost.write_text("a")
    with pytest.raises(InputError, match="results/a.txt would be left out"):
        commit(repository, tmp_path / "tree", SERIES[0])
