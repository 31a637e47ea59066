#!/usr/bin/env python3
"""Recipe for training a classifier of recordings on an encoder: a linear
probe, a probe with the encoder's BatchNorm, or all of it.

> python train_cls.py hparams/neuro_linear_bn.yaml \
    --data_folder=/path/to/cries --encoder_source=results/cry_adapt_replay/2022

Training hears random chunks, testing whole recordings. The model is chosen on
the validation split by AUC. A ``linear`` encoder changes in nothing, so its
embeddings of whole recordings are computed once.

To read this code efficiently, begin with main() at the bottom, then see what
the Brain does to a batch.

Authors
 * The contributors of cry-ssl 2026
"""

import json
import logging
import time
from collections import Counter

import numpy as np
import speechbrain as sb
import torch
import torch.nn.functional as F
from speechbrain.dataio.dataset import DynamicItemDataset
from speechbrain.utils.distributed import run_on_main
from tqdm import tqdm

from cry_modules.audio import repeat_to, shortest_input
from cry_modules.checkpoints import load_encoder
from cry_modules.experiment import History, load, parse_arguments, step_schedule
from cry_modules.finetune import calibrate_batch_norms
from cry_modules.metrics import Predictions, auc, summarise
from cry_modules.schedule import warmup_cosine
from data_prep import manifest
from data_prep.errors import InputError, one_line_errors
from data_prep.preparation import require_folder
from data_prep.tables import write_text

logger = logging.getLogger(__name__)

#: A checkpoint of an epoch that is not the best is for resuming; epochs of
#: milliseconds are not each worth one.
_CHECKPOINT_S = 60

#: Batches of chunks that set a random encoder's BatchNorm statistics.
_CALIBRATION_BATCHES = 6


class ClassificationBrain(sb.Brain):
    """Cross-entropy on the logits of whole recordings or chunks.

    Set ``history``, ``schedule``, ``classes`` and ``class_weights`` before
    ``fit``; ``predictions`` are those of the last evaluation.
    """

    def compute_forward(self, batch, stage):
        """Logits ``[batch, n_classes]``."""
        batch = batch.to(self.device)
        if self.hparams.finetune_mode == "linear":
            return self.modules.head(batch.emb.data)
        feats, lengths = self.modules.features(*batch.sig)
        return self.modules.head(self.modules.encoder(feats, lengths))

    def compute_objectives(self, predictions, batch, stage):
        """Weighted cross-entropy; keeps scores when evaluating."""
        logits, labels = predictions.float(), batch.class_index.to(self.device)
        loss = F.cross_entropy(logits, labels, weight=self.class_weights)
        self.loss_sum += loss.item() * len(labels)
        self.n_seen += len(labels)
        if stage != sb.Stage.TRAIN:
            scores = torch.softmax(logits.double(), dim=1)
            self.seen.append(
                (batch.id, batch.patient_id, labels.tolist(), scores.tolist())
            )
        return loss

    def on_fit_start(self):
        """Scores of earlier epochs, where a run goes on."""
        super().on_fit_start()
        done = self.hparams.epoch_counter.current
        scores = [
            row["valid_auc"]
            for row in self.history.rows
            if row["epoch"] <= done
        ]
        self.best = max(scores, default=-1.0)
        self.saved = time.time()

    def on_fit_batch_start(self, batch, should_step):
        """The learning rate of this step."""
        self.lr = warmup_cosine(self.optimizer_step, **self.schedule)
        for group in self.optimizer.param_groups:
            group["lr"] = self.lr

    def on_stage_start(self, stage, epoch=None):
        """New sums, new scores; the chunks of this epoch."""
        self.loss_sum, self.n_seen, self.seen = 0.0, 0, []
        if stage == sb.Stage.TRAIN:
            self.hparams.chunks.epoch = epoch
        self.stage_began = time.time()

    def on_stage_end(self, stage, stage_loss, epoch=None):
        """Write the epoch's row, and a checkpoint of the best."""
        loss = self.loss_sum / self.n_seen
        if stage == sb.Stage.TRAIN:
            seconds = time.time() - self.stage_began
            self.row = {
                "epoch": epoch,
                "lr": self.lr,
                "seconds": round(seconds, 3),
                "clips_per_s": round(self.n_seen / seconds, 2),
                "train_loss": loss,
            }
            return
        self.predictions = self._collect()
        if stage == sb.Stage.TEST:
            return
        score = auc(self.predictions.labels, self.predictions.scores) or 0.0
        self.row.update(valid_loss=loss, valid_auc=score)
        self.hparams.train_logger.log_stats(
            self.row, verbose=self.hparams.finetune_mode != "linear"
        )
        self.history.add(self.row)
        self._save(epoch, score)

    def _collect(self):
        ids, patients, labels, scores = zip(*self.seen)
        return Predictions(
            sum(ids, []),
            sum(patients, []),
            np.array(sum(labels, [])),
            np.array(sum(scores, [])),
            self.classes,
        )

    def _save(self, epoch, score):
        is_last = epoch == self.hparams.number_of_epochs
        is_due = time.time() - self.saved > _CHECKPOINT_S
        if score > self.best or is_last or is_due:
            self.checkpointer.save_and_keep_only(
                meta={"epoch": epoch, "score": score},
                max_keys=["score"],
                verbosity=logging.DEBUG,
            )
            self.saved = time.time()
        self.best = max(self.best, score)


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
                chunk if split == "train" and _uses_chunks(hparams) else whole,
                class_index,
            ],
            output_keys=["id", "patient_id", "sig", "class_index"],
        ).filtered_sorted(sort_key="duration")
        for split in manifest.SPLITS
    }


