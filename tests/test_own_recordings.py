"""A first evening with one's own recordings: folders and tables as
they are go through all three train scripts."""

import csv
import json

import numpy as np
import pytest
import soundfile

TINY = ["--batch_size=4", "--device=cpu", "--noprogressbar"]
ONCE = [*TINY, "--number_of_epochs=1", "--warmup_epochs=0"]
ONCE += ["--valid_share=0.3"]
TABLE = ["--recordings_csv=babies.csv", "--label_column=Condition"]
NAMED = ["--patient_column=Baby", "--path_column=File"]


@pytest.fixture(scope="module")
def evening(tmp_path_factory):
    """Labelled cries with a German table, unlabelled cries and sounds."""
    folder = tmp_path_factory.mktemp("evening")
    rng = np.random.default_rng(0)

    def write(name):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(path, rng.normal(0, 0.1, 12000), 8000)

    rows = ["Baby;File;Condition;Date"]
    for i in range(36):
        name = f"{'ABC'[i % 3]}\u00e4_{i:02d}.wav"
        write(f"labelled/{name}")
        label = ("Bath", "Vaccination")[i % 2]
        rows.append(f"Zo\u00eb{i // 2};{name};{label};14.03.2023")
    text = "\n".join(rows) + "\n"
    (folder / "labelled/babies.csv").write_text(text, encoding="utf-8-sig")
    for i in range(12):
        write(f"unlabelled/rec_{i}.wav")
        write(f"sounds/{['', 'street/', 'house/kitchen/'][i % 3]}{i}.wav")
    return folder


@pytest.mark.slow
def test_the_evening(evening, script, tmp_path):
    out = f"--output_folder={tmp_path}"
    script(
        "train_simclr.py", "hparams/small_simclr.yaml", *ONCE, "--width=1",
        f"--data_folder={evening}/sounds", f"{out}/sounds",
    )  # fmt: skip
    done = script(
        "train_adapt.py", "hparams/small_adapt_replay.yaml", *ONCE, *NAMED,
        f"--cry_folder={evening}/unlabelled",
        f"--replay_folder={evening}/sounds",
        f"--exclude={evening}/labelled/babies.csv",
        f"--encoder_source={tmp_path}/sounds", f"{out}/adapted",
    )  # fmt: skip
    assert "width 1" in done.output
    script(
        "train_cls.py", "hparams/neuro_linear.yaml", *TINY, *TABLE, *NAMED,
        "--number_of_epochs=1", "--bootstrap_draws=100", "--controls=False",
        f"--data_folder={evening}/labelled", "--positive=Bath",
        f"--encoder_source={tmp_path}/adapted", f"{out}/run",
    )  # fmt: skip
    metrics = json.loads((tmp_path / "run/metrics.json").read_text())
    assert metrics["classes"] == ["Vaccination", "Bath"]
    with open(tmp_path / "run/predictions_test.csv", newline="") as file:
        header, *rows = csv.reader(file)
    assert header == "ID,patient_id,label,Vaccination,Bath,path".split(",")
    assert all((evening / "labelled" / row[-1]).is_file() for row in rows)
    assert all(row[1].startswith("Zo\u00eb") for row in rows)
    script(
        "train_cls.py", "hparams/neuro_linear.yaml", *TINY, *TABLE, *NAMED,
        f"--data_folder={evening}/labelled", "--width=2", f"{out}/other",
        f"--encoder_source={tmp_path}/adapted", status=2,
    )  # fmt: skip
