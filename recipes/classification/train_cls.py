#!/usr/bin/env python3
"""Recipe for training a classifier of recordings on an encoder: a linear
probe, a probe with the encoder's BatchNorm, or all of it.

> python train_cls.py hparams/neuro_linear_bn.yaml \
    --data_folder=/path/to/cries --encoder_source=results/cry_adapt_replay/2022

Training hears random chunks, testing whole recordings. The model is chosen on
the validation split by AUC. A ``linear`` encoder changes in nothing, so its
embeddings of whole recordings are computed once. What happens to a batch
stands in cry_modules/classification.py.

Authors
 * The contributors of cry-ssl 2026
"""

import json
import logging
from pathlib import Path

import numpy as np
import speechbrain as sb
import torch
from speechbrain.dataio.dataset import DynamicItemDataset
from speechbrain.utils.distributed import run_on_main
from tqdm import tqdm

from cry_modules.arguments import parse_arguments
from cry_modules.audio import repeat_to, shortest_input
from cry_modules.checkpointer import whole
from cry_modules.checkpoints import load_encoder
from cry_modules.classification import ClassificationBrain, class_weights
from cry_modules.embeddings import embed
from cry_modules.experiment import load, to_save
from cry_modules.finetune import calibrate_batch_norms
from cry_modules.history import History
from cry_modules.metrics import summarise
from cry_modules.schedule import step_schedule
from cry_modules.stopping import ignore_signals
from data_prep import manifest
from data_prep.errors import InputError, one_line_errors
from data_prep.preparation import require_folder
from data_prep.tables import write_text

logger = logging.getLogger(__name__)

#: Batches of chunks that set a random encoder's BatchNorm statistics.
_CALIBRATION_BATCHES = 6


def read_labels(manifests, classes):
    """Labels of the training recordings, and the classes.

    Arguments
    ---------
    manifests : str
        Folder of train.csv, valid.csv, test.csv.
    classes : list of str or None
        None: those of the training recordings.

    Returns
    -------
    labels : list of str
        Of the training recordings.
    classes : list of str
        Order of the logits.

    Raises
    ------
    InputError
        A split without recordings, or a label outside the classes.
    """
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
                f"none of {', '.join(classes)}; correct --classes"
            )
    return labels["train"], classes


def dataio_prep(hparams, manifests, classes):
    """Recordings of each split: random chunks to train, whole to test.

    Arguments
    ---------
    hparams : dict
        With ``data_folder``, ``reader`` and ``chunks``.
    manifests : str
        Folder of train.csv, valid.csv, test.csv.
    classes : list of str
        Order of the labels.

    Returns
    -------
    dict of DynamicItemDataset
        ``sig``: ``[samples]``; ``class_index``: int.
    """
    reader, chunks = hparams["reader"], hparams["chunks"]
    # A pack of another rate is refused here rather than in a loader worker.
    reader.pack_of(str(hparams["data_folder"]))
    shortest = shortest_input(hparams["sample_rate"])

    @sb.utils.data_pipeline.takes("wav", "start", "stop")
    @sb.utils.data_pipeline.provides("sig")
    def whole(wav, start, stop):
        return repeat_to(reader(wav, float(start), float(stop)), shortest)

    @sb.utils.data_pipeline.takes("id", "wav", "start", "stop")
    @sb.utils.data_pipeline.provides("sig")
    def chunk(recording_id, wav, start, stop):
        sig = reader(wav, float(start), float(stop))
        if len(sig) > chunks.n_samples:
            sig = chunks(sig, recording_id, 1)[0]
        return repeat_to(sig, shortest)

    @sb.utils.data_pipeline.takes("label")
    @sb.utils.data_pipeline.provides("class_index")
    def class_index(label):
        return classes.index(label)

    return {
        split: DynamicItemDataset.from_csv(
            f"{manifests}/{split}.csv",
            replacements={"data_root": str(hparams["data_folder"])},
            dynamic_items=[
                whole if split != "train" or is_cached(hparams) else chunk,
                class_index,
            ],
            output_keys=["id", "patient_id", "sig", "class_index"],
        ).filtered_sorted(sort_key="duration")
        for split in manifest.SPLITS
    }


