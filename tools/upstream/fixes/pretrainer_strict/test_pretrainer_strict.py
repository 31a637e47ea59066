"""Tests of the Pretrainer with files that do not fit, or only in part.

Authors
 * The contributors of cry-ssl 2026
"""

import pytest
import torch


def pretrain(folder, state_dict, module):
    """Load parameters from a file as recipes do."""
    from speechbrain.utils.parameter_transfer import Pretrainer

    path = str(folder / "saved.ckpt")
    torch.save(state_dict, path)
    pretrainer = Pretrainer(
        loadables={"module": module}, paths={"module": path}
    )
    pretrainer.collect_files()
    pretrainer.load_collected()


def module_with(**layers):
    return torch.nn.ModuleDict(layers)


def other_module():
    return module_with(classifier=torch.nn.Linear(4, 4)).state_dict()


def other_prefix():
    encoder = module_with(encoder=torch.nn.Linear(4, 4))
    return {"module." + k: v for k, v in encoder.state_dict().items()}


def one_key_for_all():
    encoder = module_with(encoder=torch.nn.Linear(4, 4))
    return {"model": encoder.state_dict(), "epoch": 3}


def optimizer():
    encoder = module_with(encoder=torch.nn.Linear(4, 4))
    return torch.optim.Adam(encoder.parameters()).state_dict()


@pytest.mark.parametrize(
    "wrong", [other_module, other_prefix, one_key_for_all, optimizer, dict]
)
def test_file_of_which_nothing_fits(wrong, tmpdir, device):
    module = module_with(encoder=torch.nn.Linear(4, 4)).to(device)
    before = module["encoder"].weight.clone()
    with pytest.raises(RuntimeError, match="saved.ckpt .* right file"):
        pretrain(tmpdir, wrong(), module)
    assert torch.equal(module["encoder"].weight, before)


def test_what_fits_is_loaded(tmpdir, device, caplog):
    saved = module_with(
        encoder=torch.nn.Linear(4, 4), old_head=torch.nn.Linear(4, 2)
    )
    module = module_with(
        encoder=torch.nn.Linear(4, 4), new_head=torch.nn.Linear(4, 3)
    ).to(device)
    before = module["new_head"].weight.clone()
    pretrain(tmpdir, saved.state_dict(), module)
    loaded = module["encoder"].weight.cpu()
    assert torch.equal(loaded, saved["encoder"].weight)
    assert torch.equal(module["new_head"].weight, before)
    assert "new_head.weight" in caplog.text
    assert "old_head.weight" in caplog.text


def test_module_without_parameters(tmpdir, caplog):
    pretrain(tmpdir, other_module(), torch.nn.ReLU())
    assert "classifier.weight" in caplog.text
