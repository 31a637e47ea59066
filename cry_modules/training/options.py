"""The command line of a train script, with one-line errors."""

import functools
import importlib.util
import io
import os
import re
import sys
from contextlib import redirect_stderr
from pathlib import Path
from typing import Any, Container, Dict, List, Optional, Sequence, Tuple

from ruamel.yaml.nodes import Node

from cry_modules.architectures import is_pretrained
from cry_modules.checkpoints.allow_list import RESOLVED, resolved
from cry_modules.checkpoints.settings import (
    RANGES,
    TEXTS,
    as_text,
    check_ranges,
    plain_settings,
    read_pairs,
    setting,
    yaml_nodes,
)
from cry_modules.pretrained.named import name_pretrained
from cry_modules.training.option_help import option_help
from data_prep.files.arguments import nearest, unknown
from data_prep.files.errors import (
    InputError,
    not_a_file,
    one_line_errors,
    require,
)
from data_prep.files.option_values import Unfit, convert, path, text
from data_prep.files.yaml_text import plain, text_or_texts

_HELP = {"-h", "--help"}
_RUN_OPTIONS = "speechbrain.utils.run_opts"
_HPARAMS = Path(__file__).parents[2] / "hparams"
#: Options that may be given several times; their values make a list.
_REPEATABLE = ("exclude", "probe")

#: What an option takes, by the yaml tag of its default.
_DESCRIPTIONS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "True or False",
    "seq": "a list",
}

Typed = List[Tuple[str, str]]  # names and values of options


def parse_arguments(
    argv: Optional[Sequence[str]] = None, usual: str = ""
) -> Tuple:
    """Parse like SpeechBrain's ``parse_arguments``, with one-line errors.

    Values keep the kind of the setting: what is typed for a text stays that
    text. ``--exclude`` and ``--probe`` may be given several times. ``--help``
    without a yaml file shows the options of ``usual``, one of ``hparams/``.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    if not argv or argv[0] in _HELP:
        _print_help(os.path.relpath(_HPARAMS / usual) if usual else "")
    hparams_file, *rest = argv
    require(
        not hparams_file.startswith("-"),
        f"{hparams_file} is where the yaml file must be",
        "type that first, then the options",
    )
    require(
        Path(hparams_file).is_file(),
        not_a_file(hparams_file or "an empty name"),
        "the first argument must be a yaml file, such as one of hparams/",
    )
    if set(rest) & _HELP:
        _print_help(hparams_file)
    options = _options(hparams_file)
    own, others = _divide(rest, options)
    run_opts = _speechbrain_options(hparams_file, others, options)
    overrides = _overrides(own, options)
    ranged = {k: run_opts[k] for k in RANGES.keys() & run_opts.keys()}
    check_ranges({k: str(v) for k, v in ranged.items() if v is not None})
    # What needs no torch is checked: importing it takes seconds.
    from cry_modules.training.devices import check_run_options

    check_run_options(run_opts)
    saved = Path(hparams_file).read_text("utf-8") if overrides else ""
    if saved.startswith(RESOLVED):
        overrides = _without_named(overrides, plain_settings(saved))
    if overrides and saved.startswith(RESOLVED):
        hparams_file, overrides = _move(hparams_file, overrides)
    return hparams_file, run_opts, overrides


def check_first(module: str, usual: str) -> None:
    """Refuse wrong options of a script, whose name is ``__main__``, before it
    imports torch, which takes seconds; ``usual`` as in ``parse_arguments``."""
    if module == "__main__":
        with one_line_errors():
            parse_arguments(usual=usual)


def _print_help(hparams_file: str):
    """Print the options of a yaml file, then SpeechBrain's, and exit."""
    script = Path(sys.argv[0]).name
    print(f"usage: python {script} hparams/FILE.yaml [--OPTION VALUE ...]\n")
    if Path(hparams_file).is_file():
        print(option_help(hparams_file, _options(hparams_file)))
        print(
            "\nAnother yaml file has other defaults: python "
            f"{script} hparams/FILE.yaml --help\n"
        )
    print("Options of SpeechBrain:\n", flush=True)
    _run_options().from_command_line_args(["--help"])  # prints and exits


def _options(hparams_file) -> Dict[str, Node]:
    """Settings of a yaml file that are options: scalars and lists, no objects,
    with the nodes of their defaults."""
    nodes = dict(read_pairs(hparams_file))
    # Not if a value is missing, which the command line may give.
    if not any(str(node.tag) == "!PLACEHOLDER" for node in nodes.values()):
        nodes.update(yaml_nodes(resolved(hparams_file, {})))
    return {
        key: node
        for key, node in nodes.items()
        if not key.startswith("__")
        and not str(node.tag).startswith(("!new", "!name", "!include"))
        and not str(node.tag).endswith(":map")
    }


@functools.cache
def _run_options() -> type:
    """SpeechBrain's class of options, read from its file: importing the package
    imports torch."""
    found = importlib.util.find_spec("speechbrain")
    folder = found and Path(*found.submodule_search_locations)
    path = folder and folder / "utils/run_opts.py"
    if "speechbrain" in sys.modules or not (path and path.is_file()):
        return importlib.import_module(_RUN_OPTIONS).RunOptions
    spec = importlib.util.spec_from_file_location(_RUN_OPTIONS, path)
    module = importlib.util.module_from_spec(spec)
    # So that SpeechBrain takes this class, too, and for its dataclass.
    sys.modules[_RUN_OPTIONS] = module
    spec.loader.exec_module(module)
    return module.RunOptions


