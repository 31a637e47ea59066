"""Train the final model of a study with folds: one model of all patients.

> python -m recipes.study.final results/study/my_study

It is the encoder and mode with the highest mean test AUC of the study, which
its page, ``paper.md`` and ``doubtful.csv`` call the best; ``--encoder`` and
``--mode`` choose another. It prints the command of ``train_cls.py`` that it runs,
which may be changed and typed again. The folds test these settings once more,
with the study's first seed, and choose the penalty or the epochs; then one model
is trained on everybody, which nobody has tested.
"""

import json
import os
import shlex
import sys
from pathlib import Path
from typing import Dict, List, NamedTuple, Optional, Sequence, Tuple

from cry_modules.evaluation.final import STUDY, STUDY_FILE
from data_prep.files.arguments import Arguments
from data_prep.files.errors import one_line_errors, require
from data_prep.files.lock import locked
from data_prep.files.shapes import read_json
from data_prep.files.tables import write_text
from recipes.study.encoders import ENCODERS, folder_name
from recipes.study.plan import Plan
from recipes.study.report import corpora
from recipes.study.report.doubtful import best_method
from recipes.study.report.nested import nested
from recipes.study.report.results import Cell, Results
from recipes.study.run import ROOT
from recipes.study.settings import check_settings, read_study
from recipes.study.stages import MODE_NAMES, method_in_words


class Choice(NamedTuple):
    """Encoder and mode of the final model among those of the page."""

    encoder: str
    mode: str
    best: Tuple[str, str]  # encoder and mode of the highest mean AUC
    cells: Dict[Tuple[str, str], Cell]  # test AUC of all that are finished

    @property
    def label(self) -> str:
        """Name on the page."""
        return method_in_words(self.encoder, self.mode)

    @property
    def is_best(self) -> bool:
        """True if the page calls it the best."""
        return (self.encoder, self.mode) == self.best


def choose(
    results: Results, encoder: Optional[str] = None, mode: Optional[str] = None
) -> Choice:
    """Choose the best method of the first task; of an encoder or a mode, if
    one is named, and of those that have one encoder for all folds."""
    plan, s = results.plan, results.settings
    require(
        s.folds,
        f"{s.output_folder}: a final model needs a study with folds",
        "set folds: 5 in its yaml file, or export one of its classifiers",
    )
    encoder = _named("encoder", encoder, s.encoders, ENCODERS)
    mode = _named("mode", mode, s.modes, MODE_NAMES)
    require(
        not (encoder and is_of_folds(plan, encoder)),
        f"--encoder {encoder} is adapted to the labelled cries, another one "
        "for each fold",
        "name one that all folds share",
    )
    cells = {
        (e, m): cell
        for e in s.encoders
        for m in s.modes
        if (cell := results.cell(s.tasks[0].name, e, m))
        and cell.mean is not None
    }
    fit = [
        (e, m)
        for e, m in cells
        if not is_of_folds(plan, e) and encoder in (None, e)
        if mode in (None, m)
    ]
    require(
        fit,
        f"{s.output_folder}: no classifier that could be the final model is "
        "finished",
        "finish the study first",
    )
    best = best_method(results, s.tasks[0].name)
    chosen = best if best in fit else max(fit, key=lambda m: cells[m].mean)
    return Choice(*chosen, best, cells)


def _named(kind, value, known, labels) -> Optional[str]:
    """Name of an encoder or a mode; the page's label is known, too."""
    if value is None:
        return None
    label_of = {k: getattr(labels[k], "label", labels[k]) for k in known}
    found = [k for k in known if value in (k, label_of[k])]
    names = ", ".join(f"{k} ({label})" for k, label in label_of.items())
    require(
        found, f"--{kind} {value} is not in this study", f"pass one of {names}"
    )
    return found[0]


def is_of_folds(plan: Plan, encoder: str) -> bool:
    """Check whether each fold has its own encoder of this name."""
    return bool(ENCODERS[encoder].cries and plan.adapted_folds(encoder))


def choice_line(plan: Plan, choice: Choice) -> str:
    """Line that says which model is final, and why."""
    mean = choice.cells[choice.encoder, choice.mode].mean
    text = f"final model: {choice.label} (AUC {mean:.3f} on the page, "
    if choice.is_best:
        n = len(choice.cells)
        highest = f"the highest of {n}: a choice that flatters it; "
        text += highest if n > 1 else "the only one; "
    else:
        best = choice.cells[choice.best].mean
        text += (
            f"where {method_in_words(*choice.best)} has the highest, {best:.3f}"
        )
        if is_of_folds(plan, choice.best[0]):
            text += ", but is another encoder in each fold"
        text += "; "
    return text + "another: --encoder, --mode)"


