"""A trained classifier as one ONNX file, from samples to probabilities.

Whoever has the file needs neither this project nor torch, see
``cry_modules/export/run_onnx.py``.

Inputs:

* ``waveform``, float32 ``[batch, samples]``: mono, at the model's rate, at
  any level; values beyond an item's end have no effect.
* ``n_samples``, int64 ``[batch]``: samples of each item, ``shortest`` or more.
* ``peak``, float32 ``[1]``, optional: the largest sample of the recording that
  the items are chunks of, which all are scaled by; 0, the default, where each
  item is a recording.

Outputs:

* ``logits`` ``[batch, n_classes]``: before the softmax, prior included. Logits
  of chunks may be averaged; posteriors and their logarithms may not.
* ``probabilities`` ``[batch, n_classes]``: their softmax.
* ``embedding`` ``[batch, dimensions]``.
"""

import json
import math
import tempfile
import warnings
from copy import deepcopy
from importlib import import_module
from io import BytesIO
from pathlib import Path
from typing import Dict, Tuple

import torch
import torch.nn.functional as F
from torch import nn

from cry_modules.audio import PEAK, shortest_input
from cry_modules.embeddings import Embedder
from cry_modules.export.run_onnx import METADATA_KEY
from cry_modules.front_ends import MelFrames
from cry_modules.heads import Posterior
from cry_modules.lengths import frame_mask
from data_prep.files.atomic import complete_or_absent
from data_prep.files.errors import InputError

#: The newest opset of torch's tracing exporter; onnxruntime reads it from 1.17
#: on, and no newer one has an operation that is useful here.
OPSET = 20
#: Axes of variable size.
_INPUTS = {
    "waveform": {0: "batch", 1: "samples"},
    "n_samples": {0: "batch"},
    "peak": {},
}
_OUTPUTS = {
    "logits": {0: "batch"},
    "probabilities": {0: "batch"},
    "embedding": {0: "batch"},
}
#: Marks a model as prepared for quantization, or onnxruntime warns.
_PREPARED = {"onnx.quant.pre_process": "onnxruntime.quant"}
#: Most bytes of weights in a file: a protobuf ends at 2 GiB.
_MOST_BYTES = 2_000_000_000


class OnnxGraph(nn.Module):
    """Classifier that can be traced: maps samples to logits, and no operation
    is chosen by the values of its input."""

    def __init__(self, embedder: Embedder, posterior: Posterior):
        super().__init__()
        self.embedder = deepcopy(embedder).cpu().eval()
        self.posterior = deepcopy(posterior).cpu().eval()
        # A row is a chunk or a recording.
        self.embedder.tested_on = "recordings"
        frames = ConvolvedFrames(self.embedder.features.logmel)
        self.embedder.features.logmel = frames
        if self.embedder.statistics is not None:
            self.embedder.statistics.logmel = frames
        self.embedder.encoder = _UncheckedEncoder(self.embedder.encoder)
        self.to(memory_format=torch.contiguous_format)

    def forward(
        self,
        waveform: torch.Tensor,
        n_samples: torch.Tensor,
        peak: torch.Tensor,
    ) -> Tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        """Compute logits, probabilities and embeddings; the module's docstring
        describes the inputs."""
        wavs = at_one_level(waveform, n_samples, peak)
        emb = self.embedder(wavs, n_samples.double() / wavs.shape[1])
        logits = self.posterior.logits(emb)
        return logits, torch.softmax(logits, dim=1), emb


