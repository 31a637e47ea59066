#!/usr/bin/env python3
"""Recipe for pre-training an encoder with SimCLR on generic audio.

> python train_simclr.py hparams/vggsound.yaml --data_folder=/path/to/VGGSound

Two random chunks of a recording, masked as in SpecAugment, must find each
other among the chunks of all recordings of the batch. What happens to a batch
stands in cry_modules/simclr.py.

Authors
 * The contributors of cry-ssl 2026
"""

import speechbrain as sb
import torch
from speechbrain.utils.distributed import run_on_main

from cry_modules.arguments import parse_arguments
from cry_modules.experiment import load
from cry_modules.simclr import (
    SimCLRBrain,
    read_views,
    train_simclr,
    valid_batches,
)
from data_prep.errors import InputError, one_line_errors
from data_prep.manifest import read_corpus
from data_prep.preparation import require_folder
from data_prep.vggsound_prepare import prepare_vggsound


def make_loaders(brain, hparams, train, valid):
    """Shuffled full batches to train on, fixed ones to validate on."""
    batch_size = hparams["batch_size"]
    if len(train) < batch_size:
        raise InputError(
            f"{len(train)} recordings to train with do not fill a batch of "
            f"{batch_size}; lower --batch_size"
        )
    train_loader = brain.make_dataloader(
        train,
        sb.Stage.TRAIN,
        batch_size=batch_size,
        shuffle=True,
        drop_last=True,
        num_workers=hparams["num_workers"],
        # Else the loader draws from the generator that dropout uses.
        generator=torch.Generator(),
    )
    valid_loader = brain.make_dataloader(
        valid,
        sb.Stage.VALID,
        ckpt_prefix=None,
        batch_sampler=valid_batches([len(valid)], batch_size, hparams["seed"]),
        num_workers=hparams["num_workers"],
        generator=torch.Generator(),
    )
    return train_loader, valid_loader


def main(argv=None):
    """From the command line to a trained encoder."""
    with one_line_errors():
        hparams_file, run_opts, overrides = parse_arguments(argv)
        sb.utils.distributed.ddp_init_group(run_opts)
        needs = ("data_folder", "min_clips", "warmup_epochs")
        hparams = load(hparams_file, overrides, needs)
        require_folder(hparams["data_folder"], "--data_folder", "VGGSound")
        sb.create_experiment_directory(
            experiment_directory=hparams["output_folder"],
            hyperparams_to_save=hparams_file,
            overrides=overrides,
        )
        manifests = f"{hparams['output_folder']}/manifest"
        run_on_main(
            prepare_vggsound,
            kwargs={
                "data_folder": hparams["data_folder"],
                "save_folder": manifests,
                "valid_share": hparams["valid_share"],
                "min_clips": hparams["min_clips"],
            },
        )
        train, valid = (
            read_views(
                hparams, f"{manifests}/{split}.csv", hparams["data_folder"]
            )
            for split in ("train", "valid")
        )
        brain = SimCLRBrain(
            modules=hparams["modules"],
            opt_class=hparams["opt_class"],
            hparams=hparams,
            run_opts=run_opts,
            checkpointer=hparams["checkpointer"],
        )
        loaders = make_loaders(brain, hparams, train, valid)
        corpus = read_corpus(manifests)["name"]
        train_simclr(brain, hparams, *loaders, corpus)


if __name__ == "__main__":
    main()
