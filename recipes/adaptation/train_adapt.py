#!/usr/bin/env python3
"""Recipe for adapting a pre-trained encoder to unlabelled cries with SimCLR,
with or without replay of the generic audio it was pre-trained on.

> python train_adapt.py hparams/cry_adapt_replay.yaml \
    --cry_folder=/path/to/cries --replay_folder=/path/to/VGGSound \
    --encoder_source=results/vggsound/2022

An epoch is one pass over the cries; a fixed share of each batch is replayed.
Loss and contrastive accuracy are logged separately for cries and for generic
audio: held-out generic audio shows what the encoder forgets. --control=True
trains as many steps on generic audio only.
"""

from cry_modules.training.options import check_first, parse_arguments

check_first(__name__, "cry_adapt_replay.yaml")

# isort: split
import copy
import logging
from pathlib import Path

import speechbrain as sb
import torch
from speechbrain.utils.distributed import run_on_main
from torch.utils.data import ConcatDataset

from cry_modules.anchors import Anchor, ProjectionAnchor, interpolate
from cry_modules.checkpoints.encoders import EncoderSource, load_companion
from cry_modules.distributed import join_ranks, own_share
from cry_modules.finetune import AdaptedEncoder
from cry_modules.replay import ReplayBatchSampler
from cry_modules.training.derived_settings import (
    encoder_in_words,
    with_encoder_settings,
)
from cry_modules.training.experiment import begin, load, only_process_in
from cry_modules.training.monitor import judgement
from cry_modules.training.resume import check_data, check_encoder
from cry_modules.training.simclr import (
    SimCLRBrain,
    probes_of,
    train_simclr,
    use_own_head,
)
from cry_modules.training.views_data import (
    CRY,
    GENERIC,
    read_views,
    valid_batches,
)
from data_prep import manifest
from data_prep.corpora.preparation import require_folder
from data_prep.corpora.unlabelled import prepare_unlabelled
from data_prep.files.atomic import complete_or_absent, make_folder
from data_prep.files.errors import InputError, one_line_errors, require
from data_prep.files.keyed_rows import KeyedRows
from data_prep.manifest import read_corpus
from data_prep.vggsound_prepare import prepare_vggsound

logger = logging.getLogger(__name__)


def prepare(hparams, manifests):
    """Write the manifests of the cries and, if --replay_folder is given, of
    the generic audio."""
    names = ("cry_folder", "recordings_csv", "exclude", "excluded")
    names += ("exclude_folder", "valid_share", "seed", "group_by")
    names += ("patient_column", "path_column")
    options = {name: hparams[name] for name in names}
    options["save_folder"] = str(manifests)
    run_on_main(prepare_unlabelled, kwargs=options)
    if hparams["replay_folder"] is not None:
        run_on_main(
            prepare_vggsound,
            kwargs={
                "data_folder": hparams["replay_folder"],
                "save_folder": f"{manifests}/replay",
                "valid_share": hparams["valid_share"],
                "group_by": hparams["replay_group_by"],
            },
        )


def dataio_prep(hparams, manifests):
    """Datasets of each split: the cries, then the generic audio if any."""
    folders = {CRY: (manifests, hparams["cry_folder"])}
    if hparams["replay_folder"] is not None:
        folders[GENERIC] = (f"{manifests}/replay", hparams["replay_folder"])
    views = [
        read_views(hparams, folder, root, corpus)
        for corpus, (folder, root) in folders.items()
    ]
    return dict(zip(("train", "valid"), zip(*views)))


def pretrained_folder(hparams):
    """Folder of the weights before adaptation, which anchors need when the run
    resumes."""
    return Path(hparams["output_folder"]) / "pretrained"


def save_states(states, folder):
    """Save state dicts by name; each file is complete or absent."""
    make_folder(folder)
    for name, state in states.items():
        with complete_or_absent(folder / f"{name}.ckpt") as partial:
            torch.save(state, partial)


def check_options(hparams):
    """Check options that depend on each other, before anything is written."""
    require(
        hparams["excluded"] != "drop" or hparams["exclude"],
        "--excluded is drop without --exclude",
        "pass --exclude with the manifests that you evaluate on",
    )
    require_folder(hparams["cry_folder"], "--cry_folder", "cries")
    require(
        hparams["negatives"] == "all" or hparams["loss"].has_negatives,
        f"--negatives is {hparams['negatives']} and the objective "
        f"{hparams['objective']} has none",
        "leave it out, or pass --objective nt_xent",
    )
    require(
        not hparams["anchor_projection"] or hparams["loss"].has_projections,
        f"--anchor_projection is {hparams['anchor_projection']} and the "
        f"objective {hparams['objective']} has no projections",
        "leave it out, or pass --anchor_distillation",
    )
    of_generic = {"background_snr": None, "negatives": "all"}
    off = {"replay_ratio": 0.0, "replay": "fixed", "control": False}
    if hparams["replay_folder"] is None:
        _require_off({**off, **of_generic}, hparams, "pass --replay_folder")
        return
    require_folder(hparams["replay_folder"], "--replay_folder", "sounds")
    if all(hparams[name] == value for name, value in off.items()):
        _require_off(of_generic, hparams, "pass --replay_ratio 0.5")


