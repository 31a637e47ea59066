"""The encoder of a table of embeddings, from any source that training takes."""

from pathlib import Path
from typing import Optional, Tuple

from torch import nn

from cry_modules.architectures import is_pretrained, make_encoder
from cry_modules.checkpoints.description import MODEL_FILE
from cry_modules.checkpoints.encoders import EncoderSource
from cry_modules.checkpoints.saved_model import (
    folder_of_model,
    load_exported,
    run_settings,
)
from cry_modules.checkpoints.settings import YAML_FILE
from cry_modules.checkpoints.state_dict import checksum_of
from cry_modules.embeddings import EMBEDDING, LAYERS, Embedder, make_features
from cry_modules.front_ends import FRONT_ENDS, is_front_end, make_front_end
from cry_modules.metrics.saved import METRICS_FILE
from cry_modules.pretrained.named import name_pretrained
from cry_modules.views.chunks_and_masks import SpecAugment
from data_prep.files.errors import InputError, require
from data_prep.files.shapes import number, read_json

#: Windows of long recordings where a model does not say its own, as in training.
CHUNK_S = 4.0


def load_embedder(
    source: str, readout: Optional[str] = None, front_end: Optional[str] = None
) -> Embedder:
    """Build an encoder with its weights and front end, read where ``readout``
    says; by default at its embedding."""
    require(
        front_end is None or is_front_end(front_end),
        f"--front_end is {front_end!r}",
        f"expected one of {', '.join(FRONT_ENDS)}",
    )
    if is_pretrained(source):
        name_pretrained(source)  # typed on the command line
    folder, chunk_s = folder_of_model(Path(source)), CHUNK_S
    if (folder / MODEL_FILE).is_file():
        model = load_exported(folder)
        chunk_s, encoder = model.blueprint.chunk_s, model.embedder.encoder
        known = _front_end(model.blueprint.front_end, front_end, source)
    else:
        if folder.is_dir():
            source = str(folder)
        if (folder / YAML_FILE).is_file():
            chunk_s = float(run_settings(folder)["chunk_s"])
        encoder, known = _from_weights(source, front_end)
    logmel = make_front_end(known)
    features = make_features(logmel, SpecAugment(0, 0), False)
    readout = readout or EMBEDDING
    try:
        embedder = Embedder(
            features,
            encoder,
            readout,
            chunk_s=chunk_s,
            sample_rate=logmel.sample_rate,
        )
    except ValueError as error:
        raise InputError(f"--{error}")
    require(
        LAYERS not in embedder.parts,
        f"--readout is {readout}, which a trained head weights",
        "name layers one by one, joined by +",
    )
    return embedder.eval()


def _from_weights(
    source: str, front_end: Optional[str]
) -> Tuple[nn.Module, str]:
    """Encoder of a run or a file of weights, and its front end."""
    weights = EncoderSource(source, option="ENCODER")
    require(
        not weights.is_random,
        f"ENCODER {source} has random weights",
        "pass a run, a file or a model with weights, or none for acoustic "
        "measures alone",
    )
    settings = weights.settings()
    require(
        "architecture" in settings,
        f"ENCODER {source} holds weights of an unknown architecture",
        "pass an encoder of these train scripts, of SpeechBrain or of PANNs",
    )
    known = _front_end(settings.get("front_end"), front_end, source)
    encoder = make_encoder(
        settings["architecture"],
        make_front_end(known).n_mels,
        settings.get("width", 1),
        settings.get("pooling", "mean"),
    )
    weights.load(encoder, known)
    return encoder, known


def _front_end(known: Optional[str], typed: Optional[str], source: str) -> str:
    """Front end of an encoder, as its files say or the user does."""
    require(
        known is not None or typed is not None,
        f"ENCODER {source} does not say which front end it was trained with",
        f"pass --front_end: {', '.join(FRONT_ENDS)}",
    )
    require(
        known is None or typed in (None, known),
        f"--front_end is {typed}, and {source} was trained with {known}",
        "leave out --front_end",
    )
    return known or typed


def identity_of(embedder: Optional[Embedder]) -> str:
    """Checksum of an encoder's weights and place of reading, empty for none."""
    if embedder is None:
        return ""
    places = "+".join(embedder.parts)
    return f"{checksum_of(embedder.encoder.state_dict())} {places}"


def caution(source: str) -> str:
    """Warning that embeddings identify infants, with the figure of the run
    where that was measured."""
    words = (
        "embeddings are personal data: they can tell whether two recordings "
        "are of the same infant, with or without names"
    )
    path = folder_of_model(Path(source)) / METRICS_FILE
    if not path.is_file():
        return words
    infant = {"infant?": {"embedding?": {"auc?": number(0, 1), str: object}}}
    shape = {"nuisance?": {**infant, str: object}, str: object}
    try:
        metrics = read_json(path, shape, "")
        probe = metrics["nuisance"]["infant"]["embedding"]
        auc, n_infants = probe["auc"], probe["n_patients"]
    except (InputError, LookupError):  # not measured
        return words
    return (
        f"{words} (AUC {auc:.2f} of telling the same infant from another, over "
        f"{n_infants} infants of {source})"
    )
