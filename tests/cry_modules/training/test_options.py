"""What is typed for a text stays that text; mistakes are one line."""

import os

import pytest
import yaml
from ruamel.yaml.nodes import MappingNode

from cry_modules.checkpoints.allow_list import TextLoader, resolved
from cry_modules.checkpoints.settings import plain_settings
from cry_modules.training.experiment import as_typed, begin, load, write_variant
from cry_modules.training.options import parse_arguments
from data_prep.files.errors import InputError

CLS = "hparams/neuro_linear.yaml"
ADAPT = "hparams/small_adapt.yaml"
SIMCLR = "hparams/small_simclr.yaml"
#: Texts that yaml 1.1 or 1.2 reads as something else.
STRANGE = [
    *("2023", "1e3", "no", "on", "True", "00", "01", "0x10", "1_000", "1:30"),
    *(".5", ".inf", "2022-01-01", "a: b", "- a", "a #1", "null", "100%"),
    *("it's", '"', "!x", "&a", "*a", "@a", "a=b", "=", "[a", "{a}", "é", "{{"),
    *("|", ">", ",", "a\\n", "+1", "12e03", "010", "y", "(a)", "(1, 2)"),
]


@pytest.fixture
def home(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return str(tmp_path / "home")


class ArgumentsOnly(TextLoader):
    """HyperPyYAML's loader without building objects."""


ArgumentsOnly.add_multi_constructor(
    "!",
    lambda loader, tag, node: (
        loader.construct_mapping(node, deep=True)
        if isinstance(node, MappingNode)
        else tag
    ),
)


def typed(file, *arguments):
    return parse_arguments([file, *arguments])[2]


def own_yaml(folder, changes, file=CLS):
    """A copy of a yaml file with other lines."""
    with open(file, encoding="utf-8") as source:
        lines = source.read().split("\n")
    names = [line.partition(":")[0] for line in changes]
    lines = [x for x in lines if x.partition(":")[0] not in names]
    text = "\n".join(changes + lines)
    path = folder / "own.yaml"
    path.write_text(text.replace("models/", f"{os.getcwd()}/hparams/models/"))
    return path


@pytest.mark.parametrize("text", ["no", "a b #1"])
def test_a_text_stays_that_text(text, tmp_path):
    """From the command line through yaml and back, also in a variant."""
    folder = tmp_path / text
    overrides = typed(
        CLS, f"--output_folder={folder}", "--width=1",
        f"--label_column={text}", "--test_fold", text,
        f"--classes=[{', '.join(map(yaml_item, STRANGE))}]",
    )  # fmt: skip
    hparams = load(CLS, overrides)
    keywords = hparams["prepare"].keywords
    assert keywords["label_column"] == keywords["test_fold"] == text
    assert keywords["classes"] == hparams["classes"] == STRANGE
    assert str(hparams["output_folder"]) == str(folder)
    begin(hparams, CLS, overrides, __file__).join()
    again = load(f"{folder}/hyperparams.yaml", {})
    assert again["prepare"].keywords == keywords
    changes = {"label_column": "a", "test_fold": text, "prepare": {}}
    write_variant(CLS, overrides, tmp_path / "variant", changes)
    variant = load(tmp_path / "variant/hyperparams.yaml", {})
    assert variant["test_fold"] == text and variant["label_column"] == "a"
    saved = str(variant["checkpointer"].checkpoints_dir)
    assert saved == f"{tmp_path}/variant/save"


def yaml_item(text):
    """An item of a list, quoted where it holds a comma or quotes."""
    quotes = any(c in text for c in ",'\"")
    return "'" + text.replace("'", "''") + "'" if quotes else text


@pytest.mark.parametrize(
    "lines, name, value",
    [
        (["data_folder: 2023"], "data_folder", "2023"),
        (["data_folder: 1e3"], "data_folder", "1e3"),
        (["label_column: 2022"], "label_column", "2022"),
        (["label_column: 2022-01-01"], "label_column", "2022-01-01"),
        (["classes: [false, true]"], "classes", ["false", "true"]),
        (["classes: [False, True]"], "classes", ["False", "True"]),
        (["classes: [00, 01]"], "classes", ["00", "01"]),
        (["classes: [yes, no]"], "classes", ["yes", "no"]),
        (["classes: [on, off]"], "classes", ["on", "off"]),
        (["classes: [null, 1_000]"], "classes", ["null", "1_000"]),
        (["classes: [1:30, .5]"], "classes", ["1:30", ".5"]),
        (
            ["classes: [pain: no, pain: yes]"],
            "classes",
            ["pain: no", "pain: yes"],
        ),
        (["classes:", "  - no", "  - 0x10"], "classes", ["no", "0x10"]),
        (["recordings_csv: ~/r.csv"], "recordings_csv", "HOME/r.csv"),
        (["data_folder: !ref ~/<seed>"], "data_folder", "HOME/2022"),
        (["recordings_csv: ~"], "recordings_csv", None),
        (["test_fold: 01"], "test_fold", "01"),
        (["test_fold: !ref <seed>"], "test_fold", "2022"),
        (["seed: 010"], "seed", 10),
        (["lr: 1e-3"], "lr", 0.001),
        (["lr: '0.5'"], "lr", 0.5),
    ],
)
def test_a_text_in_a_yaml_file_stays_that_text(
    lines, name, value, tmp_path, home
):
    path = own_yaml(tmp_path, lines)
    if isinstance(value, str):
        value = value.replace("HOME", home)
    text = resolved(path, as_typed(path, {"output_folder": "o"}))
    settings = yaml.load(text, Loader=ArgumentsOnly)
    assert settings[name] == settings["prepare"].get(name, value) == value


def test_numbers_below_the_top_level_are_numbers(tmp_path):
    path = own_yaml(tmp_path, [])
    text = path.read_text().replace(
        "    weight_decay: !ref <weight_decay>", "    weight_decay: 5e-4"
    )
    path.write_text(text)
    hparams = load(path, {"width": 1, "output_folder": f"{tmp_path}/o"})
    assert hparams["opt_class"].keywords["weight_decay"] == 5e-4


@pytest.mark.parametrize("option", ["--output_folder=~/run", "--exclude=~/run"])
def test_the_home_folder(option, home):
    overrides = typed(ADAPT, option)
    (value,) = overrides.values()
    assert value in (f"{home}/run", [f"{home}/run"])
    own = typed(ADAPT, option.replace("~", "~root"))
    assert "~" not in str(own)


def test_a_value_that_the_command_line_gives_may_be_missing(tmp_path):
    path = own_yaml(tmp_path, ["data_folder: !PLACEHOLDER"])
    overrides = typed(str(path), "--data_folder=x", "--width=1")
    overrides["output_folder"] = f"{tmp_path}/o"
    assert load(path, overrides)["data_folder"] == "x"
    del overrides["data_folder"]
    with pytest.raises(InputError, match="'data_folder' is a !PLACEHOLDER"):
        load(path, overrides)


@pytest.mark.parametrize(
    "file, arguments, words",
    [
        (CLS, "--encoder_source=", "--encoder_source is empty; pass a value"),
        (CLS, "--data_folder=  ", "--data_folder is empty"),
        (CLS, "--device=", "--device is empty"),
        (CLS, "--data_folder", "--data_folder has no value; type one"),
        (CLS, "--data_folder=a\nb", r"--data_folder is 'a\nb', with a line"),
        (CLS, "--data_folder=a\r", "remove it"),
        (CLS, "--data_folder=\udcff", "cannot be printed"),
        (CLS, "--output_folder=r/<seed>", "r/<seed>; type a value in place of"),
        (CLS, "--output_folder=$DATA/x", "in place of $DATA"),
        (CLS, "--output_folder=${DATA}", "in place of ${DATA}"),
        (CLS, "--output_folder={seed}/x", "in place of {seed}"),
        (CLS, "--output_folder=%DATA%", "in place of %DATA%"),
        (CLS, "--output_folder=~nobody_here/x", "is not a user"),
        (CLS, "--output_folder=a  b", "with two spaces in a row"),
        (CLS, "--output_folder=null", "--output_folder is null; type a value"),
        (CLS, "--output_folder=[a, b]", "it must be one text, not a list"),
        (CLS, "--classes=a", "--classes is a; it must be a list: '[a, ...]'"),
        (CLS, "--classes=[a, , b]", "which holds an empty text"),
        (CLS, "--seed=-1", "--seed is -1; it must be 0 or more"),
        (CLS, "--seed=4294967296", "it must be 4294967295 or less"),
        (CLS, "--seed=1.5", "(a whole number)"),
        (CLS, "--seed=0x10", "(a whole number)"),
        (CLS, "--seed=1_000", "(a whole number)"),
        (CLS, "--seed=null", "(a whole number)"),
        (CLS, "--lr=.nan", "(a number)"),
        (CLS, "--lr=inf", "(a number)"),
        (CLS, "--lr=1e999", "(a number)"),
        (CLS, "--lr=1e9", "--lr is 1e9; it must be 1000 or less"),
        (CLS, "--lr=True", "(a number)"),
        (CLS, "--chunk_s=.inf", "(a number)"),
        (CLS, "--chunk_s=1e9", "--chunk_s is 1e9; it must be 600 or less"),
        (CLS, "--number_of_epochs=1e9", "(a whole number)"),
        (CLS, "--number_of_epochs=1000000000", "it must be 1000000 or less"),
        (CLS, "--batch_size=1000000000", "it must be 100000 or less"),
        (CLS, "--width=1000000", "it must be 1024 or less"),
        (CLS, "--controls=maybe", "(True or False)"),
        (CLS, "--max_grad_norm=nan", "max_grad_norm is nan; it must be 0 or"),
        (CLS, "--max_grad_norm=x", "--max_grad_norm: invalid float value"),
        (CLS, "--debug=True", "--debug: ignored explicit argument 'True'"),
        (CLS, "--cry_folder=x", "but of cry_adapt.yaml and cry_adapt_replay"),
        (CLS, "--data-folder=x", "did you mean --data_folder?"),
        (CLS, "--Seed=1", "did you mean --seed?"),
        (CLS, "--debug_b=1", "did you mean --debug"),
        (CLS, "-seed=1", "-seed is not an option; options begin with two"),
        (
            CLS,
            "–seed=1",
            "–seed is not an option; options begin with two hyphens",
        ),
        (SIMCLR, "--valid_share=1", "it must be above 0 and below 1"),
    ],
)
def test_a_mistake_is_one_line(file, arguments, words):
    with pytest.raises(InputError) as error:
        parse_arguments([file, arguments])
    assert words in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    "line, words",
    [
        ("lr: .nan", "--lr is .nan; it must be above 0"),
        ("seed: 1:30", "--seed is 1:30; it must be 0 or more"),
        ("seed: [1]", r"--seed is \[1\]"),
        ("chunk_s: .inf", "--chunk_s is .inf"),
        ("label_column: ''", "--label_column is empty"),
        ("label_column: null", "--label_column is null"),
        ("label_column: [a]", "it must be one text, not a list"),
        ("classes: healthy", "it must be a list"),
        ("data_folder: data/<seed>", "in place of <seed>"),
        ("data_folder: !ref data/<sed>", "sed"),
        ("controls: maybe", "--controls is maybe; it must be True or False"),
        ("seed: 1\nseed: 2", "holds 'seed' twice; keep one"),
    ],
)
def test_a_mistake_in_a_yaml_file_is_one_line(line, words, tmp_path):
    path = own_yaml(tmp_path, [line])
    with pytest.raises(InputError, match=words) as error:
        load(path, {"output_folder": f"{tmp_path}/o", "width": 1})
    assert "\n" not in str(error.value)


