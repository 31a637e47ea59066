#!/usr/bin/env python3
"""Recipe for training a classifier of recordings on an encoder: a linear
probe, a probe with the encoder's BatchNorm, or end to end.

> python train_cls.py hparams/neuro_linear_bn.yaml \
    --data_folder=/path/to/cries --encoder_source=results/cry_adapt_replay/2022

Trains on random chunks or whole recordings, tests on whole recordings or
averaged chunks (recordings above two minutes: always chunks), and chooses the
model on the validation split by AUC. A ``linear`` encoder does not change, so
it embeds each recording once, for all runs with the same ``--embedding_cache``.
``--folds all`` trains and tests one model per fold and pools the predictions;
``--final True`` adds one model of all recordings, to share.
The Brain is in cry_modules/training/classification.py, the metrics are in
cry_modules/metrics/figures.py; after.py evaluates and reports.
"""

from cry_modules.training.options import check_first, parse_arguments

check_first(__name__, "neuro_linear.yaml")

# isort: split
import gc
import logging
from functools import partial
from pathlib import Path

import numpy as np
from speechbrain.utils.data_pipeline import DynamicItem
from speechbrain.utils.distributed import run_on_main
from tqdm import tqdm

from cry_modules.architectures import is_pretrained
from cry_modules.audio import repeat_to, shortest_input
from cry_modules.checkpoints.encoders import CALIBRATED, EncoderSource
from cry_modules.checkpoints.saved_model import FINAL
from cry_modules.distributed import join_ranks, rank, unwrapped
from cry_modules.embeddings import EMBEDDING, LogMelStatistics
from cry_modules.evaluation import controls, report
from cry_modules.evaluation.columns import nuisance_columns
from cry_modules.lengths import LONGEST_S
from cry_modules.training.batches import (
    EmbeddingSet,
    LengthBatchSampler,
    random_order,
)
from cry_modules.training.classification import (
    ClassificationBrain,
    prevalence_of,
)
from cry_modules.training.dataset import (
    SharedPartial,
    manifest_dataset,
    rows_of,
    seconds_of,
    whole_recording,
)
from cry_modules.training.derived_settings import (
    with_classes,
    with_encoder_settings,
)
from cry_modules.training.experiment import (
    begin,
    load,
    only_process_in,
    write_variant,
)
from cry_modules.training.forecast import forecast_classification
from cry_modules.training.history import History
from cry_modules.training.recompute import recompute_blocks
from cry_modules.training.resume import check_data
from cry_modules.training.schedule import step_schedule
from data_prep import manifest
from data_prep.corpora.preparation import require_folder
from data_prep.files.errors import one_line_errors
from data_prep.files.quiet import shown_once
from recipes.classification import after, folds
from recipes.classification.checks import check_options, read_labels
from recipes.classification.embedding_cache import EmbeddingCache
from recipes.classification.pretrained import draw_again, load_pretrained

logger = logging.getLogger(__name__)


def dataio_prepare(
    hparams, manifests, classes, trained_on=None, splits=manifest.SPLITS
):
    """Dataset of each split, with signals ``[samples]``, or what reads the
    windows of long ones. To train on, training recordings are random chunks
    if `trained_on` is ``chunks``, or if they are long."""
    reader, chunks = hparams["reader"], hparams["chunks"]
    # Refuse a pack of another rate here, not in a loader worker.
    reader.pack_of(str(hparams["data_folder"]))
    reader.expect(manifests, str(hparams["data_folder"]))
    shortest = shortest_input(hparams["logmel"].hop)

    recording = whole_recording(reader, shortest)
    part = SharedPartial(trained_part, reader, chunks, shortest, trained_on)
    trained = DynamicItem(["id", "wav", "start", "stop"], part, ["sig"])
    class_index = DynamicItem(["label"], classes.index, ["class_index"])
    signals = dict.fromkeys(splits, recording)
    if trained_on is not None:
        signals["train"] = trained
    return {
        split: manifest_dataset(
            f"{manifests}/{split}.csv",
            replacements={"data_root": str(hparams["data_folder"])},
            dynamic_items=[signal, class_index],
            output_keys=["id", "patient_id", "sig", "class_index"],
        ).filtered_sorted(sort_key="duration")
        for split, signal in signals.items()
    }


