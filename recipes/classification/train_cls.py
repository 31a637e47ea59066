#!/usr/bin/env python3
"""Recipe for training a classifier of recordings on an encoder: a linear
probe, a probe with the encoder's BatchNorm, or all of it.

> python train_cls.py hparams/neuro_linear_bn.yaml \
    --data_folder=/path/to/cries --encoder_source=results/cry_adapt_replay/2022

Training hears random chunks or whole recordings, testing whole recordings or
averaged chunks. The model is chosen on the validation split by AUC. A
``linear`` encoder changes in nothing, so its embeddings of whole recordings
are computed once. ``--folds all`` trains and tests on every fold and pools
what the models say. What happens to a batch stands in
cry_modules/training/classification.py, what the figures mean in cry_modules/metrics/figures.py.
"""

import data_prep  # noqa: F401 (explains a broken environment)

# isort: split
import gc
import json
import logging
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Dict, List

import numpy as np
import speechbrain as sb
import torch
from speechbrain.dataio.dataset import DynamicItemDataset
from speechbrain.utils.distributed import run_on_main
from tqdm import tqdm

from cry_modules.audio import repeat_to, shortest_input
from cry_modules.checkpoints.checkpointer import whole
from cry_modules.checkpoints.encoders import CALIBRATED, EncoderSource
from cry_modules.distributed import rank, unwrapped
from cry_modules.embeddings import (
    LogMelStatistics,
    as_arrays,
    embed,
    joined_arrays,
)
from cry_modules.evaluation import controls, report
from cry_modules.evaluation.nuisance import mean_over_folds, nuisance_figures
from cry_modules.evaluation.outcome import (
    EvaluationOptions,
    Outcome,
    evaluate_outcomes,
    held_out,
)
from cry_modules.evaluation.subgroups import groups, read_columns
from cry_modules.figures.results import draw_results, results_of
from cry_modules.finetune import calibrate_batch_norms
from cry_modules.training.batches import (
    EmbeddingSet,
    LengthBatchSampler,
    keep_batch,
    random_order,
)
from cry_modules.training.classification import (
    ClassificationBrain,
    prevalence_of,
)
from cry_modules.training.experiment import (
    load,
    log_environment,
    to_save,
    write_variant,
)
from cry_modules.training.forecast import forecast_classification
from cry_modules.training.history import History
from cry_modules.training.loader_workers import worker_options
from cry_modules.training.options import parse_arguments
from cry_modules.training.recompute import recompute_blocks
from cry_modules.training.schedule import step_schedule
from data_prep import manifest
from data_prep.corpora.database import locate, read_database
from data_prep.corpora.folds import rounds
from data_prep.corpora.labelled import fold_values
from data_prep.corpora.preparation import require_folder
from data_prep.files.errors import InputError, one_line_errors
from data_prep.files.tables import write_text

logger = logging.getLogger(__name__)

#: Columns that a report must not show.
_PERSONAL = ("patient_id", "recording_id", "path", "recorded_at")

#: Batches of chunks that set a random encoder's BatchNorm statistics.
_CALIBRATION_BATCHES = 6


@dataclass
class Run:
    """A finished run: what it found, and what was said.

    Arguments
    ---------
    metrics : dict
        ``metrics.json``.
    outcomes : list of Outcome
        One, or one a fold.
    controls : dict
        The same of each control.
    """

    metrics: Dict
    outcomes: List[Outcome]
    controls: Dict[str, List[Outcome]] = field(default_factory=dict)


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
                f"none of {', '.join(classes)}; correct --classes"
            )
    return labels["train"], classes


def dataio_prep(hparams, manifests, classes, trained_on):
    """Recordings of each split.

    Shapes: returns ``[samples]``.
    """
    reader, chunks = hparams["reader"], hparams["chunks"]
    # A pack of another rate is refused here rather than in a loader worker.
    reader.pack_of(str(hparams["data_folder"]))
    shortest = shortest_input(hparams["logmel"].hop)

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
                chunk if split == "train" and trained_on == "chunks" else whole,
                class_index,
            ],
            output_keys=["id", "patient_id", "sig", "class_index"],
        ).filtered_sorted(sort_key="duration")
        for split in manifest.SPLITS
    }