class ConvolvedFrames(nn.Module):
    """Log-mel front end whose Fourier transform is a convolution with sines and
    cosines.

    It is as exact as ONNX's own operation, and takes 5 ms instead of 85 (10 s
    of audio, one thread, onnxruntime 1.32).
    """

    def __init__(self, front_end: MelFrames):
        super().__init__()
        self.front_end = front_end
        self.mean_norm = front_end.mean_norm
        waves = windowed_waves(front_end.window, front_end.n_fft)
        self.register_buffer("waves", waves)

    def forward(
        self, wavs: torch.Tensor, lengths: torch.Tensor
    ) -> Tuple[torch.Tensor, torch.Tensor]:
        """Compute features and lengths like ``MelFrames``; frames beyond an
        item's end have no power, so that its loudest frame is one of its own.
        """
        n_samples = torch.round(lengths.double() * wavs.shape[1]).long()
        sound = self.front_end.padded(wavs, n_samples).unsqueeze(1)
        spectrum = F.conv1d(sound, self.waves, stride=self.front_end.hop)
        real, imaginary = spectrum.chunk(2, dim=1)
        power = (real.square() + imaginary.square()).transpose(1, 2)
        hop = self.front_end.hop
        n_frames = 1 + torch.div(n_samples, hop, rounding_mode="floor")
        mask = frame_mask(n_frames, power.shape[1])
        feats = self.front_end.from_power(power * mask.unsqueeze(2))
        return feats, n_frames.double() / feats.shape[1]


class _UncheckedEncoder(nn.Module):
    """An encoder without the checks that depend on values, to be traced."""

    def __init__(self, encoder: nn.Module):
        super().__init__()
        self.encoder = encoder

    def forward(self, feats, lengths, **where):
        if not hasattr(self.encoder, "embed_frames"):
            return self.encoder(feats, lengths, **where)
        n_frames = torch.round(lengths * feats.shape[1]).long()
        return self.encoder.embed_frames(feats, n_frames, **where)


