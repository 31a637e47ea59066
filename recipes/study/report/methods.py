"""Sentences on the methods of a study, in the order of TRIPOD+AI: data, split,
input, encoders, classifiers, seeds, controls, measure, test, software.
"""

from itertools import product
from typing import Dict, List, Optional, Tuple

from cry_modules.metrics.compare import ONE_SEED
from cry_modules.training.logistic import STRENGTHS
from data_prep import manifest
from data_prep.files.words import count
from recipes.study.encoders import ENCODERS
from recipes.study.report import corpora
from recipes.study.report.facts import and_, excluded, option_of, predictors
from recipes.study.report.results import Results
from recipes.study.settings import seeds_of
from recipes.study.stages import MODE_NAMES


def methods(
    results: Results, context: Dict, tested: List, numbers: Dict
) -> List[Optional[str]]:
    """Sentences of the methods; None for one whose figure is missing."""
    settings = results.settings
    encoders, modes = _finished(results)
    read_outs = dict(zip(settings.modes, context["modes_in_words"]))
    return [
        _so_far(context),
        *(_data(context, t) for t in tested),
        _split(context, tested, settings),
        _input(settings),
        _encoders(settings, encoders, numbers["epochs"]),
        *_heard(results, context),
        f"Classifiers were {and_([read_outs[mode] for mode in modes])}.",
        _chosen_in_words(numbers["chosen"]),
        _at_limits(settings, numbers["chosen"]),
        _seeds(results, encoders, modes),
        _controls(context),
        *(_measure(t) for t in tested[:1]),
        _test(context["pairs"]),
        _software(context),
    ]


def _finished(results) -> Tuple[List[str], List[str]]:
    """Encoders and modes of which a classifier is finished."""
    done = [
        (run.facts["encoder"], run.facts["mode"])
        for run in results.plan.of_rule("train_cls")
        if run.done
    ]
    settings = results.settings
    return (
        [e for e in settings.encoders if any(e == name for name, _ in done)],
        [m for m in settings.modes if any(m == mode for _, mode in done)],
    )


def _so_far(context) -> Optional[str]:
    n_missing, n_runs = len(context["missing"]), context["n_runs"]
    if not n_missing:
        return None
    return (
        f"Not complete: this is about the {n_runs - n_missing} of {n_runs} runs "
        "that are finished."
    )


def _data(context, tested) -> str:
    """Source, outcome, size and exclusions."""
    task = tested.task
    purpose = corpora.classified(task)
    corpus = next((c for c in context["cries"] if c.purpose == purpose), None)
    text = f"Recordings of cries were classified as {_or(task.classes)}"
    if corpus is None:
        return f"{text} ({task.label_column})."
    sites = f", {count(corpus.sites, 'site')}" if corpus.sites else ""
    kind = "synthetic recordings" if corpus.synthetic else "recordings"
    name = "" if corpus.name == corpora.UNNAMED_CRIES else f"{corpus.name}: "
    return (
        f"{text} ({task.label_column}; {name}{corpus.recordings} "
        f"{kind} {corpora.whose(corpus)}, {corpus.hours:.2f} "
        f"hours{sites}). Every file was decoded before training; "
        f"{excluded(corpus)}."
    )


def _split(context, tested, settings) -> Optional[str]:
    if not tested:
        return None
    n_folds = tested[0].counts.get("n_folds")
    text = "Patients were split into training, validation and test set"
    if n_folds:
        text = (
            f"Each of {n_folds} folds was the test set once, with "
            f"{settings.valid_in_words} for validation and the others for training"
        )
    text += "; no patient was in two of these sets."
    apart = corpora.adapted_without(context)
    return f"{text} {apart[0].upper()}{apart[1:]}." if apart else text


def _input(settings) -> Optional[str]:
    known = predictors(settings)
    return known and f"Predictors were {known}."


def _encoders(settings, encoders, epochs) -> str:
    parts = []
    for name in encoders:
        how = "not trained" if ENCODERS[name].stage is None else ""
        how = "trained by others" if ENCODERS[name].outside else how
        if name in epochs:
            least, most = epochs[name]
            how = f"{least} to " * (least < most) + count(most, "epoch")
        parts.append(ENCODERS[name].label + (f" ({how})" if how else ""))
    return (
        f"Encoders ({settings.architecture}, width {settings.width}) were: "
        f"{'; '.join(parts)}."
    )


def _held_out(results) -> str:
    """How many of the generic sounds validated SimCLR, as the end of a
    sentence."""
    for run in results.plan.of_rule("train_simclr"):
        table = run.folder / "manifest/valid.csv"
        if table.is_file():
            n = len(manifest.read(table))
            return f"; {n} of them were held out of training for validation."
    return "."