def check_options(hparams):
    """Refuse values that would fail or mislead later."""
    if hparams["readout"] != "encoder":
        if hparams["finetune_mode"] == "end_to_end":
            raise InputError(
                f"readout is {hparams['readout']} and finetune_mode is "
                "end_to_end; log-mel statistics are for frozen modes: pass "
                "--readout encoder"
            )
    if hparams["encoder_source"] is not None:
        # A folder may be called 2022.
        hparams["encoder_source"] = str(hparams["encoder_source"])


def is_cached(hparams):
    """Whether each recording is embedded once, since nothing of it changes."""
    frozen = hparams["finetune_mode"] == "linear"
    return frozen and hparams["trained_on"] == "recordings"


def load_pretrained(hparams, train_set, device):
    """The encoder a run begins with, or goes on with."""
    source = EncoderSource(hparams["encoder_source"])
    encoder = hparams["encoder"]
    own, front_end = hparams["output_folder"], hparams["logmel"].name
    if whole(Path(own).glob("save/CKPT*")) is not None:
        # Whatever became of the source since, this run goes on with its own.
        EncoderSource(own).load(encoder, front_end)
    elif source.kind == "random":
        logger.warning("encoder_source is null: a random encoder")
    elif source.kind == CALIBRATED:
        logger.warning("A random encoder with BatchNorm statistics of the data")
        calibrate(hparams, train_set, device)
    else:
        path = source.load(encoder, front_end)
        logger.info("Encoder from %s", path)


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
    """Brain and head for these classes."""
    head = hparams["head"](hparams["embedder"].dimension(), len(classes))
    hparams["checkpointer"].add_recoverable("head", head)
    brain = ClassificationBrain(
        modules={**hparams["modules"], "head": head},
        opt_class=hparams["opt_class"],
        hparams=hparams,
        run_opts=run_opts,
        checkpointer=hparams["checkpointer"],
    )
    brain.classes = classes
    brain.prevalence = prevalence_of(train_labels, classes)
    brain.cached = is_cached(hparams)
    brain.history = History(hparams["output_folder"])
    return brain


def is_random(hparams):
    """Whether the encoder is the control itself."""
    return EncoderSource(hparams["encoder_source"]).kind == CALIBRATED


def eval_options(hparams, num_workers, **options):
    """DataLoader options for evaluation."""
    return {
        # Whole recordings: fewer at once than chunks.
        "batch_size": max(1, hparams["batch_size"] // 4),
        # As in training: nothing is drawn, signals are the run's.
        "generator": torch.Generator(),
        **worker_options(num_workers),
        **options,
    }


def making_batches(brain, hparams):
    """Options of the loaders of training and of what follows it."""
    if brain.cached:
        # No work for another process.
        return {"num_workers": 0, "collate_fn": keep_batch}
    return {"num_workers": hparams["num_workers"]}


def embed_all(brain, hparams, datasets, embedder, what):
    """Each split's recordings embedded."""
    return {
        split: embed(
            embedder,
            dataset,
            brain.device,
            description=f"{what}, {split}",
            progressbar=not brain.noprogressbar,
            **eval_options(hparams, hparams["num_workers"]),
        )
        for split, dataset in datasets.items()
    }


def train_batches(hparams, train_set):
    """Batches of the training recordings."""
    # ``data`` is in the order of the csv file, the indices in the dataset's.
    rows = [train_set.data[key] for key in train_set.data_ids]
    seconds = [float(row["stop"]) - float(row["start"]) for row in rows]
    longest = (
        hparams["chunk_s"] if hparams["trained_on"] == "chunks" else np.inf
    )
    order = random_order(
        [row["label"] for row in rows],
        hparams["balance"] == "sampling",
        hparams["seed"],
    )
    return LengthBatchSampler(
        order,
        np.minimum(seconds, longest),
        hparams["batch_size"],
        hparams["seed"],
    )


def forecast(brain, hparams, heard, n_batches):
    """Say what the run will take, and keep activations or recompute them."""
    logger.info(
        "%s on %d recordings: %d batches in at most %d epochs",
        hparams["finetune_mode"],
        len(heard["train"]),
        n_batches * hparams["number_of_epochs"],
        hparams["number_of_epochs"],
    )
    seconds = {
        split: [float(row["stop"]) - float(row["start"]) for row in rows]
        for split, rows in ((s, d.data.values()) for s, d in heard.items())
    }
    forecast_classification(brain, hparams, seconds, n_batches)
    # Runs from before this option have no such key.
    if hparams.get("checkpoint_activations", False):
        recompute_blocks(hparams["encoder"])


def fit(brain, hparams, datasets, batches):
    """Train with the schedule of the real number of steps."""
    train_loader = brain.make_train_loader(
        datasets["train"], batches, **making_batches(brain, hparams)
    )
    brain.schedule = step_schedule(
        hparams, len(train_loader), brain.grad_accumulation_factor
    )
    epochs, bars = hparams["epoch_counter"], None
    if brain.cached:
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
        valid_loader_kwargs=eval_options(
            hparams, **making_batches(brain, hparams)
        ),
    )


