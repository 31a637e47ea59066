"""A corpus in one file: recordings named <patient>_<pitch>_<take>.wav."""

from pathlib import Path

from data_prep.audio.folder import audio_files
from data_prep.corpora.preparation import require_folder
from data_prep.corpora.published import prepare_published


def prepare_tones(data_folder: str, save_folder: str, seed: int = 0) -> None:
    """Write ``recordings.csv`` and the manifests of low and high tones."""
    root = require_folder(data_folder, "SRC", "the folder of the tones")
    rows = []
    for path in audio_files(root):
        name = Path(path).stem
        patient, pitch, _ = name.split("_")
        row = {"recording_id": name, "patient_id": patient, "path": path}
        rows.append({**row, "pitch": pitch})
    prepare_published(
        rows,
        root,
        save_folder,
        "pitch",
        ["low", "high"],
        corpus_name="toy tones",
        seed=seed,
    )
