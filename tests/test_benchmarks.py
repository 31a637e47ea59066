"""The benchmarks run at their smallest and print their tables."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from benchmarks import memory
from benchmarks.night import main as log_mel_machine
from cry_modules.training.forecast import forecast_simclr
from data_prep.files.tables import read_table

ROOT = Path(__file__).resolve().parents[1]


def output_of(*command):
    done = subprocess.run(
        [sys.executable, *map(str, command)],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.slow
def test_data_tools(noise, tmp_path):
    for i in range(3):
        noise(f"audio/{i}.wav", seconds=2.0)
    output = output_of("benchmarks/data.py", tmp_path / "audio")
    for line in ("audit, times", "reading, files over pack", "copies, MP3"):
        assert line in output


@pytest.mark.slow
def test_memory_of_activation_checkpointing(tmp_path):
    out = tmp_path / "memory.json"
    options = ["--rounds=1", "--sizes", "[[1, 2, 0.5]]", "--out", out]
    output = output_of("benchmarks/memory.py", *options)
    rows = json.loads(out.read_text())
    assert len(output.splitlines()) == len(rows) == 4
    assert {(r["recompute"], r["precision"]) for r in rows} == {
        (recompute, precision)
        for recompute in (False, True)
        for precision in ("fp32", "bf16")
    }
    assert all(r["peak_gb"] > 0.1 and r["seconds"] > 0 for r in rows)


def test_the_largest_batch_fits_and_the_next_does_not(monkeypatch, tmp_path):
    monkeypatch.setattr(memory, "_PAPERS", (1, 0.5))
    lines = memory.largest_batches([0.5, 1]).splitlines()
    assert lines[0] == "|  | 0.5 GB | 1 GB |"
    for (precision, recompute), line in zip(memory.CASES, lines[2:]):
        name, *sizes = (cell.strip() for cell in line.strip("|").split("|"))
        assert name.startswith(precision) and ("check" in name) == recompute
        for gigabytes, size in zip((0.5, 1), map(int, sizes)):
            for n, fits in ((size, True), (size + 1, False)):
                case = 1, n, 0.5, recompute, precision, str(tmp_path)
                brain, hparams = memory.make_brain(*case)
                forecast_simclr(brain, hparams, 10, 0)
                brain.forecast.device = torch.device("cuda")
                need = brain.forecast.need(recompute=recompute).total()
                assert (1.1 * need <= 1e9 * gigabytes) == fits


def test_a_machine_on_log_mel_detects(tmp_path):
    """A tone among noises, by the options and tables of a detection."""
    rng = np.random.default_rng(0)
    tone = 0.3 * np.sin(0.3 * np.arange(8000))
    lines = ["recording_id,path,label,split"]
    for i in range(40):
        is_cry = i % 2 == 0
        sig = rng.normal(0, 0.01, 8000) + tone * is_cry * rng.uniform(0.1, 1)
        soundfile.write(tmp_path / f"{i}.wav", sig, 16000)
        split = "train" if i < 36 else "test"
        lines.append(f"{i},{i}.wav,{'cry' if is_cry else 'other'},{split}")
    (tmp_path / "recordings.csv").write_text("\n".join(lines) + "\n")
    night = rng.normal(0, 0.01, 160000)
    night[48000:56000] += tone
    soundfile.write(tmp_path / "night.wav", night, 16000)
    out = tmp_path / "out"
    run = [str(tmp_path), str(tmp_path / "night.wav"), "--out", str(out)]
    log_mel_machine([*run, "--no_pictures", "--threshold=0.5"])
    ((_, event),) = read_table(out / "events.csv", ["onset_s", "offset_s"])
    assert float(event["onset_s"]) == pytest.approx(3.0, abs=0.3)
    assert float(event["offset_s"]) == pytest.approx(3.5, abs=0.3)
