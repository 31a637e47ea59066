"""``--help`` of a train script: the options of its yaml file, in the groups of
the file, with their defaults and a sentence each."""

import re
import textwrap
from pathlib import Path
from typing import Dict, Iterator, List, Tuple

from ruamel.yaml.nodes import Node

from cry_modules.checkpoints.settings import as_text

_WIDTH, _INDENT = 79, 26
_LINE = re.compile(r"^([A-Za-z]\w*):([^#]*)(?:#\s*(.*))?$")
#: Title of a paragraph of a yaml file, by its first option.
_TITLES = {
    "seed": "Repetition",
    **dict.fromkeys(("task", "data_folder", "cry_folder"), "Data and output"),
    **dict.fromkeys(("architecture", "finetune_mode"), "Model and training"),
    "patient_score": "Evaluation",
}
#: Sentences on options, before the comment of the yaml file.
SENTENCES = {
    "seed": "Seed of the splits, the weights and all draws",
    "task": "Name of the task in reports",
    "label_column": "Column of the labels",
    "classes": "Labels",
    "other_labels": "Treatment of other labels: error",
    "folds": "Train and test a model per fold",
    "fold_column": "Column of the folds",
    "test_fold": "Test set",
    "valid_fold": "Value of the validation set",
    "final": "Whether to train a final model",
    "excluded": "Treatment of patients of --exclude: refuse",
    "replay_folder": "Folder of generic audio",
    "replay": "Mix of the corpora: a fixed share of each batch",
    "replay_ratio": "Share of generic audio",
    "control": "Whether to train without cries",
    "encoder_source": "Encoder to start from",
    "adapt_layers": "Layers that adapt: all",
    "anchor_weights": "Weight of a loss",
    "anchor_distillation": "Weight of a loss",
    "anchor_projection": "Weight of a loss",
    "interpolate": "Weights to save besides",
    "output_folder": "Folder of the results",
    "exclude": "Patients to leave out",
    "exclude_folder": "Folder of the audio of --exclude",
    "label_fraction": "Labels to train with",
    "finetune_mode": "Parameters that train: linear, linear_bn, end_to_end",
    "architecture": "Encoder",
    "front_end": "Spectrogram",
    "width": "Width of the encoder: 64 is CNN14 itself, 8 is for a CPU",
    "dropout": "Share of dropped activations",
    "pooling": "Pooling of the encoder: the mean",
    "batch_size": "Recordings in a batch",
    "number_of_epochs": "Largest number of epochs",
    "warmup_epochs": "Epochs in which the learning rate rises",
    "patience": "Early stopping",
    "solver": "Training of the linear head: epochs of AdamW",
    "lr": "Highest learning rate",
    "final_lr": "Last learning rate",
    "weight_decay": "Weight decay (L2)",
    "trained_on": "Training input: recordings or chunks",
    "tested_on": "Test input: recordings or chunks",
    "chunk_s": "Length of a chunk, seconds",
    "n_views": "Views of a recording in a batch",
    "n_masks": "Masks of SpecAugment in time and in frequency",
    "objective": "Comparison of the views",
    "temperature": "Temperature of the contrastive loss",
    "background_snr": "Background mixed into a view",
    "noise_snr": "Noise mixed into a view",
    "frequency_response": "Random microphone of a view",
    "negatives": "Negative examples of a recording: all others",
    "valid_share": "Share of the recordings held out for validation",
    "min_clips": "Smallest class that is used, recordings",
    "predictor": "Whether a predictor follows the projector",
    "two_passes": "Whether views pass the encoder one after the other",
    "probe": "Tables whose labels the encoder is tested on in training",
    **dict.fromkeys(("data_folder", "cry_folder"), "Folder of the audio"),
    "recordings_csv": "Table of the recordings",
    "patient_column": "Column of the patients in tables",
    "path_column": "Column of the audio files in tables",
    "group_by": "What is held out together: each file",
    "replay_group_by": "The same of the generic audio",
    "positive": "The positive class",
    "probe_folder": "Audio of --probe",
    "probe_every": "Interval of the probe",
    "balance": "Treatment of rare classes: loss, sampling or none",
    "readout": "Where the encoder is read",
    "num_workers": "Processes that read audio",
    "cache_mb": "Memory for decoded recordings, MB",
    "embedding_cache": "Embeddings of a frozen encoder",
    "checkpoint_activations": "Whether to recompute activations",
    "tensorboard": "Whether to write logs for TensorBoard",
    "patient_score": "Score of a patient: mean_log_odds, max or noisy_or",
    "bootstrap_draws": "Draws of the intervals",
    "controls": "Whether to train controls",
    "nuisance": "Columns to predict from the embedding, or infant alone",
    "subgroups": "Columns of subgroups",
    "figures": "Whether to draw figures",
}


def option_help(hparams_file: str, options: Dict[str, Node]) -> str:
    """Describe the options of a yaml file."""
    path = Path(hparams_file)
    text = path.read_text("utf-8")
    lines = [f"Options of {path.name}, with their defaults:"]
    for title, entries in _paragraphs(text, options):
        lines += ["", f"{title}:"]
        for name, comment in entries:
            sentence = described(name, comment)
            first = f"  --{name} {as_text(options[name]) or 'null'}"
            wrapped = textwrap.wrap(sentence, _WIDTH - _INDENT)
            if len(first) < _INDENT and wrapped:
                first = first.ljust(_INDENT) + wrapped.pop(0)
            lines += [first, *(" " * _INDENT + line for line in wrapped)]
    return "\n".join(lines)


def described(name: str, comment: str) -> str:
    """Describe an option by its sentence and the comment of the yaml file.

    Example
    -------
    >>> described("lr", "AdamW; 0.005 and SGD are worse")
    'Highest learning rate (AdamW; 0.005 and SGD are worse).'
    >>> described("mine", "of a new recipe"), described("seed", "")
    ('Of a new recipe.', 'Seed of the splits, the weights and all draws.')
    """
    sentence = SENTENCES.get(name, "")
    if sentence and comment:
        return f"{sentence} ({comment})."
    text = sentence or comment
    return f"{text[:1].upper()}{text[1:]}." if text else ""


def _paragraphs(
    text: str, options: Dict[str, Node]
) -> Iterator[Tuple[str, List[Tuple[str, str]]]]:
    """Titles and options of the paragraphs of a yaml file, with comments; then
    options that the text does not hold."""
    left = dict.fromkeys(options)
    for paragraph in text.split("\n\n"):
        matches = map(_LINE.match, paragraph.split("\n"))
        entries = [
            (match[1], match[3] or "")
            for match in matches
            if match and match[1] in left
        ]
        for name, _ in entries:
            left.pop(name)
        if entries:
            title = _TITLES.get(entries[0][0], "Other")
            yield title, entries
    if left:
        yield "Others", [(name, "") for name in left]
