"""The pull requests: files of each, in the order in which they apply."""

from pathlib import Path
from typing import Dict, List, NamedTuple, Tuple

#: Columns of ``tests/recipes/<Dataset>.csv``, in SpeechBrain's order.
CSV_COLUMNS = (
    "Task",
    "Dataset",
    "Script_file",
    "Hparam_file",
    "Data_prep_file",
    "Readme_file",
    "Result_url",
    "HF_repo",
    "test_debug_flags",
    "test_debug_checks",
    "performance",
)

_DESCRIPTIONS = Path(__file__).with_name("descriptions")
_CHECKLIST = Path(__file__).with_name("checklist.md")


class PullRequest(NamedTuple):
    """One pull request for SpeechBrain.

    ``name`` is that of the branch and of the file with its description.
    ``files`` are paths in SpeechBrain, each made from the template of that
    path; ``links`` are symbolic links and their targets; ``rows`` are rows of
    ``tests/recipes/<Dataset>.csv``; ``samples`` names data sets of
    ``samples.py``.
    """

    name: str
    files: Tuple[str, ...]
    links: Tuple[Tuple[str, str], ...] = ()
    rows: Tuple[Dict[str, str], ...] = ()
    samples: Tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """Title, one line."""
        return self._text().partition("\n")[0].lstrip("# ")

    @property
    def description(self) -> str:
        """Text for the reviewer, with SpeechBrain's checklist."""
        checklist = _CHECKLIST.read_text(encoding="utf-8").strip()
        documented, tested = "docstrings with examples", "unit tests, doctests"
        if self.rows:
            documented, tested = "README", "rows for the recipe tests"
        checklist = checklist.replace("DOCUMENTATION", documented)
        checklist = checklist.replace("TESTS", tested)
        body = self._text().partition("\n")[2].strip()
        return body.replace("CHECKLIST", checklist)

    def _text(self):
        return (_DESCRIPTIONS / f"{self.name}.md").read_text(encoding="utf-8")


def part(name: str, *modules: str, tests: Tuple[str, ...] = ()) -> PullRequest:
    """A pull request of modules below ``speechbrain/`` and their unit tests."""
    return PullRequest(
        name,
        tuple(f"speechbrain/{module}.py" for module in modules)
        + tuple(f"tests/unittests/test_{test}.py" for test in tests or (name,)),
    )


def row(task, dataset, folder, hparams, prepare, flags, checks):
    """Row of ``tests/recipes/<dataset>.csv``."""
    recipe = f"recipes/{dataset}/{folder}"
    return {
        "Task": task,
        "Dataset": dataset,
        "Script_file": f"{recipe}/train.py",
        "Hparam_file": f"{recipe}/hparams/{hparams}",
        "Data_prep_file": " ".join(
            f"{recipe}/{name}" for name in prepare.split()
        ),
        "Readme_file": f"{recipe}/README.md",
        "HF_repo": "",
        "test_debug_flags": flags,
        "test_debug_checks": f"file_exists=[{checks}]",
        "performance": "",
    }


_OUTPUTS = "train.py,hyperparams.yaml,env.log,log.txt,train_log.txt"
_SIMCLR = "recipes/VGGSound/self-supervised-learning/simclr"
_SOUNDS = "recipes/VGGSound/classification"
_ADAPT = "recipes/InfantCry/adaptation"
_CRIES = "recipes/InfantCry/classification"

SERIES: List[PullRequest] = [
    part("contrastive", "nnet/contrastive"),
    part(
        "cnn14_lengths",
        "lobes/logmel",
        "lobes/models/cnn14_lengths",
        tests=("cnn14_lengths", "logmel"),
    ),
    part("views", "augment/views"),
    part("warmup_cosine", "nnet/schedulers"),
    PullRequest(
        "vggsound_simclr",
        (
            "recipes/VGGSound/vggsound_prepare.py",
            f"{_SIMCLR}/README.md",
            f"{_SIMCLR}/train.py",
            f"{_SIMCLR}/hparams/cnn14.yaml",
        ),
        links=(
            (f"{_SIMCLR}/vggsound_prepare.py", "../../vggsound_prepare.py"),
        ),
        rows=(
            row(
                "SSL",
                "VGGSound",
                "self-supervised-learning/simclr",
                "cnn14.yaml",
                "vggsound_prepare.py",
                "--data_folder tests/samples/VGGSound --width 2 --min_clips 1 "
                "--batch_size 2 --num_workers 0",
                f"{_OUTPUTS},save/encoder.ckpt,save/projector.ckpt",
            ),
        ),
        samples=("VGGSound",),
    ),
    part("finetuning", "nnet/finetuning"),
    part("ranking", "utils/ranking"),
    part("length_batches", "dataio/length_batches"),
    PullRequest(
        "vggsound_classification",
        (
            f"{_SOUNDS}/README.md",
            f"{_SOUNDS}/train.py",
            f"{_SOUNDS}/hparams/cnn14.yaml",
        ),
        links=((f"{_SOUNDS}/vggsound_prepare.py", "../vggsound_prepare.py"),),
        rows=(
            row(
                "SoundClassification",
                "VGGSound",
                "classification",
                "cnn14.yaml",
                "vggsound_prepare.py",
                "--data_folder tests/samples/VGGSound --width 2 --min_clips 1 "
                "--n_classes 4 --batch_size 4 --num_workers 0",
                f"{_OUTPUTS},predictions_test.csv",
            ),
        ),
    ),
    part("replay", "dataio/replay"),
    PullRequest(
        "infant_cry_adaptation",
        (
            "recipes/InfantCry/infant_cry_prepare.py",
            f"{_ADAPT}/README.md",
            f"{_ADAPT}/train.py",
            f"{_ADAPT}/hparams/cnn14_replay.yaml",
        ),
        links=(
            (f"{_ADAPT}/infant_cry_prepare.py", "../infant_cry_prepare.py"),
            (
                f"{_ADAPT}/vggsound_prepare.py",
                "../../VGGSound/vggsound_prepare.py",
            ),
        ),
        rows=(
            row(
                "SSL",
                "InfantCry",
                "adaptation",
                "cnn14_replay.yaml",
                "infant_cry_prepare.py vggsound_prepare.py",
                "--data_folder tests/samples/InfantCry --replay_folder "
                "tests/samples/VGGSound --width 2 --batch_size 4 --valid_share 0.2 "
                "--num_workers 0",
                f"{_OUTPUTS},save/encoder.ckpt,save/projector.ckpt",
            ),
        ),
        samples=("InfantCry",),
    ),
    PullRequest(
        "infant_cry_classification",
        (
            f"{_CRIES}/README.md",
            f"{_CRIES}/train.py",
            f"{_CRIES}/hparams/neuro_linear_bn.yaml",
            f"{_CRIES}/hparams/trigger_linear_bn.yaml",
        ),
        links=(
            (f"{_CRIES}/infant_cry_prepare.py", "../infant_cry_prepare.py"),
        ),
        rows=tuple(
            row(
                "SoundClassification",
                "InfantCry",
                "classification",
                f"{task}_linear_bn.yaml",
                "infant_cry_prepare.py",
                "--data_folder tests/samples/InfantCry --width 2 "
                "--batch_size 4 --num_workers 0",
                f"{_OUTPUTS},predictions_test.csv",
            )
            for task in ("neuro", "trigger")
        ),
    ),
]
