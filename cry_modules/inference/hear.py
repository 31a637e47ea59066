"""Encoders behind the interface of HEAR, the Holistic Evaluation of Audio
Representations (https://hearbenchmark.com/hear-api.html): embeddings of whole
sounds and of moments, for its validator and its benchmark of 19 tasks.

The commands are in docs/models.md. ``MODEL`` is an exported folder, the
results folder of any train script, or a file in one of them (``model.json``,
``encoder.ckpt``). HEAR's tools require a path that exists: pass a Hugging Face
id as ``CRY_HEAR_MODEL``.

Sounds are prepared as in classification: scaled to one peak, and repeated if
they are shorter than the encoder needs. The head of a classifier is not used.
"""

import os
from pathlib import Path
from typing import Tuple

import torch
import torch.nn.functional as F
from torch import nn

from cry_modules.audio import PEAK, level_dbfs, repeat_to, shortest_input
from cry_modules.checkpoints import saved_model
from cry_modules.checkpoints.description import MODEL_FILE
from cry_modules.checkpoints.encoders import ENCODER_FILE, EncoderSource
from cry_modules.checkpoints.saved_model import WEIGHTS_FILE
from cry_modules.checkpoints.settings import YAML_FILE
from cry_modules.embeddings import Embedder
from cry_modules.lengths import LONGEST_S, covering
from data_prep.audio.measure import SILENT_DBFS
from data_prep.files.errors import require

#: Environment variable with the model if none is passed.
MODEL_VARIABLE = "CRY_HEAR_MODEL"
#: Step between timestamps: the tolerance of HEAR's music transcription task.
HOP_MS = 50
#: Audio in one batch, seconds. More is slower on a CPU: 20 s fit its caches.
BATCH_S = 20.0