def windowed_waves(window: torch.Tensor, n_fft: int) -> torch.Tensor:
    """Cosines, then sines, of each frequency, times the window.

    Shapes: window ``[win]``, returns ``[n_fft + 2, 1, n_fft]``.
    """
    left = (n_fft - len(window)) // 2
    right = n_fft - len(window) - left
    window = F.pad(window.double(), (left, right))
    # Whole turns are removed while the numbers are integers: exact.
    turns = torch.outer(torch.arange(n_fft // 2 + 1), torch.arange(n_fft))
    angles = (turns % n_fft).double() * (2 * math.pi / n_fft)
    # Rounded: the sine of half a turn is 0.
    waves = torch.cat([angles.cos(), angles.sin().round(decimals=15)])
    return (waves * window).float().unsqueeze(1)


def at_one_level(
    wavs: torch.Tensor, n_samples: torch.Tensor, peak: torch.Tensor
) -> torch.Tensor:
    """Scale samples to the level of training; zero beyond each end.

    Shapes: wavs ``[batch, samples]``, n_samples ``[batch]``, peak ``[1]``,
    returns ``[batch, samples]``.
    """
    wavs = wavs * frame_mask(n_samples, wavs.shape[1])
    largest = wavs.abs().amax(dim=1, keepdim=True)
    peak = torch.where(peak > 0, peak, largest)
    return wavs * torch.where(peak > 0, PEAK / peak, 1.0)


def write_onnx(
    embedder: Embedder, posterior: Posterior, facts: Dict, path: Path
) -> None:
    """Write a classifier as an ONNX file with these facts as metadata."""
    onnx = _package("onnx")
    front_end = embedder.features.logmel
    # What the runner needs to know.
    described = {
        **facts,
        "weights": "float32",
        "sample_rate": front_end.sample_rate,
        "tested_on": embedder.tested_on,
        "chunk_s": embedder.n_samples / front_end.sample_rate,
        "shortest": shortest_input(front_end.hop),
    }
    if facts.get("training_recordings"):
        norm = posterior.head.norm
        described["embedding_mean"] = norm.running_mean.tolist()
        described["embedding_variance"] = norm.running_var.tolist()
    graph = OnnxGraph(embedder, posterior).eval()
    n_bytes = 4 * sum(w.numel() for w in graph.state_dict().values())
    if n_bytes > _MOST_BYTES:
        raise InputError(
            f"{path}: the weights take {n_bytes / 1e9:.1f} GB, and an ONNX "
            "file holds 2; export a narrower model"
        )
    model = _exported(onnx, graph, 2 * described["shortest"])
    # An input with an initial value is optional.
    zero = onnx.helper.make_tensor("peak", onnx.TensorProto.FLOAT, [1], [0.0])
    model.graph.initializer.append(zero)
    strip(model)
    _write(onnx, model, described, path)


def _exported(onnx, graph, n_samples):
    """The ONNX model of torch's tracing exporter.

    It takes 1 s; the other exporter (``dynamo=True``, opset 23) takes 20 to
    45 s for the same values.
    """
    example = (
        torch.zeros(2, n_samples),
        torch.tensor([n_samples, n_samples // 2]),
        torch.zeros(1),
    )
    written = BytesIO()
    with warnings.catch_warnings():
        # Warnings: it is no longer the default, and skips some foldings.
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        warnings.filterwarnings("ignore", "Constant folding")
        torch.onnx.export(
            graph,
            example,
            written,
            dynamo=False,
            opset_version=OPSET,
            input_names=list(_INPUTS),
            output_names=list(_OUTPUTS),
            dynamic_axes={**_INPUTS, **_OUTPUTS},
        )
    return onnx.load_from_string(written.getvalue())


def strip(model) -> None:
    """Remove traces of the machine that wrote a model: stack traces with
    paths, names of classes, versions.
    """
    graph = model.graph
    parts = [*graph.node, *graph.value_info, *graph.input, *graph.output]
    for part in [*parts, *graph.initializer, graph]:
        del part.metadata_props[:]
        part.doc_string = ""
    del model.metadata_props[:]
    model.doc_string = ""
    model.producer_name, model.producer_version = "cry-ssl", ""
    graph.name = "classifier"


def _write(onnx, model, described, path):
    """Check a model and write it with its metadata."""
    text = json.dumps(described, ensure_ascii=False)
    onnx.helper.set_model_props(model, {METADATA_KEY: text})
    onnx.checker.check_model(model, full_check=True)
    with complete_or_absent(path) as partial:
        partial.write_bytes(model.SerializeToString(deterministic=True))


def quantize(path: Path, out: Path) -> None:
    """Write a model with the encoder's weights in 8 bits: a third of the file
    at width 8, a quarter at width 64.

    The convolutions are quantized dynamically by onnxruntime: the range of
    their inputs is that of the whole batch, so that an item's scores depend
    slightly on its batch. Features and head are unchanged: 8 bits there save
    nothing and cost accuracy. A CPU without instructions for 8-bit products
    takes 1.3 times as long at width 8; at width 64 as long, in a quarter of
    the memory.
    """
    onnx, quantization = _package("onnx"), _package("onnxruntime.quantization")
    model, described = read_onnx(path)
    # Shapes are inferred and BatchNorm is part of the convolutions already.
    onnx.helper.set_model_props(model, _PREPARED)
    with tempfile.TemporaryDirectory() as folder:
        written = Path(folder) / "model.onnx"
        quantization.quantize_dynamic(
            model,
            written,
            op_types_to_quantize=["Conv"],
            nodes_to_exclude=[
                node.name
                for node in model.graph.node
                if node.op_type == "Conv" and node.input[1].endswith("waves")
            ],
            # 3 times as fast as signed ones with onnxruntime 1.32 (AVX2).
            weight_type=quantization.QuantType.QUInt8,
        )
        model = onnx.load(written)
    strip(model)
    _write(onnx, model, {**described, "weights": "int8"}, out)


def read_onnx(path: Path) -> Tuple["onnx.ModelProto", Dict]:  # noqa: F821
    """A model that ``write_onnx`` wrote, and its metadata."""
    model = _package("onnx").load(path)
    metadata = {entry.key: entry.value for entry in model.metadata_props}
    return model, json.loads(metadata[METADATA_KEY])


def _package(name):
    """A package of the extra ``export``."""
    try:
        return import_module(name)
    except ImportError as error:
        raise InputError(
            f"ONNX files need {error.name}; install it: pip install "
            "'cry-ssl[export]'"
        )
