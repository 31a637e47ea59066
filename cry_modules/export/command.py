"""From a results folder to a folder that others can use.

    python -m cry_modules.export results/neuro_linear_bn/2022 OUT --onnx

``OUT`` can be pushed to the Hugging Face hub as it is. It holds no patient,
path, date or state of the optimizer.
"""

import argparse
import json
import shutil
import sys
import tempfile
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Dict, List, Optional, Sequence

import torch
from safetensors.torch import save

from cry_modules import __version__
from cry_modules.architectures import architecture
from cry_modules.audio import shortest_input
from cry_modules.checkpoints.description import CAUTION, FORMAT, MODEL_FILE
from cry_modules.checkpoints.front_end import YAML_FILE
from cry_modules.checkpoints.saved_model import (
    WEIGHTS_FILE,
    SavedModel,
    load_run,
    run_settings,
)
from cry_modules.checkpoints.state_dict import sha256
from cry_modules.export.card import model_card
from cry_modules.export.facts import (
    corpus_facts,
    figures_of_test,
    operating_point,
    origin,
    subgroup_facts,
)
from data_prep.files.atomic import cannot_write, make_folder
from data_prep.files.errors import InputError, one_line_errors
from data_prep.files.tables import write_text

CARD_FILE = "README.md"
#: Where the model can run without torch.
ONNX_FILE, INT8_FILE, RUNNER_FILE = (
    "model.onnx",
    "model_int8.onnx",
    "run_onnx.py",
)

#: The hub's names of licences that weights may have.
LICENCES = (
    "unknown", "other", "apache-2.0", "mit", "cc0-1.0", "cc-by-4.0",
    "cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nd-4.0", "cc-by-nc-sa-4.0",
    "cc-by-nc-nd-4.0", "odbl", "odc-by", "bsd-3-clause", "gpl-3.0",
    "agpl-3.0", "lgpl-3.0", "mpl-2.0", "openrail",
)  # fmt: skip

#: Of the hub: large files are kept apart.
_ATTRIBUTES = "".join(
    f"*.{suffix} filter=lfs diff=lfs merge=lfs -text\n"
    for suffix in ("safetensors", "ckpt", "onnx")
)

_YAML = """\
# {name}
# For SpeechBrain's EncoderClassifier.from_hparams; needs the package cry-ssl.
# CryClassifier.from_hparams reads model.json instead, unless trust=True.
sample_rate: {sample_rate}
hop: {hop}
chunk_s: {chunk_s}
classes: {classes}
threshold: {threshold}

front_end: {front_end}

logmel: !apply:cry_modules.front_ends.make_front_end
    - !ref <front_end>

augment: !new:cry_modules.views.SpecAugment
    time_warp: 0
    n_masks: 0

features: !new:cry_modules.front_ends.AugmentedFeatures
    logmel: !ref <logmel>
    augment: !ref <augment>
    augment_before_norm: False

encoder: !new:{encoder_class}
    mel_bins: {n_mels}
    width: {width}

# Waveforms and lengths to embeddings: the front end is part of it.
embedding_model: !new:cry_modules.embeddings.Embedder
    features: !ref <features>
    encoder: !ref <encoder>
    readout: {readout}
    tested_on: {tested_on}
    chunk_s: !ref <chunk_s>
    sample_rate: !ref <sample_rate>

head: !new:cry_modules.heads.ClassificationHead
    emb_dim: {emb_dim}
    n_classes: {n_classes}

classifier: !new:cry_modules.heads.Posterior
    head: !ref <head>
    log_prior: {log_prior}

# What EncoderClassifier asks for besides.
compute_features: !new:torch.nn.Identity

mean_var_norm: !new:cry_modules.embeddings.Unchanged

audio_normalizer: !new:cry_modules.audio.AudioNormalizer
    sample_rate: !ref <sample_rate>
    shortest: {shortest}

label_encoder: !apply:cry_modules.inference.classifier.label_encoder
    - !ref <classes>

modules:
    compute_features: !ref <compute_features>
    mean_var_norm: !ref <mean_var_norm>
    embedding_model: !ref <embedding_model>
    classifier: !ref <classifier>

pretrainer: !new:speechbrain.utils.parameter_transfer.Pretrainer
    loadables:
        encoder: !ref <encoder>
        head: !ref <head>
"""


def export(
    results: str,
    out: str,
    name: Optional[str] = None,
    licence: str = "unknown",
    onnx: bool = False,
    int8: bool = False,
    corpus_name: Optional[str] = None,
) -> Dict:
    """Write a model's folder, complete or not at all."""
    target = Path(out).resolve()
    _check_out(target, Path(results))
    if licence not in LICENCES:
        raise InputError(
            f"--licence is {licence!r}; pass the hub's name of it, one of "
            f"{', '.join(LICENCES)}"
        )
    model = load_run(Path(results))
    if model.posterior is None:
        raise InputError(
            f"{results} is a run that trained an encoder alone; pass its "
            "folder as encoder_source, and export a run of train_cls.py"
        )
    about = describe(Path(results), model, name, corpus_name)
    try:
        with tempfile.TemporaryDirectory(
            dir=target.parent, prefix=f".{target.name}."
        ) as scratch:
            partial = make_folder(Path(scratch) / "model")
            _write(partial, model, about, licence, onnx or int8, int8)
            if target.is_dir():
                target.rmdir()  # empty: see _check_out
            partial.rename(target)
    except OSError as error:
        raise cannot_write(target, error)
    return about