def predict(brain, hparams, datasets):
    """Valid and test told by the best checkpoint; on disk."""
    said = {}
    for split in ("valid", "test"):
        brain.evaluate(
            datasets[split],
            max_key="score",
            test_loader_kwargs=eval_options(
                hparams, **making_batches(brain, hparams)
            ),
        )
        said[split] = brain.predictions
        path = f"{hparams['output_folder']}/predictions_{split}.csv"
        run_on_main(brain.predictions.write, args=[path])
    return Outcome(said["valid"], said["test"], brain.prevalence)


def classical_controls(hparams, logmel, classes, prevalence):
    """Outcomes of the classical models; predictions on disk, as a run's."""
    arrays = {split: as_arrays(data, classes) for split, data in logmel.items()}
    found = controls.classical(
        {split: features for split, (features, _) in arrays.items()},
        {split: recordings for split, (_, recordings) in arrays.items()},
        prevalence,
    )
    outcomes = {}
    for name, (said, share) in found.items():
        folder = Path(hparams["output_folder"]) / "controls" / name
        folder.mkdir(parents=True, exist_ok=True)
        for split, predictions in said.items():
            path = folder / f"predictions_{split}.csv"
            run_on_main(predictions.write, args=[path])
        outcomes[name] = [Outcome(said["valid"], said["test"], share)]
    return outcomes


def random_encoder(hparams, hparams_file, overrides, run_opts):
    """The same run with a random encoder: what a read-out with log-mel
    statistics must be seen beside, since they help any encoder."""
    folder = Path(hparams["output_folder"]) / "controls/random_encoder"
    changes = {
        "encoder_source": CALIBRATED,
        **{"controls": False, "figures": False},
        **{"nuisance": None, "subgroups": None, "folds": None},
    }
    return run_variant(hparams_file, overrides, run_opts, folder, changes)


def run_variant(hparams_file, overrides, run_opts, folder, changes):
    """Run the same recipe with some settings changed, in its own folder."""
    run_on_main(write_variant, args=[hparams_file, overrides, folder, changes])
    variant = str(folder / "hyperparams.yaml")
    done = run(load(variant, {}), variant, {}, run_opts)
    gc.collect()  # its recordings and weights, which hang in circles
    return done


def columns_of(hparams, option):
    """Cells by recording of the columns that an option names."""
    names = hparams.get(option)
    if names is None or names == []:
        return {}
    if isinstance(names, str):
        names = [name.strip() for name in names.split(",")]
    if not isinstance(names, list) or not all(
        isinstance(name, str) for name in names
    ):
        raise InputError(
            f"{option} is {names!r}; name columns with commas between, as site "
            "or site,age"
        )
    for name in names:
        refuse_personal(name, option)
    if "recordings_csv" not in hparams:
        raise InputError(
            f"{option} is {', '.join(names)} and this corpus has no "
            f"recordings.csv; pass --{option} null"
        )
    _, table = locate(
        hparams["data_folder"], hparams["recordings_csv"], "--data_folder"
    )
    columns = read_columns(table, names, f"--{option}")
    if option == "subgroups":
        patient_of = read_columns(table, ["patient_id"])["patient_id"]
        for name, cell_of in columns.items():
            # Refuses ids and dates before hours of training.
            groups(list(cell_of.values()), list(patient_of.values()), name)
    return columns


def refuse_personal(column, option):
    """Refuse columns that would put patients into a report."""
    if column in _PERSONAL:
        raise InputError(
            f"{option} is {column}, which tells who the patients are; name a "
            "column of groups"
        )


def nuisance_columns(hparams):
    """As ``columns_of``; the site, which is asked by default, may be absent
    from the table."""
    if hparams["nuisance"] != "site" or "recordings_csv" not in hparams:
        return columns_of(hparams, "nuisance")
    _, table = locate(
        hparams["data_folder"], hparams["recordings_csv"], "--data_folder"
    )
    rows = read_database(table, [hparams["label_column"]])
    return {"site": {rec.ID: rec.site for rec, _ in rows}}


