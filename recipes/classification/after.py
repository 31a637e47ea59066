"""Evaluation after training: predictions, controls, nuisance probes,
``metrics.json``, pictures and ``report.md``, of one model or all folds."""

import json
from collections import Counter
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Dict, List

import numpy as np
import torch
from speechbrain.dataio.dataset import FilteredSortedDynamicItemDataset
from speechbrain.utils.distributed import run_on_main

from cry_modules.audio import LongRecording
from cry_modules.checkpoints.encoders import EncoderSource
from cry_modules.distributed import unwrapped
from cry_modules.evaluation import controls, file_facts, report
from cry_modules.evaluation.acoustics import AcousticMeasures
from cry_modules.evaluation.columns import INFANT, subgroup_columns
from cry_modules.evaluation.embed import as_arrays, embed, joined_arrays
from cry_modules.evaluation.identity import identity_probe
from cry_modules.evaluation.nuisance import mean_over_folds, nuisance_probes
from cry_modules.evaluation.out_of_distribution import (
    MOST_RECORDINGS,
    band_powers,
    bandwidth,
    left_out_distances,
    training_of,
)
from cry_modules.evaluation.outcome import (
    EvaluationOptions,
    Outcome,
    evaluate_outcomes,
    pooled_predictions,
)
from cry_modules.evaluation.speaker import CURE, SpeakerEncoder, weights_file
from cry_modules.figures.results import draw_results, results_of
from cry_modules.lengths import batches_in_order, float64
from cry_modules.training.batches import EmbeddingSet, keep_batch
from cry_modules.training.dataset import rows_of, seconds_of
from cry_modules.training.loader_workers import worker_errors, worker_options
from data_prep import manifest
from data_prep.files.tables import write_text
from recipes.classification.folds import chosen_by_folds

#: Keys of ``metrics.json`` that differ between folds.
_OF_A_FOLD = (
    "valid", "test", "clinical", "controls", "subgroups", "nuisance", "figures",
    "chosen", "training_recordings",
)  # fmt: skip


@dataclass
class Run:
    """A finished run."""

    outcomes: List[Outcome]  # one, or one per fold
    controls: Dict[str, List[Outcome]] = field(default_factory=dict)
    metrics: Dict = field(default_factory=dict)  # metrics.json


def evaluation_options(hparams):
    """Options of the evaluation; faulty ones are refused before training."""
    return EvaluationOptions(
        hparams["patient_score"],
        hparams["seed"],
        hparams["bootstrap_draws"],
        subgroup_columns(hparams),
    )


def look_at_files(hparams, manifests):
    """Warn before training where the files alone reveal the classes."""
    if not EncoderSource(hparams["encoder_source"]).is_random:
        rate = hparams["sample_rate"]
        file_facts.warn_of_narrow_band(manifests, rate, "recordings")
    label = hparams.get("label_column", hparams["task"])
    return file_facts.look_at_files(manifests, label, hparams)


def batch_options(brain, hparams):
    """DataLoader options for training and evaluation; embeddings in memory need
    no worker processes."""
    if brain.cached:
        # No work for another process.
        return {"num_workers": 0, "collate_fn": keep_batch}
    return {"num_workers": hparams["num_workers"]}