def trained_part(
    reader, chunks, shortest, trained_on, recording_id, wav, start, stop
):
    """Read what a recording gives to training: itself or a random chunk."""
    start, stop = float(start), float(stop)
    if trained_on == "recordings" and stop - start <= LONGEST_S:
        return reader.model_input(wav, start, stop, shortest)
    sound = reader.open(wav, start, stop)
    is_longer = len(sound) > chunks.n_samples
    sig = chunks(sound, recording_id, 1)[0] if is_longer else sound[:]
    return repeat_to(sig * sound.gain, shortest)


def make_brain(hparams, run_opts, train_labels, classes):
    """Brain and head for these classes."""
    embedder = hparams["embedder"]
    head = hparams["head"](
        embedder.dimension(), len(classes), embedder.n_layers
    )
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
    # A frozen encoder embeds each whole recording once.
    brain.cached = (
        hparams["finetuned"].frozen and hparams["trained_on"] == "recordings"
    )
    brain.history = History(hparams["output_folder"])
    return brain


def train_batches(hparams, train_set):
    """Batches of training recordings of similar length."""
    labels = [row["label"] for row in rows_of(train_set)]
    seconds, chunk_s = np.array(seconds_of(train_set)), hparams["chunk_s"]
    longest = chunk_s if hparams["trained_on"] == "chunks" else LONGEST_S
    seconds = np.where(seconds > longest, chunk_s, seconds)
    seed = hparams["seed"]
    order = random_order(labels, hparams["balance"] == "sampling", seed)
    return LengthBatchSampler(order, seconds, hparams["batch_size"], seed)


def forecast(brain, hparams, recordings, n_batches):
    """Log the expected time and memory of training, and turn on activation
    checkpointing if requested."""
    epochs, n_train = hparams["number_of_epochs"], len(recordings["train"])
    steps = f"{n_batches * epochs} batches in at most {epochs} epochs"
    if hparams.get("solver") == "lbfgs":
        steps = "logistic regression at its optimum"
    mode = hparams["finetune_mode"]
    logger.info("%s on %d recordings: %s", mode, n_train, steps)
    seconds = {split: seconds_of(part) for split, part in recordings.items()}
    forecast_classification(brain, hparams, seconds, n_batches)
    if hparams["checkpoint_activations"]:
        recompute_blocks(hparams["encoder"])


def fit(brain, hparams, datasets, batches):
    """Train, with a learning-rate schedule for the actual number of steps."""
    options = after.batch_options(brain, hparams)
    train_loader = brain.make_train_loader(
        datasets["train"], batches, **options
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
        valid_loader_kwargs=after.eval_options(
            hparams, datasets["valid"], **options
        ),
    )
    counter = hparams["epoch_counter"]
    if brain.validates:
        early = counter.current < counter.limit
        logger.info(
            "Stopped after epoch %d of %d%s; epoch %d, the best on validation, "
            "is used",
            counter.current,
            counter.limit,
            f", {counter.patience} without a better AUC" if early else "",
            brain.chosen()["epoch"],
        )


