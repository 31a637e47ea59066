#!/usr/bin/env python3
"""Recipe for adapting a pre-trained encoder to unlabelled cries with SimCLR,
with or without replay of the generic audio it was pre-trained on.

> python train_adapt.py hparams/cry_adapt_replay.yaml \
    --cry_folder=/path/to/cries --replay_folder=/path/to/VGGSound \
    --encoder_source=results/vggsound/2022

An epoch is one pass over the cries; a fixed share of each batch is replayed.
Loss and contrastive accuracy are logged for cries and for generic audio
apart: held-out generic audio shows what is being forgotten. With
--control=True as many steps are made on generic audio alone.
"""

import data_prep  # noqa: F401 (explains a broken environment)

# isort: split
import copy
import logging
from pathlib import Path

import speechbrain as sb
import torch
from speechbrain.utils.distributed import run_on_main
from torch.utils.data import ConcatDataset

from cry_modules.anchors import Anchor, interpolate
from cry_modules.checkpoints.encoders import EncoderSource, load_companion
from cry_modules.distributed import own_share
from cry_modules.finetune import AdaptedEncoder
from cry_modules.replay import ReplayBatchSampler
from cry_modules.training.experiment import load, log_environment, to_save
from cry_modules.training.history import History
from cry_modules.training.options import parse_arguments
from cry_modules.training.simclr import (
    SimCLRBrain,
    probes_of,
    read_views,
    train_simclr,
    valid_batches,
    views_by_split,
)
from data_prep import manifest
from data_prep.corpora.preparation import require_folder
from data_prep.corpora.unlabelled import prepare_unlabelled
from data_prep.files.atomic import complete_or_absent, make_folder
from data_prep.files.errors import InputError, one_line_errors
from data_prep.files.keyed_rows import KeyedRows
from data_prep.manifest import read_corpus
from data_prep.vggsound_prepare import prepare_vggsound

logger = logging.getLogger(__name__)


def prepare(hparams, manifests):
    """Manifests of the cries and, where a folder is given, of what is
    replayed or watched."""
    run_on_main(
        prepare_unlabelled,
        kwargs={
            "cry_folder": hparams["cry_folder"],
            "save_folder": f"{manifests}",
            "recordings_csv": hparams["recordings_csv"],
            "exclude": hparams["exclude"],
            "excluded": hparams["excluded"],
            "exclude_folder": hparams["exclude_folder"],
            "valid_share": hparams["valid_share"],
            "seed": hparams["seed"],
        },
    )
    if hparams["replay_folder"] is not None:
        run_on_main(
            prepare_vggsound,
            kwargs={
                "data_folder": hparams["replay_folder"],
                "save_folder": f"{manifests}/replay",
                "valid_share": hparams["valid_share"],
            },
        )


def dataio_prep(hparams, manifests):
    """Datasets by split: the cries, then the generic audio if there is any."""
    folders = {"cry": (manifests, hparams["cry_folder"])}
    if hparams["replay_folder"] is not None:
        folders["generic"] = (f"{manifests}/replay", hparams["replay_folder"])
    return {
        split: [
            read_views(hparams, f"{folder}/{split}.csv", root, n_views, corpus)
            for corpus, (folder, root) in folders.items()
        ]
        for split, n_views in views_by_split(hparams).items()
    }


def own_copy(hparams):
    """Where a run keeps what it began with: anchors need it again."""
    return Path(hparams["output_folder"]) / "pretrained"


def save_states(states, folder):
    """State dicts by name, each file complete or not there."""
    make_folder(folder)
    for name, state in states.items():
        with complete_or_absent(folder / f"{name}.ckpt") as partial:
            torch.save(state, partial)


def check_options(hparams):
    """Refuse what cannot be, before anything is written."""
    if hparams["excluded"] == "drop" and not hparams["exclude"]:
        raise InputError(
            "excluded is 'drop' and there is nothing to leave out; pass "
            "--exclude with the manifests you evaluate on"
        )
    require_folder(hparams["cry_folder"], "--cry_folder", "cries")
    if hparams["replay_folder"] is not None:
        require_folder(hparams["replay_folder"], "--replay_folder", "VGGSound")
        return
    for name, off in (
        ("replay_ratio", 0.0),
        ("replay", "fixed"),
        ("control", False),
    ):
        if hparams[name] != off:
            raise InputError(
                f"{name} is {hparams[name]} and there is nothing to replay; "
                "pass --replay_folder"
            )


def make_sampler(hparams, datasets):
    """Batches with their share of replay, over the joined datasets."""
    n_cries = len(datasets[0])
    n_generic = sum(map(len, datasets[1:]))
    try:
        return ReplayBatchSampler(
            n_cries,
            n_generic,
            hparams["batch_size"],
            hparams["replay_ratio"],
            hparams["seed"],
            hparams["replay"],
            hparams["control"],
        )
    except ValueError as error:
        raise InputError(str(error))


def load_pretrained(hparams):
    """The encoder to adapt; its projector too, where it lies beside it: a new
    one would send noise into the encoder."""
    source = EncoderSource(hparams["encoder_source"])
    own = own_copy(hparams)
    front_end = hparams["logmel"].name
    if list(own.parent.glob("save/CKPT*")):
        # Whatever became of the source since, this run goes on with its own.
        path = EncoderSource(own).load(hparams["encoder"], front_end)
        load_companion(path, "projector.ckpt", hparams["projector"])
        return
    if source.kind == "random":
        logger.warning("encoder_source is null: adapting a random encoder")
        return
    path = source.load(hparams["encoder"], front_end)
    if load_companion(path, "projector.ckpt", hparams["projector"]):
        logger.info("Encoder and projector from %s", path.parent)
    else:
        logger.warning("Encoder from %s; a new, random projector", path)