def _uses_chunks(hparams):
    return hparams["finetune_mode"] != "linear"


@torch.no_grad()
def embed(hparams, datasets, device, batch_size):
    """Embeddings of whole recordings, computed once for a frozen encoder.

    Arguments
    ---------
    hparams : dict
        With ``features`` and ``encoder``.
    datasets : dict of DynamicItemDataset
        As ``dataio_prep`` makes them.
    device : str
        Where to compute.
    batch_size : int
        Recordings at once.

    Returns
    -------
    dict of DynamicItemDataset
        With ``emb`` in place of ``sig``: ``[emb_dim]``.
    """
    features = hparams["features"].to(device).eval()
    encoder = hparams["encoder"].to(device).eval()
    cached = {}
    for split, dataset in datasets.items():
        items = {}
        loader = sb.dataio.dataloader.make_dataloader(
            dataset, batch_size=batch_size, num_workers=hparams["num_workers"]
        )
        for batch in tqdm(loader, desc=f"embedding {split}"):
            embs = encoder(*features(*batch.to(device).sig)).cpu()
            rows = zip(batch.id, batch.patient_id, batch.class_index, embs)
            for recording_id, patient_id, index, emb in rows:
                items[recording_id] = {
                    "patient_id": patient_id,
                    "class_index": int(index),
                    "emb": emb,
                }
        keys = ["id", "patient_id", "emb", "class_index"]
        cached[split] = DynamicItemDataset(items, output_keys=keys)
    return cached


def load_pretrained(hparams, device):
    """The encoder a run begins with, and a calibration where it is asked."""
    source = hparams["encoder_source"]
    if source in (None, "random_calibrated"):
        logger.warning("encoder_source is %s: a random encoder", source)
    else:
        path = load_encoder(hparams["encoder"], source)
        logger.info("Encoder from %s", path)


def calibrate(hparams, dataset, device):
    """BatchNorm statistics of a random encoder from some training chunks."""
    chunks, logmel = hparams["chunks"], hparams["features"].to(device).eval()
    size = hparams["batch_size"]
    rng = np.random.default_rng(hparams["seed"])
    order = rng.permutation(len(dataset))[: size * _CALIBRATION_BATCHES]

    def batches():
        for first in range(0, len(order), size):
            items = [dataset[int(i)] for i in order[first : first + size]]
            sigs = [chunks(item["sig"], item["id"], 1)[0] for item in items]
            yield logmel(torch.stack(sigs).to(device))[0]

    calibrate_batch_norms(hparams["encoder"].to(device), batches())


def class_weights(train_labels, classes, scheme):
    """Weight of each class in the loss.

    Arguments
    ---------
    train_labels : list of str
        Of the training recordings.
    classes : list of str
        Their order.
    scheme : str
        ``balanced``: inverse to the class's share; ``none``.

    Returns
    -------
    torch.Tensor or None
        ``[n_classes]``.

    Raises
    ------
    InputError
        Another scheme.

    Example
    -------
    >>> class_weights(["a", "a", "a", "b"], ["a", "b"], "balanced")
    tensor([0.6667, 2.0000])
    """
    if scheme not in ("balanced", "none"):
        raise InputError(
            f"class_weights is {scheme!r}; expected balanced or none"
        )
    if scheme == "none":
        return None
    n_of = Counter(train_labels)
    share = [n_of[c] * len(classes) / len(train_labels) for c in classes]
    return 1 / torch.tensor(share)


def read_labels(manifests, classes):
    """Labels of each split, and the classes where they are not given."""
    labels = {
        split: [rec.label for rec in manifest.read(f"{manifests}/{split}.csv")]
        for split in manifest.SPLITS
    }
    return labels, list(classes or sorted(set(labels["train"])))


def evaluate(brain, hparams, datasets, loader_kwargs):
    """Predictions of valid and test with the best checkpoint, on disk."""
    predictions = {}
    for split in ("valid", "test"):
        brain.evaluate(
            datasets[split], max_key="score", test_loader_kwargs=loader_kwargs
        )
        predictions[split] = brain.predictions
        brain.predictions.write(
            f"{hparams['output_folder']}/predictions_{split}.csv"
        )
    return predictions


