"""Embed cries and held-out generic sounds by the encoder of a linear probe.

> python -m recipes.study.embed RUN --cries C --sounds valid.csv \\
>     --sound_folder S --out embeddings.npz

The report draws them as maps and measures the retrieval of generic sounds.
Embeddings can identify infants: they are personal data and stay in the study's
folder.
"""

import time
from itertools import chain
from pathlib import Path
from typing import List, Optional

import numpy as np
import torch
from speechbrain.dataio.dataset import DynamicItemDataset

from cry_modules.audio import RecordingReader, shortest_input
from cry_modules.checkpoints.saved_model import load_run, run_settings
from cry_modules.embeddings import Embedder
from cry_modules.evaluation.embed import embed
from cry_modules.lengths import batches_in_order
from cry_modules.pretrained.frozen import FrozenEncoder
from cry_modules.pretrained.named import add_encoder_source
from cry_modules.training.dataset import whole_recording
from data_prep import manifest
from data_prep.files.arguments import Arguments
from data_prep.files.atomic import (
    complete_or_absent,
    make_folder,
    require_writable,
)
from data_prep.files.errors import InputError, one_line_errors, require
from data_prep.manifest import Recording

_BATCH = 8


def embed_run(
    run: str, cries: Optional[str], sounds: str, sound_folder: str, out: str
) -> None:
    """Write the embeddings ``[n, emb_dim]``, labels, patients and sites."""
    folder = _folder_of(Path(run))
    mode = run_settings(folder).get("finetune_mode")
    problem = f"{run} has finetune_mode {mode}, which changes the encoder"
    require(mode == "linear", problem, "pass a linear run")
    embedder = load_run(folder).embedder
    make_folder(Path(out).parent)
    require_writable(out)
    parts = [("sound", manifest.read(Path(sounds)), sound_folder)]
    if cries is not None:
        manifests = (folder / f"manifest/{s}.csv" for s in manifest.SPLITS)
        parts.append(("cry", [*chain(*map(manifest.read, manifests))], cries))
    arrays = {}
    for name, rows, root in parts:
        for column in ("label", "patient_id", "site"):
            key = f"{name}_{column.removesuffix('_id')}s"
            arrays[key] = np.array([getattr(rec, column) for rec in rows])
        start = time.process_time()
        arrays[f"{name}_embs"] = _embed(embedder, rows, root, name)
        minutes = sum(rec.stop - rec.start for rec in rows) / 60
        # On all cores together, reading included: seconds of one core.
        arrays["seconds"] = (time.process_time() - start) / minutes
    arrays["n_parameters"] = n_parameters_of(embedder.encoder)
    with complete_or_absent(Path(out)) as partial, open(partial, "wb") as file:
        np.savez_compressed(file, **arrays)


def n_parameters_of(encoder: torch.nn.Module) -> int:
    """Parameters of an encoder; 0 where they are not PyTorch's."""
    if isinstance(encoder, FrozenEncoder):
        return encoder.n_parameters
    return sum(parameter.numel() for parameter in encoder.parameters())


def _folder_of(run: Path) -> Path:
    """Folder of a classifier; with folds, that of the first one."""
    folders = [run, *sorted(run.glob("fold_0_*"))]
    for folder in folders:
        if (folder / "manifest/test.csv").is_file():
            return folder
    raise InputError(f"{run} holds no classifier; pass a run of train_cls.py")


def _embed(embedder, rows: List[Recording], root, name) -> np.ndarray:
    """Embed recordings; the embeddings are in the order of the rows."""
    logmel = embedder.features.logmel
    reader = RecordingReader(logmel.sample_rate)
    shortest = shortest_input(logmel.hop)

    whole = whole_recording(reader, shortest)
    # Recordings of similar length share a batch: less padding.
    order = sorted(range(len(rows)), key=lambda i: rows[i].duration)
    seconds = [rows[i].stop - rows[i].start for i in order]
    items = {
        str(i): {
            "wav": f"{root}/{rows[i].wav}",
            "start": rows[i].start,
            "stop": rows[i].stop,
        }
        for i in order
    }
    embedded = embed(
        Embedder(embedder.features, embedder.encoder),
        DynamicItemDataset(items, [whole], ["id", "sig"]),
        "cuda" if torch.cuda.is_available() else "cpu",
        description=f"embedding, {name}",
        batch_sampler=batches_in_order(seconds, _BATCH),
    )
    embs = {item["id"]: item["emb"].numpy() for item in embedded}
    return np.stack([embs[str(i)] for i in range(len(rows))])


def main() -> None:
    """Run the command line."""
    parser = Arguments(
        description="Embed cries and generic sounds by a linear probe's "
        "encoder."
    )
    parser.add_argument(
        "run", metavar="RUN", help="results folder of the probe"
    )
    for option, text in (
        ("cries", "table of the cries; default: those of the probe"),
        ("sounds", "table of the generic sounds"),
        ("sound_folder", "audio of the generic sounds"),
        ("out", "file to write"),
    ):
        parser.add_argument(
            f"--{option}", required=option != "cries", help=text
        )
    add_encoder_source(parser)
    args = vars(parser.parse_args())
    del args["encoder_source"]  # named, which was its use
    with one_line_errors():
        embed_run(**args)
        print(f"done: embeddings in {args['out']}")


if __name__ == "__main__":
    main()