def _require_off(off, hparams, cure):
    for name, value in off.items():
        problem = f"--{name} is {hparams[name]} without generic audio"
        require(hparams[name] == value, problem, cure)


def make_sampler(hparams, datasets):
    """Make the sampler of batches of cries and replayed generic audio; it
    yields indices into the joined datasets."""
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
    """Load the encoder to adapt, and the projector if its file is in the same
    folder: a new one would send noise into the encoder."""
    check_encoder(hparams)
    source = EncoderSource(hparams["encoder_source"])
    folder = pretrained_folder(hparams)
    front_end = hparams["logmel"].name
    if list(folder.parent.glob("save/CKPT*")):
        # A resumed run uses its copy: the source may have changed.
        path = EncoderSource(folder).load(hparams["encoder"], front_end)
        load_companion(path, "projector.ckpt", hparams["projector"])
        return
    if source.kind == "random":
        logger.warning("encoder_source is null: adapting a random encoder")
        return
    path = source.load(hparams["encoder"], front_end)
    if load_companion(path, "projector.ckpt", hparams["projector"]):
        logger.info(
            "Encoder and projector from %s: %s",
            path.parent,
            encoder_in_words(hparams),
        )
    else:
        require(
            not hparams["anchor_projection"],
            f"--anchor_projection is {hparams['anchor_projection']} and "
            f"{path.parent} has no projector.ckpt",
            "adapt from a run of train_simclr.py, or pass 0",
        )
        logger.warning(
            "Encoder from %s: %s; a new, random projector",
            path,
            encoder_in_words(hparams),
        )


def warn_of_pretrained_on(hparams, manifests):
    """Warn if held-out generic audio was used in pre-training."""
    source = Path(str(hparams["encoder_source"])) / "manifest/train.csv"
    held_out = manifests / "replay/valid.csv"
    if not (source.is_file() and held_out.is_file()):
        return
    pretrained_on = KeyedRows(source, "ID")
    ids = [rec.ID for rec in manifest.read(held_out)]
    n_common = sum(pretrained_on.find(ID) is not None for ID in ids)
    if n_common:
        logger.warning(
            "%d of %d held-out recordings of generic audio were used in "
            "pre-training, so forgetting is underestimated; pass the "
            "--valid_share of that run, or a smaller one",
            n_common,
            len(ids),
        )


def warn_of_band(hparams, manifests):
    """Warn of cries at a lower sample rate than the encoder reads, and of
    generic recordings of several."""
    # Imported here: scikit-learn takes a third of a second.
    from cry_modules.evaluation.file_facts import (
        warn_of_mixed_rates,
        warn_of_narrow_band,
    )

    generic = [manifests / "replay"] * bool(hparams["replay_folder"])
    rate = hparams["logmel"].sample_rate
    warn_of_narrow_band(manifests, rate, "cries", generic)
    for folder in generic:
        warn_of_mixed_rates(folder, rate, "generic recordings")


def make_brain(hparams, run_opts):
    """Brain with the layers that adapt and, if requested, an anchor."""
    try:
        encoder = AdaptedEncoder(hparams["encoder"], hparams["adapt_layers"])
        anchor = Anchor(
            hparams["encoder"],
            hparams["anchor_weights"],
            hparams["anchor_distillation"],
        )
    except ValueError as error:
        raise InputError(str(error))
    modules, factor = {"encoder": encoder}, hparams["anchor_projection"]
    if factor:
        # Copies the weights before adaptation; a checkpoint has the predictor.
        pretrained = hparams["encoder"], hparams["projector"]
        projection_anchor = ProjectionAnchor(
            *pretrained, factor, hparams["temperature"]
        )
        predictor = ProjectionAnchor.predictor(hparams["projection_dim"])
        modules["anchor_predictor"] = predictor
        hparams["checkpointer"].add_recoverable("anchor_predictor", predictor)
    brain = SimCLRBrain(
        modules={**hparams["modules"], **modules},
        opt_class=hparams["opt_class"],
        hparams=hparams,
        run_opts=run_opts,
        checkpointer=hparams["checkpointer"],
    )
    if factor:
        brain.projection_anchor = projection_anchor.to(brain.device)
    brain.negatives = hparams["negatives"]
    if anchor.weights or anchor.distillation:
        brain.anchor = anchor.to(brain.device)
    return brain