def write_metrics(hparams, brain, predictions, corpus):
    """``metrics.json``, and its summary in one line."""
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
    write_text(
        f"{hparams['output_folder']}/metrics.json",
        json.dumps(metrics, indent=1, allow_nan=False) + "\n",
    )
    return metrics


def summary(metrics, output_folder):
    """One line for the terminal."""
    test = metrics["test"]["recording"]
    interval = "too few patients for an interval"
    if test["auc_ci95"]:
        low, high = test["auc_ci95"]
        interval = f"95 % interval by patient {low:.3f} to {high:.3f}"
    return (
        f"done: {metrics['task']} {metrics['finetune_mode']} on "
        f"{metrics['corpus']}, test AUC {test['auc']:.3f} "
        f"({interval}, {test['n']} recordings of "
        f"{test['n_patients']} patients), accuracy {test['accuracy']:.3f} "
        f"(majority {test['majority_accuracy']:.3f}); in {output_folder}"
    )


def main(argv=None):
    """From the command line to ``metrics.json``."""
    with one_line_errors():
        hparams_file, run_opts, overrides = parse_arguments(argv)
        sb.utils.distributed.ddp_init_group(run_opts)
        hparams = load(hparams_file, overrides)
        require_folder(hparams["data_folder"], "--data_folder", "the corpus")
        device = run_opts["device"] or sb.utils.distributed.infer_device()
        load_pretrained(hparams, device)
        sb.create_experiment_directory(
            experiment_directory=hparams["output_folder"],
            hyperparams_to_save=hparams_file,
            overrides=overrides,
        )
        manifests = f"{hparams['output_folder']}/manifest"
        run_on_main(hparams["prepare"], kwargs={"save_folder": manifests})
        labels, classes = read_labels(manifests, hparams["classes"])
        for split in manifest.SPLITS:
            if not labels[split]:
                raise InputError(
                    f"{hparams['data_folder']} has no recordings to {split} "
                    "with; add some"
                )
        head = hparams["head"](n_classes=len(classes))
        hparams["modules"]["head"] = head
        hparams["checkpointer"].add_recoverable("head", head)

        datasets = dataio_prep(hparams, manifests, classes)
        if hparams["encoder_source"] == "random_calibrated":
            calibrate(hparams, datasets["train"], device)
        eval_kwargs = {
            # Whole recordings: fewer at once than chunks.
            "batch_size": max(1, hparams["batch_size"] // 4),
            "num_workers": hparams["num_workers"],
        }
        if not _uses_chunks(hparams):
            datasets = embed(
                hparams, datasets, device, eval_kwargs["batch_size"]
            )

        brain = ClassificationBrain(
            modules=hparams["modules"],
            opt_class=hparams["opt_class"],
            hparams=hparams,
            run_opts=run_opts,
            checkpointer=hparams["checkpointer"],
        )
        brain.classes = classes
        weights = class_weights(
            labels["train"], classes, hparams["class_weights"]
        )
        brain.class_weights = None if weights is None else weights.to(device)
        fit(brain, hparams, datasets, eval_kwargs)
        predictions = evaluate(brain, hparams, datasets, eval_kwargs)
        corpus = manifest.read_corpus(manifests)["name"]
        metrics = write_metrics(hparams, brain, predictions, corpus)
        print(summary(metrics, hparams["output_folder"]))


def fit(brain, hparams, datasets, eval_kwargs):
    """Train with the schedule of the real number of steps."""
    n_train, batch_size = len(datasets["train"]), hparams["batch_size"]
    train_loader = brain.make_dataloader(
        datasets["train"],
        sb.Stage.TRAIN,
        batch_size=batch_size,
        shuffle=True,
        # BatchNorm cannot train on a last batch of one.
        drop_last=n_train % batch_size == 1,
        num_workers=hparams["num_workers"],
        # Else the loader draws from the generator that dropout uses.
        generator=torch.Generator(),
    )
    brain.history = History(hparams["output_folder"])
    brain.schedule = step_schedule(
        hparams, len(train_loader), brain.grad_accumulation_factor
    )
    epochs, bars = hparams["epoch_counter"], None
    if not _uses_chunks(hparams):
        # Epochs of milliseconds: one bar for all of them.
        logging.getLogger("speechbrain.utils.epoch_loop").setLevel("WARNING")
        epochs = tqdm(epochs, total=epochs.limit, desc="epochs")
        bars = False
    brain.fit(
        epochs,
        train_loader,
        datasets["valid"],
        progressbar=bars,
        valid_loader_kwargs=eval_kwargs,
    )


if __name__ == "__main__":
    main()
