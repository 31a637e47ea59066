"""From a yaml file to the objects of an experiment, checked.

Authors
 * The contributors of cry-ssl 2026
"""

from pathlib import Path
from typing import Dict

from hyperpyyaml import load_hyperpyyaml, resolve_references
from ruamel.yaml import YAML

from cry_modules.audio import shortest_input
from data_prep.errors import InputError

#: Keys that change how fast a run is, not what comes out.
_HARMLESS = ("num_workers", "cache_mb")


def load(hparams_file: str, overrides: Dict) -> Dict:
    """Build the experiment that a yaml file describes.

    What the yaml includes as ``base`` is merged in, so that a script finds
    every key in one place.

    Arguments
    ---------
    hparams_file : str
        The yaml file.
    overrides : dict
        Values for its keys.

    Returns
    -------
    dict
        Objects and settings by name.

    Raises
    ------
    InputError
        A value that an object refuses, or an output folder that holds
        another experiment.

    Example
    -------
    >>> path = getfixture("tmpdir").join("a.yaml")
    >>> path.write(f"output_folder: {path.dirname}/run\\nlr: 0.1")
    >>> load(str(path), {"lr": 0.2})["lr"]
    0.2
    """
    with open(hparams_file, encoding="utf-8") as file:
        resolved = resolve_references(file, overrides).read()
    with open(hparams_file, encoding="utf-8") as file:
        try:
            hparams = load_hyperpyyaml(file, overrides)
        except (ValueError, TypeError) as error:
            raise InputError(f"{hparams_file}: {error}")
    check_same_experiment(Path(hparams["output_folder"]), resolved)
    base = hparams.pop("base", {})
    hparams = {**base.pop("base", {}), **base, **hparams}
    _check_settings(hparams)
    return hparams


def _check_settings(hparams):
    """What no object refuses by itself, and would fail or mislead later."""
    for name, least in (("number_of_epochs", 1), ("batch_size", 2)):
        if hparams.get(name, least) < least:
            raise InputError(
                f"{name} is {hparams[name]}; it must be {least} at least"
            )
    if "chunks" in hparams:
        shortest = shortest_input(hparams["sample_rate"])
        if hparams["chunks"].n_samples < shortest:
            raise InputError(
                f"chunk_s is {hparams['chunk_s']}; the encoder needs "
                f"{shortest / hparams['sample_rate']} s at least"
            )


def check_same_experiment(folder: Path, resolved: str) -> None:
    """A folder with checkpoints goes on with its own settings or not at all.

    Arguments
    ---------
    folder : pathlib.Path
        An output folder.
    resolved : str
        Text of the resolved yaml file.

    Raises
    ------
    InputError
        Names the first setting that differs.

    Example
    -------
    >>> check_same_experiment(Path("no/such/folder"), "lr: 1")
    """
    before = folder / "hyperparams.yaml"
    if not before.is_file() or not list(folder.glob("save/CKPT*")):
        return
    old, new = (settings(t) for t in (before.read_text("utf-8"), resolved))
    for name in sorted(set(old) | set(new)):
        if old.get(name) != new.get(name):
            raise InputError(
                f"{folder} holds a run with {name}: {old.get(name)}, now it is "
                f"{new.get(name)}; pass another --output_folder, or delete it"
            )


def settings(text: str) -> Dict[str, str]:
    """Plain settings of a resolved yaml file, by key.

    Arguments
    ---------
    text : str
        Of the file.

    Returns
    -------
    dict

    Example
    -------
    >>> settings("lr: 0.1\\nclasses: [a, b]\\nopt: !name:torch.optim.SGD {}")
    {'lr': '0.1', 'classes': 'a, b'}
    """
    found = {}
    for key, node in YAML().compose(text).value:
        if isinstance(node.value, str) and key.value not in _HARMLESS:
            found[key.value] = node.value
        elif str(node.tag).endswith(":seq"):
            found[key.value] = ", ".join(item.value for item in node.value)
    return found
