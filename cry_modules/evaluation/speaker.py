"""Resemblyzer's speaker encoder (GE2E, https://arxiv.org/abs/1710.10467): how
much a voice alone tells of who cries.

Its network is built here from the weights of the package, whose code needs
webrtcvad and through it a part of setuptools that newer ones lack. The
embeddings are those of its ``VoiceEncoder.embed_utterance``; its voice activity
detector, made for speech, is left out.
"""

from importlib import metadata
from pathlib import Path
from typing import Dict, List, Optional

import torch
import torch.nn.functional as F
from torch import nn
from torchaudio.functional import melscale_fbanks

from cry_modules.front_ends import MelFrames
from cry_modules.lengths import LONGEST_S
from cry_modules.pretrained.frozen import MEMORY, items_of
from data_prep.files.errors import InputError

#: How to get the weights.
CURE = "pip install --no-deps resemblyzer for it (17 MB, Apache-2.0)"
_PACKAGE, _FILE = "Resemblyzer", "resemblyzer/pretrained.pt"
#: Mel frames of a window and from one window to the next; least share of a
#: window that is inside the recording.
_WINDOW, _STEP, _COVERAGE = 160, 77, 0.75
_SIZE, _BANDS, _RATE = 256, 40, 16000


class Mel(MelFrames):
    """Power of 40 mel bands, as Resemblyzer computes it with librosa."""

    name = "resemblyzer"
    mean_norm = False

    def __init__(self):
        filters = melscale_fbanks(
            201, 0.0, 8000.0, _BANDS, _RATE, norm="slaney", mel_scale="slaney"
        )
        super().__init__(_RATE, 400, 160, torch.hann_window(400), filters)

    def from_power(self, power: torch.Tensor) -> torch.Tensor:
        """Mel bands of the power."""
        return power @ self.filters


class SpeakerEncoder(nn.Module):
    """Waveforms to Resemblyzer's embeddings of speakers, each of length 1.

    Arguments
    ---------
    weights : Path
        Its file ``pretrained.pt``; see ``weights_file``.
    """

    def __init__(self, weights: Path):
        super().__init__()
        self.mel = Mel()
        self.n_samples = round(LONGEST_S * _RATE)
        self.lstm = nn.LSTM(_BANDS, _SIZE, 3, batch_first=True)
        self.linear = nn.Linear(_SIZE, _SIZE)
        self.load_state_dict(_read(weights))

    @torch.no_grad()
    def forward(
        self, wavs: torch.Tensor, lengths: Optional[torch.Tensor] = None
    ) -> torch.Tensor:
        """``[batch, samples]``, with the valid share of each item ``[batch]``,
        to ``[batch, 256]``."""
        with torch.autocast(wavs.device.type, enabled=False):
            return torch.stack(
                [
                    MEMORY.get("speaker", wav, self.embed)
                    for wav in items_of(wavs, lengths)
                ]
            )

    def embed(self, wav: torch.Tensor) -> torch.Tensor:
        """Embed ``[samples]`` as ``[256]``."""
        starts = window_starts(len(wav))
        last = (starts[-1] + _WINDOW) * self.mel.hop
        wav = F.pad(wav, (0, max(0, last - len(wav))))
        mel = self.mel(wav[None])[0][0]
        windows = torch.stack([mel[i : i + _WINDOW] for i in starts])
        _, (hidden, _) = self.lstm(windows)
        embs = F.normalize(F.relu(self.linear(hidden[-1])), dim=1)
        return F.normalize(embs.mean(dim=0), dim=0)


def window_starts(n_samples: int) -> List[int]:
    """First mel frames of the windows of a recording, as Resemblyzer cuts it.

    Example
    -------
    >>> window_starts(16000), window_starts(40000)
    ([0], [0, 77])
    """
    n_frames = -(-(n_samples + 1) // 160)
    starts = [*range(0, max(1, n_frames - _WINDOW + _STEP + 1), _STEP)]
    inside = (n_samples - starts[-1] * 160) / (_WINDOW * 160)
    return starts[:-1] if inside < _COVERAGE and starts[1:] else starts


def _read(path: Path) -> Dict[str, torch.Tensor]:
    """Weights of the network; the file also holds those of its training loss."""
    try:
        state = torch.load(path, map_location="cpu", weights_only=True)
        names = [*nn.LSTM(1, 1, 3).state_dict()]
        wanted = [f"lstm.{n}" for n in names] + ["linear.weight", "linear.bias"]
        return {name: state["model_state"][name] for name in wanted}
    except (OSError, RuntimeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} does not hold its weights ({error}); {CURE}")


def weights_file() -> Optional[Path]:
    """The weights inside Resemblyzer's package; None if it is not installed."""
    try:
        package = metadata.distribution(_PACKAGE)
    except metadata.PackageNotFoundError:
        return None
    path = Path(str(package.locate_file(_FILE)))
    return path if path.is_file() else None