def _heard(results, context) -> List[str]:
    """Describe the corpora that encoders were trained on."""
    generic = context["generic"]
    sentences = []
    if generic is not None:
        named = generic.name != corpora.UNNAMED_SOUNDS
        sentences.append(
            f"Generic sounds were {generic.recordings} recordings"
            + (f" of {generic.name}" if named else "")
            + _held_out(results)
        )
    for name, cries in corpora.adaptations(results.settings).items():
        purpose = corpora.adapted_to(cries)
        for corpus in context["cries"]:
            if corpus.purpose == purpose:
                fold = bool(results.plan.adapted_folds(name))
                sentences.append(
                    f"{cries.capitalize()} cries"
                    + " of the first fold" * fold
                    + f" were {corpus.recordings} recordings "
                    f"{corpora.whose(corpus)}, without labels."
                )
    return sentences


def _chosen_in_words(chosen) -> Optional[str]:
    parts = []
    for mode, values in chosen.items():
        for name, (middle, low, high) in values.items():
            words = "epoch" if name == "epoch" else "penalty C"
            parts.append(
                f"{words} of {MODE_NAMES[mode]} {middle:g} ({low:g} to {high:g})"
            )
    if not parts:
        return None
    return (
        "Chosen on validation patients were, median and range over encoders, "
        f"seeds and folds: {', '.join(parts)}."
    )


def _at_limits(settings, chosen) -> Optional[str]:
    """Name what was chosen at the end of what was tried."""
    parts = []
    for mode, values in chosen.items():
        for name, (_, low, high) in values.items():
            if name == "epoch":
                last = int(option_of(settings, mode, "number_of_epochs"))
                if high >= last:
                    parts.append(
                        f"epoch of {MODE_NAMES[mode]} ({last} at most)"
                    )
            elif low <= STRENGTHS[0] or high >= STRENGTHS[-1]:
                ends = f"{STRENGTHS[0]:g} to {STRENGTHS[-1]:g}"
                parts.append(f"penalty C of {MODE_NAMES[mode]} ({ends})")
    if not parts:
        return None
    return (
        "At an end of what was tried, in some folds or seeds, were: "
        f"{', '.join(parts)}; a wider range may give other results."
    )


def _seeds(results, encoders, modes) -> str:
    """Number of seeds, each of which is an encoder with a classifier on it."""
    encoder_of = {str(a): b for a, b in seeds_of(results.settings)}
    pretrained = [name for name in encoders if ENCODERS[name].stage]
    seeds, trained = set(), set()
    for task, name, mode in product(results.settings.tasks, encoders, modes):
        runs = results.set_of(task.name, name, mode)
        seeds |= {*(runs.seeds if runs else ())}
        if runs and name in pretrained:
            trained |= {encoder_of[seed] for seed in runs.seeds}
    n = len(seeds)
    text = f"Classifiers were trained with {count(n, 'seed')}"
    if trained:
        text = (
            f"Encoders were trained with {count(len(trained), 'seed')} and "
            f"classifiers with {n}, each on the encoder of one seed"
        )
    rows = [ENCODERS[name] for name in encoders]
    if any(row.stage is None and not row.outside for row in rows):
        text += "; untrained encoders were drawn anew for each seed"
    return f"{text}; their values are means over seeds."


def _controls(context) -> Optional[str]:
    labels = [row.label for row in context["encoders"][0].rows if row.control]
    if not labels:
        return None
    text = f"Controls were: {'; '.join(labels)}."
    if {*labels} & {*corpora.NOT_THE_CRY.values()}:
        text += (
            " Background and file facts were cross-validated on all labelled "
            "recordings, patients kept apart; their intervals are percentiles "
            "of draws of patients."
        )
    return text


def _measure(tested) -> str:
    counts = tested.counts
    macro = "macro average over classes of " * (len(counts["classes"]) > 2)
    within = ""
    if "n_folds" in counts:
        within = (
            " and compares recordings within folds: the mean of the folds' AUC, "
            "weighted by their recordings of the class (Janes and Pepe 2009, "
            "doi 10.1093/biomet/asp002)"
        )
    text = (
        f"The measure is the {macro}area under the ROC curve (AUC); it is by "
        f"recording{within}."
    )
    if counts["no_interval"]:
        return text
    least, most = counts["n_draws"]
    draws = f"{least} to " * (least < most) + str(most)
    return (
        f"{text} Intervals are 95 % intervals over patients (Student's t on "
        f"log-odds; the standard error is that of {draws} bootstrap draws of "
        "whole patients)."
    )


def _test(pairs) -> Optional[str]:
    rows = [row for entry in pairs for row in entry.rows]
    if any(row["no_interval"] == ONE_SEED for row in rows):
        return (
            "Encoders of one pre-training seed were not tested against each "
            "other."
        )
    if all(row["p"] is None for row in rows):
        return None
    return (
        "Differences between encoders were tested over patients, paired, and "
        "pre-training seeds."
    )


def _software(context) -> str:
    shown = ("cry-ssl", "torch", "speechbrain")
    versions = [
        f"{name} {version}"
        for name, version in context["versions"].items()
        if name in shown
    ]
    at = ""
    if context["commit"]:
        at = f"; this was written at commit {context['commit']}"
    return f"Software: {', '.join(versions)}{at}."


def _or(words) -> str:
    *others, last = words
    return f"{', '.join(others)} or {last}"
