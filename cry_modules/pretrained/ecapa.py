"""SpeechBrain's ECAPA-TDNN as an encoder of log-mel frames."""

import json
from typing import Dict, Optional

import torch
from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN
from torch import nn

from cry_modules.pretrained.layered import by_length, configuration

#: Of SpeechBrain's recipes; weights do not tell them.
_DILATIONS = [1, 2, 3, 4]


class EcapaEncoder(nn.Module):
    """ECAPA-TDNN (https://arxiv.org/abs/2005.07143): log-mel to one embedding.

    SpeechBrain's convolutions mirror a batch at its end, so that padding changes
    the embeddings of shorter items. In evaluation mode, items of equal length
    are embedded together here. In train mode the batch stays whole, since its
    BatchNorms share statistics: padding changes what is near an item's end.

    Arguments
    ---------
    source : str
        Arguments of SpeechBrain's ``ECAPA_TDNN`` as JSON.

    Example
    -------
    >>> encoder = EcapaEncoder('{"input_size": 80, "lin_neurons": 192}').eval()
    >>> encoder(torch.randn(2, 100, 80), torch.tensor([1.0, 0.5])).shape
    torch.Size([2, 192])
    """

    def __init__(self, source: str):
        super().__init__()
        self.source, settings = source, configuration(source)
        self.emb_dim = settings["lin_neurons"]
        self.ecapa = ECAPA_TDNN(**settings)

    def forward(
        self, feats: torch.Tensor, lengths: Optional[torch.Tensor] = None
    ) -> torch.Tensor:
        """``[batch, frames, n_mels]``, with the valid share of each item
        ``[batch]``, to ``[batch, emb_dim]``."""
        if lengths is None or self.training:
            return self.ecapa(feats, lengths).squeeze(1)
        n_frames = torch.round(lengths * feats.shape[1]).long()
        return by_length(lambda x: self.ecapa(x).squeeze(1), feats, n_frames)


def config_of(state: Dict[str, torch.Tensor]) -> str:
    """Arguments that build the ECAPA-TDNN of these weights, as JSON."""
    shapes = {
        name.removesuffix(".conv.weight"): tuple(weight.shape)
        for name, weight in state.items()
        if name.endswith(".conv.weight")
    }
    first, last = shapes["blocks.0.conv"], shapes["mfa.conv"]
    n_blocks = len({n.split(".")[1] for n in shapes if n.startswith("blocks.")})
    blocks = [f"blocks.{i}." for i in range(1, n_blocks)]
    within = [n for n in shapes if n.startswith("blocks.1.res2net_block.")]
    channels = [first[0], *(shapes[f"{b}tdnn1.conv"][0] for b in blocks)]
    attention = shapes["asp.tdnn.conv"]
    kernels = [shapes[f"{b}res2net_block.blocks.0.conv"][2] for b in blocks]
    settings = {
        "input_size": first[1],
        "channels": [*channels, last[0]],
        "kernel_sizes": [first[2], *kernels, last[2]],
        "dilations": [*_DILATIONS[:n_blocks], 1],
        "groups": [1] * (n_blocks + 1),
        "attention_channels": attention[0],
        "global_context": attention[1] > last[0],
        "res2net_scale": 1 + len(within),
        "se_channels": shapes["blocks.1.se_block.conv1"][0],
        "lin_neurons": shapes["fc"][0],
    }
    return json.dumps(settings, sort_keys=True, separators=(",", ":"))
