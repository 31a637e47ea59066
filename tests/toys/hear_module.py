"""A module as a stranger writes it to HEAR's interface: levels of bands at
22,050 Hz, which needs half a second, and refuses what HEAR does not pass."""

import torch
from torch import nn

_FRAME = 11025


class Levels(nn.Module):
    sample_rate = 22050
    scene_embedding_size = 4
    timestamp_embedding_size = 3

    def __init__(self):
        super().__init__()
        self.register_buffer("scale", torch.arange(1.0, 5.0))


def load_model(model_file_path=""):
    model = Levels()
    if model_file_path:
        model.load_state_dict(torch.load(model_file_path, weights_only=True))
    return model


def get_timestamp_embeddings(audio, model):
    frames = audio.unfold(1, _FRAME, _FRAME // 2)
    parts = frames.abs().unflatten(2, (3, -1)).mean(dim=3)
    times = torch.arange(frames.shape[1]) * 250.0 + 250.0
    return parts, times.repeat(len(audio), 1)


def get_scene_embeddings(audio, model):
    assert audio.dtype == torch.float32 and audio.dim() == 2
    frames = audio.unfold(1, _FRAME, _FRAME // 2)
    return frames.abs().mean(dim=(1, 2))[:, None].log() * model.scale