def run(hparams, hparams_file, overrides, run_opts, embed_all=None):
    """Prepare, train, test and report one model."""
    check_options(hparams)
    embed_all = embed_all or EmbeddingCache(hparams.get("embedding_cache"))
    options = after.evaluation_options(hparams)
    nuisance = nuisance_columns(hparams)
    environment = begin(hparams, hparams_file, overrides, __file__)
    manifests = f"{hparams['output_folder']}/manifest"
    run_on_main(hparams["prepare"], kwargs={"save_folder": manifests})
    environment.join()
    check_data(hparams, manifests)
    train_labels, classes = read_labels(manifests, hparams["classes"])
    files = after.look_at_files(hparams, manifests)
    if hparams["controls"]:
        controls.check_training_size(len(train_labels))
    recordings = dataio_prepare(hparams, manifests, classes)
    datasets = dataio_prepare(
        hparams, manifests, classes, hparams["trained_on"]
    )
    brain = make_brain(hparams, run_opts, train_labels, classes)
    load_pretrained(hparams, datasets["train"], brain.device)
    batches = train_batches(hparams, recordings["train"])
    forecast(brain, hparams, recordings, len(batches))
    embs, embedded = None, partial(embed_all, brain, hparams, recordings)
    if brain.cached:
        embs = embedded(hparams["embedder"], "embedding")
        datasets = {split: EmbeddingSet(part) for split, part in embs.items()}
    if hparams.get("solver") == "lbfgs":
        brain.solve(datasets["train"], datasets["valid"])
    else:
        fit(brain, hparams, datasets, batches)
    done = after.Run([after.predict(brain, hparams, datasets)])

    if hparams["controls"] or nuisance is not None:
        logmel = embedded(LogMelStatistics(hparams["logmel"]), "log-mel")
    if hparams["controls"]:
        done.controls = after.train_controls(hparams, brain, logmel, embedded)
        done.controls |= random_encoders(
            hparams, hparams_file, overrides, run_opts, brain.cached
        )
    corpus = manifest.read_corpus(manifests)
    done.metrics = after.model_metrics(
        hparams, brain, done, options, corpus, files
    )
    if nuisance is not None:
        embs = embs or embedded(unwrapped(brain.modules.embedder), "embedding")
        parts = brain, hparams, recordings, embs, logmel, nuisance
        done.metrics["nuisance"] = after.nuisances(*parts)
    known = brain, hparams, recordings["train"], embs and embs["train"]
    done.metrics["training_recordings"] = after.training_recordings(*known)
    run_on_main(after.finish, args=[hparams, done, brain.history.rows])
    return done


def random_encoders(hparams, hparams_file, overrides, run_opts, several):
    """Run the same recipe with random encoders: the control for a head that
    also reads blocks or log-mel statistics, from which any encoder gains.

    One random encoder, or `several`, since they differ; outcomes by name. None
    for other heads, and for encoders that are random or always pre-trained.
    """
    if (
        hparams["readout"] == EMBEDDING
        or EncoderSource(hparams["encoder_source"]).kind == CALIBRATED
        or is_pretrained(hparams["architecture"])
    ):
        return {}
    changes = {
        "encoder_source": CALIBRATED,
        **{"controls": False, "figures": False},
        **{"nuisance": None, "subgroups": None, "folds": None},
        "final": False,
    }
    outcomes = {}
    for draw in range(controls.N_RANDOM_ENCODERS if several else 1):
        name = controls.random_encoder(draw)
        folder = Path(hparams["output_folder"]) / "controls" / name
        outcomes[name] = run_variant(
            hparams_file, overrides, run_opts, folder, changes, draw
        ).outcomes
    return outcomes


def run_variant(
    hparams_file, overrides, run_opts, folder, changes, draw=0, how=None
):
    """Run the same recipe in another folder with some settings changed;
    `draw` above 0 is another draw of the random encoder, `how` runs it in
    place of ``run``."""
    with only_process_in(folder):
        arguments = [hparams_file, overrides, folder, changes]
        run_on_main(write_variant, args=arguments)
        variant = str(folder / "hyperparams.yaml")
        changed = load(variant, {})
        if draw:
            parts = changed["encoder"], changed["logmel"].n_mels
            draw_again(*parts, changed["seed"] + draw)
        done = (how or run)(changed, variant, {}, run_opts)
    gc.collect()  # its recordings and weights, which are in reference cycles
    return done


