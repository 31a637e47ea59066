"""Train the final model of a study with folds: one model of all patients.

> python -m recipes.study.final results/study/my_study

It prints the command of ``train_cls.py`` that it runs, which may be changed and
typed again. The folds test these settings once more, for this encoder alone, and
choose the penalty or the epochs; then one model is trained on everybody, which
nobody has tested.
"""

import os
import shlex
import sys
from pathlib import Path
from typing import List, Optional, Sequence

from data_prep.files.arguments import Arguments
from data_prep.files.errors import one_line_errors, require
from recipes.study.encoders import ENCODERS, PROPOSED
from recipes.study.plan import Plan
from recipes.study.run import ROOT
from recipes.study.settings import check_settings, read_study


def final_command(plan: Plan) -> List[str]:
    """Arguments of the recipe that trains the final model; refuse a study
    without folds or without its encoder."""
    s = plan.settings
    require(
        s.folds,
        f"{s.output_folder}: a final model needs a study with folds",
        "set folds: 5 in its yaml file, or export one of its classifiers",
    )
    encoder = PROPOSED if PROPOSED in s.encoders else "simclr"
    if ENCODERS[encoder].cries and plan.adapted_folds(encoder):
        encoder = "simclr"  # the other is another one for each fold
    require(
        plan.encoder(encoder, s.pretraining_seeds[0]).done,
        f"{s.output_folder}: its encoder {encoder} is not trained yet",
        "finish the study first",
    )
    mode = "linear_blocks" if "linear_blocks" in s.modes else "linear"
    run = plan.classifier(s.tasks[0].name, encoder, mode, 1.0, s.seeds[0])
    kept = [p for p in run.command if not p.startswith("--output_folder=")]
    return [*kept, "--final=True", f"--output_folder={s.output_folder}/final"]


def main(argv: Optional[Sequence[str]] = None) -> None:
    """Run the command line."""
    parser = Arguments(
        description="Train the final model of a study with folds."
    )
    parser.add_argument("study", metavar="STUDY", help="its output_folder")
    args = parser.parse_args(argv)
    with one_line_errors():
        source = Path(args.study) / "study.yaml"
        cure = "pass the output_folder of a study"
        require(source.is_file(), f"{args.study} holds no study.yaml", cure)
        settings = read_study(source)
        settings["output_folder"] = os.path.abspath(args.study)
        plan = Plan(check_settings(settings, str(source)))
        command = final_command(plan)
        print(
            f"cd {shlex.quote(str(ROOT))} && python {shlex.join(command)}",
            flush=True,
        )
        os.chdir(ROOT)
        os.execv(sys.executable, [sys.executable, *command])


if __name__ == "__main__":
    main()
