"""ECAPA-TDNN: SpeechBrain's embeddings, whatever the padding."""

import json

import pytest
import torch
from speechbrain.lobes.models.ECAPA_TDNN import ECAPA_TDNN

from cry_modules.checkpoints.state_dict import below
from cry_modules.pretrained.ecapa import EcapaEncoder, config_of
from tests.speech_models import ECAPA


@pytest.fixture(scope="module")
def theirs():
    torch.manual_seed(0)
    model = ECAPA_TDNN(**ECAPA)
    for name, value in model.state_dict().items():
        if "norm.norm" in name and value.is_floating_point():
            value.uniform_(0.5, 2)
    return model.eval()


@pytest.mark.parametrize("changes", [{}, {"global_context": False}])
def test_weights_tell_the_arguments(changes):
    settings = {**ECAPA, **changes}
    state = ECAPA_TDNN(**settings).state_dict()
    assert json.loads(config_of(state)) == settings


@torch.no_grad()
def test_each_recording_is_embedded_as_if_alone(theirs):
    ours = EcapaEncoder(config_of(theirs.state_dict())).eval()
    ours.ecapa.load_state_dict(theirs.state_dict())
    torch.manual_seed(1)
    feats, lengths = torch.randn(4, 100, 80), torch.tensor([1, 0.4, 1, 0.31])
    embs = ours(feats, lengths)
    alone = [
        theirs(item[None, : round(100 * share.item())])[0, 0]
        for item, share in zip(feats, lengths)
    ]
    torch.testing.assert_close(embs, torch.stack(alone), rtol=1e-5, atol=1e-5)
    # Why: SpeechBrain's own masks leave the mirrored end.
    padded = theirs(feats, lengths)[:, 0]
    assert (padded - embs).abs().max() > 1e-3


def test_a_published_file_has_prefixes_and_a_projector(theirs):
    """Ubenwa/sb-ecapa-vggsound-simclr holds the weights of a container."""
    state = theirs.state_dict()
    published = {f"embedding.{name}": value for name, value in state.items()}
    published["projector.layers.0.weight"] = torch.zeros(2)
    assert below(published, "asp.conv.conv.weight").keys() == state.keys()
