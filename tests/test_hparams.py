"""Rules of the yaml files: what they share, and in what they may differ."""

import csv
from pathlib import Path

import pytest
from hyperpyyaml import load_hyperpyyaml, resolve_references
from ruamel.yaml import YAML

from cry_modules.checkpoints.settings import RANGES, TEXTS
from cry_modules.finetune import FINETUNE_MODES
from cry_modules.front_ends import FRONT_ENDS
from cry_modules.training.experiment import load
from data_prep.files.errors import InputError

ROOT = Path(__file__).resolve().parents[1]
FILES = sorted((ROOT / "hparams").glob("*.yaml"))
MODES = tuple(FINETUNE_MODES)

#: What the yaml files of one task may differ in.
OF_A_MODE = {"finetune_mode", "output_folder", "lr", "number_of_epochs"}
OF_A_MODE |= {"patience", "solver", "trained_on", "embedding_cache"}
#: What the yaml files of one mode may differ in.
OF_A_TASK = {"task", "label_column", "classes", "output_folder"}
#: What a probe of one's own labels may differ in from the paper's.
OF_OWN_LABELS = OF_A_TASK | {"width", "readout", "solver"}
#: What adaptation with replay may differ in from adaptation without.
OF_REPLAY = {"output_folder", "replay_folder", "replay_ratio"}

#: Rows of SpeechBrain's lists of recipes.
RECIPES = [
    row
    for path in (ROOT / "tests/recipes").glob("*.csv")
    for row in csv.DictReader(path.read_text(encoding="utf-8").splitlines())
]


def compose(path):
    """Keys and nodes of a yaml file's top level."""
    with open(path, encoding="utf-8") as file:
        return {key.value: node for key, node in YAML().compose(file).value}


def as_text(node):
    if isinstance(node.value, str):
        return str(node.tag), node.value
    if isinstance(node.value, list) and node.value:
        if isinstance(node.value[0], tuple):
            return [(k.value, as_text(v)) for k, v in node.value]
        return [as_text(item) for item in node.value]
    return node.value


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_loads(path, tmp_path):
    overrides = {"output_folder": str(tmp_path), "width": 1}
    with open(path, encoding="utf-8") as file:
        hparams = load_hyperpyyaml(file, overrides)
    assert hparams["base"]["base"]["encoder"].width == 1


@pytest.mark.parametrize("name", FRONT_ENDS)
@pytest.mark.parametrize("file", ["small_simclr", "neuro_linear"])
def test_a_front_end_reaches_all_parts_and_checkpoints(file, name, tmp_path):
    """Also if a run is loaded from its own hyperparams.yaml."""
    overrides = {"output_folder": str(tmp_path), "width": 1, "front_end": name}
    path = ROOT / f"hparams/{file}.yaml"
    with open(path, encoding="utf-8") as stream:
        text = resolve_references(stream, overrides).read()
    left = tmp_path / "hyperparams.yaml"
    left.write_text(text, encoding="utf-8")
    for hparams in (load(str(path), overrides), load(str(left), {})):
        logmel = hparams["logmel"]
        assert logmel.name == name
        features = hparams.get("views") or hparams["features"]
        assert features.logmel is logmel
        assert hparams["encoder"].mel_bins == logmel.n_mels
        assert hparams["reader"].sample_rate == logmel.sample_rate
        saved = hparams["checkpointer"].save_checkpoint()
        assert saved.meta["front_end"] == name


def test_an_unknown_front_end_is_refused(tmp_path):
    overrides = {"output_folder": str(tmp_path), "front_end": "mfcc"}
    with pytest.raises(InputError, match="'mfcc'; expected one of fbank, lo"):
        load(str(ROOT / "hparams/neuro_linear.yaml"), overrides)