def head_of_metrics(hparams, classes, corpus):
    """What ``metrics.json`` says before it comes to figures."""
    names = ("task", "label_column", "finetune_mode", "seed", "label_fraction")
    names += ("encoder_source", "readout", "trained_on", "tested_on", "balance")
    otherwise = {"label_column": hparams["task"], "label_fraction": 1.0}
    return {
        **{name: hparams.get(name, otherwise.get(name)) for name in names},
        "patient_score": hparams["patient_score"],
        "corpus": corpus["name"],
        "synthetic": bool(corpus.get("synthetic")),
        "classes": classes,
    }


def finish(hparams, done, history):
    """Write ``metrics.json``, pictures and ``report.md``."""
    folder, metrics = Path(hparams["output_folder"]), done.metrics
    metrics["figures"] = []
    write_metrics(folder, metrics)  # before anything can go wrong
    if hparams["figures"]:
        results = results_of(metrics, done.outcomes, history)
        drawn = draw_results(results, folder)
        metrics["figures"] = [path.stem for path in drawn]
        write_metrics(folder, metrics)
    write_text(folder / "report.md", report.page(metrics))


def write_metrics(folder, metrics):
    """Write ``metrics.json``."""
    text = json.dumps(metrics, indent=1, allow_nan=False) + "\n"
    write_text(folder / "metrics.json", text)


def asked_of(hparams):
    """What is asked of the outcome."""
    return EvaluationOptions(
        hparams["patient_score"],
        hparams["seed"],
        hparams["bootstrap_draws"],
        columns_of(hparams, "subgroups"),
    )


def run(hparams, hparams_file, overrides, run_opts):
    """One model: prepared, trained, tested, reported."""
    check_options(hparams)
    asked, nuisance = asked_of(hparams), nuisance_columns(hparams)
    sb.create_experiment_directory(
        experiment_directory=hparams["output_folder"],
        hyperparams_to_save=to_save(hparams, hparams_file),
        overrides=overrides,
        save_env_desc=False,
    )
    environment = log_environment(hparams["output_folder"])
    manifests = f"{hparams['output_folder']}/manifest"
    run_on_main(hparams["prepare"], kwargs={"save_folder": manifests})
    environment.join()
    train_labels, classes = read_labels(manifests, hparams["classes"])
    if hparams["controls"]:
        controls.check_size(len(train_labels))
    heard = dataio_prep(hparams, manifests, classes, "recordings")
    datasets = dataio_prep(hparams, manifests, classes, hparams["trained_on"])
    brain = make_brain(hparams, run_opts, train_labels, classes)
    load_pretrained(hparams, datasets["train"], brain.device)
    batches = train_batches(hparams, heard["train"])
    forecast(brain, hparams, heard, len(batches))
    embs = None
    if brain.cached:
        embs = embed_all(
            brain, hparams, heard, hparams["embedder"], "embedding"
        )
        datasets = {split: EmbeddingSet(part) for split, part in embs.items()}
    fit(brain, hparams, datasets, batches)
    done = Run({}, [predict(brain, hparams, datasets)])

    logmel = None
    if hparams["controls"] or nuisance:
        statistics = LogMelStatistics(hparams["logmel"])
        logmel = embed_all(brain, hparams, heard, statistics, "log-mel")
    if hparams["controls"]:
        done.controls = classical_controls(
            hparams, logmel, classes, brain.prevalence
        )
    if hparams["readout"] != "encoder" and not is_random(hparams):
        beside = random_encoder(hparams, hparams_file, overrides, run_opts)
        done.controls["random_encoder"] = beside.outcomes
    parameters = [*brain.modules.embedder.parameters()]
    parameters += brain.modules.head.parameters()
    done.metrics = {
        **head_of_metrics(hparams, classes, manifest.read_corpus(manifests)),
        "prevalence": brain.prevalence.tolist(),
        "n_trainable": sum(p.numel() for p in parameters if p.requires_grad),
        "n_parameters": sum(p.numel() for p in parameters),
        **evaluate_outcomes(done.outcomes, done.controls, asked),
    }
    if nuisance:
        embedder = unwrapped(brain.modules.embedder)
        embs = embs or embed_all(brain, hparams, heard, embedder, "embedding")
        done.metrics["nuisance"] = nuisance_figures(
            {
                "embedding": joined_arrays(embs, classes),
                "log-mel": joined_arrays(logmel, classes),
            },
            nuisance,
            hparams["seed"],
            hparams["bootstrap_draws"],
        )
    run_on_main(finish, args=[hparams, done, brain.history.rows])
    return done


