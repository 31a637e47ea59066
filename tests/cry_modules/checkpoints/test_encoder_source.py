"""``EncoderSource``: where weights come from, and strict loading."""

import json
import os
import socket

import pytest
import torch
from speechbrain.lobes.models.Cnn14 import Cnn14 as SpeechBrainCnn14

from cry_modules.checkpoints.checkpointer import CompleteCheckpointer
from cry_modules.checkpoints.description import FORMAT
from cry_modules.checkpoints.encoders import EncoderSource, load_companion
from cry_modules.cnn14 import Cnn14
from cry_modules.front_ends import make_front_end
from data_prep.files.errors import InputError
from data_prep.files.fingerprint import sha256
from tests.encoder_files import assert_same_layers, quickly


def load(source, option="encoder_source"):
    encoder = Cnn14(80, width=1)
    EncoderSource(source, option).load(encoder, "fbank")
    return encoder


def refusal(source):
    with pytest.raises(InputError) as error:
        load(source)
    message = str(error.value)
    assert "\n" not in message and str(source) in message
    return message


def save(folder, score=None, time=0.0, width=1):
    """A checkpoint as SpeechBrain's Checkpointer leaves it, and its encoder."""
    folder.mkdir(parents=True)
    encoder = Cnn14(80, width)
    torch.save(encoder.state_dict(), folder / "encoder.ckpt")
    meta = f"unixtime: {time}\n" + (
        "" if score is None else f"score: {score}\n"
    )
    (folder / "CKPT.yaml").write_text(meta)
    return encoder


@pytest.mark.parametrize(
    "source, kind",
    [
        (None, "random"),
        ("null", "random"),
        ("random_calibrated", "random_calibrated"),
        ("{}", "folder"),
        ("{}/encoder.ckpt", "file"),
        ("speechbrain/cnn14-esc50", "hub"),
        ("no/such/folder", "missing"),
        ("{}/gone", "missing"),
    ],
)
def test_a_source_has_a_kind(tmp_path, source, kind):
    (tmp_path / "encoder.ckpt").write_text("")
    source = source and source.format(tmp_path)
    assert EncoderSource(source).kind == kind


@pytest.mark.parametrize("empty", ["", " ", "\n"])
def test_an_empty_source_is_refused(empty):
    """It was a random encoder; a variable of the shell may not be set."""
    with pytest.raises(InputError, match="encoder_source is empty; pass null"):
        EncoderSource(empty)
    with pytest.raises(InputError, match="the source of the encoder is empty"):
        EncoderSource(empty, option="")


def test_run_checkpoint_and_file_give_the_same_weights(tmp_path):
    folder = tmp_path / "run/save/CKPT+1"
    encoder = save(folder)
    for source in (tmp_path / "run", folder, folder / "encoder.ckpt"):
        for a, b in zip(encoder.parameters(), load(source).parameters()):
            assert torch.equal(a, b)


def test_a_run_gives_its_best_or_its_newest_checkpoint(tmp_path):
    save(tmp_path / "cls/save/CKPT+best", score=0.9, time=1)
    save(tmp_path / "cls/save/CKPT+last", score=0.8, time=2)
    # Without a readable score or time there is no order.
    save(tmp_path / "cls/save/CKPT+text", score="high", time=3)
    save(tmp_path / "cls/save/CKPT+word", score=0.95, time="now")
    assert EncoderSource(tmp_path / "cls").file().parent.name == "CKPT+best"
    save(tmp_path / "ssl/save/CKPT+old", time=1)
    save(tmp_path / "ssl/save/CKPT+new", time=2)
    assert EncoderSource(tmp_path / "ssl").file().parent.name == "CKPT+new"