def _check_out(out: Path, results: Path):
    if out.exists() and not out.is_dir():
        raise InputError(f"{out} is a file; pass a folder to write to")
    if out.is_dir() and any(out.iterdir()):
        raise InputError(
            f"{out} is not empty; pass another folder, or delete it first"
        )
    if out == Path.cwd():
        raise InputError(
            f"{out} is the folder you are in; pass the name of a new one"
        )
    make_folder(out.parent)


def describe(
    run: Path,
    model: SavedModel,
    name: Optional[str] = None,
    corpus_name: Optional[str] = None,
) -> Dict:
    """What ``model.json`` says, but for the files."""
    metrics, corpus = model.about, corpus_facts(run)
    if corpus_name is not None:
        corpus["name"] = " ".join(corpus_name.split())
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
        "figures": figures_of_test(metrics),
        "subgroups": subgroup_facts(metrics),
        "versions": {
            "cry-ssl": __version__,
            "torch": torch.__version__,
            "speechbrain": version("speechbrain"),
        },
    }


def _write(folder: Path, model: SavedModel, about: Dict, licence, onnx, int8):
    # Not save_file, whose files only their owner can read.
    weights = save(model.state(), {"format": "pt"})
    (folder / WEIGHTS_FILE).write_bytes(weights)
    for part, module in model.parts().items():
        torch.save(module.state_dict(), folder / f"{part}.ckpt")
    write_text(folder / YAML_FILE, speechbrain_yaml(model, about))
    write_text(folder / ".gitattributes", _ATTRIBUTES)
    written = _write_onnx(folder, model, about, int8) if onnx else []
    about["files"] = {
        path.name: sha256(path)
        for path in sorted(folder.iterdir())
        if not path.name.startswith(".")
    }
    text = json.dumps(about, indent=1, allow_nan=False, ensure_ascii=False)
    write_text(folder / MODEL_FILE, text + "\n")
    card = model_card(about, model.about, licence, written)
    write_text(folder / CARD_FILE, card)


def _write_onnx(folder, model, about, int8) -> List[str]:
    """Names of the ONNX files that were written."""
    # Only an ONNX file needs the extra that writes it.
    from cry_modules.export import (
        onnx as onnx_model,
        run_onnx as onnx_run,
    )

    facts = {name: about[name] for name in ("name", "task", "versions")}
    facts["corpus"] = about["corpus"]["name"]
    facts["synthetic"] = about["corpus"]["synthetic"]
    facts["classes"] = model.blueprint.classes
    facts["threshold"], facts["caution"] = model.threshold, CAUTION
    path = folder / ONNX_FILE
    onnx_model.write_onnx(model.embedder, model.posterior, facts, path)
    shutil.copyfile(onnx_run.__file__, folder / RUNNER_FILE)
    if not int8:
        return [ONNX_FILE]
    onnx_model.quantize(path, folder / INT8_FILE)
    return [ONNX_FILE, INT8_FILE]


def speechbrain_yaml(model: SavedModel, about: Dict) -> str:
    """``hyperparams.yaml`` for SpeechBrain."""
    blueprint, logmel = model.blueprint, model.embedder.features.logmel
    threshold = model.threshold
    return _YAML.format(
        **{
            **asdict(blueprint),
            # Flow style and quoted: names may look like yaml.
            "classes": json.dumps(blueprint.classes, ensure_ascii=False),
        },
        encoder_class=architecture(blueprint.architecture).class_path,
        name=about["name"],
        sample_rate=logmel.sample_rate,
        hop=logmel.hop,
        n_mels=logmel.n_mels,
        shortest=shortest_input(logmel.hop),
        emb_dim=model.posterior.head.norm.num_features,
        n_classes=len(blueprint.classes),
        threshold="null" if threshold is None else repr(threshold),
    )


def main(argv: Optional[Sequence[str]] = None) -> None:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m cry_modules.export",
        description="Write a folder that others can use a trained model from.",
        allow_abbrev=False,
    )
    parser.add_argument(
        "results", metavar="RESULTS", help="results folder of train_cls.py"
    )
    parser.add_argument("out", metavar="OUT", help="folder to write")
    parser.add_argument("--name", help="of the model, on its card")
    parser.add_argument(
        "--corpus_name", help="of the corpus, if not as in its corpus.json"
    )
    parser.add_argument(
        "--licence",
        default="unknown",
        help="of the weights, as the Hugging Face hub names it: cc-by-nc-4.0",
    )
    parser.add_argument(
        "--onnx",
        action="store_true",
        help="write model.onnx too, and run_onnx.py, which needs no torch",
    )
    parser.add_argument(
        "--int8", action="store_true", help="write model_int8.onnx too"
    )
    args = parser.parse_args(argv)
    with one_line_errors():
        about = export(
            args.results,
            args.out,
            args.name,
            args.licence,
            args.onnx,
            args.int8,
            args.corpus_name,
        )
    if args.licence == "unknown":
        print(
            "the card says that nobody may use it without asking; --licence "
            "names a licence",
            file=sys.stderr,
        )
    size = sum(path.stat().st_size for path in Path(args.out).iterdir())
    print(
        f"done: {about['name']} in {args.out}, {len(about['files']) + 3} files "
        f"of {size / 1e6:.1f} MB. It names the corpus "
        f"{about['corpus']['name']!r}: read README.md before sharing it"
    )
