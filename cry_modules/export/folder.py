"""The folder of an exported model, ready for the Hugging Face hub.

It holds no patient, path, date or optimizer state.
"""

import json
import logging
import os
import shutil
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Dict, List, Optional

import torch
from jinja2 import StrictUndefined, Template
from safetensors.torch import save

from cry_modules import __version__
from cry_modules.architectures import (
    architecture,
    encoder_options,
    is_configured,
    is_pretrained,
    short_name,
)
from cry_modules.audio import shortest_input
from cry_modules.checkpoints.description import FORMAT, MODEL_FILE
from cry_modules.checkpoints.encoders import EncoderSource
from cry_modules.checkpoints.saved_model import (
    WEIGHTS_FILE,
    SavedModel,
    folder_of_model,
    load_run,
    run_settings,
)
from cry_modules.checkpoints.settings import YAML_FILE
from cry_modules.evaluation.final import read_study
from cry_modules.export.card import model_card
from cry_modules.export.facts import (
    UNNAMED,
    corpus_facts,
    figures_of_test,
    mode_in_words,
    operating_point,
    origin,
    subgroup_facts,
)
from cry_modules.export.standalone import standalone
from cry_modules.inference.options import CAUTION
from data_prep.files.atomic import make_folder, to_disk, write_error
from data_prep.files.errors import InputError, require
from data_prep.files.fingerprint import sha256
from data_prep.files.lock import locked_beside
from data_prep.files.tables import write_text

logger = logging.getLogger(__name__)

CARD_FILE = "README.md"
#: Files of a model that runs without torch.
ONNX_FILE, INT8_FILE = "model.onnx", "model_int8.onnx"
RUNNER_FILE = "run_onnx.py"

#: Licences of weights, by the hub's names.
LICENCES = (
    "unknown", "other", "apache-2.0", "mit", "cc0-1.0", "cc-by-4.0",
    "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nd-4.0", "cc-by-nc-sa-4.0",
    "cc-by-nc-nd-4.0", "odbl", "odc-by", "bsd-3-clause", "gpl-3.0",
    "agpl-3.0", "lgpl-3.0", "mpl-2.0", "openrail",
)  # fmt: skip

#: Files that the hub stores apart, for their size.
_ATTRIBUTES = "".join(
    f"*.{suffix} filter=lfs diff=lfs merge=lfs -text\n"
    for suffix in ("safetensors", "ckpt", "onnx")
)


def export(
    results: str,
    out: str,
    name: Optional[str] = None,
    licence: str = "unknown",
    onnx: bool = False,
    int8: bool = False,
    corpus_name: Optional[str] = None,
    subgroups: Optional[str] = None,
) -> Dict:
    """Write a model's folder, complete or not at all; return ``model.json``.

    ``results`` is a results folder of ``train_cls.py``; ``name`` is the
    model's on its card (default: task and corpus); ``corpus_name`` replaces
    that of ``corpus.json``; ``subgroups`` names further columns for the card.
    """
    target = Path(os.path.realpath(out))
    _check_out(target)
    require(
        licence in LICENCES,
        f"--licence is {licence!r}",
        f"pass one of {', '.join(LICENCES)}",
    )
    run = folder_of_model(Path(results))
    model = load_run(run)
    if model.posterior is None:
        raise InputError(
            f"{results} holds an encoder without a classifier; pass it to "
            "train_cls.py as --encoder_source, and export that run"
        )
    encoder = model.blueprint.architecture
    if onnx or int8:
        _check_onnx(results, encoder)
    description = describe(run, model, name, corpus_name)
    named = [c.strip() for c in (subgroups or "").split(",") if c.strip()]
    description["subgroups"] = subgroup_facts(model.facts, named)
    if is_pretrained(encoder):
        checksum = EncoderSource(run, "").checksum()
        description["encoder_weights"] = checksum
    # Beside the folder, which appears when it is complete.
    with locked_beside(target):
        _check_out(target)
        scratch = target.with_name(f".{target.name}.export")
        shutil.rmtree(scratch, ignore_errors=True)  # of a killed export
        try:
            make_folder(scratch)
            _write(scratch, model, description, licence, onnx or int8, int8)
            if target.is_dir():
                target.rmdir()  # empty: see _check_out
            scratch.rename(target)
            to_disk(target.parent)
        except (OSError, RuntimeError) as error:
            raise write_error(target, error)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
    return description


def _check_out(out: Path):
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; pass a folder to write to")
    if out.is_dir() and any(out.iterdir()):
        raise InputError(
            f"{out} is not empty; pass another folder, or delete it first"
        )
    if out == Path.cwd():
        raise InputError(
            f"{out} is the current folder; pass the name of a new one"
        )
    make_folder(out.parent)


def _check_onnx(results, encoder):
    """Refuse an encoder that an ONNX file cannot hold."""
    require(
        not (is_pretrained(encoder) or is_configured(encoder)),
        "--onnx writes encoders that embed a padded batch, not each length by "
        f"itself, and {results} has {short_name(encoder)}",
        "leave it out: the exported model runs with this package",
    )