def make_loaders(brain, hparams, datasets):
    """Loaders: cries with replay for training, separate corpora for
    validation."""
    sampler = make_sampler(hparams, datasets["train"])
    kwargs = {
        "num_workers": hparams["num_workers"],
        "collate_fn": sb.dataio.batch.PaddedBatch,
    }
    train, valid = (ConcatDataset(datasets[s]) for s in ("train", "valid"))
    sizes = [len(dataset) for dataset in datasets["valid"]]
    names = ("batch_size", "seed", "valid_share")
    batches = valid_batches(sizes, *(hparams[name] for name in names))
    return (
        brain.make_train_loader(train, sampler, **kwargs),
        brain.make_loader(valid, batch_sampler=own_share(batches), **kwargs),
    )


def corpus_name(hparams, manifests):
    """Names of the corpora that this run trains on, joined by ``+``."""
    names = [read_corpus(manifests)["name"]]
    if hparams["replay_folder"] is not None:
        generic = read_corpus(manifests / "replay")["name"]
        if hparams["control"]:
            return generic
        if hparams["replay_ratio"] or hparams["replay"] == "proportional":
            names.append(generic)
    return " + ".join(names)


def save_interpolated(hparams, pretrained):
    """Save weights between the pre-trained and the adapted ones (WiSE-FT)."""
    folder = Path(hparams["output_folder"]) / "interpolated"
    share = hparams["interpolate"]
    states = {
        name: interpolate(old, hparams[name].state_dict(), share)
        for name, old in pretrained.items()
    }
    save_states(states, folder)
    logger.info("Interpolated weights (%s pre-trained) in %s", share, folder)


def finish(hparams, rows, corpus):
    """Draw the curves of training and print one line."""
    # Imported here: takes 1 s, and is only needed after training.
    from cry_modules.figures.training import draw_curves

    output, before, last = Path(hparams["output_folder"]), rows[0], rows[-1]
    draw_curves({output.name: rows}, output / "curves.png", corpus)
    figures = {**hparams["loss"].figures, "loss": "validation loss"}
    name, words = next(iter(figures.items()))
    changes = ", ".join(
        f"on held-out {'cries' if key.endswith('cry') else 'generic audio'} "
        f"{before[key]:.3f} before, {last[key]:.3f} after"
        for key in last
        if key.startswith(f"valid_{name}_")
    )
    print(*judgement(before, rows[1:], hparams["loss"].figures), sep="\n")
    print(
        f"done: {last['epoch']} epochs on {corpus}; {words} {changes}; encoder "
        f"and curves.png in {output}"
    )


def main(argv=None):
    """Adapt an encoder as the command line says."""
    with one_line_errors():
        hparams_file, run_opts, overrides = parse_arguments(
            argv, "cry_adapt_replay.yaml"
        )
        join_ranks(run_opts)
        overrides = with_encoder_settings(hparams_file, overrides)
        needs = ("cry_folder", "replay_ratio", "negatives")
        hparams = load(hparams_file, overrides, needs)
        check_options(hparams)
        with only_process_in(hparams["output_folder"]):
            environment = begin(hparams, hparams_file, overrides, __file__)
            use_own_head(hparams)
            load_pretrained(hparams)
            pretrained = {
                name: copy.deepcopy(hparams[name].state_dict())
                for name in ("encoder", "projector")
            }
            run_on_main(
                save_states, args=[pretrained, pretrained_folder(hparams)]
            )
            manifests = Path(hparams["output_folder"]) / "manifest"
            prepare(hparams, manifests)
            check_data(hparams, manifests)
            warn_of_pretrained_on(hparams, manifests)
            warn_of_band(hparams, manifests)
            datasets = dataio_prep(hparams, manifests)
            brain = make_brain(hparams, run_opts)
            brain.probes = probes_of(hparams, datasets["train"])
            loaders = make_loaders(brain, hparams, datasets)
            corpus = corpus_name(hparams, manifests)
            environment.join()
            rows = train_simclr(brain, hparams, *loaders, corpus)
            if hparams["interpolate"]:
                run_on_main(save_interpolated, args=[hparams, pretrained])
            run_on_main(finish, args=[hparams, rows, corpus])


if __name__ == "__main__":
    main()
