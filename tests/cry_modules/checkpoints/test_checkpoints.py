"""encoder_source: strict, and no code runs."""

import json
import pickle
import random
import zipfile
from collections import OrderedDict

import numpy as np
import pytest
import torch
from speechbrain.lobes.models.Cnn14 import Cnn14 as SpeechBrainCnn14

from cry_modules.checkpoints.checkpointer import CompleteCheckpointer
from cry_modules.checkpoints.description import FORMAT
from cry_modules.checkpoints.encoders import EncoderSource, load_companion
from cry_modules.checkpoints.state_dict import read_state_dict, sha256
from cry_modules.cnn14 import Cnn14
from cry_modules.front_ends import make_front_end
from data_prep.files.errors import InputError
from tests.encoder_files import Evil, assert_same_layers, quickly


def save(folder, encoder, score=None, time=0.0):
    """A checkpoint folder as SpeechBrain's Checkpointer leaves it."""
    folder.mkdir(parents=True)
    torch.save(encoder.state_dict(), folder / "encoder.ckpt")
    meta = f"unixtime: {time}\n" + (
        "" if score is None else f"score: {score}\n"
    )
    (folder / "CKPT.yaml").write_text(meta)
    return folder


def test_results_checkpoint_folder_and_file_give_the_same(tmp_path):
    encoder = Cnn14(80, width=1)
    folder = save(tmp_path / "run/save/CKPT+1", encoder)
    for source in (tmp_path / "run", folder, folder / "encoder.ckpt"):
        other = Cnn14(80, width=1)
        EncoderSource(source).load(other, "fbank")
        for a, b in zip(encoder.parameters(), other.parameters()):
            assert torch.equal(a, b)


def test_a_run_that_chose_by_score_gives_its_best_else_its_newest(tmp_path):
    encoder = Cnn14(80, width=1)
    save(tmp_path / "cls/save/CKPT+best", encoder, score=0.9, time=1)
    save(tmp_path / "cls/save/CKPT+last", encoder, score=0.8, time=2)
    assert "best" in str(EncoderSource(tmp_path / "cls").file())
    save(tmp_path / "ssl/save/CKPT+old", encoder, time=1)
    save(tmp_path / "ssl/save/CKPT+new", encoder, time=2)
    assert "new" in str(EncoderSource(tmp_path / "ssl").file())


def test_every_layer_is_speechbrains(tmp_path):
    """A file as SpeechBrain's recipes leave it, of the real size."""
    theirs = quickly(lambda: SpeechBrainCnn14(80, 2048))
    theirs.norm0.running_mean.mul_(0.1)  # as after the mean normalisation
    path = tmp_path / "embedding_model.ckpt"
    torch.save(theirs.state_dict(), path)
    ours = quickly(lambda: Cnn14(80, width=64))
    sound = 0.1 * torch.randn(1, 12000)
    EncoderSource(path).load(ours, "fbank")
    assert_same_layers(ours, theirs, make_front_end("fbank")(sound)[0])


def refusal(source):
    with pytest.raises(InputError) as error:
        EncoderSource(source).load(Cnn14(80, width=1), "fbank")
    message = str(error.value)
    assert "\n" not in message and str(source) in message
    return message


def test_missing_unexpected_and_misshapen_keys_are_named(tmp_path):
    state = Cnn14(80, width=1).state_dict()
    path = tmp_path / "a.ckpt"
    torch.save({**state, "fc1.weight": torch.ones(1)}, path)
    assert "fc1.weight is unexpected" in refusal(path)
    del state["conv_block2.norm1.bias"]
    torch.save(state, path)
    assert "conv_block2.norm1.bias is missing" in refusal(path)
    torch.save(Cnn14(64, width=1).state_dict(), path)
    assert "norm0.weight is (64,), here (80,)" in refusal(path)
    assert "here 80: pass --front_end panns" in refusal(path)
    torch.save(Cnn14(80, width=2).state_dict(), path)
    message = refusal(path)
    assert "it has width 2: pass --width 2" in message
    assert "more)" in message


def test_another_version_says_so(tmp_path):
    folder = save(tmp_path / "CKPT+1", Cnn14(80, width=2))
    (folder / "CKPT.yaml").write_text("unixtime: 1.0\nversion: 0.0.9\n")
    assert "version 0.0.9 wrote it, this is" in refusal(folder)


def test_a_damaged_checkpoint_of_a_run_is_passed_over(tmp_path, caplog):
    encoder = Cnn14(80, width=1)
    checkpointer = CompleteCheckpointer(tmp_path / "save", {"encoder": encoder})
    first, last = (checkpointer.save_checkpoint() for _ in range(2))
    assert EncoderSource(tmp_path).file().parent == last.path
    (last.path / "encoder.ckpt").write_bytes(b"half of it")
    assert EncoderSource(tmp_path).file().parent == first.path
    assert "encoder.ckpt is not what was saved" in caplog.text
    (first.path / "encoder.ckpt").unlink()
    assert "holds no encoder.ckpt" in refusal(tmp_path)