def test_words_that_are_not_quoted_are_one_value():
    arguments = ["--classes", "[a,", "b]", "--data_folder", "my", "cries"]
    overrides = typed(CLS, *arguments, "--noprogressbar")
    assert overrides == {"classes": ["a", "b"], "data_folder": "my cries"}


def test_a_number_is_read_as_before():
    overrides = typed(CLS, "--lr", "1e-3", "--seed=7", "--controls=false")
    assert overrides == {"lr": 0.001, "seed": 7, "controls": False}
    assert yaml.safe_load(yaml.safe_dump(overrides)) == overrides


@pytest.mark.parametrize("value", ["a,b c", "a, b c", "[a, b c]"])
def test_a_list_needs_no_brackets(value, tmp_path):
    overrides = typed(CLS, f"--output_folder={tmp_path}", "--classes", value)
    assert overrides["classes"] == ["a", "b c"]


def test_settings_without_a_strange_text_are_written_as_they_are(tmp_path):
    """A run folder's yaml file does not change."""
    overrides = typed(CLS, f"--output_folder={tmp_path}/o", "--width=1")
    hparams = load(CLS, overrides)
    begin(hparams, CLS, overrides, __file__).join()
    text = (tmp_path / "o/hyperparams.yaml").read_text()
    assert "classes: &id001 [healthy, injury]" in text
    assert "'" not in text.replace("'s", "")
    assert plain_settings(text)["classes"] == "[healthy, injury]"