def is_cached(hparams):
    """Whether embeddings of whole recordings take the place of chunks."""
    return hparams["finetune_mode"] == "linear"


def load_pretrained(hparams, train_set, device):
    """The encoder a run begins with, or goes on with.

    Arguments
    ---------
    hparams : dict
        With ``encoder_source`` and ``encoder``.
    train_set : DynamicItemDataset
        Whose chunks calibrate a random encoder where that is asked.
    device : str
        Where to calibrate.
    """
    source, encoder = hparams["encoder_source"], hparams["encoder"]
    own = hparams["output_folder"]
    if whole(Path(own).glob("save/CKPT*")) is not None:
        # Whatever became of the source since, this run goes on with its own.
        load_encoder(encoder, own)
    elif source is None:
        logger.warning("encoder_source is null: a random encoder")
    elif source == "random_calibrated":
        logger.warning("A random encoder with BatchNorm statistics of the data")
        calibrate(hparams, train_set, device)
    else:
        logger.info("Encoder from %s", load_encoder(encoder, source))


def calibrate(hparams, dataset, device):
    """BatchNorm statistics of a random encoder from some training chunks."""
    chunks, features = hparams["chunks"], hparams["features"]
    features.to(device).eval()
    size = hparams["batch_size"]
    rng = np.random.default_rng(hparams["seed"])
    order = rng.permutation(len(dataset))[: size * _CALIBRATION_BATCHES]

    def batches():
        for first in range(0, len(order), size):
            items = [dataset[int(i)] for i in order[first : first + size]]
            sigs = [chunks(item["sig"], item["id"], 1)[0] for item in items]
            yield features(torch.stack(sigs).to(device))[0]

    calibrate_batch_norms(hparams["encoder"].to(device), batches())


def make_brain(hparams, run_opts, train_labels, classes):
    """Brain, head and class weights for these classes."""
    weights = class_weights(train_labels, classes, hparams["class_weights"])
    head = hparams["head"](n_classes=len(classes))
    hparams["checkpointer"].add_recoverable("head", head)
    brain = ClassificationBrain(
        modules={**hparams["modules"], "head": head},
        opt_class=hparams["opt_class"],
        hparams=hparams,
        run_opts=run_opts,
        checkpointer=hparams["checkpointer"],
    )
    brain.classes = classes
    brain.class_weights = None if weights is None else weights.to(brain.device)
    brain.history = History(hparams["output_folder"])
    return brain


def fit(brain, hparams, datasets, eval_kwargs):
    """Train with the schedule of the real number of steps."""
    n_train = len(datasets["train"])
    batch_size = min(hparams["batch_size"], n_train)
    train_loader = brain.make_dataloader(
        datasets["train"],
        sb.Stage.TRAIN,
        batch_size=batch_size,
        shuffle=True,
        # BatchNorm cannot train on a last batch of one.
        drop_last=n_train % batch_size == 1,
        num_workers=hparams["num_workers"],
        # Else the loader draws from the generator that dropout uses.
        generator=brain.loader_generator,
        worker_init_fn=ignore_signals,
    )
    brain.schedule = step_schedule(
        hparams, len(train_loader), brain.grad_accumulation_factor
    )
    epochs, bars = hparams["epoch_counter"], None
    if is_cached(hparams):
        # Epochs of milliseconds: one bar for all of them.
        logging.getLogger("speechbrain.utils.epoch_loop").setLevel("WARNING")
        epochs = tqdm(
            epochs,
            total=epochs.limit,
            desc="epochs",
            dynamic_ncols=True,
            disable=brain.noprogressbar,
        )
        bars = False
    brain.fit(
        epochs,
        train_loader,
        datasets["valid"],
        progressbar=bars,
        valid_loader_kwargs=eval_kwargs,
    )


def evaluate(brain, hparams, datasets, eval_kwargs):
    """Predictions of valid and test with the best checkpoint, on disk."""
    predictions = {}
    for split in ("valid", "test"):
        brain.evaluate(
            datasets[split], max_key="score", test_loader_kwargs=eval_kwargs
        )
        predictions[split] = brain.predictions
        path = f"{hparams['output_folder']}/predictions_{split}.csv"
        run_on_main(brain.predictions.write, args=[path])
    return predictions