def test_truncated_foreign_and_absent_files(tmp_path):
    path = tmp_path / "a.ckpt"
    torch.save(Cnn14(80, width=1).state_dict(), path)
    path.write_bytes(path.read_bytes()[:1000])
    assert "truncated" in refusal(path) and "run code" not in refusal(path)
    path.write_text("hello")
    assert "another kind of file" in refusal(path)
    path.write_text("recording_id,patient_id\n1,2\n")
    assert "another kind of file" in refusal(path)
    path.write_bytes(b"")
    assert "truncated" in refusal(path)
    torch.save([1, 2], path)
    assert "not a state dict" in refusal(path)
    assert "does not exist" in refusal(tmp_path / "no/such/folder")
    (tmp_path / "empty").mkdir()
    assert "holds no encoder.ckpt" in refusal(tmp_path / "empty")


@pytest.mark.filterwarnings("ignore:Detected pickle protocol")
def test_a_pickle_with_code_is_refused_and_does_not_run(tmp_path):
    path, proof = tmp_path / "a.ckpt", tmp_path / "it_ran"
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        path.write_bytes(pickle.dumps(Evil(proof), protocol))
        # From 4 on, a function's name is none of torch's operations.
        said = f"would run code when loaded ({open.__module__}.open)"
        assert (said if protocol < 4 else "could run code") in refusal(path)
    for is_zip in (False, True):
        content = {"a": Evil(proof)}
        torch.save(content, path, _use_new_zipfile_serialization=is_zip)
        assert said in refusal(path)
    assert not proof.exists()


@pytest.fixture(params=[True, False], ids=["zip", "legacy"])
def small(request, tmp_path):
    """A small checkpoint's path, in both formats of torch."""
    net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    path = tmp_path / "small.ckpt"
    content = {"model": net.state_dict(), "sampler": [np.arange(3)]}
    torch.save(content, path, _use_new_zipfile_serialization=request.param)
    assert len(read_state_dict(path)) == 7
    return path


def test_wherever_a_file_is_cut_it_is_one_line(small):
    content = small.read_bytes()
    cuts = {*range(40), *range(40, len(content), 29), len(content) - 1}
    for n in sorted(cuts):
        small.write_bytes(content[:n])
        with pytest.raises(InputError, match="truncated|damaged") as error:
            read_state_dict(small)
        assert "\n" not in str(error.value)


def test_wherever_a_file_is_damaged_it_is_one_line_if_it_shows(small):
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


def test_what_cannot_be_opened_says_so(tmp_path):
    with pytest.raises(InputError, match="cannot be read: No such file"):
        read_state_dict(tmp_path / "a.ckpt")
    with pytest.raises(InputError, match="cannot be read: Is a directory"):
        read_state_dict(tmp_path)