def warn_of_seen(hparams, manifests):
    """Say so where what counts as held out was pre-trained on."""
    source = Path(str(hparams["encoder_source"])) / "manifest/train.csv"
    held_out = manifests / "replay/valid.csv"
    if not (source.is_file() and held_out.is_file()):
        return
    heard = KeyedRows(source, "ID")
    ids = [rec.ID for rec in manifest.read(held_out)]
    seen = sum(heard.find(ID) is not None for ID in ids)
    if seen:
        logger.warning(
            "%d of %d recordings of generic audio that should show what is "
            "forgotten were pre-trained on; give the --valid_share of that "
            "run, or a smaller one",
            seen,
            len(ids),
        )


def make_brain(hparams, run_opts):
    """Brain, with the layers that adapt and what holds them back."""
    try:
        encoder = AdaptedEncoder(hparams["encoder"], hparams["adapt_layers"])
        anchor = Anchor(
            hparams["encoder"],
            hparams["anchor_weights"],
            hparams["anchor_distillation"],
        )
    except ValueError as error:
        raise InputError(str(error))
    brain = SimCLRBrain(
        modules={**hparams["modules"], "encoder": encoder},
        opt_class=hparams["opt_class"],
        hparams=hparams,
        run_opts=run_opts,
        checkpointer=hparams["checkpointer"],
    )
    if anchor.weights or anchor.distillation:
        brain.anchor = anchor.to(brain.device)
    return brain


def make_loaders(brain, hparams, datasets):
    """Cries with their share of replay; each corpus apart to validate on."""
    sampler = make_sampler(hparams, datasets["train"])
    kwargs = {
        "num_workers": hparams["num_workers"],
        "collate_fn": sb.dataio.batch.PaddedBatch,
    }
    return (
        brain.make_train_loader(
            ConcatDataset(datasets["train"]), sampler, **kwargs
        ),
        brain.make_valid_loader(
            ConcatDataset(datasets["valid"]),
            batch_sampler=own_share(
                valid_batches(
                    [len(d) for d in datasets["valid"]],
                    hparams["batch_size"],
                    hparams["seed"],
                )
            ),
            **kwargs,
        ),
    )


def corpus_name(hparams, manifests):
    """What an encoder of this run has heard."""
    names = [read_corpus(manifests)["name"]]
    if hparams["replay_folder"] is not None:
        generic = read_corpus(manifests / "replay")["name"]
        if hparams["control"]:
            return generic
        if hparams["replay_ratio"] or hparams["replay"] == "proportional":
            names.append(generic)
    return " + ".join(names)


def save_between(hparams, pretrained):
    """Weights between the pre-trained and the adapted ones (WiSE-FT)."""
    folder = Path(hparams["output_folder"]) / "interpolated"
    share = hparams["interpolate"]
    between = {
        name: interpolate(old, hparams[name].state_dict(), share)
        for name, old in pretrained.items()
    }
    save_states(between, folder)
    logger.info(
        "Weights with a share of %s of the pre-trained ones in %s",
        share,
        folder,
    )


def describe(row, before):
    """What adaptation gave and took, in a phrase a corpus."""
    prefix = "valid_accuracy_"
    return ", ".join(
        f"on held-out {'cries' if key.endswith('cry') else 'generic audio'} "
        f"{before[key]:.3f} before, {row[key]:.3f} after"
        for key in row
        if key.startswith(prefix)
    )


def main(argv=None):
    """From the command line to an adapted encoder."""
    with one_line_errors():
        hparams_file, run_opts, overrides = parse_arguments(argv)
        sb.utils.distributed.ddp_init_group(run_opts)
        needs = ("cry_folder", "replay_ratio")
        hparams = load(hparams_file, overrides, needs)
        check_options(hparams)
        sb.create_experiment_directory(
            experiment_directory=hparams["output_folder"],
            hyperparams_to_save=to_save(hparams, hparams_file),
            overrides=overrides,
            save_env_desc=False,
        )
        environment = log_environment(hparams["output_folder"])
        load_pretrained(hparams)
        pretrained = {
            name: copy.deepcopy(hparams[name].state_dict())
            for name in ("encoder", "projector")
        }
        run_on_main(save_states, args=[pretrained, own_copy(hparams)])
        manifests = Path(hparams["output_folder"]) / "manifest"
        prepare(hparams, manifests)
        warn_of_seen(hparams, manifests)
        datasets = dataio_prep(hparams, manifests)
        brain = make_brain(hparams, run_opts)
        brain.history = History(
            hparams["output_folder"], hparams["tensorboard"]
        )
        brain.two_passes = hparams["two_passes"]
        brain.probe_every = hparams["probe_every"]
        brain.probes = probes_of(hparams, datasets["train"])
        loaders = make_loaders(brain, hparams, datasets)
        corpus = corpus_name(hparams, manifests)
        environment.join()
        last = train_simclr(brain, hparams, *loaders, corpus)
        if hparams["interpolate"]:
            run_on_main(save_between, args=[hparams, pretrained])
        changes = describe(last, brain.before)
        line = (
            f"done: {last['epoch']} epochs on {corpus}; contrastive accuracy "
            f"{changes}; encoder in {hparams['output_folder']}, curves.png "
            "beside it"
        )
        run_on_main(print, args=[line])


if __name__ == "__main__":
    main()
