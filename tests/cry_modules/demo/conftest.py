"""An exported model with random weights."""

import json
from dataclasses import asdict

import pytest
import torch
from safetensors.torch import save_file

from cry_modules.checkpoints.description import FORMAT, MODEL_FILE, Blueprint
from cry_modules.checkpoints.saved_model import WEIGHTS_FILE, build
from cry_modules.checkpoints.state_dict import sha256


@pytest.fixture
def write_model(tmp_path):
    """Export a model: ``write_model(classes, name="a")``; its folder."""

    def write_model(classes=("other", "crying_baby"), folder="m", **about):
        folder = tmp_path / folder
        folder.mkdir()
        torch.manual_seed(1)
        blueprint = Blueprint(
            1, classes=list(classes), log_prior=[0.0] * len(classes)
        )
        save_file(build(blueprint).state(), folder / WEIGHTS_FILE)
        threshold = {"threshold": 0.25} if len(classes) == 2 else None
        about = {
            "format": FORMAT,
            "model": asdict(blueprint),
            "files": {WEIGHTS_FILE: sha256(folder / WEIGHTS_FILE)},
            "operating_point": threshold,
            **about,
        }
        (folder / MODEL_FILE).write_text(json.dumps(about))
        return folder

    return write_model
