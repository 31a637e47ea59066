"""State dicts are read without running code; anything else is one line."""

import pickle
import random
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch

from cry_modules.checkpoints.state_dict import read_state_dict
from data_prep.files.errors import InputError
from tests.encoder_files import Evil


def refusal(path):
    with pytest.raises(InputError) as error:
        read_state_dict(path)
    message = str(error.value)
    assert "\n" not in message and str(path) in message
    return message


@pytest.fixture(params=[True, False], ids=["zip", "legacy"])
def small(request, tmp_path):
    """A small checkpoint's path, in both formats of torch."""
    net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    path = tmp_path / "small.ckpt"
    content = {"model": net.state_dict(), "sampler": [np.arange(3)]}
    torch.save(content, path, _use_new_zipfile_serialization=request.param)
    assert len(read_state_dict(path)) == 7
    return path


def test_a_truncated_file_is_refused_wherever_it_ends(small):
    content = small.read_bytes()
    cuts = {*range(40), *range(40, len(content), 29), len(content) - 1}
    for n in sorted(cuts):
        small.write_bytes(content[:n])
        message = refusal(small)
        assert "truncated" in message or "damaged" in message


def test_a_damaged_file_is_one_line_wherever_it_shows(small):
    content = small.read_bytes()
    draw = random.Random(0)
    n_refused = 0
    for _ in range(150):
        damaged = bytearray(content)
        damaged[draw.randrange(len(content))] ^= 1 << draw.randrange(8)
        small.write_bytes(damaged)
        try:
            read_state_dict(small)
        except InputError as error:
            n_refused += 1
            assert "\n" not in str(error)
    assert n_refused > 30


@pytest.mark.parametrize(
    "content, message",
    [
        (b"hello", "another kind of file"),
        (b"recording_id,patient_id\n1,2\n", "another kind of file"),
        (b"", "truncated"),
    ],
)
def test_another_kind_of_file_is_refused(tmp_path, content, message):
    path = tmp_path / "a.ckpt"
    path.write_bytes(content)
    assert message in refusal(path)


def test_a_file_that_cannot_be_opened_is_refused(tmp_path):
    assert "cannot be read: No such file" in refusal(tmp_path / "a.ckpt")
    assert "cannot be read: Is a directory" in refusal(tmp_path)


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_code_in_a_pickle_does_not_run(tmp_path):
    path, proof = tmp_path / "a.ckpt", tmp_path / "it_ran"
    would_run = f"would run code when loaded ({open.__module__}.open)"
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        path.write_bytes(pickle.dumps(Evil(proof), protocol))
        # From protocol 4 on, torch does not name the function.
        expected = would_run if protocol < 4 else "could run code"
        assert expected in refusal(path)
    for is_zip in (False, True):
        content = {"a": Evil(proof)}
        torch.save(content, path, _use_new_zipfile_serialization=is_zip)
        assert would_run in refusal(path)
    assert not proof.exists()


@pytest.mark.filterwarnings("ignore")  # torch's, about sparse tensors
@pytest.mark.parametrize(
    "name, value, message",
    [
        (3, torch.ones(1), "a name is not a short text"),
        ("a\nb", torch.ones(1), "a name is not a short text"),
        ("a" * 1000, torch.ones(1), "a name is not a short text"),
        ("b", [1.0], "b is not a tensor"),
        ("b", torch.eye(2).to_sparse(), "b is not a dense"),
        ("b", torch.ones(2, device="meta"), "b is not a dense"),
        ("b", torch.ones(1).expand(1 << 40), "b is not a dense"),
        ("b", torch.ones(2, dtype=torch.bool), "b is not a dense"),
        ("b", torch.ones(2, dtype=torch.complex64), "b is not a dense"),
        ("b", torch.ones(2).to(torch.float8_e4m3fn), "b is not a dense"),
        ("b", torch.tensor([0.0, float("nan")]), "b holds NaN"),
        ("b", torch.tensor(float("-inf")).half(), "b holds NaN or infinity"),
    ],
)
def test_entries_are_names_and_dense_finite_tensors(
    tmp_path, name, value, message
):
    path = tmp_path / "a.ckpt"
    torch.save({"a": torch.ones(2), name: value}, path)
    assert message in refusal(path)


@pytest.mark.filterwarnings("ignore")  # torch's, about deprecation
def test_lists_and_quantized_weights_are_refused(tmp_path):
    path = tmp_path / "a.ckpt"
    torch.save([1, 2], path)
    assert "not a state dict" in refusal(path)
    value = torch.quantize_per_tensor(torch.ones(2), 1.0, 0, torch.qint8)
    torch.save({"a": value}, path)
    assert "a is not a dense tensor" in refusal(path)


def test_attributes_of_a_dict_are_dropped(tmp_path):
    """A pickle sets any attribute of an OrderedDict, methods too."""
    path, state = tmp_path / "a.ckpt", OrderedDict(a=torch.ones(1))
    state._metadata = [1]
    state.values = state.get = state.keys = "not a method"
    torch.save(state, path)
    assert list(read_state_dict(path).keys()) == ["a"]


def test_a_compressed_file_is_not_expanded(tmp_path):
    path, packed = tmp_path / "a.ckpt", tmp_path / "packed.ckpt"
    torch.save({"a": torch.zeros(100000)}, path)
    with zipfile.ZipFile(path) as source:
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
            for member in source.infolist():
                target.writestr(member.filename, source.read(member))
    assert packed.stat().st_size < 10000
    assert "compressed" in refusal(packed)
    assert read_state_dict(path)["a"].shape == (100000,)
