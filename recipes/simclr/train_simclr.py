#!/usr/bin/env python3
"""Recipe for pre-training an encoder with SimCLR on generic audio.

> python train_simclr.py hparams/vggsound.yaml --data_folder=/path/to/VGGSound

Two random chunks of a recording, masked as in SpecAugment, must find each
other among the chunks of all recordings of the batch. The Brain is in
cry_modules/training/simclr.py.
"""

from cry_modules.training.options import check_first, parse_arguments

check_first(__name__, "vggsound.yaml")

# isort: split
from pathlib import Path

from speechbrain.utils.distributed import run_on_main

from cry_modules.distributed import join_ranks, own_share
from cry_modules.training.batches import FullBatches
from cry_modules.training.experiment import begin, load, only_process_in
from cry_modules.training.monitor import judgement
from cry_modules.training.resume import check_data
from cry_modules.training.simclr import (
    SimCLRBrain,
    probes_of,
    train_simclr,
    use_own_head,
)
from cry_modules.training.views_data import read_views, valid_batches
from data_prep.corpora.preparation import require_folder
from data_prep.files.errors import InputError, one_line_errors
from data_prep.manifest import read_corpus
from data_prep.vggsound_prepare import prepare_vggsound


def make_loaders(brain, hparams, train, valid):
    """Loaders: shuffled full batches for training, fixed ones for validation."""
    batch_size, seed = hparams["batch_size"], hparams["seed"]
    try:
        batches = FullBatches(len(train), batch_size, seed)
    except ValueError as error:
        raise InputError(str(error))
    n_workers = hparams["num_workers"]
    batches_of_valid = valid_batches(
        [len(valid)], batch_size, seed, hparams["valid_share"]
    )
    return (
        brain.make_train_loader(train, batches, n_workers),
        brain.make_loader(
            valid, n_workers, batch_sampler=own_share(batches_of_valid)
        ),
    )


def warn_of_rates(hparams, manifests):
    """Warn of recordings of several sample rates."""
    # Imported here: scikit-learn takes a third of a second.
    from cry_modules.evaluation.file_facts import warn_of_mixed_rates

    rate = hparams["logmel"].sample_rate
    warn_of_mixed_rates(manifests, rate, "recordings")


def finish(hparams, rows, corpus):
    """Draw the curves of training and print one line."""
    # Imported here: takes 1 s, and is only needed after training.
    from cry_modules.figures.training import draw_curves

    output, last = Path(hparams["output_folder"]), rows[-1]
    draw_curves({output.name: rows}, output / "curves.png", corpus)
    figures = {"loss": "validation loss", **hparams["loss"].figures}
    results = ", ".join(
        f"{words} {last[f'valid_{name}']:.3f}"
        for name, words in figures.items()
    )
    print(*judgement(rows[0], rows[1:], hparams["loss"].figures), sep="\n")
    print(
        f"done: {last['epoch']} epochs on {corpus}, {results}; encoder and "
        f"curves.png in {output}"
    )


def main(argv=None):
    """Pre-train an encoder as the command line says."""
    with one_line_errors():
        hparams_file, run_opts, overrides = parse_arguments(
            argv, "vggsound.yaml"
        )
        join_ranks(run_opts)
        needs = ("data_folder", "min_clips", "noise_snr", "group_by")
        needs += ("patient_column", "path_column")
        hparams = load(hparams_file, overrides, needs)
        require_folder(hparams["data_folder"], "--data_folder", "sounds")
        with only_process_in(hparams["output_folder"]):
            environment = begin(hparams, hparams_file, overrides, __file__)
            use_own_head(hparams)
            manifests = f"{hparams['output_folder']}/manifest"
            run_on_main(
                prepare_vggsound,
                kwargs={
                    "data_folder": hparams["data_folder"],
                    "save_folder": manifests,
                    "valid_share": hparams["valid_share"],
                    "min_clips": hparams["min_clips"],
                    "group_by": hparams["group_by"],
                },
            )
            check_data(hparams, manifests)
            warn_of_rates(hparams, Path(manifests))
            train, valid = read_views(
                hparams, manifests, hparams["data_folder"]
            )
            brain = SimCLRBrain(
                modules=hparams["modules"],
                opt_class=hparams["opt_class"],
                hparams=hparams,
                run_opts=run_opts,
                checkpointer=hparams["checkpointer"],
            )
            brain.probes = probes_of(hparams, [train])
            loaders = make_loaders(brain, hparams, train, valid)
            corpus = read_corpus(manifests)["name"]
            environment.join()
            rows = train_simclr(brain, hparams, *loaders, corpus)
            run_on_main(finish, args=[hparams, rows, corpus])


if __name__ == "__main__":
    main()