def _divide(
    argv: Sequence[str], options: Container[str]
) -> Tuple[Typed, List[str]]:
    """Options of the yaml file, and the arguments for SpeechBrain's parser.

    Words up to the next option are one value, as in SpeechBrain.
    """
    own, others, names = [], [], []
    for arg in argv:
        if not arg.startswith("--"):
            if names and names[-1] in options:
                name, value = own[-1]
                own[-1] = name, arg if value is None else f"{value} {arg}"
            else:
                others.append(arg)
            continue
        name, has_value, value = arg[2:].partition("=")
        require(
            name not in names or name in _REPEATABLE,
            f"--{name} is given twice",
            "keep one of them",
        )
        names.append(name)
        if name in options:
            own.append((name, value if has_value else None))
        else:
            others.append(arg)
    for name, value in own:
        cure = "type one after it"
        require(value is not None, f"--{name} has no value", cure)
    return own, others


def _speechbrain_options(hparams_file, argv, options):
    """Parse SpeechBrain's own options; refuse what is no option at all."""
    options_of_speechbrain = _run_options()
    known = [*options_of_speechbrain().keys()]
    for arg in argv:
        name, _, value = arg[2:].partition("=")
        if arg.startswith("--") and name not in known and name != "help":
            raise _unknown(name, hparams_file, options, known)
        if not arg or (not value and "=" in arg):
            convert(f"--{name}" if name else "an argument", text, value)
    usage = io.StringIO()
    try:
        with redirect_stderr(usage):
            _, run_opts, left = options_of_speechbrain.from_command_line_args(
                [hparams_file, *argv]
            )
    except SystemExit as stop:
        if not stop.code:
            raise
        line = usage.getvalue().strip().split("\n")[-1]
        raise InputError(line.partition("error: argument ")[2] or line)
    if left:
        flags = [a for a, b in zip(argv, argv[1:]) if b == left]
        if flags:
            raise InputError(f"{flags[0]} takes no value; leave out {left}")
        raise InputError(unknown(left.split()[0], known))
    return run_opts


def _unknown(name, hparams_file, options, known) -> InputError:
    """The error for an option that neither yaml file nor SpeechBrain has."""
    hint = nearest(f"--{name}", [f"--{n}" for n in (*options, *known)])
    others = [
        file.name
        for file in sorted(Path(hparams_file).parent.glob("*.yaml"))
        if file.is_file()
        and re.search(
            rf"^{re.escape(name)}:", file.read_text("utf-8", "ignore"), re.M
        )
    ]
    if others:
        hint = f", but of {' and '.join(others[:2])}"
    return InputError(
        f"--{name} is not an option of {hparams_file}{hint}; it has "
        f"{', '.join('--' + key for key in options)}, and SpeechBrain has "
        "those that --help shows"
    )


def _overrides(own: Typed, options: Dict[str, Node]) -> Dict[str, Any]:
    """Values of the options, of the kind that the settings are."""
    overrides = {}
    for name, value in own:
        if name in _REPEATABLE:
            value = convert(f"--{name}", path, value)
            overrides.setdefault(name, []).append(value)
            continue
        is_known = name in RANGES or name in TEXTS
        kind = functools.partial(
            _known if is_known else _as_default, name, options[name]
        )
        overrides[name] = convert(f"--{name}", kind, value)
    return overrides


def _known(name, default, value):
    """Value of a setting that settings.py knows."""
    if name not in TEXTS:
        try:
            return setting(name, value)
        except Unfit:
            _as_default(name, default, value)  # names the kind
            raise
    return setting(name, text_or_texts(text(value)))


def _as_default(name, default, value):
    """Value of the kind of its default in the yaml file."""
    result = text_or_texts(value)
    if isinstance(result, list):
        result = [plain(item) for item in result]
    elif result is not None:
        result = plain(result)
    tag = str(default.tag).rpartition(":")[2]
    kinds = {"int": int, "float": (int, float), "bool": bool, "seq": list}
    is_bool = isinstance(result, bool)  # Python counts it as an int
    if not isinstance(result, kinds.get(tag, object)) or (
        is_bool and tag in ("int", "float")
    ):
        raise Unfit(
            f"is {value!r}; expected a value like the default, "
            f"'{as_text(default)}' ({_DESCRIPTIONS[tag]})"
        )
    return result


def _without_named(overrides, saved):
    """Take a module that the user names again as the run has it."""
    source = overrides.get("encoder_source")
    if source is None or source != saved.get("encoder_source"):
        return overrides
    if is_pretrained(source):
        name_pretrained(source)
    return {k: v for k, v in overrides.items() if k != "encoder_source"}


def _move(hparams_file, overrides):
    """Prepare to run a run's own hyperparams.yaml again in another folder.

    Its references are resolved: another option would change one of the places
    where a value is and not the others.
    """
    for name in overrides:
        require(
            name == "output_folder",
            f"--{name} cannot change {hparams_file}, which a run has left",
            "use the yaml file of hparams/ that it came from",
        )
    from cry_modules.training.experiment import write_variant  # needs torch

    folder = Path(overrides["output_folder"])
    write_variant(hparams_file, {}, folder, {})
    return str(folder / "hyperparams.yaml"), {}