def test_a_run_that_was_killed_gives_its_last_whole_epoch(tmp_path, caplog):
    encoder = Cnn14(80, width=1)
    checkpointer = CompleteCheckpointer(
        tmp_path / "run/save", {"encoder": encoder}
    )
    checkpointer.record(settings={"number_of_epochs": "9"})
    meta = {"epoch": 1, "step": 3, "finished": False}
    checkpointer.save_checkpoint(meta, end_of_epoch=False)
    assert "let its run finish an epoch" in refusal(tmp_path / "run")
    whole = checkpointer.save_checkpoint({**meta, "step": 4}).path
    meta.update(epoch=2, step=7)
    middle = checkpointer.save_checkpoint(meta, end_of_epoch=False).path
    for source, taken, words in (
        (tmp_path / "run", whole, "after epoch 1"),
        (middle, middle, "in the middle of epoch 2"),
    ):
        assert EncoderSource(source).file().parent == taken
        load(source)
        (line,) = caplog.messages
        assert "last saved in epoch 2 of 9" in line and line.endswith(words)
        caplog.clear()
    checkpointer.save_checkpoint({"epoch": 9, "step": 36, "finished": True})
    load(tmp_path / "run")
    assert not caplog.messages


def test_every_layer_equals_speechbrains(tmp_path):
    """A file as SpeechBrain's recipes leave it, at full size."""
    theirs = quickly(lambda: SpeechBrainCnn14(80, 2048))
    theirs.norm0.running_mean.mul_(0.1)  # as after the mean normalisation
    path = tmp_path / "embedding_model.ckpt"
    torch.save(theirs.state_dict(), path)
    ours = quickly(lambda: Cnn14(80, width=64))
    sound = 0.1 * torch.randn(1, 12000)
    EncoderSource(path).load(ours, "fbank")
    assert_same_layers(ours, theirs, make_front_end("fbank")(sound)[0])


def test_keys_that_do_not_fit_are_named_with_the_cure(tmp_path):
    state = Cnn14(80, width=1).state_dict()
    path = tmp_path / "a.ckpt"
    torch.save({**state, "fc1.weight": torch.ones(1)}, path)
    assert "fc1.weight is unexpected" in refusal(path)
    for name in ("norm0.weight", "conv_block1.conv1.weight"):
        torch.save({**state, name: torch.tensor(1.0)}, path)
        assert f"{name} is (), here (" in refusal(path)
    whole_numbers = {"norm0.running_mean": torch.ones(80).long()}
    torch.save({**state, **whole_numbers}, path)
    assert "norm0.running_mean is of torch.int64, here" in refusal(path)
    del state["conv_block2.norm1.bias"]
    torch.save(state, path)
    assert "conv_block2.norm1.bias is missing" in refusal(path)
    torch.save(Cnn14(64, width=1).state_dict(), path)
    assert "norm0.weight is (64,), here (80,)" in refusal(path)
    assert "here 80: pass --front_end panns" in refusal(path)
    torch.save(Cnn14(80, width=2).state_dict(), path)
    message = refusal(path)
    assert "it has width 2: pass --width 2" in message and "more)" in message


def test_another_version_is_named_where_weights_do_not_fit(tmp_path):
    save(tmp_path / "CKPT+1", width=2)
    meta = "unixtime: 1.0\nversion: 0.0.9\n"
    (tmp_path / "CKPT+1/CKPT.yaml").write_text(meta)
    assert "version 0.0.9 wrote it, this is" in refusal(tmp_path / "CKPT+1")


def test_a_damaged_checkpoint_of_a_run_is_skipped(tmp_path, caplog):
    recoverables = {"encoder": Cnn14(80, width=1)}
    checkpointer = CompleteCheckpointer(tmp_path / "save", recoverables)
    first, last = (checkpointer.save_checkpoint() for _ in range(2))
    assert EncoderSource(tmp_path).file().parent == last.path
    (last.path / "encoder.ckpt").write_bytes(b"half of it")
    assert EncoderSource(tmp_path).file().parent == first.path
    assert "encoder.ckpt is not what was saved" in caplog.text
    (first.path / "encoder.ckpt").unlink()
    message = refusal(tmp_path)
    assert "holds no encoder.ckpt" in message
    assert f"{first.path.name}: encoder.ckpt is missing" in message
    assert "let its run finish" not in message


def test_pipes_and_sockets_are_named(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    assert "pipe is a pipe or a device" in refusal(tmp_path / "pipe")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(tmp_path / "s"))
        assert "s is a socket" in refusal(tmp_path / "s")
    (tmp_path / "save/CKPT+1").mkdir(parents=True)
    os.mkfifo(tmp_path / "save/CKPT+1/CKPT.yaml")
    assert "CKPT.yaml cannot be read" in refusal(tmp_path)


