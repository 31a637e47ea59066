"""The pull requests: what each holds, in the order in which they apply."""

from pathlib import Path
from typing import Dict, List, NamedTuple, Tuple

#: Of ``tests/recipes/<Dataset>.csv``, in SpeechBrain's order.
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


class PullRequest(NamedTuple):
    """One thing that SpeechBrain is asked to take.

    Arguments
    ---------
    name : str
        Of the branch, and of its description.
    files : tuple of str
        Paths in SpeechBrain, each of a template.
    links : tuple of (str, str)
        Symbolic links and what they point to.
    rows : tuple of dict
        Of ``tests/recipes/<Dataset>.csv``.
    samples : tuple of str
        Names of tiny data sets, see ``samples``.
    """

    name: str
    files: Tuple[str, ...]
    links: Tuple[Tuple[str, str], ...] = ()
    rows: Tuple[Dict[str, str], ...] = ()
    samples: Tuple[str, ...] = ()

    @property
    def title(self) -> str:
        """One line."""
        return self._description()[0]

    @property
    def description(self) -> str:
        """What a reviewer reads first."""
        return self._description()[1]

    def _description(self):
        text = (_DESCRIPTIONS / f"{self.name}.md").read_text(encoding="utf-8")
        title, _, body = text.partition("\n")
        return title.lstrip("# "), body.strip()


def row(task, dataset, folder, hparams, prepare, flags, checks):
    """A row of ``tests/recipes/<dataset>.csv``."""
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


_LEFT = "train.py,hyperparams.yaml,env.log,log.txt,train_log.txt"
_SIMCLR = "recipes/VGGSound/self-supervised-learning/simclr"
_SOUNDS = "recipes/VGGSound/classification"
_ADAPT = "recipes/InfantCry/adaptation"
_CRIES = "recipes/InfantCry/classification"

SERIES: List[PullRequest] = [
    PullRequest(
        "contrastive",
        (
            "speechbrain/nnet/contrastive.py",
            "tests/unittests/test_contrastive.py",
        ),
    ),
    PullRequest(
        "cnn14_lengths",
        (
            "speechbrain/lobes/logmel.py",
            "speechbrain/lobes/models/cnn14_lengths.py",
            "tests/unittests/test_cnn14_lengths.py",
            "tests/unittests/test_logmel.py",
        ),
    ),
    PullRequest(
        "views",
        (
            "speechbrain/augment/views.py",
            "tests/unittests/test_views.py",
        ),
    ),
    PullRequest(
        "warmup_cosine",
        (
            "speechbrain/nnet/schedulers.py",
            "tests/unittests/test_warmup_cosine.py",
        ),
    ),
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
                f"{_LEFT},save/encoder.ckpt,save/projector.ckpt",
            ),
        ),
        samples=("VGGSound",),
    ),
    PullRequest(
        "finetuning",
        (
            "speechbrain/nnet/finetuning.py",
            "tests/unittests/test_finetuning.py",
        ),
    ),
    PullRequest(
        "ranking",
        (
            "speechbrain/utils/ranking.py",
            "tests/unittests/test_ranking.py",
        ),
    ),
    PullRequest(
        "length_batches",
        (
            "speechbrain/dataio/length_batches.py",
            "tests/unittests/test_length_batches.py",
        ),
    ),
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
                f"{_LEFT},predictions_test.csv",
            ),
        ),
    ),
    PullRequest(
        "replay",
        (
            "speechbrain/dataio/replay.py",
            "tests/unittests/test_replay.py",
        ),
    ),
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
                f"{_LEFT},save/encoder.ckpt,save/projector.ckpt",
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
                f"{_LEFT},predictions_test.csv",
            )
            for task in ("neuro", "trigger")
        ),
    ),
]