def run_folds(hparams, hparams_file, overrides, run_opts):
    """Train a model per fold, each tested on its fold, and pool them; with
    ``--final True``, then one of all recordings."""
    check_options(hparams)
    options = after.evaluation_options(hparams)
    column, values, changes = folds.changes_of_folds(hparams)
    begin(hparams, hparams_file, overrides, __file__).join()
    output, runs, shown = Path(hparams["output_folder"]), {}, set()
    cached = {"embed_all": EmbeddingCache(hparams.get("embedding_cache"))}
    how, parts = partial(run, **cached), (hparams_file, overrides)
    for i, (name, change) in enumerate(changes.items()):
        logger.info("Fold %d of %d: %s", i + 1, len(values), values[i])
        run_opts = folds.without_bars(run_opts) if i else run_opts
        with shown_once(shown, hides_news=i > 0):
            run_on_main(folds.share_audit, args=[[*runs], output, name])
            arguments = *parts, run_opts, output / name, change
            runs[name] = run_variant(*arguments, how=how)
    done = after.pool(hparams, column, values, runs, options)
    if hparams["final"]:
        how = partial(run_final, done=done, **cached)
        change = {"folds": None, "final": False}
        logger.info("The final model, of all recordings")
        with shown_once(shown, hides_news=True):
            run_variant(*parts, run_opts, output / FINAL, change, how=how)
    return done


def run_final(hparams, hparams_file, overrides, run_opts, done, embed_all):
    """Train one model on the recordings of all folds, for as long, or with the
    penalty, that the folds have chosen. No recording validates it."""
    begin(hparams, hparams_file, overrides, __file__).join()
    manifests = f"{hparams['output_folder']}/manifest"
    fold_folder = Path(hparams["output_folder"]).parent
    each = [fold_folder / name for name in done.metrics["folds"]]
    classes = done.metrics["classes"]
    run_on_main(
        folds.write_manifest_of_all,
        args=[each, Path(manifests), hparams["data_folder"], classes],
    )
    check_data(hparams, manifests)
    labels = [rec.label for rec in manifest.read(f"{manifests}/train.csv")]
    every = dataio_prepare(hparams, manifests, classes, None, ["train"])
    datasets = dataio_prepare(
        *(hparams, manifests, classes, hparams["trained_on"], ["train"])
    )
    brain = make_brain(hparams, run_opts, labels, classes)
    brain.validates = False
    load_pretrained(hparams, datasets["train"], brain.device)
    batches, embs = train_batches(hparams, every["train"]), None
    if brain.cached:
        parts = brain, hparams, every, hparams["embedder"], "embedding"
        embs = embed_all(*parts)["train"]
        datasets = {"train": EmbeddingSet(embs)}
    chosen, train = done.metrics["final"], datasets["train"]
    if "c" in chosen:
        brain.solve(train, train, [chosen["c"]])
    else:
        # A validation ends each epoch: let it be short.
        least = every["train"].filtered_sorted(select_n=1)
        datasets["valid"] = train if brain.cached else least
        counter = hparams["epoch_counter"]
        counter.limit = counter.patience = chosen["epochs"]
        fit(brain, hparams, datasets, batches)
    options = after.evaluation_options(hparams)
    done.metrics["training_recordings"] = after.training_recordings(
        brain, hparams, every["train"], embs, each[0] / "manifest"
    )
    arguments = [hparams, done, brain.prevalence, options]
    run_on_main(folds.finish_final, args=arguments)


def main(argv=None):
    """Train, test and report from the command line."""
    with one_line_errors():
        hparams_file, run_opts, overrides = parse_arguments(
            argv, "neuro_linear.yaml"
        )
        join_ranks(run_opts)
        if "label_column" in overrides:
            overrides.setdefault("task", overrides["label_column"])
        overrides = with_encoder_settings(hparams_file, overrides)
        overrides = with_classes(hparams_file, overrides)
        needs = ("task", "prepare", "finetune_mode")
        hparams = load(hparams_file, overrides, needs)
        require_folder(hparams["data_folder"], "--data_folder", "the corpus")
        folds.check_final(hparams)
        how = run_folds if hparams.get("folds") else run
        with only_process_in(hparams["output_folder"]):
            done = how(hparams, hparams_file, overrides, run_opts)
        if rank() == 0:
            for row in report.fold_rows(done.metrics):
                print(row)
            print(report.summary(done.metrics, hparams["output_folder"]))
            if done.metrics.get("final"):
                print(folds.final_line(hparams["output_folder"], done.metrics))


if __name__ == "__main__":
    main()
