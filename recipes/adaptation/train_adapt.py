#!/usr/bin/env python3
"""Recipe for adapting a pre-trained encoder to unlabelled cries with SimCLR,
with or without replay of the generic audio it was pre-trained on.

> python train_adapt.py hparams/cry_adapt_replay.yaml \
    --cry_folder=/path/to/cries --replay_folder=/path/to/VGGSound \
    --encoder_source=results/vggsound/2022

An epoch is one pass over the cries; a fixed share of each batch is replayed.
Loss and contrastive accuracy are logged for cries and for generic audio
apart: held-out generic audio shows what is being forgotten.

Authors
 * The contributors of cry-ssl 2026
"""

import logging
from pathlib import Path

import speechbrain as sb
import torch
from speechbrain.utils.distributed import run_on_main
from torch.utils.data import ConcatDataset

from cry_modules.arguments import parse_arguments
from cry_modules.checkpoints import load_beside, load_encoder
from cry_modules.experiment import load
from cry_modules.replay import ReplayBatchSampler
from cry_modules.simclr import (
    SimCLRBrain,
    read_views,
    train_simclr,
    valid_batches,
)
from data_prep.errors import InputError, one_line_errors
from data_prep.manifest import read_corpus
from data_prep.preparation import require_folder
from data_prep.unlabelled_prepare import prepare_unlabelled
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
            read_views(hparams, f"{folder}/{split}.csv", root, corpus)
            for corpus, (folder, root) in folders.items()
        ]
        for split in ("train", "valid")
    }


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
        )
    except ValueError as error:
        raise InputError(str(error))


def load_pretrained(hparams):
    """The encoder to adapt; its projector too, where it lies beside it: a new
    one would send noise into the encoder."""
    source = hparams["encoder_source"]
    if source is None:
        logger.warning("encoder_source is null: adapting a random encoder")
        return
    path = load_encoder(hparams["encoder"], source)
    if load_beside(path, "projector.ckpt", hparams["projector"]):
        logger.info("Encoder and projector from %s", path.parent)
    else:
        logger.warning("Encoder from %s; a new, random projector", path)


def main(argv=None):
    """From the command line to an adapted encoder."""
    with one_line_errors():
        hparams_file, run_opts, overrides = parse_arguments(argv)
        sb.utils.distributed.ddp_init_group(run_opts)
        needs = ("cry_folder", "replay_ratio")
        hparams = load(hparams_file, overrides, needs)
        require_folder(hparams["cry_folder"], "--cry_folder", "cries")
        if hparams["replay_folder"] is not None:
            require_folder(
                hparams["replay_folder"], "--replay_folder", "VGGSound"
            )
        if hparams["replay_ratio"] > 0 and hparams["replay_folder"] is None:
            raise InputError(
                f"replay_ratio is {hparams['replay_ratio']} and there is "
                "nothing to replay; pass --replay_folder"
            )
        sb.create_experiment_directory(
            experiment_directory=hparams["output_folder"],
            hyperparams_to_save=hparams_file,
            overrides=overrides,
        )
        load_pretrained(hparams)
        manifests = Path(hparams["output_folder"]) / "manifest"
        prepare(hparams, manifests)
        datasets = dataio_prep(hparams, manifests)
        sampler = make_sampler(hparams, datasets["train"])

        brain = SimCLRBrain(
            modules=hparams["modules"],
            opt_class=hparams["opt_class"],
            hparams=hparams,
            run_opts=run_opts,
            checkpointer=hparams["checkpointer"],
        )
        train_loader = brain.make_dataloader(
            ConcatDataset(datasets["train"]),
            sb.Stage.TRAIN,
            batch_sampler=sampler,
            collate_fn=sb.dataio.batch.PaddedBatch,
            num_workers=hparams["num_workers"],
            generator=torch.Generator(),
        )
        # In one process SpeechBrain sets the epoch of this sampler alone.
        brain.train_sampler = brain.train_sampler or sampler
        valid_loader = brain.make_dataloader(
            ConcatDataset(datasets["valid"]),
            sb.Stage.VALID,
            ckpt_prefix=None,
            batch_sampler=valid_batches(
                [len(d) for d in datasets["valid"]],
                hparams["batch_size"],
                hparams["seed"],
            ),
            collate_fn=sb.dataio.batch.PaddedBatch,
            num_workers=hparams["num_workers"],
            generator=torch.Generator(),
        )
        corpus = read_corpus(manifests)["name"]
        if sampler.n_replay:
            corpus += f" + {read_corpus(manifests / 'replay')['name']}"
        train_simclr(brain, hparams, train_loader, valid_loader, corpus)


if __name__ == "__main__":
    main()