def describe(
    run: Path,
    model: SavedModel,
    name: Optional[str],
    corpus_name: Optional[str],
) -> Dict:
    """Contents of ``model.json`` without the list of files."""
    metrics, corpus = model.facts, corpus_facts(run)
    if corpus_name is not None:
        corpus["name"] = " ".join(corpus_name.split())
    elif corpus["name"] == UNNAMED:
        logger.warning(
            "The card does not name the corpus, whose only name is that of a "
            "folder; pass --corpus_name to name it"
        )
    logmel = model.embedder.features.logmel
    default = f"{metrics['task']} on {corpus['name']}"
    return {
        "format": FORMAT,
        "name": " ".join((name or default).split()),
        "task": metrics["task"],
        "model": asdict(model.blueprint),
        "emb_dim": model.embedder.encoder.emb_dim,
        "sample_rate": logmel.sample_rate,
        "n_mels": logmel.n_mels,
        "origin": origin(run_settings(run).get("encoder_source")),
        "finetune_mode": metrics["finetune_mode"],
        "label_fraction": metrics["label_fraction"],
        "seed": metrics["seed"],
        "n_parameters": metrics["n_parameters"],
        "n_trainable": metrics["n_trainable"],
        "corpus": corpus,
        "prevalence": dict(zip(metrics["classes"], metrics["prevalence"])),
        "operating_point": operating_point(metrics, model.threshold),
        "final": metrics.get("final"),
        "study": metrics.get("final")
        and read_study(run, mode_in_words(metrics)),
        "training_recordings": metrics.get("training_recordings"),
        "figures": figures_of_test(metrics),
        "subgroups": subgroup_facts(metrics),
        "versions": {
            "cry-ssl": __version__,
            "torch": torch.__version__,
            "speechbrain": version("speechbrain"),
        },
    }


def _write(
    folder: Path, model: SavedModel, description: Dict, licence, onnx, int8
):
    # Not save_file, whose files only their owner can read.
    weights = save(model.state(), {"format": "pt"})
    (folder / WEIGHTS_FILE).write_bytes(weights)
    for part, module in model.parts().items():
        torch.save(module.state_dict(), folder / f"{part}.ckpt")
    write_text(folder / YAML_FILE, speechbrain_yaml(model, description))
    write_text(folder / ".gitattributes", _ATTRIBUTES)
    written = _write_onnx(folder, model, description, int8) if onnx else []
    description["files"] = {
        path.name: sha256(path)
        for path in sorted(folder.iterdir())
        if not path.name.startswith(".")
    }
    text = json.dumps(
        description, indent=1, allow_nan=False, ensure_ascii=False
    )
    write_text(folder / MODEL_FILE, text + "\n")
    card = model_card(description, model.facts, licence, written)
    write_text(folder / CARD_FILE, card)


def _write_onnx(folder, model, description, int8) -> List[str]:
    """Write the ONNX files and the runner; return the models' names."""
    # Imported here: needs the extra `export`.
    from cry_modules.export import onnx, run_onnx

    facts = {name: description[name] for name in ("name", "task", "versions")}
    facts["corpus"] = description["corpus"]["name"]
    facts["synthetic"] = description["corpus"]["synthetic"]
    facts["classes"] = model.blueprint.classes
    facts["threshold"], facts["caution"] = model.threshold, CAUTION
    facts["training_recordings"] = description["training_recordings"]
    path = folder / ONNX_FILE
    onnx.write_onnx(model.embedder, model.posterior, facts, path)
    write_text(folder / RUNNER_FILE, standalone(run_onnx))
    if not int8:
        return [ONNX_FILE]
    onnx.quantize(path, folder / INT8_FILE)
    return [ONNX_FILE, INT8_FILE]


def speechbrain_yaml(model: SavedModel, description: Dict) -> str:
    """``hyperparams.yaml`` for SpeechBrain."""
    blueprint, logmel = model.blueprint, model.embedder.features.logmel
    options = encoder_options(
        *(blueprint.architecture, logmel.n_mels),
        *(blueprint.width, blueprint.pooling),
    )
    template = (
        Path(__file__).with_name("hyperparams.yaml.j2").read_text("utf-8")
    )
    return Template(
        template, undefined=StrictUndefined, keep_trailing_newline=True
    ).render(
        {
            **asdict(blueprint),
            # Flow style and quoted: names may look like yaml.
            "classes": json.dumps(blueprint.classes, ensure_ascii=False),
        },
        encoder_class=architecture(blueprint.architecture).class_path,
        encoder_options={k: json.dumps(v) for k, v in options.items()},
        name=description["name"],
        sample_rate=logmel.sample_rate,
        hop=logmel.hop,
        shortest=shortest_input(logmel.hop),
        emb_dim=model.posterior.head.norm.num_features,
        n_classes=len(blueprint.classes),
        n_layers=model.embedder.n_layers,
        threshold=json.dumps(model.threshold),
    )
