"""encoder_source: strict, and no code runs."""

import pickle

import pytest
import torch
from speechbrain.lobes.models.Cnn14 import Cnn14 as SpeechBrainCnn14

from cry_modules.checkpointer import CompleteCheckpointer
from cry_modules.checkpoints import find_encoder, load_beside, load_encoder
from cry_modules.cnn14 import Cnn14
from cry_modules.front_ends import make_front_end
from data_prep.errors import InputError
from tests.encoder_files import assert_same_layers, quickly


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
        load_encoder(other, str(source))
        for a, b in zip(encoder.parameters(), other.parameters()):
            assert torch.equal(a, b)


def test_a_run_that_chose_by_score_gives_its_best_else_its_newest(tmp_path):
    encoder = Cnn14(80, width=1)
    save(tmp_path / "cls/save/CKPT+best", encoder, score=0.9, time=1)
    save(tmp_path / "cls/save/CKPT+last", encoder, score=0.8, time=2)
    assert "best" in str(find_encoder(str(tmp_path / "cls")))
    save(tmp_path / "ssl/save/CKPT+old", encoder, time=1)
    save(tmp_path / "ssl/save/CKPT+new", encoder, time=2)
    assert "new" in str(find_encoder(str(tmp_path / "ssl")))


def test_every_layer_is_speechbrains(tmp_path):
    """A file as SpeechBrain's recipes leave it, of the real size."""
    theirs = quickly(lambda: SpeechBrainCnn14(80, 2048))
    theirs.norm0.running_mean.mul_(0.1)  # as after the mean normalisation
    path = tmp_path / "embedding_model.ckpt"
    torch.save(theirs.state_dict(), path)
    ours = quickly(lambda: Cnn14(80, width=64))
    sound = 0.1 * torch.randn(1, 12000)
    load_encoder(ours, str(path), "fbank")
    assert_same_layers(ours, theirs, make_front_end("fbank")(sound)[0])


def refusal(source):
    with pytest.raises(InputError) as error:
        load_encoder(Cnn14(80, width=1), str(source))
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
    assert find_encoder(str(tmp_path)).parent == last.path
    (last.path / "encoder.ckpt").write_bytes(b"half of it")
    assert find_encoder(str(tmp_path)).parent == first.path
    assert "encoder.ckpt is not what was saved" in caplog.text
    (first.path / "encoder.ckpt").unlink()
    assert "holds no encoder.ckpt" in refusal(tmp_path)


def test_truncated_foreign_and_absent_files(tmp_path):
    path = tmp_path / "a.ckpt"
    torch.save(Cnn14(80, width=1).state_dict(), path)
    path.write_bytes(path.read_bytes()[:1000])
    assert "truncated" in refusal(path)
    path.write_text("hello")
    assert "another kind of file" in refusal(path)
    path.write_text("recording_id,patient_id\n1,2\n")
    assert "another kind of file" in refusal(path)
    path.write_bytes(b"")
    assert "truncated" in refusal(path)
    torch.save([1, 2], path)
    assert "no state dict" in refusal(path)
    assert "does not exist" in refusal(tmp_path / "no/such/folder")
    (tmp_path / "empty").mkdir()
    assert "holds no encoder.ckpt" in refusal(tmp_path / "empty")


class Evil:
    """Unpickled, it would write a file."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return (open, (str(self.path), "w"))


def test_a_pickle_with_code_is_refused_and_does_not_run(tmp_path):
    path, proof = tmp_path / "a.ckpt", tmp_path / "it_ran"
    path.write_bytes(pickle.dumps(Evil(proof)))
    assert "would run code" in refusal(path)
    torch.save({"a": Evil(proof)}, path)
    assert "would run code" in refusal(path)
    assert not proof.exists()


def test_projector_beside_the_encoder(tmp_path):
    layer = torch.nn.Linear(2, 2)
    torch.save(layer.state_dict(), tmp_path / "projector.ckpt")
    other = torch.nn.Linear(2, 2)
    path = tmp_path / "encoder.ckpt"
    assert load_beside(path, "projector.ckpt", other)
    assert torch.equal(layer.weight, other.weight)
    with pytest.raises(InputError, match="projector.ckpt does not fit"):
        load_beside(path, "projector.ckpt", torch.nn.Linear(3, 2))