@pytest.mark.filterwarnings("ignore")  # torch's, of sparse tensors
@pytest.mark.parametrize(
    "name, value, said",
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
def test_a_state_dict_is_names_and_dense_finite_tensors(
    tmp_path, name, value, said
):
    path = tmp_path / "a.ckpt"
    torch.save({"a": torch.ones(2), name: value}, path)
    with pytest.raises(InputError) as error:
        read_state_dict(path)
    assert said in str(error.value) and "\n" not in str(error.value)


@pytest.mark.filterwarnings("ignore")  # torch's, of what is out of use
def test_quantized_weights_are_refused(tmp_path):
    value = torch.quantize_per_tensor(torch.ones(2), 1.0, 0, torch.qint8)
    torch.save({"a": value}, tmp_path / "a.ckpt")
    with pytest.raises(InputError, match="a is not a dense tensor"):
        read_state_dict(tmp_path / "a.ckpt")


def test_what_a_dict_brings_besides_its_entries_is_left(tmp_path):
    """A pickle sets any attribute of an OrderedDict, methods too."""
    encoder, path = Cnn14(80, width=1), tmp_path / "a.ckpt"
    state = OrderedDict(encoder.state_dict())
    state._metadata = [1]
    state.values = state.get = state.keys = "no method"
    torch.save(state, path)
    EncoderSource(path).load(Cnn14(80, width=1), "fbank")


def test_weights_without_a_dimension(tmp_path):
    path, state = tmp_path / "a.ckpt", Cnn14(80, width=1).state_dict()
    for name in ("norm0.weight", "conv_block1.conv1.weight"):
        torch.save({**state, name: torch.tensor(1.0)}, path)
        assert f"{name} is (), here (" in refusal(path)


def test_a_small_file_does_not_expand(tmp_path):
    path, packed = tmp_path / "a.ckpt", tmp_path / "packed.ckpt"
    torch.save({"a": torch.zeros(100000)}, path)
    with zipfile.ZipFile(path) as source:
        with zipfile.ZipFile(packed, "w", zipfile.ZIP_DEFLATED) as target:
            for member in source.infolist():
                target.writestr(member.filename, source.read(member))
    assert packed.stat().st_size < 10000
    assert "compressed" in refusal(packed)
    assert read_state_dict(path)["a"].shape == (100000,)


def exported(folder, encoder):
    """What of an exported model tells of its encoder."""
    folder.mkdir(parents=True)
    path = folder / "encoder.ckpt"
    torch.save(encoder.state_dict(), path)
    about = {
        "format": FORMAT,
        "model": {"front_end": "fbank"},
        "files": {path.name: sha256(path)},
    }
    (folder / "model.json").write_text(json.dumps(about))
    return folder


def test_an_exported_encoder_is_the_one_that_was_written(tmp_path):
    folder = exported(tmp_path / "a", Cnn14(80, width=1))
    EncoderSource(folder).load(Cnn14(80, width=1), "fbank")
    torch.save(Cnn14(80, width=1).state_dict(), folder / "encoder.ckpt")
    assert "SHA-256 differs" in refusal(folder)
    assert "SHA-256 differs" in refusal(folder / "encoder.ckpt")
    torch.save(torch.nn.Linear(2, 2).state_dict(), folder / "projector.ckpt")
    with pytest.raises(InputError, match="projector.ckpt is not the file"):
        load_companion(
            folder / "encoder.ckpt", "projector.ckpt", torch.nn.Linear(2, 2)
        )


def test_no_link_leads_out_of_a_folder(tmp_path):
    """What the user names may be a link; what lies in it may not."""
    own = save(tmp_path / "own", Cnn14(80, width=1)) / "encoder.ckpt"
    for name in ("plain", "run/save/CKPT+1"):
        folder = save(tmp_path / name, Cnn14(80, width=1))
        (tmp_path / "link").symlink_to(tmp_path / name.split("/")[0])
        EncoderSource(tmp_path / "link").load(Cnn14(80, width=1), "fbank")
        (folder / "encoder.ckpt").unlink()
        (folder / "encoder.ckpt").symlink_to(own)
        for source in (tmp_path / name.split("/")[0], tmp_path / "link"):
            assert "leads out of the folder" in refusal(source)
        EncoderSource(folder / "encoder.ckpt").load(Cnn14(80, width=1), "fbank")
        (tmp_path / "link").unlink()
    (tmp_path / "projector.ckpt").symlink_to(own)
    with pytest.raises(InputError, match="leads out of the folder"):
        load_companion(tmp_path / "a.ckpt", "projector.ckpt", Cnn14(80, 1))


def test_the_hubs_cache_links_to_its_blobs(tmp_path):
    for parent, is_cache in (("snapshots", True), ("shots", False)):
        hub = tmp_path / parent
        folder = exported(hub / parent / "c0ffee", Cnn14(80, width=1))
        (hub / "blobs").mkdir()
        for path in list(folder.iterdir()):
            path.rename(hub / "blobs" / path.name)
            path.symlink_to(f"../../blobs/{path.name}")
        if is_cache:
            EncoderSource(folder).load(Cnn14(80, width=1), "fbank")
        else:
            assert "leads out of the folder" in refusal(folder)


def test_checkpoints_whose_order_cannot_be_told_are_passed_over(tmp_path):
    encoder = Cnn14(80, width=1)
    good = save(tmp_path / "save/CKPT+1", encoder, score=0.5, time=1)
    save(tmp_path / "save/CKPT+2", encoder, score="high", time=2)
    save(tmp_path / "save/CKPT+3", encoder, score=0.9, time="now")
    assert EncoderSource(tmp_path).file().parent == good


def test_an_error_calls_a_file_what_the_user_does(tmp_path):
    path = tmp_path / "encoder.ckpt"
    for content in (None, b"hello"):
        if content:
            path.write_bytes(content)
        for option, start in (("encoder_source", "encoder_source "), ("", "")):
            with pytest.raises(InputError) as error:
                EncoderSource(path, option).load(Cnn14(80, 1), "fbank")
            assert str(error.value).startswith(f"{start}{path} ")
    with pytest.raises(InputError) as error:
        load_companion(tmp_path / "head.ckpt", path.name, torch.nn.Linear(1, 1))
    assert str(error.value).startswith(f"{path} ")


def test_projector_beside_the_encoder(tmp_path):
    layer = torch.nn.Linear(2, 2)
    torch.save(layer.state_dict(), tmp_path / "projector.ckpt")
    other = torch.nn.Linear(2, 2)
    path = tmp_path / "encoder.ckpt"
    assert load_companion(path, "projector.ckpt", other)
    assert torch.equal(layer.weight, other.weight)
    with pytest.raises(InputError, match="projector.ckpt does not fit"):
        load_companion(path, "projector.ckpt", torch.nn.Linear(3, 2))