def eval_options(hparams, dataset, num_workers, **options):
    """DataLoader options for evaluation."""
    # Whole recordings: fewer at once than chunks.
    size = max(1, hparams["batch_size"] // 4)
    batches = {"batch_size": size}
    if not isinstance(dataset, EmbeddingSet):
        batches = {"batch_sampler": batches_in_order(seconds_of(dataset), size)}
    return {
        **batches,
        # Otherwise a loader draws from the generator of training.
        "generator": torch.Generator(),
        **worker_options(num_workers),
        **options,
    }


def embed_all(brain, hparams, datasets, embedder, description):
    """Embed the recordings of each split."""
    options = {"num_workers": hparams["num_workers"]}
    embedded = {}
    for split, dataset in datasets.items():
        if torch.device(brain.device).type == "cpu":
            # To the bit the same with whatever others; batches save no time.
            one = batches_in_order(seconds_of(dataset), 1)
            options["batch_sampler"] = one
        with worker_errors():
            embedded[split] = embed(
                embedder,
                dataset,
                brain.device,
                description=f"{description}, {split}",
                progressbar=not brain.noprogressbar,
                **eval_options(hparams, dataset, **options),
            )
    return embedded


def predict(brain, hparams, datasets):
    """Predict validation and test with the best checkpoint; write the files."""
    predictions = {}
    for split in ("valid", "test"):
        brain.evaluate(
            datasets[split],
            max_key="score",
            test_loader_kwargs=eval_options(
                hparams, datasets[split], **batch_options(brain, hparams)
            ),
        )
        predictions[split] = brain.predictions
        folder = Path(hparams["output_folder"])
        run_on_main(
            write_predictions, args=[brain.predictions, split, folder, [folder]]
        )
    return Outcome(**predictions, prevalence=brain.prevalence)


def write_predictions(predictions, split, folder, runs):
    """Write the predictions of a split of one or more runs, with the paths of
    their manifests."""
    path_of = {
        rec.ID: rec.wav
        for run in runs
        for rec in manifest.read(run / f"manifest/{split}.csv")
    }
    predictions.write(folder / f"predictions_{split}.csv", path_of)


def train_controls(hparams, brain, logmel, embedded):
    """Train the classical models on log-mel statistics and acoustic measures,
    which ``embedded`` computes; write and return their predictions."""
    measures = AcousticMeasures(hparams["logmel"].sample_rate)
    features, recordings, measured = {}, {}, {}
    for split, data in embedded(measures, "acoustic measures").items():
        measured[split], _ = as_arrays(data, brain.classes)
    for split, data in logmel.items():
        features[split], recordings[split] = as_arrays(data, brain.classes)
    fitted = controls.train_classical(
        features, recordings, brain.prevalence, measured
    )
    outcomes = {}
    for name, (predicted, prevalence) in fitted.items():
        folder = Path(hparams["output_folder"]) / "controls" / name
        folder.mkdir(parents=True, exist_ok=True)
        for split, predictions in predicted.items():
            run = Path(hparams["output_folder"])
            run_on_main(
                write_predictions, args=[predictions, split, folder, [run]]
            )
        outcomes[name] = [
            Outcome(predicted["valid"], predicted["test"], prevalence)
        ]
    return outcomes


def model_metrics(hparams, brain, done, options, corpus, files):
    """``metrics.json`` of one model, without nuisance probes."""
    names = ("task", "label_column", "finetune_mode", "seed", "label_fraction")
    names += ("readout", "trained_on", "tested_on", "balance")
    defaults = {"label_column": hparams["task"], "label_fraction": 1.0}
    parameters = [*brain.modules.embedder.parameters()]
    parameters += brain.modules.head.parameters()
    return {
        **{name: hparams.get(name, defaults.get(name)) for name in names},
        "encoder_source": EncoderSource(hparams["encoder_source"]).name,
        "encoder_checksum": hparams["checkpointer"].recorded("encoder"),
        "patient_score": hparams["patient_score"],
        "corpus": corpus["name"],
        "synthetic": bool(corpus.get("synthetic")),
        "files": files,
        "classes": brain.classes,
        "prevalence": brain.prevalence.tolist(),
        "chosen": brain.chosen(),
        "n_trainable": sum(p.numel() for p in parameters if p.requires_grad),
        "n_parameters": sum(p.numel() for p in parameters),
        **evaluate_outcomes(done.outcomes, done.controls, options),
    }


def nuisances(brain, hparams, recordings, embs, logmel, columns):
    """Probes of what an embedding should not tell: columns of the table, and
    who cries, for which a speaker encoder is the comparison."""
    features = {
        name: joined_arrays(parts, brain.classes)
        for name, parts in (("embedding", embs), ("log-mel", logmel))
    }
    options = hparams["seed"], hparams["bootstrap_draws"]
    probes = nuisance_probes(features, columns, *options)
    weights = weights_file()
    if weights is not None:
        voice = SpeakerEncoder(weights)
        voices = embed_all(brain, hparams, recordings, voice, "voice")
        features["speaker encoder"] = joined_arrays(voices, brain.classes)
    infant = {
        name: identity_probe(values, each.patients, *options)
        for name, (values, each) in features.items()
    }
    if weights is None:
        infant["speaker encoder"] = {"not_asked": CURE}
    return {**probes, INFANT: infant}


def training_recordings(brain, hparams, dataset, embs, audited=None):
    """Numbers of the training recordings that inference compares others with.

    `dataset` and `embs` hold the training recordings and, where they are known,
    their embeddings. All recordings of the manifests in the folder `audited`
    are training recordings; by default, those of the run's training split are.
    """
    n, rng = len(dataset), np.random.default_rng(0)
    chosen = np.sort(rng.permutation(n)[:MOST_RECORDINGS])
    ids = [dataset.data_ids[i] for i in chosen]
    part = FilteredSortedDynamicItemDataset(dataset, ids)
    if embs is None:
        embedder = unwrapped(brain.modules.embedder)
        parts = brain, hparams, {"train": part}, embedder, "training"
        embs = embed_all(*parts)["train"]
    norm = unwrapped(brain.modules.head).norm
    embs = torch.stack([embs.data[ID]["emb"] for ID in ids])
    tensors = embs, norm.running_mean, norm.running_var
    embs, mean, variance = (float64(x).cpu().numpy() for x in tensors)
    patients = [row["patient_id"] for row in rows_of(part)]
    distances = left_out_distances(embs, patients, mean, variance, n)
    rate, widths = hparams["sample_rate"], []
    size = round(hparams["chunk_s"] * rate)
    for i in range(len(part)):
        sig = part[i]["sig"]
        windows = sig.windows(size) if isinstance(sig, LongRecording) else [sig]
        powers = sum(band_powers(window.numpy(), rate) for window in windows)
        widths.append(bandwidth(powers))
    own, splits = Path(hparams["output_folder"]) / "manifest", manifest.SPLITS
    files = file_facts.read_files(
        audited or own, splits if audited else ["train"]
    )
    levels = [] if files is None else files.values["level_dbfs"]
    return training_of(seconds_of(dataset), widths, levels, distances)


def finish(hparams, done, history):
    """Write ``metrics.json``, pictures and ``report.md``."""
    folder, metrics = Path(hparams["output_folder"]), done.metrics
    metrics["figures"] = []
    write_metrics(folder, metrics)  # first, in case drawing fails
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


def pool(hparams, column, values, runs, options):
    """Pool the models of all folds, write their results and return them.

    `values` are the folds' names in that column of the table, `runs` the runs
    by folder.
    """
    every = list(runs.values())

    def of_folds(outcomes):
        """The single outcome of each run, with the name of its fold."""
        pairs = zip(outcomes, values)
        return [replace(first, fold=str(value)) for (first,), value in pairs]

    encoders = dict.fromkeys(run.metrics["encoder_checksum"] for run in every)
    done = Run(
        of_folds(run.outcomes for run in every),
        {
            name: of_folds(run.controls[name] for run in every)
            for name in every[0].controls
        },
    )
    first = every[0].metrics
    done.metrics = {
        **{name: first[name] for name in first if name not in _OF_A_FOLD},
        "encoder_source": EncoderSource(hparams["encoder_source"]).name,
        "encoder_checksum": None if None in encoders else " ".join(encoders),
        "prevalence": np.mean(
            [outcome.prevalence for outcome in done.outcomes], axis=0
        ).tolist(),
        "files": first.get("files")
        and {**first["files"], "split_warning": None, "by_split": {}},
        "folds": list(runs),
        "fold_column": column,
        "final": hparams["final"]
        and chosen_by_folds([run.metrics for run in every])
        or None,
        **evaluate_outcomes(done.outcomes, done.controls, options),
    }
    for value, block in zip(values, done.metrics["by_fold"]["each"]):
        block["fold"] = value
    folds_of = Counter(
        patient
        for outcome in done.outcomes
        for patient in set(outcome.test.patients)
    )
    done.metrics["by_fold"]["n_patients_of_several"] = sum(
        n > 1 for n in folds_of.values()
    )
    if "nuisance" in first:
        done.metrics["nuisance"] = mean_over_folds(
            [run.metrics["nuisance"] for run in every]
        )
    pooled, _ = pooled_predictions(
        done.outcomes, "recording", hparams["patient_score"]
    )
    folder = Path(hparams["output_folder"])
    folds = [folder / name for name in runs]
    run_on_main(write_predictions, args=[pooled, "test", folder, folds])
    run_on_main(finish, args=[hparams, done, []])
    return done
