"""A stopped, killed or damaged run ends with the weights of a whole one."""

import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

from tests.runs import checkpoints, history
from tests.speech_models import save, tiny

TINY = ["--width=1", "--batch_size=4", "--device=cpu", "--noprogressbar"]
TINY += ["--number_of_epochs=3"]
OFTEN = "--ckpt_interval_steps=1"
OBJECTIVES = {"simclr": "nt_xent"}
OBJECTIVES |= {name: name for name in ("byol", "masked_spectrogram")}
RECIPES = [*OBJECTIVES, "adaptation", "linear", "linear_bn", "end_to_end"]
RECIPES.append("wav2vec2")  # end to end


@pytest.fixture(scope="module")
def command(corpus, tmp_path_factory):
    """Command line of a recipe; the output folder is its last argument."""
    folder = tmp_path_factory.mktemp("runs")
    number = itertools.count()

    def command(recipe, *options, output=None):
        output = output or folder / str(next(number))
        cries, sounds = f"{corpus}/cry", f"{corpus}/vggsound"
        run = ["train_cls.py", f"hparams/neuro_{recipe}.yaml", *TINY]
        if recipe in OBJECTIVES:
            run += [f"--objective={OBJECTIVES[recipe]}"]
            run[:2] = "train_simclr.py", "hparams/small_simclr.yaml"
            run += [f"--data_folder={sounds}"]
        elif recipe == "adaptation":
            run[:2] = "train_adapt.py", "hparams/small_adapt_replay.yaml"
            run += [f"--cry_folder={cries}", f"--replay_folder={sounds}"]
            run += ["--valid_share=0.25", "--anchor_distillation=0.1"]
            run += ["--anchor_weights=0.1", "--interpolate=0.5"]
            run += ["--background_snr=[0, 20]", "--noise_snr=[0, 20]"]
            run += ["--frequency_response=6", "--negatives=corpus"]
            run += ["--anchor_projection=0.1"]
            if "--encoder_source" not in str(options):
                run += ["--encoder_source=null"]
        else:
            if recipe == "wav2vec2":
                run[1] = "hparams/neuro_end_to_end.yaml"
                model = folder / "wav2vec2"
                if not model.is_dir():
                    save(tiny("wav2vec2"), model)
                run += [f"--encoder_source={model}"]
            run += [f"--data_folder={cries}", "--bootstrap_draws=100"]
            run += ["--controls=False", "--figures=False", "--nuisance=null"]
        if run[0] != "train_cls.py":
            run += [f"--probe={cries}/recordings.csv:neuro_injury"]
            run += ["--warmup_epochs=1", "--probe_every=2"]
            run += ["--tensorboard=True"]
        return [*run, *options, f"--output_folder={output}"]

    return command


@pytest.fixture(scope="module")
def whole(command, script):
    """Folder and duration of an uninterrupted run of a recipe."""
    done = {}

    def whole(recipe):
        if recipe not in done:
            run = command(recipe)
            done[recipe] = folder_of(run), script(*run).seconds
        return done[recipe]

    return whole


def folder_of(run):
    return Path(run[-1].partition("=")[2])


def assert_same(folder, other):
    """Compare weights, optimizer, random states and history, to the bit."""
    assert history(folder) == history(other)
    a, b = checkpoints(folder)[-1], checkpoints(other)[-1]
    names = ["encoder", "optimizer", "random"]
    names += [p.stem for p in a.glob("*") if p.stem in ("projector", "head")]
    pairs = [(a / f"{name}.ckpt", b / f"{name}.ckpt") for name in names]
    for path in folder.glob("interpolated/encoder.ckpt"):
        pairs.append((path, other / path.relative_to(folder)))
    for pair in pairs:
        x, y = (torch.load(path, weights_only=True) for path in pair)
        assert equal(x, y), pair


def equal(x, y):
    """Compare the contents of two checkpoints, to the bit."""
    if torch.is_tensor(x):
        return torch.equal(x, y)
    if isinstance(x, dict):
        return x.keys() == y.keys() and all(equal(x[k], y[k]) for k in x)
    if isinstance(x, list):
        return len(x) == len(y) and all(map(equal, x, y))
    return x == y


CHEAPEST = pytest.param("simclr", 0, 4, marks=pytest.mark.representative)


