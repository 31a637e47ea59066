"""Checks of options and labels before a classifier is made."""

from cry_modules.embeddings import LAYERS, LOGMEL
from data_prep import manifest
from data_prep.files.errors import InputError, require


def read_labels(manifests, classes):
    """Labels of the training recordings, and the classes."""
    labels = {
        split: [rec.label for rec in manifest.read(f"{manifests}/{split}.csv")]
        for split in manifest.SPLITS
    }
    classes = [str(c) for c in classes or sorted(set(labels["train"]))]
    for split in manifest.SPLITS:
        unknown = set(labels[split]) - set(classes)
        if unknown:
            raise InputError(
                f"{manifests}/{split}.csv holds the label {min(unknown)!r}, "
                f"not one of {', '.join(classes)}; correct --classes"
            )
    return labels["train"], classes


def check_options(hparams):
    """Refuse options that do not go together."""
    trains_all = hparams["finetuned"].trained == "all"
    readout = hparams["readout"]
    if LOGMEL in hparams["embedder"].parts and trains_all:
        raise InputError(
            f"readout is {readout} and finetune_mode is "
            f"{hparams['finetune_mode']}; log-mel statistics are for frozen "
            f"modes: pass --readout {readout[: -len(LOGMEL) - 1]}"
        )
    solves = hparams.get("solver") == "lbfgs"
    require(
        not (solves and readout == LAYERS),
        f"solver is lbfgs and readout is {readout}, whose weights are learned",
        "pass --solver adamw, or one layer, such as --readout layer6",
    )
    if solves and not (
        hparams["finetuned"].frozen and hparams["trained_on"] == "recordings"
    ):
        raise InputError(
            f"solver is lbfgs, finetune_mode is {hparams['finetune_mode']} and "
            f"trained_on is {hparams['trained_on']}; the optimum is that of "
            "embeddings which do not change: pass --solver adamw, or a linear "
            "mode and --trained_on recordings"
        )