@pytest.mark.parametrize("name, seconds", [("log1p", 0.36), ("panns", 0.31)])
def test_chunks_are_long_enough_for_the_front_end(name, seconds, tmp_path):
    path = str(ROOT / "hparams/small_simclr.yaml")
    overrides = {"output_folder": str(tmp_path), "front_end": name}
    with pytest.raises(InputError, match=f"needs {seconds}"):
        load(path, {**overrides, "chunk_s": seconds - 0.01})
    assert load(path, {**overrides, "chunk_s": seconds + 0.01})


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_one_include_called_base_and_only_placeholders_are_passed(path):
    assert compose(path)["output_folder"].value == f"results/{path.stem}/<seed>"
    assert path.read_text(encoding="utf-8").count("!include:") == 1
    include = next(n for n in compose(path).values() if "include" in str(n.tag))
    assert compose(path)["base"] is not None
    base = compose(path.parent / str(include.tag).partition(":")[2])
    passed = {key.value: node for key, node in include.value}
    placeholders = {k for k, n in base.items() if "PLACEHOLDER" in str(n.tag)}
    # A misspelt key would be ignored silently if it had a default.
    assert set(passed) == placeholders
    # An object passed in would be built twice.
    assert not any(str(n.tag).startswith("!new") for n in passed.values())


@pytest.mark.parametrize(
    "first, second, settings",
    [
        *[("neuro_linear", f"neuro_{mode}", OF_A_MODE) for mode in MODES],
        *[("trigger_linear", f"trigger_{mode}", OF_A_MODE) for mode in MODES],
        *[(f"neuro_{mode}", f"trigger_{mode}", OF_A_TASK) for mode in MODES],
        ("neuro_linear", "small_linear", OF_OWN_LABELS),
        ("cry_adapt", "cry_adapt_replay", OF_REPLAY),
        ("small_adapt", "small_adapt_replay", OF_REPLAY),
    ],
)
def test_files_differ_only_in_some_settings(first, second, settings):
    a, b = (
        {key: as_text(node) for key, node in compose(path).items()}
        for path in (f"hparams/{first}.yaml", f"hparams/{second}.yaml")
    )
    missing = object()
    differing = {k for k in a | b if a.get(k, missing) != b.get(k, missing)}
    assert differing <= settings


def test_file_names_name_the_mode():
    for task in ("neuro", "trigger"):
        for mode in MODES:
            path = ROOT / f"hparams/{task}_{mode}.yaml"
            assert compose(path)["finetune_mode"].value == mode


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_every_key_is_used_by_the_script_or_in_the_file(path):
    """SpeechBrain's rule for recipes."""
    (script,) = (
        row["Script_file"]
        for row in RECIPES
        if row["Hparam_file"] == f"hparams/{path.name}"
    )
    modules = ("simclr", "classification", "experiment", "resume", "schedule")
    parts = [script, *(f"cry_modules/training/{m}.py" for m in modules)]
    code = "".join((ROOT / p).read_text(encoding="utf-8") for p in parts)
    text = path.read_text(encoding="utf-8")
    for key, node in compose(path).items():
        used = f'"{key}"' in code or f"hparams.{key}" in code
        referred = f"<{key}>" in text
        built_in = key.startswith("__") or key == "base"
        assert used or referred or built_in, key


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.stem)
def test_every_option_is_known_as_a_text_or_has_a_range(path):
    """Otherwise yaml decides what 01 or no is, and nan is a number."""
    for key, node in compose(path).items():
        tag = str(node.tag)
        if not key.startswith("__") and not tag.startswith(("!n", "!include")):
            assert key in TEXTS or key in RANGES, key


def test_every_yaml_is_in_the_recipe_list():
    for row in RECIPES:
        for column in ("Script_file", "Data_prep_file", "Readme_file"):
            assert (ROOT / row[column]).is_file(), row[column]
        assert row["test_debug_flags"]
    listed = sorted(row["Hparam_file"] for row in RECIPES)
    assert listed == [f"hparams/{p.name}" for p in FILES]