def final_command(plan: Plan, choice: Choice, folder: Path) -> List[str]:
    """Arguments of the recipe that trains the final model; refuse an encoder
    that is not trained."""
    s, encoder = plan.settings, choice.encoder
    require(
        not ENCODERS[encoder].stage
        or plan.encoder(encoder, s.pretraining_seeds[0]).done,
        f"{s.output_folder}: its encoder {encoder} is not trained yet with "
        f"seed {s.pretraining_seeds[0]}",
        "finish the study first",
    )
    task, seed = s.tasks[0].name, s.seeds[0]
    run = plan.classifier(task, encoder, choice.mode, 1.0, seed)
    places = "--output_folder=", "--embedding_cache="
    kept = [p for p in run.command if not p.startswith(places)]
    return [*kept, "--final=True", f"--output_folder={folder}"]


def study_facts(
    results: Results, choice: Choice, honest: Optional[Dict]
) -> Dict:
    """Figures of the study's page that belong on the card of its final model,
    without names of files and folders; ``honest`` is the nested choice."""
    task = results.settings.tasks[0]
    besides = corpora.confound_cells(results, task)
    others = dict(results.controls(task.name))
    for encoder, mode in choice.cells:
        if ENCODERS[encoder].control and encoder != choice.encoder:
            cell = choice.cells[encoder, mode]
            others.setdefault(method_in_words(encoder, mode), cell)
    cell = choice.cells[choice.encoder, choice.mode]
    return {
        "encoder": ENCODERS[choice.encoder].label,
        "mode": MODE_NAMES[choice.mode],
        "n_seeds": len(cell.by_seed),
        "n_methods": len(choice.cells),
        "is_best": choice.is_best,
        **_block(cell.mean, cell.ci95),
        **(
            {"nested": _block(honest["auc"], honest["auc_ci95"])}
            if honest
            else {}
        ),
        "others": {name: _block(c.mean, c.ci95) for name, c in others.items()},
        "besides_cry": {
            name: _block(c.mean, c.ci95) for name, c in besides.items()
        },
    }


def _block(mean: Optional[float], ci95: Optional[Tuple[float, float]]) -> Dict:
    return {
        "auc": None if mean is None else float(mean),
        "auc_ci95": None if ci95 is None else [*map(float, ci95)],
    }


def _require_same(path: Path, facts: Dict) -> None:
    """Refuse a folder in which another encoder or mode is the final model."""
    if not path.is_file():
        return
    found = read_json(path, STUDY, f"delete {path.parent}")
    old, new = (f"{x['encoder']}, {x['mode']}" for x in (found, facts))
    require(
        old == new,
        f"{path.parent} holds the final model of {old}, and that of {new} would "
        "take its place",
        "move it or delete it",
    )


def main(argv: Optional[Sequence[str]] = None) -> None:
    """Run the command line."""
    parser = Arguments(
        description="Train the final model of a study with folds."
    )
    parser.add_argument("study", metavar="STUDY", help="its output_folder")
    parser.add_argument(
        "--encoder",
        help="encoder of the final model, such as simclr (default: of the best "
        "encoder and mode of the page)",
    )
    parser.add_argument("--mode", help="its mode, such as linear")
    args = parser.parse_args(argv)
    with one_line_errors():
        source = Path(args.study) / "study.yaml"
        cure = "pass the output_folder of a study"
        require(source.is_file(), f"{args.study} holds no study.yaml", cure)
        settings = read_study(source)
        settings["output_folder"] = os.path.abspath(args.study)
        plan = Plan(check_settings(settings, str(source)))
        results = Results(plan)
        choice = choose(results, args.encoder, args.mode)
        name = "final"
        if args.encoder or args.mode:
            name += f"_{folder_name(choice.encoder)}_{choice.mode}"
        folder = plan.settings.output_folder / name
        command = final_command(plan, choice, folder)
        print(choice_line(plan, choice))
        honest = nested(results, plan.settings.tasks[0].name)
        if honest:
            print(honest["sentence"])
        print(
            f"cd {shlex.quote(str(ROOT))} && python {shlex.join(command)}",
            flush=True,
        )
        facts = study_facts(results, choice, honest)
        with locked(folder):  # the training locks it again
            _require_same(folder / STUDY_FILE, facts)
            write_text(folder / STUDY_FILE, json.dumps(facts, indent=1) + "\n")
        os.chdir(ROOT)
        os.execv(sys.executable, [sys.executable, *command])


if __name__ == "__main__":
    main()