def test_missing_and_empty_sources_are_refused(tmp_path):
    assert "does not exist" in refusal(tmp_path / "no/such/folder")
    (tmp_path / "empty").mkdir()
    assert "holds no encoder.ckpt" in refusal(tmp_path / "empty")


def exported(folder):
    """The files of an exported model that an encoder is loaded from."""
    folder.mkdir(parents=True)
    path = folder / "encoder.ckpt"
    torch.save(Cnn14(80, width=1).state_dict(), path)
    description = {
        "format": FORMAT,
        "model": {"front_end": "fbank"},
        "files": {path.name: sha256(path)},
    }
    (folder / "model.json").write_text(json.dumps(description))
    return folder


def test_an_exchanged_file_of_an_exported_model_is_refused(tmp_path):
    folder = exported(tmp_path / "a")
    load(folder)
    torch.save(Cnn14(80, width=1).state_dict(), folder / "encoder.ckpt")
    assert "SHA-256 differs" in refusal(folder)
    assert "SHA-256 differs" in refusal(folder / "encoder.ckpt")
    layer = torch.nn.Linear(2, 2)
    torch.save(layer.state_dict(), folder / "projector.ckpt")
    with pytest.raises(InputError, match="projector.ckpt is not the file"):
        load_companion(folder / "encoder.ckpt", "projector.ckpt", layer)


def test_no_link_leads_out_of_a_folder(tmp_path):
    """The user may name a link; the folder's own files may not be links."""
    save(tmp_path / "target")
    target = tmp_path / "target/encoder.ckpt"
    for name in ("plain", "run/save/CKPT+1"):
        folder, root = tmp_path / name, tmp_path / name.split("/")[0]
        save(folder)
        (tmp_path / "link").symlink_to(root)
        load(tmp_path / "link")
        (folder / "encoder.ckpt").unlink()
        (folder / "encoder.ckpt").symlink_to(target)
        for source in (root, tmp_path / "link"):
            assert "leads out of the folder" in refusal(source)
        load(folder / "encoder.ckpt")
        (tmp_path / "link").unlink()
    (tmp_path / "a").mkdir()
    (tmp_path / "a/projector.ckpt").symlink_to(target)
    with pytest.raises(InputError, match="leads out of the folder"):
        load_companion(tmp_path / "a/a.ckpt", "projector.ckpt", Cnn14(80, 1))


@pytest.mark.parametrize("parent", ["snapshots", "shots"])
def test_only_the_hubs_cache_links_to_its_blobs(tmp_path, parent):
    folder = exported(tmp_path / parent / "c0ffee")
    (tmp_path / "blobs").mkdir()
    for path in list(folder.iterdir()):
        path.rename(tmp_path / "blobs" / path.name)
        path.symlink_to(f"../../blobs/{path.name}")
    if parent == "snapshots":
        load(folder)
    else:
        assert "leads out of the folder" in refusal(folder)


@pytest.mark.parametrize("content", [None, b"hello"])
def test_an_error_begins_with_what_the_user_typed(tmp_path, content):
    path = tmp_path / "encoder.ckpt"
    if content:
        path.write_bytes(content)
    for option, start in (("encoder_source", "encoder_source "), ("", "")):
        with pytest.raises(InputError) as error:
            load(path, option)
        assert str(error.value).startswith(f"{start}{path} ")


def test_a_projector_in_the_encoders_folder_is_loaded(tmp_path):
    layer, other = torch.nn.Linear(2, 2), torch.nn.Linear(2, 2)
    torch.save(layer.state_dict(), tmp_path / "projector.ckpt")
    path = tmp_path / "encoder.ckpt"
    assert load_companion(path, "projector.ckpt", other)
    assert torch.equal(layer.weight, other.weight)
    with pytest.raises(InputError, match="projector.ckpt does not fit"):
        load_companion(path, "projector.ckpt", torch.nn.Linear(3, 2))