@pytest.mark.slow
@pytest.mark.parametrize(
    "recipe, workers, n_kills",
    [CHEAPEST, *itertools.product(RECIPES, (0, 2), [20])],
)
def test_killed_at_random_moments(
    recipe, workers, n_kills, command, script, whole
):
    """Kill, resume, kill, ...; begin another run where one has finished."""
    expected, seconds = whole(recipe)
    options = [OFTEN, f"--num_workers={workers}", "--cache_mb=1"]
    rng = random.Random(f"{recipe} {options}")
    run, killed = command(recipe, *options), 0
    while killed < n_kills:
        done = script(
            *run,
            status=None,
            signal=signal.SIGKILL,
            after=rng.uniform(0, seconds),
        )
        killed += done.status == -signal.SIGKILL
        if done.status == 0:
            assert_same(folder_of(run), expected)
            run = command(recipe, *options)
        else:
            assert done.status == -signal.SIGKILL, done.output
    script(*run)
    assert_same(folder_of(run), expected)


@pytest.mark.parametrize(
    "number",
    [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.slow)],
)
def test_a_signal_saves_and_says_how_to_resume(number, command, script, whole):
    """No interval is set: only the signal makes it save within an epoch."""
    expected, seconds = whole("simclr")
    run = command("simclr")
    # Later and later until it is in the middle of training.
    for share in (0.5, 0.6, 0.7, 0.8, 0.4, 0.3):
        run[-1] += "_"
        done = script(*run, status=None, signal=number, after=share * seconds)
        if "resume with: python train_simclr.py" in done.output:
            break
    assert done.status == 1
    assert f"resume with: python {run[0]} {run[1]}" in done.output
    assert checkpoints(folder_of(run))
    script(*run)
    assert_same(folder_of(run), expected)


