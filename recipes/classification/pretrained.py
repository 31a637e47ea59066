"""The encoder that a classifier starts from, or resumes with."""

import logging

import numpy as np
import torch
from torch import nn

from cry_modules.architectures import (
    architecture,
    is_configured,
    make_encoder,
    name_of,
    pooling_of_state,
)
from cry_modules.checkpoints.checkpointer import whole
from cry_modules.checkpoints.encoders import (
    CALIBRATED,
    ENCODER_FILE,
    EncoderSource,
)
from cry_modules.finetune import calibrate_batch_norms
from cry_modules.training.derived_settings import encoder_in_words
from cry_modules.training.resume import check_encoder

logger = logging.getLogger(__name__)

#: Batches of chunks that set a random encoder's BatchNorm statistics.
_CALIBRATION_BATCHES = 6


def load_pretrained(hparams, train_set, device):
    """Load the encoder that the run starts from, or resumes with."""
    check_encoder(hparams)
    source = EncoderSource(hparams["encoder_source"])
    encoder, front_end = hparams["encoder"], hparams["logmel"].name
    saved = hparams["checkpointer"].find_checkpoints()
    last = whole(checkpoint.path for checkpoint in saved)
    if last is not None:
        # A run resumes even if the source has changed since.
        EncoderSource(last).load_file(last / ENCODER_FILE, encoder, front_end)
    elif source.kind == "random":
        logger.warning("encoder_source is null: a random encoder")
    elif source.kind == CALIBRATED:
        logger.warning("A random encoder with BatchNorm statistics of the data")
        calibrate(hparams, train_set, device)
    else:
        path = source.load(encoder, front_end)
        logger.info("Encoder from %s: %s", path, encoder_in_words(hparams))


def calibrate(hparams, dataset, device):
    """Set a random encoder's BatchNorm statistics from training chunks."""
    chunks, features = hparams["chunks"], hparams["features"]
    features.to(device).eval()
    size = hparams["batch_size"]
    rng = np.random.default_rng(hparams["seed"])
    order = rng.permutation(len(dataset))[: size * _CALIBRATION_BATCHES]

    def batches():
        for first in range(0, len(order), size):
            items = [dataset[int(i)] for i in order[first : first + size]]
            sigs = [chunks(item["sig"], item["id"], 1)[0] for item in items]
            yield features(torch.stack(sigs).to(device))[0]

    calibrate_batch_norms(hparams["encoder"].to(device), batches())


def draw_again(encoder: nn.Module, mel_bins: int, seed: int) -> None:
    """Replace the weights of an encoder by random ones of this seed."""
    name, state = name_of(encoder), encoder.state_dict()
    width = len(state[architecture(name).marker])
    if is_configured(name):
        name = f"{name}:{encoder.source}"
    with torch.random.fork_rng():  # other draws stay as they are
        torch.manual_seed(seed)
        pooling = pooling_of_state(name, state)
        drawn = make_encoder(name, mel_bins, width, pooling)
    encoder.load_state_dict(drawn.state_dict())