def run_folds(hparams, hparams_file, overrides, run_opts):
    """A model a fold, each tested on what its fold left out; pooled."""
    check_options(hparams)
    asked = asked_of(hparams)
    if hparams["test_fold"] is not None or hparams["valid_fold"] is not None:
        raise InputError(
            f"folds is {hparams['folds']}, which tests on every fold; leave out "
            "--test_fold and --valid_fold, or --folds"
        )
    column = hparams["folds"]
    column = hparams["fold_column"] if column == "all" else str(column)
    refuse_personal(column, "folds")
    values = fold_values(
        hparams["data_folder"],
        hparams["recordings_csv"],
        hparams["label_column"],
        hparams["classes"],
        hparams["other_labels"],
        column,
    )
    out = Path(hparams["output_folder"])
    sb.create_experiment_directory(
        experiment_directory=str(out),
        hyperparams_to_save=to_save(hparams, hparams_file),
        overrides=overrides,
        save_env_desc=False,
    )
    log_environment(out).join()
    runs = {}
    for i, fold in enumerate(rounds(column, values)):
        name = f"fold_{i}_" + re.sub(r"[^\w.-]+", "_", fold.test)
        logger.info("Fold %d of %d: %s", i + 1, len(values), fold.test)
        runs[name] = run_variant(
            hparams_file,
            overrides,
            run_opts,
            out / name,
            fold_changes(hparams, fold),
        )
    return pool(hparams, values, runs, asked)


def fold_changes(hparams, fold):
    """Settings in which the run of a fold differs."""
    chosen = {
        "fold_column": fold.column,
        "test_fold": fold.test,
        "valid_fold": fold.valid,
    }
    changes = {**chosen, "folds": None, "prepare": chosen}
    source = hparams["encoder_source"]
    if source is not None and "{fold}" in source:
        changes["encoder_source"] = source.replace("{fold}", fold.test)
    return changes


def pool(hparams, values, runs, asked):
    """What the models of all folds say, as one."""
    every = list(runs.values())
    done = Run(
        {},
        [run.outcomes[0] for run in every],
        {
            name: [run.controls[name][0] for run in every]
            for name in every[0].controls
        },
    )
    first = every[0].metrics
    head = {name: first[name] for name in first if name not in _OF_A_FOLD}
    done.metrics = {
        **head,
        "encoder_source": hparams["encoder_source"],
        "prevalence": np.mean(
            [outcome.prevalence for outcome in done.outcomes], axis=0
        ).tolist(),
        "folds": list(runs),
        **evaluate_outcomes(done.outcomes, done.controls, asked),
    }
    for value, block in zip(values, done.metrics["by_fold"]["each"]):
        block["fold"] = value
    if "nuisance" in first:
        done.metrics["nuisance"] = mean_over_folds(
            [run.metrics["nuisance"] for run in every]
        )
    said, _ = held_out(done.outcomes, "recording", hparams["patient_score"])
    path = f"{hparams['output_folder']}/predictions_test.csv"
    run_on_main(said.write, args=[path])
    run_on_main(finish, args=[hparams, done, []])
    return done


_OF_A_FOLD = ("valid", "test", "controls", "subgroups", "nuisance", "figures")


def main(argv=None):
    """From the command line to ``metrics.json``."""
    with one_line_errors():
        hparams_file, run_opts, overrides = parse_arguments(argv)
        sb.utils.distributed.ddp_init_group(run_opts)
        if "label_column" in overrides:
            overrides.setdefault("task", overrides["label_column"])
        needs = ("task", "prepare", "finetune_mode")
        hparams = load(hparams_file, overrides, needs)
        require_folder(hparams["data_folder"], "--data_folder", "the corpus")
        how = run_folds if hparams.get("folds") else run
        done = how(hparams, hparams_file, overrides, run_opts)
        if rank() == 0:
            print(report.summary(done.metrics, hparams["output_folder"]))


if __name__ == "__main__":
    main()