def truncate(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def replace(path):
    torch.save({"weight": torch.ones(3)}, path)


@pytest.fixture
def damaged(whole, script, command, tmp_path):
    """Damage the checkpoints of a finished run, run it again and compare."""

    def damaged(harm, recipe="simclr"):
        folder, _ = whole(recipe)
        shutil.copytree(folder, tmp_path / "whole")
        harm(checkpoints(folder))
        done = script(*command(recipe, output=folder))
        assert_same(folder, tmp_path / "whole")
        return done.output

    return damaged


def slow(*values):
    return pytest.param(*values, marks=pytest.mark.slow)


@pytest.mark.parametrize(
    "harm, name",
    [
        (truncate, "encoder.ckpt"),
        (Path.unlink, "CKPT.yaml"),
        slow(replace, "encoder.ckpt"),
        slow(Path.unlink, "encoder.ckpt"),
        slow(truncate, "CKPT.yaml"),
        slow(replace, "CKPT.yaml"),
    ],
)
def test_a_damaged_checkpoint_is_passed_over(harm, name, damaged):
    output = damaged(lambda folders: harm(folders[-1] / name))
    assert "is damaged: " + name in output
    assert "Going into epoch 3" in output
    assert "Going into epoch 2" not in output


@pytest.mark.parametrize(
    "recipe", ["simclr", slow("adaptation"), slow("linear_bn")]
)
def test_all_checkpoints_damaged_begins_anew(recipe, damaged):
    def harm(folders):
        for folder in folders:
            truncate(folder / "optimizer.ckpt")

    output = damaged(harm, recipe)
    assert "No checkpoint is undamaged; the run starts again" in output


def test_files_that_a_resume_needs(command, script, whole):
    folder, _ = whole("simclr")
    run = command("simclr", output=folder)
    for name in ("history.json", "before.json"):
        kept = (folder / name).read_text()
        for harm in (truncate, Path.unlink):
            harm(folder / name)
            line = script(*run, status=2).output.strip().split("\n")[-1]
            assert name in line and "pass another --output_folder" in line
        (folder / name).write_text(kept)
    script(*run)


def test_a_run_may_be_moved(command, script, whole, tmp_path):
    folder, _ = whole("simclr")
    shutil.copytree(folder, tmp_path / "moved")
    for checkpoint in checkpoints(tmp_path / "moved")[1:]:
        shutil.rmtree(checkpoint)
    script(*command("simclr", output=tmp_path / "moved"))
    assert_same(tmp_path / "moved", folder)


def test_the_learning_rate_logged_is_that_of_the_last_step(command, script):
    """Also where the last batches of an epoch make no step."""
    run = command("simclr", "--grad_accumulation_factor=3", "--final_lr=0.0")
    script(*run)
    # One step an epoch, one epoch of warm-up: the largest, half, none.
    rates = [row["lr"] for row in history(folder_of(run))]
    assert rates == pytest.approx([0.002, 0.001, 0.0])


def test_other_options_are_refused(command, script, whole):
    folder, _ = whole("simclr")
    for option in ("--precision=bf16", "--grad_accumulation_factor=2"):
        run = command("simclr", option, output=folder)
        output = script(*run, status=2).output
        assert "this run began with --" in output.strip().split("\n")[-1]
    run = command("simclr", "--test_only", output=folder)
    assert "leave out --test_only" in script(*run, status=2).output


@pytest.mark.slow
def test_adaptation_keeps_its_first_weights(command, script, whole, tmp_path):
    """Anchors and interpolation need them, also where the source is gone."""
    source = tmp_path / "source"
    shutil.copytree(whole("simclr")[0], source)
    options = [OFTEN, f"--encoder_source={source}"]
    expected = command("adaptation", *options)
    seconds = script(*expected).seconds
    run = command("adaptation", *options)
    while not checkpoints(folder_of(run)):
        script(*run, status=None, signal=signal.SIGKILL, after=0.6 * seconds)
    shutil.rmtree(source)
    script(*run)
    assert_same(folder_of(run), folder_of(expected))


def test_figures_before_training_are_not_another_run_s(command, script):
    """A debug run leaves no checkpoint, but figures in the same folder."""
    run = command("simclr")
    script(*run[:-1], "--debug", run[-1])
    script(*run)
    other = command("simclr")
    script(*other)
    before = [folder_of(r) / "before.json" for r in (run, other)]
    assert before[0].read_text() == before[1].read_text()


def start(*command):
    """Start Python in a process group of its own."""
    return subprocess.Popen(
        [sys.executable, *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )


def wait_for_a_checkpoint(process, run):
    while not checkpoints(folder_of(run)):
        assert process.poll() is None, process.communicate()[0]
        time.sleep(0.01)


@pytest.mark.slow
@pytest.mark.parametrize(
    "recipe",
    [pytest.param("simclr", marks=pytest.mark.representative), "linear_bn"],
)
def test_a_signal_ends_the_process_and_its_workers(recipe, command, whole):
    """In a real process, for what happens at its exit."""
    run = command(recipe, OFTEN, "--num_workers=2")
    run = [r.replace("_epochs=3", "_epochs=500") for r in run]
    process = start(*run)
    wait_for_a_checkpoint(process, run)
    os.killpg(process.pid, signal.SIGTERM)  # workers get it too
    output = process.communicate(timeout=30)[0]
    assert process.returncode == 1
    assert "resume with: python" in output and "Traceback" not in output


@pytest.mark.slow
@pytest.mark.parametrize("recipe", ["simclr", "adaptation"])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_two_stopped_processes_resume_together(
    recipe, number, command, free_port
):
    torchrun = ["-m", "torch.distributed.run", "--nproc_per_node=2"]
    torchrun += [f"--master_port={free_port}"]
    gloo = "--distributed_backend=gloo"
    expected = command(recipe)
    output = start(*torchrun, *expected, gloo).communicate()[0]
    assert output.count("done: 3 epochs") == 1, output
    run = command(recipe, OFTEN)
    stopped = start(*torchrun, *run, gloo)
    wait_for_a_checkpoint(stopped, run)
    if number == signal.SIGKILL:
        os.killpg(stopped.pid, number)
        stopped.communicate()
    else:
        os.kill(stopped.pid, number)
        output = stopped.communicate()[0]
        assert "resume with: torchrun --nproc_per_node=2" in output
    output = start(*torchrun, *run, gloo).communicate()[0]
    assert "done: 3 epochs" in output
    assert_same(folder_of(run), folder_of(expected))


def test_accumulated_gradients_are_not_lost(command, script):
    """Checkpoints are saved between optimizer steps, not between batches."""
    options = [OFTEN, "--grad_accumulation_factor=2"]
    run = command("simclr", *options)
    seconds = script(*run).seconds
    killed = command("simclr", *options)
    after = 0.6 * seconds
    script(*killed, status=None, signal=signal.SIGKILL, after=after)
    script(*killed)
    assert_same(folder_of(killed), folder_of(run))