def write_metrics(hparams, brain, predictions, corpus):
    """Write ``metrics.json``.

    Returns
    -------
    dict
        What is in it.
    """
    parameters = [*brain.modules.encoder.parameters()]
    parameters += brain.modules.head.parameters()
    metrics = {
        "task": hparams["task"],
        "finetune_mode": hparams["finetune_mode"],
        "seed": hparams["seed"],
        "label_fraction": hparams.get("label_fraction", 1.0),
        "encoder_source": hparams["encoder_source"],
        "corpus": corpus,
        "classes": brain.classes,
        "n_trainable": sum(p.numel() for p in parameters if p.requires_grad),
        "n_parameters": sum(p.numel() for p in parameters),
        **summarise(predictions["valid"], predictions["test"]),
    }
    path = f"{hparams['output_folder']}/metrics.json"
    text = json.dumps(metrics, indent=1, allow_nan=False) + "\n"
    run_on_main(write_text, args=[path, text])
    return metrics


def summary(metrics, output_folder):
    """One line for the terminal."""
    test = metrics["test"]["recording"]
    encoder = metrics["encoder_source"] or "a random encoder"
    if test["auc"] is None:
        found = "no test AUC, all are of one class"
    elif test["auc_ci95"] is None:
        found = f"test AUC {test['auc']:.3f} (too few patients for an interval)"
    else:
        low, high = test["auc_ci95"]
        found = (
            f"test AUC {test['auc']:.3f} "
            f"(95 % interval by patient {low:.3f} to {high:.3f})"
        )
    return (
        f"done: {metrics['task']} {metrics['finetune_mode']} on {encoder} and "
        f"{metrics['corpus']}, {found}, {test['n']} recordings of "
        f"{test['n_patients']} patients, accuracy {test['accuracy']:.3f} "
        f"(majority {test['majority_accuracy']:.3f}); in {output_folder}"
    )


def main(argv=None):
    """From the command line to ``metrics.json``."""
    with one_line_errors():
        hparams_file, run_opts, overrides = parse_arguments(argv)
        sb.utils.distributed.ddp_init_group(run_opts)
        needs = ("task", "prepare", "finetune_mode")
        hparams = load(hparams_file, overrides, needs)
        require_folder(hparams["data_folder"], "--data_folder", "the corpus")
        sb.create_experiment_directory(
            experiment_directory=hparams["output_folder"],
            hyperparams_to_save=to_save(hparams, hparams_file),
            overrides=overrides,
        )
        manifests = f"{hparams['output_folder']}/manifest"
        run_on_main(hparams["prepare"], kwargs={"save_folder": manifests})
        train_labels, classes = read_labels(manifests, hparams["classes"])
        datasets = dataio_prep(hparams, manifests, classes)
        brain = make_brain(hparams, run_opts, train_labels, classes)
        load_pretrained(hparams, datasets["train"], brain.device)
        eval_kwargs = {
            # Whole recordings: fewer at once than chunks.
            "batch_size": max(1, hparams["batch_size"] // 4),
            "num_workers": hparams["num_workers"],
            # As in training: nothing is drawn, signals are the run's.
            "generator": torch.Generator(),
            "worker_init_fn": ignore_signals,
        }
        if is_cached(hparams):
            datasets = {
                split: embed(
                    hparams["features"],
                    hparams["encoder"],
                    dataset,
                    brain.device,
                    description=f"embedding {split}",
                    progressbar=not brain.noprogressbar,
                    **eval_kwargs,
                )
                for split, dataset in datasets.items()
            }
        fit(brain, hparams, datasets, eval_kwargs)
        predictions = evaluate(brain, hparams, datasets, eval_kwargs)
        corpus = manifest.read_corpus(manifests)["name"]
        metrics = write_metrics(hparams, brain, predictions, corpus)
        line = summary(metrics, hparams["output_folder"])
        run_on_main(print, args=[line])


if __name__ == "__main__":
    main()