class HearModel(nn.Module):
    """Embed sounds of one length, in bounded memory.

    Example
    -------
    >>> from cry_modules.checkpoints.description import Blueprint
    >>> from cry_modules.checkpoints.saved_model import build
    >>> model = HearModel(build(Blueprint(width=1)).embedder)
    >>> model.sample_rate, model.scene_embedding_size
    (16000, 32)
    >>> get_scene_embeddings(torch.rand(2, 16000), model).shape
    torch.Size([2, 32])
    >>> embeddings, timestamps = get_timestamp_embeddings(
    ...     torch.rand(2, 16000), model
    ... )
    >>> embeddings.shape, timestamps[0, :3]
    (torch.Size([2, 21, 32]), tensor([  0.,  50., 100.]))
    """

    def __init__(self, embedder: Embedder):
        super().__init__()
        self.embedder = embedder
        front_end = embedder.features.logmel
        self.sample_rate = front_end.sample_rate
        self.shortest = shortest_input(front_end.hop)
        self.scene_embedding_size = embedder.dimension()
        self.timestamp_embedding_size = self.scene_embedding_size
        self.eval()

    def train(self, mode: bool = True) -> "HearModel":
        """Stay in evaluation mode: HEAR's embeddings are frozen."""
        return super().train(False)

    @torch.no_grad()
    def forward(self, wavs: torch.Tensor) -> torch.Tensor:
        """Embed ``[n, samples]`` as ``[n, emb_dim]``."""
        batches = wavs.split(self.batch_size(wavs.shape[1]))
        return torch.cat([self.embedder(batch) for batch in batches]).float()

    def batch_size(self, n_samples: int) -> int:
        """Number of sounds of a length in one batch."""
        return max(1, round(BATCH_S * self.sample_rate) // n_samples)


def load_model(model_file_path: str = "") -> HearModel:
    """Load a model, executing none of its files; without a path, the one
    that ``CRY_HEAR_MODEL`` names."""
    source = str(model_file_path) or os.environ.get(MODEL_VARIABLE, "")
    require(
        source != "",
        "the path of the model is empty",
        "pass its folder (-m of hear-validator, --model of heareval.embeddings"
        f".runner) or set the environment variable {MODEL_VARIABLE}",
    )
    path = Path(source)
    files = (MODEL_FILE, WEIGHTS_FILE, ENCODER_FILE)
    if path.name in files and path.with_name(MODEL_FILE).is_file():
        return HearModel(saved_model.load_exported(path.parent).embedder)
    if path.name == ENCODER_FILE or path.name.startswith("CKPT"):
        return HearModel(_load_checkpoint(path))
    return HearModel(saved_model.load_model(source).embedder)


def get_scene_embeddings(audio: torch.Tensor, model: HearModel) -> torch.Tensor:
    """Embed each sound once, with the embedding that classification uses.

    Sounds longer than two minutes are split into windows as in
    ``CryClassifier``, and the embeddings of those that are not silent are
    averaged.

    Shapes: audio ``[n_sounds, n_samples]``, returns ``[n_sounds,
    scene_embedding_size]``.
    """
    wavs = _prepared(audio, model)
    if wavs.shape[1] <= LONGEST_S * model.sample_rate:
        return model(wavs)
    size = model.embedder.n_samples
    means = []
    for wav in wavs:
        windows = [wav[i : i + size] for i in covering(len(wav), size)]
        loud = [part for part in windows if level_dbfs(part) >= SILENT_DBFS]
        means.append(model(torch.stack(loud or windows)).mean(dim=0))
    return torch.stack(means)


def get_timestamp_embeddings(
    audio: torch.Tensor, model: HearModel
) -> Tuple[torch.Tensor, torch.Tensor]:
    """Embed the window around every 50 ms of each sound.

    A window has the encoder's shortest input (32 frames: 0.31 s with the
    front end ``fbank``). Beyond its ends a sound is mirrored, so that windows
    hold no artificial silence. Longer windows cost more and locate events less
    well: average precision of a linear probe for the onsets of synthetic
    tones, at width 8, fell from 0.59 (0.31 s) to 0.39 (0.47 s), 0.29 (0.63 s)
    and 0.21 (0.95 s).

    Shapes: audio ``[n_sounds, n_samples]``; returns embeddings ``[n_sounds,
    n_timestamps, timestamp_embedding_size]`` and timestamps in milliseconds
    ``[n_sounds, n_timestamps]``.
    """
    wavs = _prepared(audio, model)
    times = timestamps(audio.shape[1], model.sample_rate).to(wavs.device)
    embeddings = [_around(wav, times, model) for wav in wavs]
    return torch.stack(embeddings), times.float().repeat(len(wavs), 1)


def timestamps(n_samples: int, sample_rate: int) -> torch.Tensor:
    """Moments of a sound, 50 ms apart, in milliseconds ``[n_timestamps]``:
    integers, which float32 holds exactly up to 4.6 hours."""
    n_hops = n_samples * 1000 // (sample_rate * HOP_MS)
    return HOP_MS * torch.arange(n_hops + 1)


def _load_checkpoint(path: Path) -> Embedder:
    """Embedder of a run with the encoder of one checkpoint."""
    require(path.exists(), f"{path} does not exist", "pass a model's folder")
    # A checkpoint is a file in, or a folder, save/CKPT.../ of a run.
    parents = path.resolve().parents[:3]
    run = next((p for p in parents if (p / YAML_FILE).is_file()), None)
    require(
        run is not None,
        f"{path} is not in a run: no folder above it has {YAML_FILE}, which "
        "describes the model",
        "pass the results folder of the run, or export it with python -m "
        "cry_modules.export",
    )
    blueprint, _ = saved_model.read_run(run)
    embedder = saved_model.build(blueprint).embedder
    EncoderSource(path, "").load(embedder.encoder, blueprint.front_end)
    return embedder


def _prepared(audio: torch.Tensor, model: HearModel) -> torch.Tensor:
    """Sounds at one peak, long enough, on the model's device."""
    if audio.dim() != 2 or audio.numel() == 0:
        raise ValueError(
            f"audio is {list(audio.shape)}; pass [n_sounds, n_samples], "
            "with at least one of each"
        )
    if not audio.isfinite().all():
        raise ValueError("audio holds values that are not finite")
    # Not that of a parameter: encoders of others may have none.
    device = model.embedder.features.logmel.window.device
    wavs = audio.detach().to(device, torch.float32)
    peak = wavs.abs().amax(dim=1, keepdim=True)
    wavs = wavs / torch.where(peak > 0, peak, 1.0) * PEAK
    return torch.stack([repeat_to(wav, model.shortest) for wav in wavs])


def _around(
    wav: torch.Tensor, times: torch.Tensor, model: HearModel
) -> torch.Tensor:
    """Embed windows of ``[samples]`` around moments in milliseconds, as
    ``[n_timestamps, emb_dim]``."""
    half = -(-model.shortest // 2)
    mirrored = F.pad(wav[None], (half, half), mode="reflect")[0]
    windows = mirrored.unfold(0, 2 * half, 1)  # row i: around sample i
    centres = times * model.sample_rate // 1000
    # Copied by batch: together they have 6 times the samples of the sound.
    batches = centres.split(model.batch_size(2 * half))
    return torch.cat([model(windows[batch]) for batch in batches])
