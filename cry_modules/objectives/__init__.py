"""Self-supervised objectives other than NT-Xent (``cry_modules.losses``), their
contract, and the names by which yaml files choose one.

To add an objective to the choice, write its class, a yaml file
``hparams/models/<name>.yaml`` that builds it, and add its name to
``OBJECTIVES``.
"""

from pathlib import Path

from hyperpyyaml import resolve_references
from ruamel.yaml import YAML

from data_prep.files.errors import require

#: Names of the yaml files in ``hparams/models``.
OBJECTIVES = ("nt_xent", "vicreg", "barlow_twins", "byol", "masked_spectrogram")
_YAML_FOLDER = Path(__file__).resolve().parents[2] / "hparams/models"


def include(objective: str, **settings):
    """Include an objective's yaml file by name, its references resolved with
    these settings. Yaml files call this with ``!applyref:``."""
    require(
        objective in OBJECTIVES,
        f"--objective is {objective!r}",
        f"expected one of {', '.join(OBJECTIVES)}",
    )
    path = _YAML_FOLDER / f"{objective}.yaml"
    with open(path, encoding="utf-8") as file:
        return YAML().load(resolve_references(file, settings))
